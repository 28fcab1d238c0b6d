# SPDX-License-Identifier: Apache-2.0
"""What all measurements share: processes that end with us, their CPU time, load, medians."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVER_CORE, LOAD_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
CONNECTIONS = 32


class Missing(Exception):
    """Something that a measurement needs is not on this machine: its rows say so."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def program(*names):
    """Path of the first of these programs that is installed."""
    for name in names:
        path = shutil.which(name) or shutil.which(name, path='/usr/sbin:/sbin:/usr/local/sbin')
        if path:
            return path
    raise Missing(f'{names[0]} is not installed')


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core} if isinstance(core, int) else core)


class Server:
    """A server process with its children. Ends with the rig; what it says goes into a file."""

    def __init__(self, rig, name, argv, core=SERVER_CORE, **more):
        self.name = name
        self.log = rig.path(f'{name}.log')
        with open(self.log, 'ab') as out:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=pinned(core), **more)
        rig.stack.callback(self.stop)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def check(self):
        if self.process.poll() is not None:
            with open(self.log, encoding='utf8', errors='replace') as text:
                raise RuntimeError(f'{self.name} ended: {text.read()[-800:]}')

    def family(self):
        """Its process id and those of its children."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(FileNotFoundError):
                for task in os.listdir(f'/proc/{pid}/task'):
                    with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as f:
                        todo += [int(c) for c in f.read().split()]
        return found

    def cpu_s(self):
        """User and system time that it and its children have taken."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(FileNotFoundError):
                with open(f'/proc/{pid}/stat', encoding='ascii') as f:
                    fields = f.read().rsplit(')', 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / os.sysconf('SC_CLK_TCK')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(target, method, path, body=None, headers=None, connection=None):
    """One request; (status, headers, body). target: a port or the path of a Unix socket."""
    own = connection is None
    if own:
        connection = (UnixConnection(target) if isinstance(target, str)
                      else http.client.HTTPConnection('127.0.0.1', target, timeout=60))
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        if own:
            connection.close()


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def until(what, probe, server=None, seconds=20):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if probe():
                return
        if server:
            server.check()
        if time.monotonic() > end:
            raise RuntimeError(f'{what}: nothing after {seconds} s')
        time.sleep(0.05)


def median(values):
    return statistics.median(values)


class Rig:
    """Folder, processes and settings of one run."""

    def __init__(self, build, full):
        self.build = pathlib.Path(build).resolve()
        self.full = full
        self.stack = contextlib.ExitStack()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='coat-bench-'))
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self.tmpfs = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def part(self):
        """A rig for one measurement: what it starts ends with it."""
        return Rig(self.build, self.full)

    def path(self, *names):
        return str(self.dir.joinpath(*names))

    def memory(self, *names):
        """The same, on tmpfs where there is one."""
        if not os.access('/dev/shm', os.W_OK):
            return self.path(*names)
        if not self.tmpfs:
            self.tmpfs = tempfile.mkdtemp(prefix='coat-bench-', dir='/dev/shm')
            self.stack.callback(shutil.rmtree, self.tmpfs, ignore_errors=True)
        return os.path.join(self.tmpfs, *names)

    def tool(self, name):
        return str(self.build / 'bench' / name)

    def run(self, argv, core=None, stdin=None, timeout=300, statuses=(0,), env=None):
        done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True,
                              timeout=timeout, check=False, env=env,
                              preexec_fn=pinned(core) if core is not None else None)
        if done.returncode not in statuses or (done.returncode and not done.stdout):
            raise RuntimeError(f'{argv[0]}: {done.stderr.decode(errors="replace")[-800:]}')
        return done.stdout.decode()

    def load(self, target, requests, seconds, rate=0, connections=CONNECTIONS, core=LOAD_CORE,
             reconnect=False):
        """bench_load's report as a dict. target: port or path; reconnect: it may close."""
        where = target if isinstance(target, str) else f'127.0.0.1:{target}'
        out = json.loads(self.run(
            [self.tool('bench_load'), where, connections, seconds, rate]
            + ['reconnect'] * reconnect, core=core,
            stdin=''.join(requests).encode()))
        if out['good'] != out['count']:
            raise RuntimeError(f"{where}: {out['count'] - out['good']} of {out['count']} answers "
                               f"were not 2xx ({out['other_status']})")
        return out

    def cost(self, servers, target, requests, seconds):
        """Microseconds of CPU that servers take for one request."""
        before = sum(s.cpu_s() for s in servers)
        out = self.load(target, requests, seconds)
        out['cpu_us'] = (sum(s.cpu_s() for s in servers) - before) * 1e6 / out['count']
        out['rate'] = out['count'] / out['seconds']
        return out


def get(path, cookie=None, host='localhost', more=''):
    """A GET as browsers send it, as far as servers here look at it."""
    line = f'Cookie: {cookie}\r\n' if cookie else ''
    return (f'GET {path} HTTP/1.1\r\nHost: {host}\r\n'
            'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n'
            'Accept: */*\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n'
            f'{line}{more}\r\n')


def page(path, cookies, host):
    """All that Firefox sends when somebody follows a link."""
    return (f'GET {path} HTTP/1.1\r\nHost: {host}\r\n'
            'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n'
            'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,'
            'image/png,image/svg+xml,*/*;q=0.8\r\n'
            'Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n'
            f'Referer: http://{host}/\r\nConnection: keep-alive\r\nCookie: {cookies}\r\n'
            'Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n'
            'Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\n'
            'Priority: u=0, i\r\n\r\n')
