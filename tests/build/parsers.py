#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds tests/fuzz/parsers.tsv against the tree: every parser has a target with a corpus (HD-3). How
much of it that corpus reaches, scripts/fuzz --coverage says.

  parsers.py ROOT
"""
import pathlib
import re
import sys

import tap

ROOT = pathlib.Path(sys.argv[1])
FUZZ = ROOT / "tests" / "fuzz"
# A source of these names reads what comes from outside; it must stand in the table.
LOOKS_LIKE_A_PARSER = re.compile(
    r"(^|_)(pars\w*|json|yaml|form|params|url|chunked|fields|negotiate|accept|cookie|record|token|"
    r"keyfile|target|forward|origin|address|agent|cookie_conf|value|import|entry|template|"
    r"b64url|percent|device|activation)\.c$")
# So does one that calls any of these: it takes numbers or fields out of what a server has sent.
READS_A_SERVER = re.compile(
    r"\b(PQget(value|length|isnull)|resp_(is|number)|mc_number|pg_row_\w+|sscanf|strto(u?l|ll))\(")


def targets():
    text = (FUZZ / "meson.build").read_text()
    return set(re.findall(r"^\s*\['(\w+)',", text, re.M))


def table(name="parsers.tsv"):
    rows = []
    for line in (FUZZ / name).read_text().splitlines():
        if line and not line.startswith("#"):
            rows.append(line.split("\t"))
    return rows


def corpus_faults():
    for name in sorted(targets()):
        folder = FUZZ / "corpus" / name
        files = [f for f in folder.iterdir() if f.is_file()] if folder.is_dir() else []
        if not files:
            yield "corpus/%s is empty" % name
        if "FUZZ_CHECK" not in (FUZZ / ("fuzz_%s.c" % name)).read_text():
            yield "fuzz_%s.c states no property" % name
    for folder in sorted((FUZZ / "corpus").iterdir()):
        if folder.name not in targets():
            yield "corpus/%s belongs to no target" % folder.name


def table_faults():
    known, used = targets(), set()
    for row in table():
        if len(row) != 2:
            yield "not two columns: %s" % row
            continue
        source, names = row
        if not (ROOT / source).is_file():
            yield "%s is not there any more" % source
        if names.startswith("- "):
            continue  # the reason why it needs none
        for name in names.split():
            used.add(name)
            if name not in known:
                yield "%s: there is no target %s" % (source, name)
    for name in sorted(known - used):
        yield "no parser is named for target %s" % name


def missing_faults():
    listed = {row[0] for row in table()}
    for path in sorted((ROOT / "src").rglob("*.c")):
        name = str(path.relative_to(ROOT))
        if "/suite/" in name or name in listed:
            continue
        if LOOKS_LIKE_A_PARSER.search(path.name) or (
                name.startswith("src/store/") and READS_A_SERVER.search(path.read_text())):
            yield "%s looks like a parser and is not in parsers.tsv" % name


def unfed_faults():
    parsers = {row[0] for row in table() if not row[1].startswith("- ")}
    for row in table("unfed.tsv"):
        if len(row) != 3 or not row[2].strip():
            yield "not source, functions and a reason: %s" % row
        elif row[0] not in parsers:
            yield "unfed.tsv: %s is no parser with a target" % row[0]
        else:
            text = (ROOT / row[0]).read_text()
            for name in row[1].split():
                if not re.search(r"^%s\(" % name, text, re.M):
                    yield "unfed.tsv: %s has no function %s" % (row[0], name)


tap.point("HD-3: every fuzz target states a property and has a corpus", corpus_faults())
tap.point("HD-3: every parser of parsers.tsv exists and has a target", table_faults())
tap.point("HD-3: no parser is missing from parsers.tsv", missing_faults())
tap.point("HD-3: what is left out of a parser's coverage is there and has a reason", unfed_faults())
tap.done()
