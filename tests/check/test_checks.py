"""Each check finds the fault that is planted for it, and nothing in a clean tree."""
import json
import os
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import build_checks
import lint
import source
import tally
import tool_checks
import tree_checks

ROOMS = """
er_room(base   DIR core/base   LIBS er::cjson Threads::Threads)
er_room(config DIR core/config USES base LIBS er::yaml)
er_room(http   DIR core/http   USES base config LIBS er::curl)
er_room(kube   DIR core/kube   USES http)
"""
CLEAN = "#include \"base/buf.h\"\n\nint er_kube_go(int n) {\n    return n;\n}\n"


@pytest.fixture
def tree(tmp_path):
    """tree(path=text...) writes files into a small clean tree and returns a Context of it."""

    def write(path, text):
        full = tmp_path / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text, encoding="utf-8")

    def make(extra=None):
        for path, text in (extra or {}).items():
            write(path, text)
        return lint.Context(str(tmp_path))

    write("CMakeLists.txt", ROOMS)
    for room in ("base", "config", "http", "kube", "app"):
        write(f"core/{room}/README.md", "A room.\n")
    write("core/base/buf.h", "#ifndef A\n#define A\nint er_buf_go(int n);\n#endif\n")
    write("core/kube/kube.c", CLEAN)
    return make


def found(check, context):
    return check(context.root, context)


TREE_CHECKS = [name for name in lint.all_checks() if hasattr(tree_checks, f"check_{name}")]


@pytest.mark.parametrize("name", TREE_CHECKS)
def test_a_clean_tree_has_no_findings(tree, name):
    assert found(lint.all_checks()[name], tree()) == []


LAYERS = [
    ("core/base/a.c", '#include "kube/kube.h"\n', "room base may not use kube"),
    ("core/kube/a.c", '// x\n#include "app/main.h"\n', "room kube may not use app"),
    ("core/kube/a.c", '#include "other/x.h"\n', "not a header of a room"),
    ("core/config/a.c", '#include <cjson/cJSON.h>\n',
     "room config has no er::cjson on its er_room line"),
]


@pytest.mark.parametrize("path,text,finding", LAYERS)
def test_layers(tree, path, text, finding):
    line = text.count("\n")
    target = text.split('"' if '"' in text else "<")[1].rstrip('>"\n')
    assert found(tree_checks.check_layers, tree({path: text})) == [
        f"{path}:{line}: {target}: {finding}"]


def test_layers_lets_through_what_a_used_room_may_use(tree):
    assert found(tree_checks.check_layers, tree({
        "core/kube/a.c": '#include "config/c.h"\n#include "http/h.h"\n#include "kube.h"\n',
        "core/app/a.c": '#include "kube/kube.h"\n'})) == []


def test_layers_keeps_a_librarys_types_in_their_room(tree):
    assert found(tree_checks.check_layers, tree({
        "core/config/tree.h": "#include <yaml.h>\n",
        "core/config/a.c": '#include "config/tree.h"\n',
        "core/http/a.c": '\n#include "config/tree.h"\n'})) == [
            "core/http/a.c:2: config/tree.h: shows a library's types, which stay in room config"]


def test_layers_refuses_rooms_that_it_cannot_read(tree):
    with pytest.raises(ValueError, match="cannot read"):
        found(tree_checks.check_layers, tree({"CMakeLists.txt": ROOMS + "er_room(x ${Y})\n"}))


def test_rooms(tree):
    context = tree()
    os.remove(os.path.join(context.root, "core/http/README.md"))
    assert found(tree_checks.check_rooms, context) == ["core/http: no README.md"]


def function(name, lines):
    return f"int {name}(int a,\n    int b) {{\n" + "    a++;\n" * (lines - 3) + "}\n"


def test_size(tree):
    assert found(tree_checks.check_size, tree({
        "core/base/ok.c": "static const int t[] = {\n" + "    1,\n" * 90 + "};\n"
                          + function("er_ok", 80) + function("er_ok2", 80),
        "core/base/long.c": "/* {\n\n} */\n" + function("er_long", 81),
        "core/base/many.h": "\n" * 251, "core/base/even.h": "\n" * 250,
        "core/base/many.c": "\n" * 1001})) == [
            "core/base/long.c:4: er_long has 81 lines, at most 80",
            "core/base/many.c: 1001 lines, at most 1000",
            "core/base/many.h: 251 lines, at most 250"]


BANNED = [
    ("    strcpy(a, b);", "strcpy is banned; use er_buf"),
    ("    n = atoi (a);", "atoi is banned; use strtol"),
    ("    cJSON_Print(a);", "cJSON_Print is banned; use base/json_write.h"),
    ("    if ((n = next()) > 0) {", "an assignment inside if (...)"),
    ("    p = realloc(p, 4);", "p = realloc(p, ...) leaks p when it fails"),
    ("    /* strcpy(a, b) */ x(\"strcpy(\"); // atoi(x)", None),
    ("    pthread_cond_signal(c); er_strcpy(a); t->signal(a);", None),
    ("    if (a == b && c <= d && e != f && g >= h) {", None),
    ("    q = realloc(p, 4);", None),
    ("    b->v = realloc(b->v, 4 * sizeof *b->v);\n    ER_ASSERT(b->v != NULL);", None),
]


@pytest.mark.parametrize("line,finding", BANNED)
def test_banned(tree, line, finding):
    context = tree({"core/base/a.c": f"int er_f(int a) {{\n{line}\n}}\n"})
    assert found(tree_checks.check_banned, context) == (
        [f"core/base/a.c:2: {finding}"] if finding else [])


def test_banned_second_goto_target(tree):
    text = "int er_f(int a) {\n    goto out;\n    goto %s;\nout:\nerr:\n    return a;\n}\n"
    assert found(tree_checks.check_banned, tree({"core/base/a.c": text % "out"})) == []
    assert found(tree_checks.check_banned, tree({"core/base/a.c": text % "err"})) == [
        "core/base/a.c:1: er_f has 2 goto targets, at most 1"]


SLASH = "/"  # the planted paths and hosts are put together, or this file would be a finding itself
NAMES = [
    (f"see {SLASH}root/notes", f"{SLASH}root/notes: a path of some machine"),
    (f"-I{SLASH}home/someone/include", None),
    (f"-I {SLASH}home/someone/include", f"{SLASH}home/someone: a path of some machine"),
    ("get http:" + "//mirror.somewhere.dev:80/x", "host mirror.somewhere.dev: not loopback, an "
     "example name or in the list of tests/check/tree_checks.py"),
    ("Co-Authored-" + "By: x", "a line that a tool left"),
    ("http:" + "//127.0.0.1:1/ https:" + "//es.example:9200 https:" + "//json-schema.org/x", None),
    (f"$HOME{SLASH}work{SLASH}x and ~{SLASH}root/y", None),
]


@pytest.mark.parametrize("line,finding", NAMES)
def test_names(tree, line, finding):
    assert found(tree_checks.check_names, tree({"docs/a.md": f"one\n{line}\n"})) == (
        [f"docs/a.md:2: {finding}"] if finding else [])


def test_reach(tree):
    context = tree({"docs/a.md": "x"})
    os.symlink("a.md", os.path.join(context.root, "docs", "in"))
    assert found(tree_checks.check_reach, context) == []
    os.symlink("/etc/hostname", os.path.join(context.root, "docs", "out"))
    assert found(tree_checks.check_reach, context) == ["docs/out: a link out of the tree"]


def test_headers(tree):
    findings = found(build_checks.check_headers, tree({"core/base/a.h": "int er_f(size_t n);\n"}))
    assert len(findings) == 1 and findings[0].startswith("core/base/a.h: ")
    assert "size_t" in findings[0]


def compile_rooms(context, text):
    """build/dev/liber_ROOM.a of every room, with the text in that of base."""
    folder = os.path.join(context.root, "build", "dev")
    os.makedirs(folder)
    for room in ("base", "config", "http", "kube", "app"):
        unit = os.path.join(folder, f"{room}.c")
        with open(unit, "w", encoding="utf-8") as file:
            file.write(text if room == "base" else f"int er_{room}_go(void) {{ return 0; }}\n")
        subprocess.run(["gcc", "-c", "-fPIE", unit, "-o", f"{unit}.o"], check=True)
        subprocess.run(["ar", "rcs", os.path.join(folder, f"liber_{room}.a"), f"{unit}.o"],
                       check=True)


def test_symbols(tree):
    context = tree()
    with pytest.raises(source.Skip):
        found(build_checks.check_symbols, context)
    compile_rooms(context, """
static const char *const names[] = {"a", "b"};
const char *const er_names[] = {"a", "b"};
static int counter;
static _Thread_local int own;
static int hidden(void) { static int calls = 1; return calls++; }
const char *er_fine(int i) { counter += hidden() + own; return names[i]; }
int helper(void) { return 0; }
""")
    findings = found(build_checks.check_symbols, context)
    assert sorted(findings) == [
        "room base exports helper, which does not start with er_",
        "room base has the variable calls.0, which may change (in .data); only app may have such",
        "room base has the variable counter, which may change (in .bss); only app may have such"]


def test_generated(tree):
    context = tree({"config/reference.md": "reference\n", "config/config.schema.json": "stale\n",
                    "build/dev/bin/eventrouter": "#!/bin/sh\necho \"$2\"\n"})
    program = os.path.join(context.root, "build/dev/bin/eventrouter")
    os.chmod(program, 0o755)
    assert found(build_checks.check_generated, context) == [
        "config/config.schema.json: stale; eventrouter schema config >config/config.schema.json",
        "config/record.schema.json: missing; eventrouter schema record >config/record.schema.json"]


PROGRAM = """#include <stdio.h>
#include <string.h>
int main(int n, char **v) { char b[64]; memcpy(b, v[0], (unsigned)n); return puts(b); }
"""
HARD = ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fPIE",
        "-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
SOFT = [
    (["-Wl,-z,lazy"], ["only partial RELRO: no BIND_NOW"]),
    (["-fno-pie", "-no-pie"], ["not a PIE"]),
    (["-fno-stack-protector"], ["no stack canary"]),
    (["-U_FORTIFY_SOURCE"], ["no fortified call (_FORTIFY_SOURCE)"]),
    (["-Wl,-z,norelro"], ["no RELRO segment"]),
    (["-Wl,-z,execstack"], ["the stack may be executed"]),
    (["-Wl,-rpath,/x"], ["has an RPATH or RUNPATH"]),
    ([], []),
]


@pytest.mark.parametrize("flags,findings", SOFT)
def test_hardening(tree, flags, findings):
    context = tree({"a.c": PROGRAM, "build/release/bin/x": ""})
    program = os.path.join(context.root, "build/release/bin/eventrouter")
    subprocess.run(["gcc", *HARD, *flags, os.path.join(context.root, "a.c"), "-o", program],
                   check=True, capture_output=True)
    assert found(build_checks.check_hardening, context) == [
        f"build/release/bin/eventrouter: {finding}" for finding in findings]


def test_format(tree):
    context = tree({".clang-format": "BasedOnStyle: LLVM\nIndentWidth: 4\n"
                                     "AllowShortFunctionsOnASingleLine: None\n",
                    "core/base/a.c": "int  er_f(void);\n"})
    try:
        findings = found(tool_checks.check_format, context)
    except source.Skip as reason:
        pytest.skip(str(reason))
    assert findings == ["core/base/a.c:1: not as clang-format-14 writes it"]


def test_tidy(tree):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    context = tree({"core/base/a.c": "int er_f(int a) {\n    int b = a, c = 1;\n"
                                     "    return b + c;\n}\n"})
    shutil.copy(os.path.join(root, ".clang-tidy"), context.root)
    os.makedirs(context.build("dev"))
    source_file = os.path.join(context.root, "core/base/a.c")
    with open(os.path.join(context.build("dev"), "compile_commands.json"), "w",
              encoding="utf-8") as file:
        json.dump([{"directory": context.root, "file": source_file,
                    "arguments": ["gcc", "-std=c17", "-c", source_file]}], file)
    try:
        findings = found(tool_checks.check_tidy, context)
    except source.Skip as reason:
        pytest.skip(str(reason))
    assert findings == ["core/base/a.c:2: multiple declarations in a single statement reduces "
                        "readability [readability-isolate-declaration,-warnings-as-errors]",
                        "core/kube/kube.c: the build does not compile it"]


def test_shell(tree):
    context = tree({"run": "#!/bin/sh\necho $1\n", "other": "echo $1\n"})
    try:
        findings = found(tool_checks.check_shell, context)
    except source.Skip as reason:
        pytest.skip(str(reason))
    assert len(findings) == 1 and findings[0].startswith("run:2:6: note: Double quote")


def test_functions_of_all_shapes():
    text = ("typedef int (*f)(int);\nint a(void) {\n    return 1;\n}\n\nstruct s {\n    int x;\n};\n"
            "static const struct s t[] = {\n    {1},\n};\nstatic int *b(int x,\n        int y) {\n"
            "    if (x) {\n        goto out;\n    }\nout:\n    return 0;\n}\nint c(int d);\n"
            "#define M(x)  \\\n    x\nint d(void) {\n}\n")
    assert list(source.functions(text)) == [("a", 2, 3), ("b", 12, 8), ("d", 23, 2)]


JUNIT = """<testsuite><testcase classname="s" name="a"/><testcase name="b"><failure/></testcase>
<testcase name="c"><skipped/></testcase><testcase name="d" status="disabled"/></testsuite>"""


def test_tally(tmp_path, capsys):
    (tmp_path / "unit.xml").write_text(JUNIT)
    (tmp_path / "broken").write_text("unit: exit 8\nother: exit 1\nunit: report.1\n")
    assert tally.main(str(tmp_path), False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAILED  unit: ::b", "FAILED  other: exit 1", "FAILED  unit: report.1",
        "1 passed, 3 failed"]


@pytest.mark.parametrize("text,skips_matter,code", [
    ('<s><testcase name="a"/></s>', True, 0),
    ('<s><testcase name="a"/><testcase name="b"><skipped/></testcase></s>', True, 77),
    ('<s><testcase name="a"/><testcase name="b"><skipped/></testcase></s>', False, 0),
    ("<s/>", False, 1),
    ("<s", False, 1),
])
def test_tally_exit_code(tmp_path, text, skips_matter, code):
    (tmp_path / "a.xml").write_text(text)
    assert tally.main(str(tmp_path), skips_matter) == code
