# SPDX-License-Identifier: Apache-2.0
"""Names the machine in plain words, and writes the page."""
import os
import platform
import re
import subprocess
import time

import simulated
import verify

PAGE = '''<!-- SPDX-License-Identifier: Apache-2.0 -->
# Benchmarks

Written by `scripts/bench --write`; the last run, {date}.

{machine}

Both sides of a row ran in the same run, in turn, on the same core; figures are medians of their
rounds. "CPU per request" is user and system time of the server and its children (`/proc`), divided
by the answers that were counted. The load came from another core over keep-alive connections.
"ratio" is ours to theirs, the median of the rounds' ratios, unless it says how many times cheaper
we are. "CPU added" is the median of the rounds'
differences: one process of nginx has the page with and without, and several such processes follow
one another. A goal that is missed is said here and fails nothing: speed depends on machine and
hour. A session that is accepted after its sign-out does fail the run.

{table}

## Again

```sh
make bench                      # this table, on your machine
scripts/bench --write           # and into this file{full}
scripts/bench build --only check  # one part: check, verify, gate, loop, store, stores or pressure
```

The programs are in `bench/`: `bench_check` (tokens and JSON Web Tokens), `bench_load` (load over
HTTP), `loop_meter.so` (the CPU of each turn of a worker's loop, which no other process adds to), `bench_turns` (the same on several sides in turn), `bench_revoke` (sign-outs), `bench_store`,
`bench_lane` (look-ups in a store behind a network), `bench_account`, `bench_fill`; `run.py` puts them together. Peers come from
Debian packages and `bench/node/package-lock.json`; `scripts/setup bench` installs them.
'''


def cpu_name():
    with open('/proc/cpuinfo', encoding='utf8') as f:
        found = re.search(r'model name\s*:\s*(.*)', f.read())
    return found.group(1).strip() if found else platform.machine()


def memory_gib():
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30


def package(name):
    """Version of a Debian package, without Debian's own part."""
    done = subprocess.run(['dpkg-query', '-W', '-f', '${Version}', name], capture_output=True,
                          text=True, check=False)
    return re.sub(r'^\d+:|-[^-]*$', '', done.stdout) if done.returncode == 0 else ''


def describe(seconds):
    cores = len(os.sched_getaffinity(0))
    libraries = [f'{name} {package(pkg)}' for name, pkg in (
        ('libsodium', 'libsodium-dev'), ('LMDB', 'liblmdb-dev'), ('libuv', 'libuv1-dev'),
        ('libjwt', 'libjwt-dev'), ('OpenSSL', 'libssl-dev')) if package(pkg)]
    system = platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')
    load = os.getloadavg()[0]
    return (f'Machine: {cpu_name()}, {cores} cores, {memory_gib():.0f} GiB of memory'
            f'{", virtual" if virtual() else ""}; {system}, kernel {platform.release()}. '
            f'Libraries: {", ".join(libraries)}. Peers: {", ".join(verify.versions())}. '
            f'The run took {seconds:.0f} s; load average at its end {load:.1f}.')


def virtual():
    with open('/proc/cpuinfo', encoding='utf8') as f:
        return ' hypervisor' in f.read()


def page(table, seconds, full):
    return PAGE.format(date=time.strftime('%Y-%m-%d'), machine=describe(seconds), table=table,
                       full='; this one was made with --full' if full else '')


def between(text, name, body):
    """text with body in place of what stands between the two marks of that name."""
    begin, end = f'<!-- begin {name}: written by scripts/bench --write -->\n', f'<!-- end {name} -->'
    head, rest = text.split(begin, 1)
    return head + begin + body.rstrip() + '\n' + end + rest.split(end, 1)[1]


def write_scaling(path, table):
    """The site as the model's figures have it, and what was measured, if anything was."""
    counts, text = (1, 3, 10, 30, 100), path.read_text(encoding='utf8')
    tables = [f'{title}\n\n' + simulated.text(
        simulated.table(simulated.Site(sticky=sticky), counts), True)
              for title, sticky in (('19 of 20 requests of a session come to one instance:', 0.95),
                                    ('Requests come to any instance:', 0))]
    text = between(text, 'site', '\n\n'.join(tables))
    path.write_text(between(text, 'measured', table) if table else text, encoding='utf8')
