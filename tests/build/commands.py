#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds manual pages and completion against the commands that the program has.

  commands.py COATCHECK MANUAL.1 MANUAL.5 COMPLETION
"""
import pathlib
import re
import shutil
import subprocess
import sys

import tap

COATCHECK, PAGE, KEYS, COMPLETION = sys.argv[1:]


def say(*arguments):
    return subprocess.run([COATCHECK, *arguments], check=True, capture_output=True, text=True).stdout


def commands():
    """Name to (operands, options), as --help tells."""
    found = {}
    listed = say("--help").split("\nCommands:\n")[1].split("\n\n")[0]
    for line in listed.splitlines():
        name = re.match(r"\s+(\S+(?: \S+)*?)(?:  |$)", line).group(1)
        text = say(*name.split(), "--help")
        operands = re.match(r"Usage: coatcheck %s ?(.*?) ?\[OPTIONS\]" % name, text).group(1)
        options = re.findall(r"^  (--[\w-]+)(=\w+)?$", text, re.M)
        found[name] = (operands, [option + value for option, value in options])
    return found


def plain(page):
    text = re.sub(r"\\f[BRI]", "", page).replace("\\-", "-")
    text = re.sub(r'^\.BI (--[\w-]+=) (\w+)', r".BI \1\2", text, flags=re.M)
    return re.sub(r"^\.[BI]{1,2} ", "", text, flags=re.M)


def documented(page):
    """The same from the manual page: sections .SS NAME OPERANDS and the options below them."""
    body = page.split("\n.SH COMMANDS\n")[1].split("\n.SH ")[0]
    found = {}
    for part in re.split(r"^\.SS ", body, flags=re.M)[1:]:
        head, _, rest = part.partition("\n")
        words = head.split()
        name = " ".join(w for w in words if not w.isupper())
        options = re.findall(r"^\.TP\n(--\S+)$", rest, re.M)
        found[name] = (" ".join(w for w in words if w.isupper()), options)
    return found


def difference(program, page):
    for name in sorted(set(program) | set(page)):
        if program.get(name) != page.get(name):
            yield "%s: the program has %s, the page %s" % (name, program.get(name), page.get(name))
    if list(program) != list(page):
        yield "the commands stand in another order"


def warnings(path):
    if shutil.which("groff") is None:
        return []
    done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", path], check=False,
                          capture_output=True, text=True)
    return done.stderr.splitlines() + (["groff fails"] if done.returncode else [])


def missing_keys():
    page = plain(pathlib.Path(KEYS).read_text())
    for line in say("config", "show", "--json").splitlines():
        key = re.match(r'\s+"([a-z.-]+)": \{', line)
        if key and "\n.TP\n%s\n" % key.group(1) not in page:
            yield "%s is not in coatcheck.yaml(5)" % key.group(1)


def completed(*words):
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _coatcheck; ' \
             'printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-c", script, "bash", COMPLETION, "coatcheck", *words], check=True,
                          capture_output=True, text=True).stdout.split()


def completion_faults(program):
    for name, (_, options) in program.items():
        words = name.split()
        for i, word in enumerate(words):
            if word not in completed(*words[:i], word[:1]):
                yield "%s: %s is not offered" % (name, word)
        for option in options:
            start = option.partition("=")[0]
            if not [w for w in completed(*words, "--") if w.rstrip("=") == start]:
                yield "%s: %s is not offered" % (name, start)
    if "--role=" in completed("user", "list", "--"):
        yield "an option of another command is offered"


def main():
    program, page = commands(), plain(pathlib.Path(PAGE).read_text())
    tap.point("coatcheck(1) has every command with its arguments and options",
              difference(program, documented(page)))
    version = say("version").split()[1]
    tap.point("coatcheck(1) names the version",
              [] if '"coatcheck %s"' % version in page else ["not " + version])
    tap.point("coatcheck.yaml(5) has every key", missing_keys())
    tap.point("the manual pages are clean", warnings(PAGE) + warnings(KEYS))
    tap.point("completion offers every command and option", completion_faults(program))
    tap.done()


main()
