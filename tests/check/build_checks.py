"""Checks that look at what the compiler made: headers, symbols, generated files, hardening."""
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from source import Rooms, Skip, files, read


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def output(*command):
    done = run(*command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# Where libraries have their headers when that is not the compiler's own place.
PACKAGES = ("libcurl", "libcjson", "yaml-0.1", "libmicrohttpd", "libpcre2-8", "libcrypto")


def check_headers(root, context):
    """Each header compiles alone."""
    generated = os.path.join(context.build("dev"), "generated")
    flags = output("pkg-config", "--cflags", *PACKAGES).split()

    def alone(path):
        done = run("gcc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-fsyntax-only",
                   "-I", os.path.join(root, "core"), "-I", root, "-I", generated, *flags,
                   "-include", os.path.join(root, path), "-x", "c", os.devnull)
        if done.returncode:
            first = next((l for l in done.stderr.splitlines() if "error:" in l), "does not compile")
            return f"{path}: {first.strip()}"
        return None

    paths = files(root, ".h", under="core") + files(root, ".h", under="sinks")
    with ThreadPoolExecutor(context.jobs) as pool:
        return [problem for problem in pool.map(alone, paths) if problem]


# Variables that may change, with the reason.
MUTABLE = {
    "logger": "the process has one stderr; its lock guards it",
}


def objects(library):
    """(section, is global, is object, name) of each symbol defined in the library."""
    for line in output("objdump", "-t", library).splitlines():
        match = re.match(r"^[0-9a-f]{8,16} (.{7}) (\S+)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
        if match and match.group(2) not in ("*UND*", "*ABS*"):
            flags, section, name = match.groups()
            yield section, flags[0] in "gu", flags[6] == "O", name


def check_symbols(root, context):
    """Symbols that a room exports start with er_; no room has a variable that changes."""
    problems = []
    for room in [*Rooms(root).folder, "app"]:
        library = os.path.join(context.build("dev"), f"liber_{room}.a")
        if not os.path.exists(library):
            raise Skip(f"no {os.path.relpath(library, root)}: ./dev build")
        for section, is_global, is_object, name in objects(library):
            if is_global and not name.startswith("er_"):
                problems.append(f"room {room} exports {name}, which does not start with er_")
            changes = section.startswith((".bss", ".data")) and ".rel.ro" not in section
            if is_object and changes and room != "app" and name not in MUTABLE:
                problems.append(f"room {room} has the variable {name}, which may change "
                                f"(in {section}); only app may have such")
    return problems


GENERATED = {
    "config/reference.md": "reference",
    "config/config.schema.json": "config",
    "config/record.schema.json": "record",
}


def check_generated(root, context):
    """What is made from the schema rows is as the program would make it now."""
    binary = os.path.join(context.build("dev"), "bin", "eventrouter")
    if not os.path.exists(binary):
        raise Skip("no eventrouter in build/dev: ./dev build")
    problems = []
    for path, what in GENERATED.items():
        made = run(binary, "schema", what)
        if made.returncode:
            raise Skip(f"eventrouter schema {what}: exit {made.returncode}")
        if not os.path.exists(os.path.join(root, path)):
            problems.append(f"{path}: missing; eventrouter schema {what} >{path}")
        elif read(root, path) != made.stdout:
            problems.append(f"{path}: stale; eventrouter schema {what} >{path}")
    return problems


def check_hardening(root, context):
    """The release binary: PIE, full RELRO, NX, canary, fortified calls, no search path."""
    binary = context.release_binary or os.path.join(context.build("release"), "bin", "eventrouter")
    if not os.path.exists(binary):
        raise Skip("no eventrouter in build/release: ./dev build release")
    text = {part: output("readelf", "-W", part, binary) for part in ("-h", "-l", "-d", "-s")}
    segments = {m.group(1): m.group(2).replace(" ", "") for m in
                re.finditer(r"^\s+(\w+)\s+0x.*?0x\w+\s+([RWE ]{3})\s+0x\w+$", text["-l"], re.M)}
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)\s*(.*)", text["-d"]))
    fortified = set(re.findall(r"\b__(\w+)_chk(?:@|\b)", text["-s"])) - {"stack"}
    tests = [
        (re.search(r"Type:\s+DYN", text["-h"]) and "PIE" in flags, "not a PIE"),
        ("GNU_RELRO" in segments, "no RELRO segment"),
        ("NOW" in flags, "only partial RELRO: no BIND_NOW"),
        (segments.get("GNU_STACK") == "RW", "the stack may be executed"),
        ("__stack_chk_fail" in text["-s"], "no stack canary"),
        (fortified, "no fortified call (_FORTIFY_SOURCE)"),
        (not re.search(r"\((RPATH|RUNPATH)\)", text["-d"]), "has an RPATH or RUNPATH"),
        (not re.search(r"\(TEXTREL\)", text["-d"]), "has text relocations"),
    ]
    return [f"{os.path.relpath(binary, root)}: {problem}" for good, problem in tests if not good]
