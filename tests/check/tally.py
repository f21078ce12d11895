#!/usr/bin/python3
"""Sums the JUnit files of a results directory: prints "N passed, N failed".

usage: tally.py DIR [--skips]

DIR/broken has one line "SUITE: why" for each suite that ended badly. "exit N" only counts when the
suite's file names no failure: otherwise it is the same failure said twice. Exit 1 on any failure,
and when nothing ran at all. With --skips: 77 when nothing failed but something was skipped."""
import os
import sys
import xml.etree.ElementTree as ET


def read_suite(path):
    """(passed, [names of the failed], skipped) of one file."""
    passed, failed, skipped = 0, [], 0
    for case in ET.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(folder, skips_matter):
    passed, failed, skipped = 0, [], 0
    by_suite = {}
    for entry in sorted(os.listdir(folder)):
        if not entry.endswith(".xml"):
            continue
        try:
            ok, bad, left = read_suite(os.path.join(folder, entry))
        except ET.ParseError as error:
            ok, bad, left = 0, [f"{entry}: unreadable: {error}"], 0
        passed += ok
        skipped += left
        by_suite[entry[:-4]] = bad
        failed += [f"{entry[:-4]}: {name}" for name in bad]
    broken = os.path.join(folder, "broken")
    if os.path.exists(broken):
        with open(broken, encoding="utf-8") as file:
            for line in file.read().splitlines():
                suite, _, why = line.partition(": ")
                if not (why.startswith("exit ") and by_suite.get(suite)):
                    failed.append(line)
    for name in failed:
        print(f"FAILED  {name}")
    print(f"{passed} passed, {len(failed)} failed")
    if skips_matter and skipped and not failed:
        return 77
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--skips" in sys.argv[2:]))
