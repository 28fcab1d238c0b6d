# SPDX-License-Identifier: Apache-2.0
"""Redis, PostgreSQL and memcached servers of a measurement's own, on Unix sockets."""
import glob
import os
import pwd
import re
import shutil
import socket
import subprocess

from rig import SERVER_CORE, Missing, Server, free_port, program, until


def say(path, text, last):
    """What a server answers on a Unix socket, up to and with `last`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(text.encode())
        heard = b''
        while not heard.endswith(last):
            part = s.recv(65536)
            if not part:
                break
            heard += part
    return heard.decode()


class Store:
    """What all have: server, URL, and the lines of configuration of a daemon that uses it."""
    name = ''
    module = None  # that it is in, if it is not called as itself

    def __init__(self, rig):
        self.modules = str(rig.build / 'src/store')
        self.rig = rig
        module = self.module or self.name
        if not os.path.exists(f'{self.modules}/store-{module}.so'):
            raise Missing(f'store-{module} was not built')

    def config(self):
        return f'store:\n  url: {self.url}\n  modules: {self.modules}\n'

    def environment(self):
        """For bench_fill."""
        return {**os.environ, 'COAT_BENCH_STORE': self.url, 'COAT_BENCH_MODULES': self.modules}


class Redis(Store):
    name = 'redis'

    def __init__(self, rig, core=SERVER_CORE):
        super().__init__(rig)
        self.socket = rig.path('redis.sock')
        self.url = f'redis+unix:{self.socket}'
        self.server = Server(rig, 'redis', [
            program('redis-server'), '--port', '0', '--unixsocket', self.socket, '--save', '',
            '--appendonly', 'no', '--notify-keyspace-events', 'Egxe', '--dir', rig.dir], core)
        until('redis', lambda: say(self.socket, 'PING\r\n', b'\r\n') == '+PONG\r\n', self.server)

    def bytes(self):
        return int(re.search(r'used_memory:(\d+)', say(self.socket, 'INFO memory\r\n', b'\r\n\r\n')
                             or 'used_memory:0')[1])


class Cluster(Store):
    """Three primaries, on loopback."""
    name, module = 'redis+cluster', 'redis'
    PRIMARIES, SLOTS = 3, 16384

    def __init__(self, rig, core=SERVER_CORE):
        super().__init__(rig)
        ports = [free_port() for _ in range(2 * self.PRIMARIES)]
        self.url = 'redis+cluster://' + ','.join(f'127.0.0.1:{p}' for p in ports[::2])
        self.sockets = [rig.path(f'node{i}.sock') for i in range(self.PRIMARIES)]
        self.servers = []
        for i, node in enumerate(self.sockets):
            folder = rig.path(f'node{i}')
            os.mkdir(folder, 0o700)
            self.servers.append(Server(rig, f'redis-{i}', [
                program('redis-server'), '--port', ports[2 * i], '--bind', '127.0.0.1',
                '--unixsocket', node, '--cluster-enabled', 'yes', '--cluster-port',
                ports[2 * i + 1], '--save', '', '--appendonly', 'no', '--notify-keyspace-events',
                'Egxe', '--dir', folder], core))
            self.until(i, 'PING', '+PONG')
            first, last = (k * self.SLOTS // self.PRIMARIES for k in (i, i + 1))
            self.until(i, f'CLUSTER SET-CONFIG-EPOCH {i + 1}', '+OK')
            self.until(i, f'CLUSTER ADDSLOTSRANGE {first} {last - 1}', '+OK')
            for other in range(i):
                self.until(other, f'CLUSTER MEET 127.0.0.1 {ports[2 * i]} {ports[2 * i + 1]}', '+OK')
        for i in range(self.PRIMARIES):
            self.until(i, 'CLUSTER INFO', 'cluster_state:ok')

    def until(self, node, command, answer):
        until(command, lambda: answer in say(self.sockets[node], f'{command}\r\n', b'\r\n'),
              self.servers[node])


def postgres(name):
    """A program of the newest PostgreSQL that is installed."""
    found = sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'),
                   key=lambda p: int(p.split('/')[4]))
    return found[-1] if found else program(name)


class PostgreSQL(Store):
    """Durable as Debian sets it up, unless relaxed: then a commit does not wait for the disk."""
    name = 'postgresql'

    def __init__(self, rig, core=SERVER_CORE, relaxed=False):
        super().__init__(rig)
        self.dir = rig.memory('pg') if relaxed else rig.path('pg')
        self.url = f'postgresql+unix:{self.dir}?migrate=yes'
        root = os.geteuid() == 0  # which the server refuses
        self.user = {'user': pwd.getpwnam('nobody').pw_uid, 'group': 65534} if root else {}
        os.mkdir(self.dir, 0o755)
        for folder in (os.path.dirname(self.dir), self.dir):
            os.chmod(folder, 0o755)
        if root:
            shutil.chown(self.dir, 'nobody', 65534)
        self.command([postgres('initdb'), '--no-sync', '-E', 'UTF8', '--locale=C', '-A', 'trust',
                      '-U', 'postgres', '-D', f'{self.dir}/d'])
        self.server = Server(rig, 'postgres', [
            postgres('postgres'), '-D', f'{self.dir}/d', '-k', self.dir, '-c', 'listen_addresses=',
            '-c', 'shared_buffers=512MB', '-c', f'fsync={"off" if relaxed else "on"}'], core,
                             cwd=self.dir, **self.user)
        until('postgres', lambda: self.sql('SELECT 1', 'postgres') == '1', self.server)
        self.sql('CREATE ROLE coatcheck LOGIN', 'postgres')
        self.sql('CREATE DATABASE coatcheck OWNER coatcheck', 'postgres')

    def command(self, argv, core=None):
        return subprocess.run(
            [str(a) for a in argv], capture_output=True, text=True, check=True, cwd=self.dir,
            timeout=120, preexec_fn=None if core is None else
            lambda: os.sched_setaffinity(0, {core}), **self.user).stdout

    def sql(self, text, base='coatcheck'):
        try:
            return self.command([postgres('psql'), '-qAtX', '-h', self.dir, '-U', 'postgres', '-d',
                                 base, '-c', text]).strip()
        except subprocess.CalledProcessError:
            return ''

    def bytes(self):
        return int(self.sql(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON "
            "n.oid = c.relnamespace WHERE n.nspname = 'coatcheck' AND c.relkind = 'r'") or 0)


class Memcached(Store):
    """Accounts, which it keeps none of, are in LMDB."""
    name = 'memcached'

    def __init__(self, rig, core=SERVER_CORE, mib=4096):
        super().__init__(rig)
        self.socket = rig.path('memcached.sock')
        self.url = f'memcached+unix:{self.socket}'
        argv = [program('memcached'), '-s', self.socket, '-t', '1', '-m', mib]
        self.server = Server(rig, 'memcached',
                             argv + (['-u', 'root'] if os.geteuid() == 0 else []), core)
        until('memcached', lambda: say(self.socket, 'version\r\n', b'\r\n').startswith('VERSION'),
              self.server)

    def config(self):
        return super().config() + 'accounts:\n  url: lmdb:{data.directory}/accounts\n'

    def bytes(self):
        """What its slabs hold in use: an item takes its class's whole piece."""
        slabs = say(self.socket, 'stats slabs\r\n', b'END\r\n')
        sizes = dict(re.findall(r'STAT (\d+):chunk_size (\d+)', slabs))
        used = dict(re.findall(r'STAT (\d+):used_chunks (\d+)', slabs))
        return sum(int(sizes[c]) * int(n) for c, n in used.items())
