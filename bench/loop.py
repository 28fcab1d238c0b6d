# SPDX-License-Identifier: Apache-2.0
"""The event loop of an nginx worker with the module: how long it keeps others waiting (HD-11)."""
import contextlib
import http.client
import os
import signal
import struct
import time

from daemon import Daemon
from gate import SLOTS, SPREAD, load_module
from pressure import LINES, RATE, Meanwhile
from report import Row, us
from rig import LOAD_CORE, Missing, ask, free_port, get, until
from verify import nginx

LOOP = '''
    coatcheck_table {daemon.table};
    coatcheck_daemon unix:{daemon.gate};
    coatcheck_cookie id;
    coatcheck_timeout 1s;
    server {{
        listen 127.0.0.1:{port};
        location = /probe {{ return 204; }}
        location / {{ coatcheck on; empty_gif; }}
    }}
'''
PAUSE_S = 0.05  # between two things that are done to the daemon or to nginx
GOAL_US = 1000


class Meter:
    """What loop_meter.c counts: the turns of the workers' loops, by the CPU that each took."""
    STEP_US, STEPS = 10, 10000

    def __init__(self, rig):
        self.path, self.size = rig.memory('turns'), 8 * (2 + self.STEPS)
        self.environment = {'LD_PRELOAD': rig.tool('loop_meter.so'), 'COAT_LOOP_METER': self.path}
        self.clear()

    def clear(self):
        with open(self.path, 'r+b' if os.path.exists(self.path) else 'wb') as out:
            out.write(bytes(self.size))

    def read(self, seconds):
        """What was counted in so many seconds. p999_us: of requests that come at any moment, one in
        a thousand waits longer than that for the end of a turn."""
        with open(self.path, 'rb') as f:
            slept, longest_ns, *turns = struct.unpack(f'{2 + self.STEPS}Q', f.read())
        longer, waiting_us, step = 0, 0, self.STEPS
        while step > 0 and waiting_us <= seconds * 1e6 / 1000:
            step -= 1
            longer += turns[step]
            waiting_us += longer * self.STEP_US
        return {'turns': sum(turns), 'slept': slept, 'longest_us': longest_ns / 1000,
                'p999_us': (step + 1) * self.STEP_US}


def ask_for(port, cookies, again):
    """Requests that the table cannot answer, one after another; how many. Those that a reload cuts
    off are asked again."""
    connection, count = http.client.HTTPConnection('127.0.0.1', port, timeout=60), 0
    while again():
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(port, 'GET', '/', headers={'Cookie': cookies[count % len(cookies)]},
                connection=connection)
            count += 1
            continue
        connection.close()
    connection.close()
    return count


def stall(daemon, again):
    """The daemon stands still half of the time; how often."""
    count = 0
    while again():
        for what in (signal.SIGSTOP, signal.SIGCONT):
            daemon.server.process.send_signal(what)
            time.sleep(PAUSE_S)
        count += 1
    return count


def restart(daemon, again):
    """Kills it each time, so that workers find another table; how often."""
    count = 0
    while again():
        daemon.server.process.kill()
        daemon.server.process.wait()
        for part in ('', '.seen'):
            os.unlink(daemon.table + part)
        daemon.start()
        time.sleep(PAUSE_S)
        count += 1
    return count


def reload(gateway, again):
    """Another worker each time; how often."""
    count = 0
    while again():
        former = set(gateway.family())
        gateway.process.send_signal(signal.SIGHUP)
        until('another worker', lambda before=former: set(gateway.family()) - before, gateway)
        time.sleep(PAUSE_S)
        count += 1
    return count


def waited_ms(gateway):
    """How long its workers could have run, and something else did: by process."""
    waited = {}
    for pid in gateway.family()[1:]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
                waited[pid] = int(f.read().split()[1]) / 1e6
    return waited


def rows_of(title, seen, idle, notes):
    """What a client sees, which other processes add to; what the loop itself took, which they do
    not."""
    late_us, own_us = seen['p999_us'], seen['loop']['p999_us']
    if seen['waited_ms']:  # it is still the same worker
        notes += (f"; others had its core for {sum(seen['waited_ms']):,.0f} ms, idle "
                  f"{sum(idle['waited_ms']):,.0f} ms")
    return [Row(f'event loop of a worker, p99.9, while {title}', us(late_us), 'idle',
                us(idle['p999_us']), late_us / idle['p999_us'], f'<= {GOAL_US:,} us',
                late_us <= GOAL_US, f"half of the requests within {us(seen['p50_us'])}, longest "
                f"{us(seen['max_us'])}, idle {us(idle['max_us'])}; {notes}"),
            Row(f'the same, waiting for its own work alone, while {title}', us(own_us), 'idle',
                us(idle['loop']['p999_us']), own_us / idle['loop']['p999_us'], f'<= {GOAL_US:,} us',
                own_us <= GOAL_US, 'by the CPU of each turn; of '
                f"{seen['loop']['turns']:,} turns the longest took "
                f"{us(seen['loop']['longest_us'])}, idle {us(idle['loop']['longest_us'])}; "
                f"{seen['loop']['slept']:,} waited for something")]


def in_the_loop(rig):
    """How long a worker's loop keeps a request waiting that needs nothing."""
    port, seconds, rows = free_port(), 20 if rig.full else 8, []
    daemon = Daemon(rig, LOAD_CORE, config=f'table:\n  slots: {SLOTS}\n', data=rig.memory('data'))
    cookies = daemon.fill(SPREAD, SPREAD // 5, 0, SPREAD)
    daemon.start()
    meter = Meter(rig)
    try:
        gateway = nginx(rig, 'gateway', LOOP.format(daemon=daemon, port=port), load_module(rig)
                        + ('user root;\n' if os.geteuid() == 0 else ''), master='on',
                        env=os.environ | meter.environment)
    except Missing as why:
        return [Row('event loop of a worker', note=str(why))]
    until('nginx', lambda: ask(port, 'GET', '/probe')[0] == 204, gateway)

    def probe():
        meter.clear()
        before = waited_ms(gateway)
        out = rig.load(port, [get('/probe')], seconds, RATE, LINES, reconnect=True)
        out['waited_ms'] = [ms - before[pid] for pid, ms in waited_ms(gateway).items()
                            if pid in before]
        out['loop'] = meter.read(out['seconds'])
        return out
    idle = probe()
    for title, work in (('its requests are not in the table', lambda again: 0),
                        ('the daemon stands still, again and again',
                         lambda again: stall(daemon, again)),
                        ('the daemon is killed, with its table, again and again',
                         lambda again: restart(daemon, again)),
                        ('nginx is reloaded, again and again',
                         lambda again: reload(gateway, again))):
        with Meanwhile(lambda again: ask_for(port, cookies, again)) as asked, \
                Meanwhile(work) as done:
            busy_loop = probe()
        rows += rows_of(title, busy_loop, idle, f'{asked.result / seconds:,.0f} questions a second'
                        + (f', {done.result} times' if done.result else ''))
    return rows


STEPS = (in_the_loop,)
