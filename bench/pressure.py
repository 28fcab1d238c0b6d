# SPDX-License-Identifier: Apache-2.0
"""Memory of the daemon, and how long verify takes while it does something large."""
import contextlib
import json
import os
import re
import threading
import time

from daemon import PASSWORD, USER, Daemon
from report import Row, us
from rig import UnixConnection, ask, median

RATE, LINES = 2000, 16  # requests a second that must be answered meanwhile
BOTH = set(list(os.sched_getaffinity(0))[:2])  # the daemon as it is installed: on all cores


class Meanwhile:
    """Runs work(again) on another thread until it returns; again() says whether to go on."""

    def __init__(self, work):
        self.stop, self.error, self.result = threading.Event(), None, None
        self.thread = threading.Thread(target=self.run, args=(work,))

    def run(self, work):
        try:
            self.result = work(lambda: not self.stop.is_set())
        except Exception as error:  # pylint: disable=broad-except  # raised by the caller
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.error:
            raise self.error


def verify_load(rig, daemon, requests, seconds):
    return rig.load(daemon.port, requests, seconds, RATE, LINES)


def resident_mib(pid, apart):
    """Private memory but that of mapped files whose path holds one of these words."""
    total, skip = 0, False
    with open(f'/proc/{pid}/smaps', encoding='utf8') as f:
        for line in f:
            if re.match(r'[0-9a-f]+-[0-9a-f]+ ', line):
                skip = any(word in line for word in apart)
            elif not skip and line.startswith(('Private_Clean:', 'Private_Dirty:')):
                total += int(line.split()[1])
    return total / 1024


def list_all(daemon, again, limit=1000):
    """All sessions, page by page, as an operator's program would; how many."""
    connection, count, after = UnixConnection(daemon.admin), 0, None
    while again():
        query = f'/v1/sessions?limit={limit}' + (f'&after={after}' if after else '')
        status, _, body = ask(daemon.admin, 'GET', query, connection=connection)
        if status != 200:
            raise RuntimeError(f'{query}: {status} {body[:200]}')
        page = json.loads(body)
        count += len(page['sessions'])
        after = page.get('next')
        if not after:
            break
    connection.close()
    return count


def compare(title, idle, during, note, rounds=5):
    """p99 of rounds of during() beside rounds of idle(), in turn; each gives a load's report."""
    pairs = [(idle(), during()) for _ in range(rounds)]
    calm, busy = (median([p[side]['p99_us'] for p in pairs]) for side in (0, 1))
    ratio = median([b['p99_us'] / a['p99_us'] for a, b in pairs])
    p50 = [median([p[side]['p50_us'] for p in pairs]) for side in (0, 1)]
    return Row(f'verify p99, {title}', us(busy), 'idle', us(calm), ratio, '<= 2', ratio <= 2,
               f'{note()}; half of the requests within {us(p50[1])}, idle {us(p50[0])}')


def end_user(daemon, name):
    """End all sessions of a user; milliseconds until the answer."""
    start = time.monotonic()
    daemon.post(f'/v1/users/{name}/end-sessions', {})
    return (time.monotonic() - start) * 1000


def metric(daemon, name):
    _, _, body = ask(daemon.admin, 'GET', '/metrics')
    return float(re.search(rf'^{name} ([\d.e+]+)$', body.decode(), re.M)[1])


def with_many(rig):
    """Listing everybody's sessions, then ending those of some users."""
    count, one, users = (1000000, 100000, 5) if rig.full else (100000, 20000, 5)
    daemon = Daemon(rig, BOTH, 2, 'table:\n  slots: 2000000\n')
    cookies = daemon.fill(count, count // 5, 0, 1000)
    daemon.fill(one * users, users, 0, 1, 'heavy')
    daemon.start()
    requests = [daemon.verify(c) for c in cookies]
    rig.load(daemon.port, requests, 1)  # fills the table
    mib = resident_mib(daemon.server.process.pid, (daemon.run, daemon.data))
    rows = [Row('daemon, resident beside node table and page cache', f'{mib:.1f} MiB',
                goal='<= 16 MiB', met=mib <= 16,
                note=f'{count + one * users:,} sessions stored, 2 loops')]

    def idle():
        return verify_load(rig, daemon, requests, 1.5)

    listed = []

    def listing():
        with Meanwhile(lambda again: list_all(daemon, again)) as work:
            out = verify_load(rig, daemon, requests, 1.5)
        listed.append(work.result)
        return out

    rows.append(compare('while sessions are listed page by page', idle, listing, lambda:
                        f'{sum(listed) / 1.5 / len(listed):,.0f} a second of '
                        f'{count + one * users:,}'))
    rows.append(ending(rig, daemon, requests, one, users))
    return rows


def ending(rig, daemon, requests, one, users, where=''):
    """All sessions, so many, of one user after another are ended; they are heavy-0, ..."""
    took = []

    def during():
        with Meanwhile(lambda again: end_user(daemon, f'heavy-{len(took)}')) as work:
            out = verify_load(rig, daemon, requests, 1)
        took.append(work.result)
        return out

    return compare(f'while {one:,} sessions of one user are ended{where}',
                   lambda: verify_load(rig, daemon, requests, 1), during,
                   lambda: f'answered after {median(took):,.1f} ms', users)


def sweeping(rig):
    return swept(rig, [Daemon(rig, BOTH, 2, name=name) for name in ('calm', 'sweeping')])


def swept(rig, daemons, where=''):
    """Expired sessions are erased in slices; beside it a daemon with nothing to erase."""
    count = 1000000 if rig.full else 100000
    daemons[1].fill(count, count // 5, 13 * 3600, 1, 'former')
    requests = [[d.verify(c) for c in d.fill(1000, 200, 0, 1000)] for d in daemons]
    for daemon, asked in zip(daemons, requests):
        daemon.start()
        rig.load(daemon.port, asked, 0.5)
    before, start = metric(daemons[1], 'coatcheck_swept_total'), time.monotonic()
    out = compare(f'while expired sessions are erased{where}',
                  lambda: verify_load(rig, daemons[0], requests[0], 1.5),
                  lambda: verify_load(rig, daemons[1], requests[1], 1.5), lambda: '')
    erased = metric(daemons[1], 'coatcheck_swept_total') - before
    out.note = (f'{erased / (time.monotonic() - start):,.0f} a second of {count:,} erased'
                + out.note)
    return [out]


def sign_ins(daemon, again):
    done, body = 0, json.dumps({'user': USER, 'password': PASSWORD})
    headers = {'Content-Type': 'application/json', 'Origin': f'http://localhost:{daemon.port}',
               'Host': f'localhost:{daemon.port}'}
    while again():
        done += ask(daemon.port, 'POST', '/auth/login', body, headers)[0] in range(200, 300)
    return done


def flood(rig):
    """A flood of sign-ins, each with its hash, from as many clients as fill all cores."""
    daemon = Daemon(rig, BOTH, 2, 'throttle:\n  attempts-per-minute: 8000\n').start()
    daemon.post('/v1/accounts', {'name': USER, 'password': PASSWORD, 'roles': ['user']})
    requests = [daemon.verify(daemon.session())]
    done = []

    def flooded():
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Meanwhile(lambda again: sign_ins(daemon, again)))
                       for _ in range(8)]
            time.sleep(0.3)
            out = verify_load(rig, daemon, requests, 2)
        done.append(sum(c.result for c in clients))
        return out

    out = compare('during a flood of sign-ins', lambda: verify_load(rig, daemon, requests, 2),
                  flooded, lambda: f'{median(done) / 2.3:.0f} sign-ins a second; hashes fill '
                  'all cores, also the one that the load comes from')
    if sum(done) == 0:
        out.note = 'no sign-in succeeded'
    return [out]


STEPS = (with_many, sweeping, flood)
