#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads binaries and compile commands for what hardening must leave in them (HD-1, HD-5).

  hardening.py SANITIZING BUILD COMPILER BINARY...

Each property has a control: a small program built without it, which must be reported.
"""
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

import tap

CANARY = re.compile(r"\b__stack_chk_fail\b")
FORTIFIED = re.compile(r"\b__(?!stack_)\w+_chk\b")
BANNED = {"gets", "strcpy", "strcat", "strncat", "sprintf", "vsprintf", "strtok", "alloca", "atoi"}
X86 = platform.machine() in ("x86_64", "i686")

# What every compile command must say; those in OPTIONAL only where the compiler knows them.
FLAGS = ["-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-fstack-clash-protection",
         "-ftrivial-auto-var-init=zero", "-fno-delete-null-pointer-checks", "-fno-strict-overflow",
         "-fno-strict-aliasing"]
OPTIONAL = ["-fstrict-flex-arrays=3", "-fcf-protection=full", "-mbranch-protection=standard"]

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
static void copy(char *to, size_t n, const char *from) { memcpy(to, from, n); }
int main(int argc, char **argv)
{
    char text[16];
    copy(text, strlen(argv[0]) & 31, argv[0]);
    return printf("%.8s %d\n", text, argc) < 0;
}
"""
COMPILE = ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-fPIE",
           "-fcf-protection=full" if X86 else "-mbranch-protection=standard"]
LINK = ["-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def is_program(path):
    return "INTERP" in run("readelf", "-lW", path)


def has_property(path):
    """Branch protection: the linker's note or, where the C library's start files lack it, the
    landing pads themselves."""
    if not X86:
        return "BTI" in run("readelf", "-nW", path) or "bti\t" in run("objdump", "-d", path)
    if re.search(r"IBT, SHSTK", run("readelf", "-nW", path)):
        return True
    return bool(re.search(r"<main>:\n.*endbr64|<coat_init(@@\w+)?>:\n.*endbr64",
                          run("objdump", "-d", path)))


def faults(path):
    """The names of the properties that a binary lacks."""
    path = str(path)
    segments, dynamic = run("readelf", "-lW", path), run("readelf", "-dW", path)
    symbols = run("nm", "-D", "--undefined-only", path)
    program = is_program(path)
    now = "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*\bNOW\b", dynamic)
    stack = re.search(r"GNU_STACK.*", segments)
    found = []
    if "DYN (" not in run("readelf", "-hW", path) or (program and "PIE" not in dynamic):
        found.append("position independence")
    if "GNU_RELRO" not in segments:
        found.append("relro")
    if not now:
        found.append("immediate binding")
    if stack is None or re.search(r"\bRWE\b", stack.group(0)):
        found.append("stack without execution")
    if not CANARY.search(symbols):
        found.append("stack protector")
    # A small library may have no call left whose length the compiler cannot see through; that it was
    # compiled for it, the flags below tell.
    if not FORTIFIED.search(symbols) and not path.endswith("_module.so"):
        found.append("fortified functions")
    if not has_property(path):
        found.append("branch protection")
    return found


def banned(path):
    """Undefined symbols of unbounded string functions, fortified or not."""
    names = re.findall(r" U (\w+)", run("nm", "-D", "--undefined-only", str(path)))
    plain = {name: re.sub(r"^__(\w+)_chk$", r"\1", name) for name in names}
    return sorted(name for name in plain if plain[name] in BANNED)


def without(flags, flag, instead=()):
    return [f for f in flags if f != flag] + list(instead)


def controls(compiler):
    """Name of a property, and the flags of a program that lacks just this one."""
    branch = COMPILE[-1].split("=")[0] + "=none"
    return [
        (None, COMPILE, LINK),
        ("position independence", without(COMPILE, "-fPIE", ["-fno-pie"]),
         without(LINK, "-pie", ["-no-pie"])),
        ("relro", COMPILE, without(LINK, "-Wl,-z,relro", ["-Wl,-z,norelro"])),
        ("immediate binding", COMPILE, without(LINK, "-Wl,-z,now", ["-Wl,-z,lazy"])),
        ("stack without execution", COMPILE,
         without(LINK, "-Wl,-z,noexecstack", ["-Wl,-z,execstack"])),
        ("stack protector", without(COMPILE, "-fstack-protector-strong", ["-fno-stack-protector"]),
         LINK),
        ("fortified functions", without(COMPILE, "-D_FORTIFY_SOURCE=3"), LINK),
        ("branch protection", without(COMPILE, COMPILE[-1], [branch]), LINK),
    ]


def control_faults(compiler):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "control.c"
        source.write_text(PROGRAM)
        for number, (lacks, compile_flags, link_flags) in enumerate(controls(compiler)):
            binary = str(pathlib.Path(folder) / ("control%d" % number))
            run(*compiler, *compile_flags, str(source), *link_flags, "-o", binary)
            found, wanted = faults(binary), [lacks] if lacks else []
            if found != wanted:
                yield "a program without %s is reported as lacking %s" % (lacks or "nothing", found)


def banned_control(compiler):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "control.c"
        source.write_text("#include <string.h>\nint main(int c, char **v)\n"
                          "{ char b[9]; (void)c; return strcat(strcpy(b, v[0]), v[1])[0]; }\n")
        for level in ("0", "2"):
            binary = str(pathlib.Path(folder) / ("control" + level))
            run(*compiler, "-O2", "-w", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=" + level,
                str(source), "-o", binary)
            if len(banned(binary)) != 2:
                yield "strcpy and strcat are not found with _FORTIFY_SOURCE=" + level


def knows(compiler, flag):
    return subprocess.run([*compiler, "-Werror", flag, "-x", "c", "-c", "/dev/null", "-o",
                           "/dev/null"], capture_output=True, check=False).returncode == 0


def command_faults(build, compiler):
    wanted = [f for f in FLAGS if f.startswith("-D") or knows(compiler, f)]
    wanted += [f for f in OPTIONAL if knows(compiler, f)]
    commands = json.loads((build / "compile_commands.json").read_text())
    seen = 0
    for entry in commands:
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        words = entry["command"].split()
        if path.suffix != ".c" or "src" not in path.parts:
            continue
        seen += 1
        lacks = [f for f in wanted if f not in words]
        if not {"-O2", "-O3", "-Os"} & set(words):
            lacks.append("-O2")
        if not {"-fPIC", "-fPIE"} & set(words):
            lacks.append("-fPIC or -fPIE")
        if lacks:
            yield "%s: compiled without %s" % (path.name, " ".join(lacks))
    if seen == 0:
        yield "no source file of src/ in compile_commands.json"


def main():
    sanitizing, build, compiler = sys.argv[1] == "true", pathlib.Path(sys.argv[2]), sys.argv[3].split()
    binaries = [pathlib.Path(path) for path in sys.argv[4:]]
    if sanitizing:
        tap.skip("a sanitizer replaces what is looked for")
    for binary in binaries:
        tap.point("HD-1: %s has every protection" % binary.name, faults(binary))
    tap.point("HD-1: a program without one of them is reported", control_faults(compiler))
    tap.point("HD-1: every source file is compiled with the flags", command_faults(build, compiler))
    for binary in binaries:
        tap.point("HD-5: %s uses no unbounded string function" % binary.name, banned(binary))
    tap.point("HD-5: a program that uses them is reported", banned_control(compiler))
    tap.done()


main()
