# SPDX-License-Identifier: Apache-2.0
"""A daemon of our own for a measurement, and what it is asked."""
import json
import os

from rig import Server, ask, free_port, get, until

USER, PASSWORD = 'mara', 'violet kettle ramp 93'


class Daemon:
    """coatcheck serve, in a folder of the rig; fill() may put sessions there first. Its audit log
    is in memory: it is synced before some answers, and what a disk takes for that says nothing
    about us."""

    def __init__(self, rig, core=0, threads=1, config='', name='coatcheck', data=None):
        self.rig, self.core, self.name = rig, core, name
        self.port = free_port()
        self.data, self.run = data or rig.path(name), rig.memory(f'{name}.run')
        for path in (self.data, self.run):
            os.makedirs(path, mode=0o700)
        self.admin, self.socket = f'{self.run}/admin.sock', f'{self.run}/http.sock'
        self.gate, self.table = f'{self.run}/gate.sock', f'{self.run}/table'
        self.file = rig.path(f'{name}.yaml')
        with open(self.file, 'w', encoding='ascii') as out:
            out.write(f'''data:
  directory: {self.data}
runtime:
  directory: {self.run}
listeners:
  - address: 127.0.0.1:{self.port}
  - address: unix:{self.socket}
    dialect: nginx
    mode: "0600"
  - address: unix:{self.gate}
    dialect: module
    mode: "0600"
server:
  allow-root: true
  threads: {threads}
public:
  origins: [http://localhost:{self.port}]
cookie:
  name: id
  secure: false
  allow-plaintext: true
log:
  target: file:{rig.memory(name + '.audit')}
session:
  per-user: 0
{config}''')
        self.server = None
        self.environment = None  # of bench_fill, for another store than that in the folder

    def fill(self, sessions, users, age_s=0, tokens=1, name='user', slots=0):
        """Sessions made before it starts; returns cookies of some of them. With slots they are in
        the node table, and config has to say as many."""
        table = [self.table, slots] if slots else []
        out = self.rig.run([self.rig.tool('bench_fill'), self.data, sessions, users, age_s,
                            tokens, name, *table], timeout=1200,
                           env=self.environment)
        return [f'id={line}' for line in out.split('\n') if line and line[0] != '#']

    def start(self):
        self.server = Server(self.rig, self.name,
                             [self.rig.build / 'src/cli/coatcheck', 'serve', '--config',
                              self.file], self.core)
        until('the daemon', lambda: ask(self.admin, 'GET', '/v1/ready')[0] == 200, self.server, 60)
        return self

    def post(self, path, fields):
        status, _, body = ask(self.admin, 'POST', path, json.dumps(fields),
                              {'Content-Type': 'application/json'})
        if status not in (200, 201, 204):
            raise RuntimeError(f'{path}: {status} {body.decode()}')
        return json.loads(body) if body else {}

    def session(self, user=USER):
        """A new session; its cookie as a browser sends it."""
        made = self.post('/v1/sessions', {'user': user, 'roles': ['user', 'editor'],
                                          'methods': ['pwd']})
        return made['set_cookie'].split(';')[0]

    def verify(self, cookie):
        return get('/auth/verify', cookie, f'localhost:{self.port}')
