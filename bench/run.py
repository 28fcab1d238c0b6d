#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all measurements, prints one table; --write keeps it in docs.

Speed depends on machine and hour: nothing here is a test, and a goal that is missed is said in
the table and fails nothing. Only what is wrong however long it takes does: a session that is
accepted after its sign-out was acknowledged.
"""
import argparse
import signal
import sys
import time
import traceback

import checks
import gate
import loop
import machine
import pressure
import remote
import report
import storing
import verify
from rig import ROOT, Rig, say

PARTS = {'check': checks, 'verify': verify, 'gate': gate, 'loop': loop, 'store': storing,
         'stores': remote, 'pressure': pressure}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('build', help='build folder')
    parser.add_argument('--full', action='store_true',
                        help='10^6 sessions where the short run takes 10^5')
    parser.add_argument('--only', choices=PARTS, action='append', help='only this part')
    parser.add_argument('--write', action='store_true', help='write docs/benchmarks.md, and the figures in docs/scaling.md')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is taken down
    rows, of_stores, failed, begun = [], [], False, time.monotonic()
    for name, step in [(n, s) for n, part in PARTS.items() for s in part.STEPS
                       if not args.only or n in args.only]:
        start = time.monotonic()
        try:
            with Rig(args.build, args.full) as rig:
                more = step(rig)
            rows += more
            of_stores += more if name == 'stores' else []
        except Exception:  # pylint: disable=broad-except  # the others are worth having
            traceback.print_exc()
            rows.append(report.Row(f'{name}: {step.__name__.replace("_", " ")}',
                                   note='could not be measured: see what the run printed'))
            failed = True
        say(f'{name}, {step.__name__.replace("_", " ")}: {time.monotonic() - start:.0f} s')
    seconds = time.monotonic() - begun
    print(report.plain(rows))
    print()
    print(machine.describe(seconds))
    if args.write:
        (ROOT / 'docs/benchmarks.md').write_text(
            machine.page(report.markdown(rows), seconds, args.full), encoding='utf8')
        machine.write_scaling(ROOT / 'docs/scaling.md', of_stores and report.markdown(of_stores))
    return 1 if failed or any(row.wrong for row in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
