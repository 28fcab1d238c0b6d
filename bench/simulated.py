#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A site of many instances, simulated: what each does, and what all ask of their store.

  bench/simulated.py [--markdown] [NAME=VALUE ...]

Sessions do not touch one another, so one after another is played through, event by event and with
the same random numbers in every run: requests come to instances; an entry of a node table is used
until its secret is replaced, confirmed or ended, which all instances hear of; activity is folded
into the record. Rates are those of the sample times the sessions there are. What a step costs was
measured (docs/benchmarks.md); any of the figures below can be set on the command line.
"""
import argparse
import dataclasses
import random

SEED, SAMPLE = 20240229, 300


@dataclasses.dataclass
class Site:
    """Times in seconds, costs in microseconds of CPU."""
    rate: float = 2000            # requests a second that each instance gets
    think: float = 10             # between requests of a session
    life: float = 3600            # from sign-in to sign-out
    sticky: float = 0.95          # part of a session's requests that come to "its" instance
    rotate: float = 900           # session.rotate-every
    fold: float = 60              # activity is folded in at most so often
    beat: float = 0.25            # a beat each
    share: float = 0.2            # part of the sessions that end by sign-out, not by themselves
    hit_us: float = 8.3           # a request answered from the table
    miss_us: float = 12           # and what a look-up adds, in the instance
    heard_us: float = 2           # an instance, for a message that it hears
    load_us: float = 5            # Redis, for a look-up
    script_us: float = 31         # Redis, for a script: a change, a message
    deliver_us: float = 0.6       # Redis, for each instance that a message goes to
    session_bytes: float = 900    # of a session in Redis
    slot_bytes: float = 216       # of a slot of a node table
    load_factor: float = 0.75     # sessions in use to slots


@dataclasses.dataclass
class Played:
    """What happened to a sample of sessions."""
    requests: int = 0
    misses: int = 0
    rotations: int = 0            # with their confirmation: two changes that are reported
    folds: int = 0
    seen: float = 0               # instances whose tables had an entry of a session


def play(site, instances, chance, out):
    """One session, from sign-in to its end."""
    home, now, issued, pending = chance.randrange(instances), 0.0, 0.0, False
    has, ever, noted = set(), set(), {}
    while True:
        now += chance.expovariate(1 / site.think)
        if now >= site.life:
            break
        at = home if instances == 1 or chance.random() < site.sticky else chance.randrange(instances)
        out.requests += 1
        if pending:                             # the successor is presented: confirmed
            pending, issued = False, now
            out.misses += 1
            has = {at}
        elif now - issued >= site.rotate:       # due: one more look-up, and a successor
            pending = True
            out.rotations += 1
            out.misses += 1
            has = {at}
        elif at not in has:
            out.misses += 1
            has.add(at)
        if now - noted.get(at, -site.fold) >= site.fold:
            noted[at] = now
            out.folds += 1
        ever.add(at)
    out.seen += len(ever)


def simulate(site, instances):
    chance, out = random.Random(SEED), Played()
    for _ in range(SAMPLE):
        play(site, instances, chance, out)
    return figures(site, instances, out)


def figures(site, n, out):
    requests = site.rate * n
    sessions = requests * site.think
    each = sessions / (SAMPLE * site.life)      # from the sample to all, a second
    starts = sessions / site.life
    ends = starts * site.share
    rotations, folds, loads = out.rotations * each, out.folds * each, out.misses * each
    loads += folds                              # what is folded in is read first
    beats = n / site.beat if n > 1 else 0
    # A sign-out is said once to all, and each confirms it to its author; those of one instance
    # that wait at the same time share it, which is not counted on here.
    confirms = ends * n if n > 1 else 0
    changes = starts + ends + 2 * rotations + folds
    scripts = changes + beats + (ends if n > 1 else 0) + confirms
    reports = ends + 2 * rotations              # heard by all
    heard = reports + (ends if n > 1 else 0)
    store_us = (loads * site.load_us + scripts * site.script_us
                + (heard * n + confirms + beats) * site.deliver_us)
    own_us = (site.rate * site.hit_us + (loads + changes) / n * site.miss_us
              + (heard + confirms / n + beats / n) * site.heard_us)
    slots = sessions / n * out.seen / SAMPLE / site.load_factor
    return {
        'instances': f'{n}',
        'requests a second': f'{requests:,.0f}',
        'sessions': f'{sessions:,.0f}',
        'from the table': f'{1 - out.misses / out.requests:.1%}',
        'look-ups a second': f'{loads:,.0f}',
        'changes a second': f'{changes:,.0f}',
        'beats a second': f'{beats:,.0f}',
        'confirmations a second': f'{confirms:,.0f}',
        'heard by each, a second': f'{heard + confirms / n + beats / n:,.0f}',
        'cores of the store': f'{store_us / 1e6:.2f}',
        'cores of an instance': f'{own_us / 1e6:.3f}',
        'memory of the store': f'{sessions * site.session_bytes / 2**30:.1f} GiB',
        'slots of a table': f'{slots:,.0f} ({slots * site.slot_bytes / 2**20:,.0f} MiB)',
    }


def table(site, counts):
    columns = [simulate(site, n) for n in counts]
    return [[name] + [c[name] for c in columns] for name in columns[0]]


def text(rows, markdown):
    if markdown:
        lines = ['| ' + ' | '.join(r) + ' |' for r in rows]
        return '\n'.join(lines[:1] + ['|' + ' ---: |' * len(rows[0])] + lines[1:])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return '\n'.join('  '.join(x.rjust(w) if i else x.ljust(w)
                               for i, (x, w) in enumerate(zip(r, widths))) for r in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--markdown', action='store_true', help='as docs/scaling.md quotes it')
    parser.add_argument('--instances', default='1,3,10,30,100', help='how many, by commas')
    parser.add_argument('figure', nargs='*', help='NAME=VALUE: ' + ', '.join(
        f'{f.name}={f.default:g}' for f in dataclasses.fields(Site)))
    args = parser.parse_args()
    site = Site(**{name: float(value) for name, value in (f.split('=') for f in args.figure)})
    print(text(table(site, [int(n) for n in args.instances.split(',')]), args.markdown))


if __name__ == '__main__':
    main()
