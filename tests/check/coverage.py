"""How much of each room the tests ran: a table of lines and branches, from what a build of the
preset coverage wrote while it was tested.

    coverage.py BUILD

What was not run is listed, by file and line, in build/results/coverage.txt."""
import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def gcov(build):
    """Each of gcov's files, {"file", "lines"}, of our own sources."""
    notes = sorted(str(path) for path in build.glob("**/*.gcda"))
    for start in range(0, len(notes), 50):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                               *notes[start:start + 50]], capture_output=True, text=True, check=True)
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"]:
                path = (ROOT / file["file"]).resolve()
                if path.is_relative_to(ROOT) and path.suffix == ".c":
                    yield path.relative_to(ROOT), file["lines"]


def merged(build):
    """{path: {line: (runs, [branch runs])}}: a source may have been compiled for several programs."""
    found = collections.defaultdict(dict)
    for path, lines in gcov(build):
        if path.parts[0] not in ("core", "sinks"):
            continue
        for line in lines:
            number, branches = line["line_number"], [branch["count"] for branch in line["branches"]]
            runs, before = found[path].get(number, (0, [0] * len(branches)))
            if len(before) == len(branches):
                branches = [a + b for a, b in zip(before, branches)]
            found[path][number] = (runs + line["count"], branches)
    return found


def ranges(numbers):
    """1 2 3 7 -> "1-3, 7" """
    parts = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def main():
    files = merged(pathlib.Path(sys.argv[1]).resolve())
    rooms, missed = collections.defaultdict(lambda: [0, 0, 0, 0]), []
    for path, lines in sorted(files.items()):
        room = path.parts[1] if path.parts[0] == "core" else "sinks"
        branches = [runs for _, of_line in lines.values() for runs in of_line]
        for name in (room, "all"):
            rooms[name][0] += len(lines)
            rooms[name][1] += sum(1 for runs, _ in lines.values() if runs)
            rooms[name][2] += len(branches)
            rooms[name][3] += sum(1 for runs in branches if runs)
        never = [number for number, (runs, _) in lines.items() if not runs]
        if never:
            missed.append(f"{path}: {ranges(never)}\n")
    results = ROOT / "build/results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "coverage.txt").write_text("".join(missed))
    print("| room | lines | run | branches | run |\n|---|---|---|---|---|")
    for name, (lines, run, branches, taken) in sorted(rooms.items(), key=lambda item: item[0] == "all"):
        print(f"| {name} | {lines} | {100 * run / lines:.1f} % | {branches} | "
              f"{100 * taken / max(1, branches):.1f} % |")
    return 0 if files else 1


if __name__ == "__main__":
    sys.exit(main())
