#!/usr/bin/python3
"""Runs the checks over a tree.

usage: lint.py [--root DIR] [--junit FILE] [--without CHECK] [--list] [CHECK...]

Prints one line a check, and under it what it found as PATH:LINE: TEXT. Exit 1 when anything was
found. A check that cannot look (a tool or a build is not there) is skipped and says so."""
import argparse
import os
import sys
import time
import xml.etree.ElementTree as ET

import build_checks
import tool_checks
import tree_checks
from source import Skip


class Context:
    """What checks need besides the tree."""

    def __init__(self, root, release_binary=None):
        self.root = root
        self.jobs = os.cpu_count() or 2
        self.release_binary = release_binary

    def build(self, preset):
        return os.path.join(self.root, "build", preset)


def all_checks():
    """{name: function} of every check_NAME of the check files, in their order."""
    return {name[len("check_"):]: function
            for module in (tree_checks, build_checks, tool_checks)
            for name, function in vars(module).items()
            if name.startswith("check_") and function.__module__ == module.__name__}


def run_one(name, check, context, report):
    case = ET.SubElement(report, "testcase", classname="lint", name=name)
    start = time.monotonic()
    try:
        problems = check(context.root, context)
    except Skip as reason:
        ET.SubElement(case, "skipped", message=str(reason))
        print(f"skipped {name}: {reason}")
        return 0
    case.set("time", f"{time.monotonic() - start:.2f}")
    print(f"{'FAILED ' if problems else 'ok     '} {name}: {check.__doc__.splitlines()[0]}")
    for problem in problems:
        print(f"    {problem}")
    if problems:
        ET.SubElement(case, "failure", message=f"{len(problems)} found").text = "\n".join(problems)
    return len(problems)


def main():
    checks = all_checks()
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="the checks of the tree")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(here)))
    parser.add_argument("--junit", metavar="FILE")
    parser.add_argument("--without", action="append", default=[], choices=checks)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    args = parser.parse_args()
    unknown = [name for name in args.checks if name not in checks]
    if unknown:
        parser.error(f"no check {unknown[0]}; there are {', '.join(checks)}")
    if args.list:
        for name, check in checks.items():
            print(f"{name:12} {check.__doc__.splitlines()[0]}")
        return 0
    context = Context(os.path.abspath(args.root))
    report = ET.Element("testsuite", name="lint")
    found = sum(run_one(name, checks[name], context, report)
                for name in args.checks or checks if name not in args.without)
    if args.junit:
        ET.ElementTree(report).write(args.junit, encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
