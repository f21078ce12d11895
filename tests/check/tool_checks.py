"""Checks that Debian's tools do: clang-format, clang-tidy, shellcheck."""
import hashlib
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from source import Skip, files, read

VERSION = 14  # of clang-format and clang-tidy, as in Debian 12: other versions judge differently


def clang_tool(name):
    """The path of that tool in our version; Skip when this machine has none."""
    for candidate in (f"{name}-{VERSION}", name):
        path = shutil.which(candidate)
        if path and f"version {VERSION}." in subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=False).stdout:
            return path
    raise Skip(f"no {name} {VERSION} here")


def check_format(root, _context):
    """C is as clang-format writes it."""
    tool = clang_tool("clang-format")
    done = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1",
                           *files(root, ".c", ".h")],
                          cwd=root, capture_output=True, text=True, check=False)
    found = re.findall(r"^(\S+?):(\d+):\d+: error:", done.stderr, re.MULTILINE)
    if done.returncode and not found:
        return [done.stderr.strip()]
    return [f"{path}:{line}: not as clang-format-{VERSION} writes it" for path, line in found]


def tidy_key(root, path, headers):
    parts = [headers, read(root, path), path]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def check_tidy(root, context):
    """clang-tidy finds nothing in the program's own files (.clang-tidy says what it looks for)."""
    tool = clang_tool("clang-tidy")
    build = context.build("dev")
    if not os.path.exists(os.path.join(build, "compile_commands.json")):
        raise Skip("no compile_commands.json in build/dev: ./dev build")
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        known = {os.path.realpath(os.path.join(c["directory"], c["file"])) for c in json.load(file)}
    # A file found clean stays so until it, a header or the settings change.
    headers = "\0".join(read(root, p) for p in [".clang-tidy", *files(root, ".h")])
    memory = os.path.join(root, "build", "tidy")
    os.makedirs(memory, exist_ok=True)

    def look(path):
        if os.path.realpath(os.path.join(root, path)) not in known:
            return [f"{path}: the build does not compile it"]
        clean = os.path.join(memory, tidy_key(root, path, headers))
        if os.path.exists(clean):
            return []
        done = subprocess.run([tool, "--quiet", "-p", build, "--warnings-as-errors=*",
                               # The flags are gcc's, some of which only gcc knows.
                               "--extra-arg=-Wno-unknown-warning-option",
                               "--extra-arg=-Wno-ignored-optimization-argument", path],
                              cwd=root, capture_output=True, text=True, check=False)
        found = re.findall(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$", done.stdout, re.MULTILINE)
        if done.returncode == 0:
            with open(clean, "w", encoding="utf-8"):
                pass
            return []
        if not found:
            return [f"{path}: clang-tidy failed: {done.stderr.strip()[-400:]}"]
        return [f"{os.path.relpath(os.path.join(root, p), root)}:{line}: {text}"
                for p, line, text in found]

    paths = files(root, ".c", under="core") + files(root, ".c", under="sinks")
    with ThreadPoolExecutor(context.jobs) as pool:
        return sorted({problem for found in pool.map(look, paths) for problem in found})


def check_shell(root, _context):
    """shellcheck finds nothing in the scripts."""
    if not shutil.which("shellcheck"):
        raise Skip("no shellcheck here")
    scripts = [p for p in files(root)
               if re.match(r"#!\s*\S*/(?:env\s+)?(ba|da)?sh\b", read(root, p)[:64])]
    done = subprocess.run(["shellcheck", "-f", "gcc", *scripts],
                          cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode else []
