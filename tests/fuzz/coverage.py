#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Of each parser, how many lines its targets' committed corpora reach (HD-3).

  coverage.py BUILD [--missed] [TARGET...]    --missed: show the lines that are not reached

BUILD is a folder of clang's with -Db_coverage=true whose replays are built (scripts/fuzz --coverage
sees to that). Fails if a source of parsers.tsv is reached to less than WANTED percent by the
targets that are named there; what else they reach of it does not count. Functions of unfed.tsv
do not count either; one of them that is reached all the same has no business there.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
ROOT = FUZZ.parent.parent
WANTED = 90
LLVM_COV = shutil.which("llvm-cov-14") or shutil.which("llvm-cov")
LINE = re.compile(r"\s*(\d+|#+|=+)\*?:\s*(\d+):")
FUNCTION = re.compile(r"function (\S+) called ")
SOURCE = re.compile(r"\s*-:\s*0:Source:(.*)")


def rows(name):
    for line in (FUZZ / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def parsers():
    return [(source, names.split()) for source, names in rows("parsers.tsv")
            if not names.startswith("- ")]


class Source:
    """What has been reached of a source: for each line its function and how often it ran."""

    def __init__(self):
        self.lines = {}

    def count(self, number, function, times):
        self.lines[number] = (function, self.lines.get(number, ("", 0))[1] + times)

    def of(self, function):
        return [times for name, times in self.lines.values() if name == function]

    def without(self, functions):
        kept = Source()
        kept.lines = {n: line for n, line in self.lines.items() if line[0] not in functions}
        return kept

    def percent(self):
        reached = sum(times > 0 for _, times in self.lines.values())
        return 100 * reached // len(self.lines) if self.lines else 0

    def missed(self):
        by_function = {}
        for number, (function, times) in sorted(self.lines.items()):
            if times == 0:
                by_function.setdefault(function, []).append(str(number))
        return by_function


def replay(build, target):
    """Run a target's corpus. @return whether there is such a target in this build"""
    binary = build / "tests" / "fuzz" / ("replay_" + target)
    if not binary.exists():
        return False
    for path in build.rglob("*.gcda"):
        path.unlink()
    ran = subprocess.run([binary, FUZZ / "corpus" / target], stdout=subprocess.DEVNULL)
    if ran.returncode != 0:
        sys.exit("the corpus of %s does not pass: run %s" % (target, binary))
    return True


def data_of(build, source):
    """Objects are named for the path below their meson.build, with _ for /."""
    whole = source.replace("/", "_") + ".gcda"
    return [path for path in build.rglob("*" + pathlib.Path(source).name + ".gcda")
            if whole.endswith(path.name.replace(".._", ""))]


def gather(build, found, sources):
    data = [path for source in sources for path in data_of(build, source)]
    if not data:
        return
    text = subprocess.run([LLVM_COV, "gcov", "-t", "-b", *data], cwd=build, check=True,
                          capture_output=True, text=True, errors="replace").stdout
    current, function = None, ""
    for line in text.splitlines():
        if match := SOURCE.match(line):
            path = (build / match[1]).resolve()
            current, function = found.get(path), ""
            if path not in [ROOT / source for source in sources]:
                current = None
        elif match := FUNCTION.match(line):
            function = match[1]
        elif current is not None and (match := LINE.match(line)):
            current.count(int(match[2]), function, int(match[1]) if match[1].isdigit() else 0)


def report(source, names, whole, unfed, show):
    """@return what is wrong with it, one line each"""
    fed = whole.without(unfed)
    percent = fed.percent()
    print("%3d %%  %4d lines  %-36s %s" % (percent, len(fed.lines), source, " ".join(names)))
    if show or percent < WANTED:
        for function, numbers in fed.missed().items():
            print("           %s: %s" % (function, " ".join(numbers)))
    if percent < WANTED:
        yield "%s: %d %% of its lines are reached, and %d %% are wanted" % (source, percent, WANTED)
    for function in unfed:
        runs = whole.of(function)
        if not runs:
            yield "%s: unfed.tsv names %s, which it does not have" % (source, function)
        elif 100 * sum(times > 0 for times in runs) >= WANTED * len(runs):
            yield "%s: unfed.tsv names %s, which is reached" % (source, function)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--missed", action="store_true")
    options.add_argument("build", type=pathlib.Path)
    options.add_argument("targets", nargs="*")
    args = options.parse_intermixed_args()
    build, wanted, faults = args.build.resolve(), set(args.targets), []
    if LLVM_COV is None:
        sys.exit("coverage needs llvm-cov-14, and this system has none")
    table = [row for row in parsers() if not wanted or wanted & set(row[1])]
    found = {ROOT / source: Source() for source, _ in table}
    absent = set()
    for target in sorted({name for _, names in table for name in names}):
        if replay(build, target):
            gather(build, found, [source for source, names in table if target in names])
        else:
            absent.add(target)
            print("skipped: this build has no target " + target)
    unfed = {}
    for source, functions, _ in rows("unfed.tsv"):
        unfed.setdefault(source, []).extend(functions.split())
    for source, names in table:
        if not absent & set(names):
            faults += report(source, names, found[ROOT / source], unfed.get(source, []),
                             args.missed)
    for fault in faults:
        print("fault: " + fault)
    return bool(faults)


sys.exit(main())
