"""The tree as the checks see it: its files, C without comments and texts, and its functions."""
import os
import re

# What is no part of the sources, wherever it lies.
SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".pytest_cache", "node_modules"}


class Skip(Exception):
    """Raised by a check that cannot look here; its text says why."""


def files(root, *suffixes, under=""):
    """Paths relative to root, sorted; all files, or those that end with one of the suffixes."""
    found = []
    for folder, folders, names in os.walk(os.path.join(root, under)):
        folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
        for name in sorted(names):
            if not suffixes or name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def is_text(root, path):
    with open(os.path.join(root, path), "rb") as file:
        return b"\0" not in file.read(8192)


TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def bare(text):
    """C with comments blanked and texts emptied, line for line as before."""

    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token[0] * 2
        return " " + "\n" * token.count("\n")

    return TOKEN.sub(blank, text)


def functions(text):
    """(name, first line, number of lines) of each function of a C file that clang-format wrote.

    There a function begins at the left margin, has a parenthesis before its brace, and ends with a
    line that is a closing brace and nothing else."""
    start = name = None
    for number, line in enumerate(bare(text).splitlines(), 1):
        if line == "}" and start:
            yield name, start, number - start + 1
            start = None
        elif line.startswith("}") or (start and line.rstrip().endswith(";") and line[:1].strip()):
            start = None
        elif start is None and re.match(r"[A-Za-z_]", line) and not line.startswith("typedef"):
            match = re.search(r"(\w+)\s*\(", line)
            if match and not line.rstrip().endswith((";", ":")):
                start, name = number, match.group(1)


class Rooms:
    """The rooms, their folders and what each may use: read from CMakeLists.txt, listed only there."""

    LINE = re.compile(r"^er_room\(\s*(\w+)\s+DIR\s+(\S+)(?:\s+USES\s+([\w ]+?))?"
                      r"(?:\s+LIBS\s+([\w: ]+?))?\s*\)", re.MULTILINE)

    def __init__(self, root):
        self.folder, self.uses, self.libs = {}, {}, {}
        text = read(root, "CMakeLists.txt")
        for name, folder, uses, libs in self.LINE.findall(text):
            self.folder[name] = folder
            self.uses[name] = uses.split()
            self.libs[name] = libs.split()
        if text.count("\ner_room(") != len(self.folder):
            raise ValueError("CMakeLists.txt: an er_room line that this check cannot read")

    def may_use(self, room):
        """Itself, the rooms on its line, and what those may use."""
        seen, todo = set(), [room]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += self.uses.get(name, [])
        return seen

    def of_path(self, path):
        """The room that a file lies in; "app" may use all; None outside of the rooms."""
        folder = os.path.dirname(path)
        if folder == "core/app":
            return "app"
        return next((name for name, own in self.folder.items() if own == folder), None)

    def of_include(self, path, target):
        """The room that #include "target" of the file at path names."""
        if "/" not in target:
            return self.of_path(path)
        folder = os.path.dirname(target)
        for candidate in (folder, "core/" + folder):
            room = self.of_path(candidate + "/x")
            if room:
                return room
        return "app" if folder == "app" else None
