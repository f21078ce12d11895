"""Checks of the tree: rooms, layers, sizes, and what no file may say."""
import os
import re

from source import Rooms, bare, files, functions, is_text, read

C_LINES_MAX, H_LINES_MAX, FUNCTION_LINES_MAX = 1000, 250, 80

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)

# The headers of each library, by its name in cmake/libraries.cmake.
LIBRARY_HEADERS = {
    "er::cjson": "cjson/", "er::yaml": "yaml.h", "er::curl": "curl/", "er::pcre2": "pcre2.h",
    "er::microhttpd": "microhttpd.h", "er::crypto": "openssl/",
}


def room_files(root):
    return files(root, ".c", ".h", under="core") + files(root, ".c", ".h", under="sinks")


def included(root, path):
    """(line, quoted, target) of each #include."""
    text = read(root, path)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1) == '"', match.group(2)


def foreign_library(target):
    for library, start in LIBRARY_HEADERS.items():
        if target.startswith(start):
            return library
    return None


def check_layers(root, _context):
    """A room includes only the rooms that its er_room line in CMakeLists.txt allows."""
    rooms, problems = Rooms(root), []
    sealed = {}  # headers that show a library's types -> their room
    for path in room_files(root):
        room = rooms.of_path(path)
        for line, quoted, target in included(root, path):
            library = None if quoted else foreign_library(target)
            if library and room in rooms.libs and library not in rooms.libs[room]:
                problems.append(f"{path}:{line}: {target}: room {room} has no {library} on its "
                                "er_room line")
            if library and path.endswith(".h") and library != "er::curl":
                sealed[path] = room
            if not quoted:
                continue
            other = rooms.of_include(path, target)
            if other is None:
                problems.append(f"{path}:{line}: {target}: not a header of a room")
            elif room and room != "app" and other not in rooms.may_use(room):
                problems.append(f"{path}:{line}: {target}: room {room} may not use {other}")
    for path in room_files(root):
        for line, quoted, target in included(root, path):
            for header, room in sealed.items():
                if quoted and header.endswith("/" + target) and rooms.of_path(path) != room:
                    problems.append(f"{path}:{line}: {target}: shows a library's types, which stay "
                                    f"in room {room}")
    return problems


def check_rooms(root, _context):
    """Every room has a README.md."""
    folders = [*Rooms(root).folder.values(), "core/app"]
    return [f"{folder}: no README.md" for folder in folders
            if os.path.isdir(os.path.join(root, folder))
            and not os.path.isfile(os.path.join(root, folder, "README.md"))]


def check_size(root, _context):
    """Files and functions keep to their maximum length."""
    problems = []
    for path in files(root, ".c", ".h"):
        text = read(root, path)
        most = H_LINES_MAX if path.endswith(".h") else C_LINES_MAX
        if text.count("\n") > most:
            problems.append(f"{path}: {text.count(chr(10))} lines, at most {most}")
        for name, line, length in functions(text):
            if length > FUNCTION_LINES_MAX:
                problems.append(f"{path}:{line}: {name} has {length} lines, at most "
                                f"{FUNCTION_LINES_MAX}")
    return problems


BANNED = {
    "sprintf": "snprintf or er_buf", "vsprintf": "vsnprintf", "strcpy": "er_buf", "strcat": "er_buf",
    "strncpy": "er_buf or memcpy", "strncat": "er_buf", "strtok": "er_str", "atoi": "strtol",
    "atol": "strtol", "atoll": "strtoll", "strerror": "er_errno_text", "localtime": "localtime_r",
    "gmtime": "gmtime_r", "system": "nothing", "signal": "sigaction", "rand": "er_random",
    "srand": "nothing", "setenv": "nothing", "putenv": "nothing", "alloca": "malloc", "gets": "getline",
    "cJSON_Print": "base/json_write.h", "cJSON_PrintUnformatted": "base/json_write.h",
    "cJSON_PrintBuffered": "base/json_write.h", "cJSON_PrintPreallocated": "base/json_write.h",
    "pthread_cancel": "er_cancel", "pthread_detach": "nothing",
}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
REALLOC = re.compile(r"(?<![\w.>\]])([\w.\->\[\]]+)\s*=\s*realloc\(\s*\1\s*,")
LABEL_JUMP = re.compile(r"\bgoto\s+(\w+)\s*;")


def check_banned(root, _context):
    """No call that we do without; no assignment in an if; one goto target a function."""
    problems = []
    for path in files(root, ".c", ".h"):
        text = bare(read(root, path))
        where = lambda match: f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        for match in BANNED_CALL.finditer(text):
            name = match.group(1)
            if name in ("setenv", "putenv") and path.startswith("tests/"):
                continue  # a test has one thread when it sets its scene
            problems.append(f"{where(match)}: {name} is banned; use {BANNED[name]}")
        for match in re.finditer(r"\bif\s*\(", text):
            condition = text[match.end():closing(text, match.end())]
            if re.search(r"(?<![=!<>+\-*/|&^%])=(?!=)", condition):
                problems.append(f"{where(match)}: an assignment inside if (...)")
        for match in REALLOC.finditer(text):
            # What is asserted right after ends the program, and leaks nothing.
            if re.match(r"[^;]*;\s*ER_ASSERT\(" + re.escape(match.group(1)) + r"\b",
                        text[match.end():]):
                continue
            problems.append(f"{where(match)}: p = realloc(p, ...) leaks p when it fails")
        lines = text.splitlines()
        for name, first, length in functions(read(root, path)):
            targets = set(LABEL_JUMP.findall("\n".join(lines[first - 1:first - 1 + length])))
            if len(targets) > 1:
                problems.append(f"{path}:{first}: {name} has {len(targets)} goto targets, at most 1")
    return problems


def closing(text, start):
    """The position of the parenthesis that closes the one before start."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


# Hosts that a file may name in a URL: loopback and private addresses, names without a dot, names
# reserved for examples, and what the formats and projects that we refer to publish under.
HOSTS = re.compile(
    r"^([a-z0-9-]+|127\.\d+\.\d+\.\d+|\[(::1|fd[0-9a-f:]+|2001:db8:[0-9a-f:]*)\]|0\.0\.0\.0|169\.254\.169\.254|10\.\d+\.\d+\.\d+"
    r"|192\.0\.2\.\d+|198\.51\.100\.\d+|203\.0\.113\.\d+"
    r"|[\w.-]*\b(example|invalid|test|localhost|local|internal)(\.(com|org|net))?"
    r"|[\w.-]*\.svc(\.cluster\.local)?|kubernetes(\.default[\w.]*)?|metadata"
    r"|json-schema\.org|(www\.)?apache\.org|www\.rfc-editor\.org|datatracker\.ietf\.org|yaml\.org"
    r"|eventrouter\.io|kubernetes\.io|redis\.io|www\.googleapis\.com|[a-z0-9-]+\.googleapis\.com)$")
URL = re.compile(r"\bhttps?://(?:[^/\s\"'<>@]*@)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]*[A-Za-z0-9])")
ABSOLUTE = re.compile(r"(?<![\w.}$~*)-])/(root|home|Users|work|mnt|media)/[\w.-]+")
SPEAKS_OF_TOOLS = re.compile(r"co-authored-by:|generated (with|by) \[|signed-off-by: .*\[bot\]", re.I)
# Module lists name the places that their modules come from; that is their purpose.
NAMES_EXEMPT = ("go.mod", "go.sum", "LICENSE")
FOUND_INPUTS = "tests/fuzz/corpus/"  # a fuzzer made them up: they name nobody


def check_names(root, _context):
    """No path of a machine, no host of a registry or mirror, no trace of tools."""
    problems = []
    for path in files(root):
        if (path.endswith(NAMES_EXEMPT) or path.startswith(FOUND_INPUTS) or
                not is_text(root, path)):
            continue
        if os.path.realpath(os.path.join(root, path)) == os.path.realpath(__file__):
            continue
        for number, line in enumerate(read(root, path).splitlines(), 1):
            for host in URL.findall(line):
                if not HOSTS.match(host.lower()):
                    problems.append(f"{path}:{number}: host {host}: not loopback, an example name or "
                                    "in the list of tests/check/tree_checks.py")
            for match in ABSOLUTE.finditer(line):
                problems.append(f"{path}:{number}: {match.group()}: a path of some machine")
            if SPEAKS_OF_TOOLS.search(line):
                problems.append(f"{path}:{number}: a line that a tool left")
    return problems


def check_reach(root, _context):
    """No symbolic link, and no ../ of CMake or a script, leads out of the tree."""
    problems = []
    top = os.path.realpath(root)
    for path in files(root):
        full = os.path.join(root, path)
        if os.path.islink(full) and not os.path.realpath(full).startswith(top + os.sep):
            problems.append(f"{path}: a link out of the tree")
    return problems
