#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions that the nginx module adds to a request, function by function.

  python3 -B bench/instructions.py BUILD [LINES]

A worker runs under Valgrind's callgrind, so the figures hold on a busy machine, too, and differ by
a few from run to run. They leave out what misses of the caches cost: for that, and for what the
goals are about, see scripts/bench --only gate.
"""
import re
import socket
import subprocess
import sys

from daemon import Daemon
from gate import CACHED, FEW, HTTP, OTHERS, DEFAULT_SLOTS, invented
from rig import Rig, Server, free_port, page, program, until, ask
from verify import NGINX

WARM, COUNTED = 1200, 2000
# Where a count begins in the middle, callgrind takes these for callers of nothing, with all of it.
OUTER = re.compile(r'^(main|__libc_start_main\S*) |\[ld-linux')
LINE = re.compile(r'^\s*([\d,]+) \([\d. ]+%\)\s+(\S+:)?(\S+)(?: \[(.*)\])?$')


class Client:
    """One kept connection, one request at a time."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
        self.file = self.socket.makefile('rb')

    def ask(self, path, cookies):
        self.socket.sendall(page(path, cookies, f'127.0.0.1:{self.port}').encode())
        status, length = self.file.readline().split()[1], 0
        while (line := self.file.readline()) != b'\r\n':
            name, _, value = line.partition(b':')
            length = int(value) if name.lower() == b'content-length' else length
        self.file.read(length)
        return int(status)


def control(pid, what):
    subprocess.run([program('callgrind_control'), what, str(pid)], check=True, capture_output=True)


def functions(path):
    """Instructions by function, themselves alone."""
    text = subprocess.run([program('callgrind_annotate'), '--inclusive=no', '--threshold=100',
                           '--auto=no', path], check=True, capture_output=True, text=True).stdout
    out = {}
    for found in filter(None, map(LINE.match, text.split('\n'))):
        count, _, name, where = found.groups()
        name = f"{name} [{(where or '').rsplit('/', 1)[-1]}]"
        if not OUTER.search(name):
            out[name] = out.get(name, 0) + int(count.replace(',', ''))
    return out


def counted(rig, worker, number, side):
    """Instructions of one request, by function; side: port, path, cookies in turn."""
    port, path, cookies, statuses = side
    client = Client(port)

    def go(count):
        for i in range(count):
            status = client.ask(path, cookies[i % len(cookies)])
            if status not in statuses:
                raise RuntimeError(f'{path}: {status}')
    go(WARM)
    control(worker.process.pid, '-z')
    go(COUNTED)
    control(worker.process.pid, '-d')
    found = functions(rig.path(f'calls.{number}'))
    return {name: count / COUNTED for name, count in found.items()}


def gateway(rig, few, ports):
    rig.dir.joinpath('www').mkdir()
    rig.dir.joinpath('www/page').write_text('p' * 4000, encoding='ascii')
    top = f"load_module {rig.build / 'nginx/ngx_http_coatcheck_module.so'};\n"
    http = HTTP.format(dir=rig.dir, few=few, many=few, cached=CACHED, **ports)
    http += f"server {{ listen 127.0.0.1:{ports['app']}; location / {{ return 200 answer; }} }}"
    with open(rig.path('gateway.conf'), 'w', encoding='ascii') as out:
        out.write(NGINX.format(dir=rig.dir, name='gateway', http=http, top=top, workers=1,
                               master='off'))
    worker = Server(rig, 'gateway', [
        program('valgrind'), '--tool=callgrind', f"--callgrind-out-file={rig.path('calls')}",
        program('nginx'), '-p', rig.dir, '-c', rig.path('gateway.conf'), '-e', 'stderr'])
    until('nginx', lambda: ask(ports['off'], 'GET', '/page')[0] == 200, worker, 120)
    return worker


def show(title, side, base, lines):
    added = {n: side.get(n, 0) - base.get(n, 0) for n in side.keys() | base.keys()}
    print(f'\n{title}: {sum(added.values()):,.0f} more than {sum(base.values()):,.0f}')
    for name, count in sorted(added.items(), key=lambda x: -abs(x[1]))[:lines]:
        if abs(count) >= 1:
            print(f'  {count:8,.0f}  {name}')


def main():
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with Rig(sys.argv[1], False) as rig:
        few = Daemon(rig, name='few', data=rig.memory('few.data'))
        tokens = [c.split('=')[1] for c in few.fill(FEW, FEW, 0, FEW, slots=DEFAULT_SLOTS)]
        few.start()
        ports = {n: free_port() for n in ('off', 'on', 'on_many', 'optional', 'app', 'node')}
        worker = gateway(rig, few, ports)
        one = [f'{OTHERS}id={tokens[0]}']
        many = [f'{OTHERS}id={t}' for t in tokens]
        foreign = [f'{OTHERS}xd={tokens[0]}']
        false = [f'{OTHERS}id={t}' for t in invented(tokens)]
        sides = {'off': (ports['off'], '/page', one, (200,)),
                 'one': (ports['on'], '/page', one, (200,)),
                 'few': (ports['on'], '/page', many, (200,)),
                 'absent': (ports['optional'], '/page', foreign, (200,)),
                 'invented': (ports['optional'], '/page', false, (200,)),
                 'app_off': (ports['off'], '/app/page', one, (200,)),
                 'app_on': (ports['on'], '/app/page', one, (200,))}
        out = {n: counted(rig, worker, i + 1, s) for i, (n, s) in enumerate(sides.items())}
        show('the same session again on its connection', out['one'], out['off'], lines)
        show('another session each time', out['few'], out['off'], lines)
        show('no cookie of ours', out['absent'], out['off'], lines)
        show('an invented cookie', out['invented'], out['off'], lines)
        show('proxied', out['app_on'], out['app_off'], lines)


main()
