#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the sanitizers run, and would they notice? (HD-2)

  sanitizers.py ROOT SANITIZERS COMPILER FLAG...

SANITIZERS: those of this build, "none" in a plain one. FLAG: all else that it compiles with, since
some flags keep a sanitizer from seeing.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import tap

PLANTED = {
    "address": ("use after free", """
#include <stdlib.h>
int main(int argc, char **argv)
{
    char *p = malloc(16);
    (void)argv;
    p[argc] = 1;
    free(p);
    return ((volatile char *)p)[argc] & 0;
}
"""),
    "leak": ("leak", """
#include <stdlib.h>
static void *volatile kept;
int main(void)
{
    kept = malloc(64);
    kept = NULL;
    return 0;
}
"""),
    "undefined": ("signed overflow", """
#include <limits.h>
int main(int argc, char **argv)
{
    volatile int n = INT_MAX;
    (void)argv;
    n = n + argc;
    return 0;
}
"""),
    "thread": ("race", """
#include <pthread.h>
static int n;
static void *add(void *arg)
{
    for (int i = 0; i < 1000; i++)
        n++;
    return arg;
}
int main(void)
{
    pthread_t one;
    if (pthread_create(&one, NULL, add, NULL) != 0)
        return 0;
    (void)add(NULL);
    return pthread_join(one, NULL) & 0;
}
"""),
}
# Of the folders whose other programs are left out of ThreadSanitizer. The LMDB store has a thread.
THREADED = {"test_loops.c", "test_model.c", "test_table_threads.c", "test_threads.c", "test_unsettled.c"}
MAKES_A_THREAD = r'pthread_create|_thread_create|"lmdb:'
CLEAN = "int main(void) { return 0; }\n"
# As scripts/sanitize sets them.
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1",
           "TSAN_OPTIONS": "halt_on_error=1"}


def status(compiler, flags, text):
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder) / "planted.c", str(pathlib.Path(folder) / "planted")
        source.write_text(text)
        subprocess.run([*compiler, "-g", "-O1", "-w", "-pthread", *flags, str(source), "-o", binary],
                       check=True)
        return subprocess.run([binary], env={**os.environ, **OPTIONS}, check=False,
                              capture_output=True).returncode


def planted_faults(compiler, flags, names):
    if status(compiler, flags, CLEAN) != 0:
        yield "a program without a mistake fails"
    for name in names:
        what, text = PLANTED[name]
        if status(compiler, flags, text) == 0:
            yield "%s: a planted %s goes unnoticed" % (name, what)


def script_faults(root):
    check, sanitize = ((root / "scripts" / name).read_text() for name in ("check", "sanitize"))
    for kind in ("asan", "tsan"):
        if (not re.search(r"^part_%s\(\) { scripts/sanitize %s; }$" % (kind, kind), check, re.M)
                or not re.search(r'^parts="[^"]*\b%s\b' % kind, check, re.M)):
            yield "scripts/check does not run scripts/sanitize " + kind
    for wanted in ("-Db_sanitize=address,undefined", "-Db_sanitize=thread", "detect_leaks=1",
                   "UBSAN_OPTIONS=halt_on_error=1", "TSAN_OPTIONS=halt_on_error=1"):
        if wanted not in sanitize:
            yield "scripts/sanitize lacks " + wanted
    # Everything that is C runs: only what has no C of ours is left out.
    left_out = set(re.findall(r"--no-suite ([\w-]+)", sanitize)) - {"browser", "style", "plain"}
    if re.search(r'^\[ "\$1" != tsan \] \|\| .*--no-suite one-thread$', sanitize, re.M):
        left_out -= {"one-thread"}
    # Checkers of designs are no part of the product.
    if re.search(r'^\[ "\$1" != asan \] \|\| .*--no-suite model$', sanitize, re.M):
        left_out -= {"model"}
    for folder in ("core", "engine", "fuzz", "model", "shared", "table"):
        for path in sorted(root.glob("tests/%s/*.c" % folder)):
            if path.name not in THREADED and re.search(MAKES_A_THREAD, path.read_text()):
                yield "%s makes a thread, and is not run under ThreadSanitizer" % path.name
    if left_out or not re.search(r'^scripts/test "\$build"', sanitize, re.M):
        yield "scripts/sanitize leaves out %s" % (", ".join(sorted(left_out)) or "the tests")
    if "valgrind" not in (root / "scripts" / "stress").read_text():
        yield "scripts/stress does not run Valgrind"
    if not re.search(r"^scripts/check$", (root / ".ci" / "run").read_text(), re.M):
        yield ".ci/run does not run scripts/check"


def main():
    root, active = pathlib.Path(sys.argv[1]), sys.argv[2]
    compiler = sys.argv[3].split()
    names = [n for n in active.split(",") if n in PLANTED]
    if "address" in names:
        names.append("leak")
    tap.point("HD-2: CI runs all C tests under both sanitizer builds", script_faults(root))
    if names:
        flags = [*sys.argv[4:], "-fsanitize=" + active, "-fno-omit-frame-pointer"]
        if "undefined" in names:
            flags.append("-fno-sanitize-recover=undefined")
        tap.point("HD-2: a planted bug fails under %s" % active.replace(",", " and "),
                  planted_faults(compiler, flags, names))
    tap.done()


main()
