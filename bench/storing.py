# SPDX-License-Identifier: Apache-2.0
"""Durable changes of the embedded store, and sign-ins with their hash."""
import os
import re
import time

from report import Row, us
from rig import median

GROUP_GOAL = 150000
LINE = re.compile(r'^(.+?)\s+(\d+) /s\s+([\d.]+) us CPU each', re.M)


def sync_us(folder):
    """Median time of fdatasync after one page has been written, as a commit does."""
    path, times = os.path.join(folder, 'sync'), []
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, bytes(4096 * 64), 0)
        os.fdatasync(fd)
        for n in range(100):
            os.pwrite(fd, os.urandom(4096), n % 64 * 4096)
            start = time.perf_counter()
            os.fdatasync(fd)
            times.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(fd)
        os.unlink(path)
    return median(times)


def store_rows(rig, folder, where, sessions):
    sync = sync_us(folder)
    out = rig.run([rig.tool('bench_store'), folder, sessions], timeout=400)
    found = {m[1].strip(): (int(m[2]), float(m[3])) for m in LINE.finditer(out)}
    limit = '; syncing costs nothing here' if sync < 5 else (
        f'; fdatasync took {us(sync)}, so at most {100 / sync * 1e6:,.0f} with one a group')
    rows = []
    for what, key in (('sign-ins', 'inserts'), ('sign-outs', 'removes')):
        rate, cpu = found[f'{key}, groups of 100']
        wide = found[f'{key}, 1000 in flight'][0]
        rows.append(Row(
            f'durable {what} a second, groups of 100, {where}', f'{rate:,}',
            goal='>= 150,000', met=rate >= GROUP_GOAL,
            note=f'{us(cpu)} of CPU each; 1000 in flight {wide:,}' + limit))
    return rows


def size(rig):
    """What a million sessions take on disk, made as the daemon makes them."""
    count, folder = 1000000, rig.path('data')
    os.mkdir(folder, 0o700)
    out = rig.run([rig.tool('bench_fill'), folder, count, count // 5, 0, 1, 'user'])
    record = int(re.search(r'^# bytes (\d+)$', out, re.M)[1]) / count
    each = os.stat(f'{folder}/store/data.mdb').st_size / count
    return [Row(f'bytes on disk of a session, {count:,} sessions', f'{each:.0f}', 'its record',
                f'{record:.0f}', each / record, '<= 1.5', each / record <= 1.5,
                'index by user included')]


def argon(rig):
    cores = len(os.sched_getaffinity(0))
    out = rig.run([rig.tool('bench_account'), cores, 20], timeout=200)
    bare, through = (float(re.search(rf'{name}\s+([\d.]+) /s', out)[1])
                     for name in ('bare hashes', 'sign-ins'))
    ratio = through / bare
    return [Row('sign-ins a second with Argon2id (19 MiB, 2 passes)', f'{through:.1f}',
                'the bare hash', f'{bare:.1f}', ratio, '>= 0.95', ratio >= 0.95,
                f'{cores} threads on {cores} cores')]


def on_disk(rig):
    os.makedirs(rig.path('disk'))
    return store_rows(rig, rig.path('disk'), 'disk', 400000)


def in_memory(rig):
    """Where syncing costs nothing: the part of the CPU."""
    if not os.access('/dev/shm', os.W_OK):
        return [Row('durable sign-ins a second, tmpfs', goal='>= 150,000', note='no /dev/shm')]
    return store_rows(rig, '/dev/shm', 'tmpfs', 400000)


STEPS = (on_disk, in_memory, size, argon)
