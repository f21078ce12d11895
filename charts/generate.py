#!/usr/bin/python3
"""Makes eventrouter/values.schema.json and the table of values in eventrouter/README.md.

Sources: eventrouter/values.yaml (defaults; the comment above a key describes it), values.schema.yaml
(types and limits) and config/config.schema.json (the program's own rows). With --check nothing is
written; exit 1 says that something is stale, or not the same in both."""
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "eventrouter"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"


# ---- values.yaml ----

def comment_above(lines, line):
    """The comment that ends directly above this line, as one text."""
    found = []
    while line > 0 and (match := re.match(r"^ *# ?(.*)$", lines[line - 1])):
        found.insert(0, match.group(1))
        line -= 1
    return " ".join(found)


def read_values(text, types):
    """{path: (comment, default)} of the values that have a type, in their order; a group of values has no
    default. And what is only in one of the two."""
    lines, found, problems = text.split("\n"), {}, []

    def walk(node, types, path):
        names = [key.value for key, _ in node.value]
        problems.extend(f"values.yaml: {'.'.join((*path, name))} is missing"
                        for name in types if name not in names)
        for key, value in node.value:
            at = (*path, key.value)
            comment = comment_above(lines, key.start_mark.line)
            if key.value not in types:
                problems.append(f"values.schema.yaml: {'.'.join(at)} is missing")
            elif "properties" in types[key.value]:
                found[at] = (comment, None)
                walk(value, types[key.value]["properties"], at)
            else:
                default = " " * value.start_mark.column + text[value.start_mark.index:value.end_mark.index]
                found[at] = (comment, json.dumps(yaml.safe_load(default), ensure_ascii=False))
                if not comment:
                    problems.append(f"values.yaml: {'.'.join(at)} has no comment")

    walk(yaml.compose(text), types, ())
    return found, problems


# ---- the configuration's part of the schema ----

def plain(node):
    """The program's schema in the words of draft 7 that both Helm's validators understand, with messages
    that name the wrong key: a variant is chosen by its key "type". And a secret is a reference, since a
    ConfigMap is no place for one; headers, labels and options may be texts."""
    if isinstance(node, list):
        return [plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: plain(value) for key, value in node.items()}
    kinds = made.get("oneOf", [])
    if kinds and all("const" in kind.get("properties", {}).get("type", {}) for kind in kinds):
        del made["oneOf"]
        made.update(variants(kinds))
    elif [kind.get("type") for kind in kinds] == ["string", "array"]:
        del made["oneOf"]
        made.update({**kinds[0], **kinds[1], "type": ["string", "array"]})
    if node.get("$ref") == "#/$defs/secret":
        made["$ref"] = "#/$defs/secretReference"
    each = node.get("additionalProperties")
    if isinstance(each, dict) and {"$ref": "#/$defs/secret"} in (each, *each.get("oneOf", [])):
        made["additionalProperties"] = each
    numbers = [item for item in node.get("enum", []) if not isinstance(item, str)]
    if numbers:  # one of the validators takes 1.2 and "1.2" for the same item
        del made["enum"]
        made["anyOf"] = [{"enum": [item for item in node["enum"] if isinstance(item, str)]},
                         {"enum": numbers}]
    return made


def chosen_by_type(defs):
    """What may have several types, so that a message says what is wrong with the one that was found and not that
    nothing fits. Where the type itself is wrong the item of an enum, which both validators show, says what to do."""
    _, *references = defs["secret"]["oneOf"]
    reference = {"type": "object", "additionalProperties": False, "minProperties": 1, "maxProperties": 1,
                 "properties": {key: value for kind in references for key, value in kind["properties"].items()}}
    made = {name: {"if": {"type": "string"}, "then": defs[name]["oneOf"][0], "else": reference}
            for name in ("secret", "url")}
    made["secretReference"] = {"if": {"type": "string"}, "then": {"enum": [
        "{file: PATH} or {env: NAME}, and never the secret itself, which everybody could read in the ConfigMap"]},
        "else": reference}
    made["duration"] = {"if": {"type": "number"}, "then": {"enum": [0, "a text with its unit, such as 90s, 5m or 500ms"]},
                        "else": {"type": "string", "pattern": defs["duration"]["pattern"]}}
    return made


def variants(kinds):
    names = [kind["properties"]["type"]["const"] for kind in kinds]
    return {"type": "object", "required": ["type"], "properties": {"type": {"enum": names}},
            "allOf": [{"if": {"required": ["type"], "properties": {"type": {"const": name}}},
                       "then": kind} for name, kind in zip(names, kinds)]}


def config_part():
    """The schema of a configuration, and its $defs."""
    whole = json.loads((HERE.parent / "config/config.schema.json").read_text("utf-8"))
    defs = whole.pop("$defs")
    for key in ("$schema", "$id", "title", "required"):
        del whole[key]  # required: sinks, and the chart has one where there is none
    defs.update(chosen_by_type(defs))
    return plain(whole), defs


# ---- what is made ----

def is_needed(default):
    """Whether the chart cannot do without a value of this default, which Helm takes away for a null. What is empty may
    be missing, and so may a map, whose parts are the user's to take away; a group of values (None) may not."""
    if default is None:
        return True
    value = json.loads(default)
    return bool(value) and not isinstance(value, dict)


def described(node, path, values):
    """A part of values.schema.yaml: closed, and with the comments as descriptions."""
    comment = values.get(path, ("",))[0]
    if "properties" in node:
        needed = [key for key in node["properties"] if is_needed(values[(*path, key)][1])]
        if needed:
            node = {**node, "required": needed}
        parts = {key: described(value, (*path, key), values)
                 for key, value in node["properties"].items()}
        node = {"type": "object", "additionalProperties": False, **node, "properties": parts}
    elif "$ref" in node:
        node = {"allOf": [node]}  # beside $ref draft 7 sees nothing else
    return {"description": comment, **node} if comment else node


def make_schema(source, values):
    config, defs = config_part()
    assert not set(defs) & set(source["$defs"]), "a name of $defs is taken twice"
    properties = {**source["properties"], "config": {}}
    schema = described({"properties": properties}, (), values)
    schema["properties"]["config"].update(config)
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema,
            "$defs": {**source["$defs"], **defs}}


def make_table(values):
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for path, (comment, default) in values.items():
        if comment:
            shown = f"`{default}`" if default is not None else ""
            rows.append(f"| `{'.'.join(path)}` | {shown} | {comment.replace('|', '&#124;')} |")
    return "\n".join(rows) + "\n"


def main():
    source = yaml.safe_load((HERE / "values.schema.yaml").read_text("utf-8"))
    values, problems = read_values((CHART / "values.yaml").read_text("utf-8"), source["properties"])
    schema = make_schema(source, values)
    head, _, rest = (CHART / "README.md").read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    made = {"values.schema.json": json.dumps(schema, ensure_ascii=False, separators=(",", ":")) + "\n",
            "README.md": head + BEGIN + make_table(values) + END + tail}
    for name, content in made.items():
        path = CHART / name
        if path.exists() and path.read_text("utf-8") == content:
            continue
        if "--check" in sys.argv[1:]:
            problems.append(f"charts/eventrouter/{name}: stale; charts/generate.py makes it anew")
        else:
            path.write_text(content, "utf-8")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
