# SPDX-License-Identifier: Apache-2.0
"""A few lines of TAP for the tests of this folder."""
import sys

_points = []


def point(name, faults=()):
    """One test point; faults: lines that say what is wrong."""
    faults = list(faults)
    _points.append(not faults)
    print("%sok %d - %s" % ("not " if faults else "", len(_points), name))
    for fault in faults:
        print("# " + str(fault))


def skip(reason):
    print("1..0 # SKIP " + reason)
    sys.exit(0)


def done():
    print("1..%d" % len(_points))
    sys.exit(0 if all(_points) else 1)
