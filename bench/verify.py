# SPDX-License-Identifier: Apache-2.0
"""The session check over HTTP: beside nginx, behind nginx, beside express and Apache."""
import os
import re
import subprocess

from daemon import Daemon
from report import Row, us
from rig import (CONNECTIONS, ROOT, SERVER_CORE, Missing, Server, ask, free_port, get, median,
                 program, until)

NGINX = '''{top}daemon off;
worker_processes {workers};
master_process {master};
error_log stderr error;
pid {dir}/{name}.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
{http}
}}
'''

# The same questions to both: only who answers differs. Content comes from nginx itself.
ASKING = '''
    upstream answers_{n} {{ server {server}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location = /_ask {{
            internal;
            proxy_pass http://answers_{n}/auth/verify;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Original-Host $http_host;
        }}
        location / {{
            auth_request /_ask;
            auth_request_set $auth_user $upstream_http_x_auth_user;
            auth_request_set $auth_roles $upstream_http_x_auth_roles;
            auth_request_set $auth_cookie $upstream_http_set_cookie;
            add_header Set-Cookie $auth_cookie always;
            {content}
        }}
    }}'''


def nginx(rig, name, http, top='', workers=1, core=SERVER_CORE, master=None, **more):
    """One process; several workers have a master, too. more: as Server() takes it."""
    path = rig.path(f'{name}.conf')
    with open(path, 'w', encoding='ascii') as out:
        out.write(NGINX.format(dir=rig.dir, name=name, http=http, top=top, workers=workers,
                               master=master or ('on' if workers > 1 else 'off')))
    return Server(rig, name, [program('nginx'), '-p', rig.dir, '-c', path, '-e', 'stderr'], core,
                  **more)


def version(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r'\d+\.\d+[\w.]*', done.stdout + done.stderr)
    return found.group(0) if found else ''


def beside_nginx(rig):
    """GET /auth/verify on one core, and nginx's `return 204` on the same core."""
    title = 'GET /auth/verify, CPU per request'
    try:
        port = free_port()
        peer = nginx(rig, 'nginx', f'server {{ listen 127.0.0.1:{port}; '
                                   'location = /auth/verify { return 204; } }')
    except Missing as why:
        return [Row(title, goal='<= 1.0', note=str(why))]
    until('nginx', lambda: ask(port, 'GET', '/auth/verify')[0] == 204, peer)
    daemon = Daemon(rig).start()
    requests = [daemon.verify(daemon.session())]
    ours, theirs = [], []
    for _ in range(7):
        ours.append(rig.cost([daemon.server], daemon.port, requests, 1.5))
        theirs.append(rig.cost([peer], port, requests, 1.5))
    a, b = median([r['cpu_us'] for r in ours]), median([r['cpu_us'] for r in theirs])
    ratio = median([x['cpu_us'] / y['cpu_us'] for x, y in zip(ours, theirs)])
    rates = [median([r['rate'] for r in x]) for x in (ours, theirs)]
    return [Row(title, us(a), 'nginx `return 204`', us(b), ratio, '<= 1.0', ratio <= 1,
                f'requests a second: {rates[0]:,.0f} and {rates[1]:,.0f}; '
                f'{CONNECTIONS} keep-alive connections')]


def behind_nginx(rig):
    """Throughput of a gateway that asks the daemon, and of one that asks a location of nginx."""
    title = 'behind nginx auth_request, requests a second'
    ports = [free_port(), free_port()]
    daemon = Daemon(rig).start()
    socket = rig.path('plain.sock')
    try:
        answers = nginx(rig, 'plain', f'server {{ listen unix:{socket}; '
                                      'location = /auth/verify { return 204; } }')
        gateway = nginx(rig, 'gateway', ''.join(
            ASKING.format(n=n, port=ports[n], server=f'unix:{s}', content='empty_gif;')
            for n, s in enumerate((daemon.socket, socket))))
    except Missing as why:
        return [Row(title, goal='>= 0.98', note=str(why))]
    request = get('/', daemon.session(), f'localhost:{daemon.port}')
    for server, port in ((gateway, ports[0]), (answers, ports[1])):
        until(server.name, lambda p=port: ask(p, 'GET', '/', headers={
            'Cookie': request.split('Cookie: ')[1].split('\r\n')[0]})[0] == 200, server)
    rates = [[], []]
    for _ in range(7):
        for n in (0, 1):
            out = rig.load(ports[n], [request], 1.5)
            rates[n].append(out['count'] / out['seconds'])
    ours, theirs = median(rates[0]), median(rates[1])
    ratio = median([a / b for a, b in zip(*rates)])
    return [Row(title, f'{ours:,.0f}', 'nginx `return 204` in its place', f'{theirs:,.0f}', ratio,
                '>= 0.98', ratio >= 0.98, 'Unix socket, keep-alive; gateway and who answers it on '
                'one core')]


def express(rig, redis):
    """express with express-session; (servers, port, cookie)"""
    node, script = program('node'), ROOT / 'bench/node/server.js'
    if not (ROOT / 'bench/node/node_modules').is_dir():
        raise Missing('its packages are not installed (scripts/setup bench)')
    servers, argv, port = [], [], free_port()
    if redis:
        socket = rig.path('redis.sock')
        servers.append(Server(rig, 'redis', [
            program('redis-server'), '--port', '0', '--unixsocket', socket, '--save', '',
            '--appendonly', 'no', '--dir', rig.dir]))
        until('redis', lambda: subprocess.run(
            [program('redis-cli'), '-s', socket, 'ping'], capture_output=True,
            check=False).stdout == b'PONG\n', servers[0])
        argv = [socket]
    servers.append(Server(rig, 'redis-express' if redis else 'express',
                          [node, script, port, *argv], env={'NODE_ENV': 'production',
                                                            'PATH': '/usr/bin:/bin'}))
    until('express', lambda: ask(port, 'GET', '/auth/verify')[0] == 401, servers[-1])
    _, headers, _ = ask(port, 'POST', '/login')
    return servers, port, headers['Set-Cookie'].split(';')[0]


APACHE = '''ServerRoot {dir}
PidFile {dir}/apache.pid
Listen 127.0.0.1:{port}
ServerName localhost
ErrorLog {dir}/apache-error.log
DefaultRuntimeDir {dir}
{modules}
{user}ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
EnableSendfile Off
DocumentRoot {dir}/www
<Directory {dir}/www>
    AllowOverride None
    Require all denied
</Directory>
Session On
SessionMaxAge 43200
SessionExpiryUpdateInterval 300
SessionCookieName id path=/;HttpOnly
SessionCryptoPassphrase benchmark-of-the-day
<Location />
    AuthFormProvider file
    AuthUserFile {dir}/htpasswd
    AuthType form
    AuthName realm
    # The quickest that it can do: no look-up of the password at each request.
    AuthFormSitePassphrase another-one-of-the-day
</Location>
<Location /login>
    SetHandler form-login-handler
    Require all granted
</Location>
<Location /auth/verify>
    Require valid-user
</Location>
<Location /plain>
    Session Off
    Require all granted
</Location>
'''

APACHE_MODULES = ('mpm_event', 'authn_core', 'authn_file', 'authz_core', 'authz_user',
                  'auth_form', 'request', 'session', 'session_cookie', 'session_crypto')


def apache(rig):
    """mod_auth_form with the session in an encrypted cookie; (servers, port, cookie)"""
    binary, port, folder = program('apache2', 'httpd'), free_port(), '/usr/lib/apache2/modules'
    with open(rig.path('apache.conf'), 'w', encoding='ascii') as out:
        out.write(APACHE.format(
            dir=rig.dir, port=port,
            user='User www-data\nGroup www-data\n' if os.geteuid() == 0 else '',
            modules='\n'.join(f'LoadModule {m}_module {folder}/mod_{m}.so'
                              for m in APACHE_MODULES)))
    rig.dir.joinpath('www/auth').mkdir(parents=True)
    for name in ('auth/verify', 'plain'):
        rig.dir.joinpath('www', name).write_text('ok\n', encoding='ascii')
    rig.dir.joinpath('htpasswd').write_text(
        'alice:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n', encoding='ascii')  # 123456
    rig.dir.chmod(0o755)  # its worker is another user
    server = Server(rig, 'apache', [binary, '-DFOREGROUND', '-f',
                                    rig.path('apache.conf')])
    until('apache', lambda: ask(port, 'GET', '/auth/verify')[0] in (200, 401, 403), server)
    _, headers, _ = ask(port, 'POST', '/login', 'httpd_username=alice&httpd_password=123456',
                        {'Content-Type': 'application/x-www-form-urlencoded'})
    if 'Set-Cookie' not in headers:
        raise RuntimeError('apache: no session cookie')
    return [server], port, headers['Set-Cookie'].split(';')[0]


def peers(rig):
    """The same check in express and in Apache, and in the daemon, in turn."""
    daemon = Daemon(rig).start()
    wanted = {
        'express-session, Redis': (lambda: express(rig, True), '>= 15', 15),
        'express-session, MemoryStore': (lambda: express(rig, False), '', None),
        'Apache mod_session_crypto': (lambda: apache(rig), '', None),
    }
    running, rows, results = {}, [], {}
    for name, (start, goal, _) in wanted.items():
        try:
            servers, port, cookie = start()
            running[name] = (servers, port, [get('/auth/verify', cookie)])
        except Missing as why:
            rows.append(Row('session check, CPU per request', peer=name, goal=goal, note=str(why)))
    running['ours'] = ([daemon.server], daemon.port, [daemon.verify(daemon.session())])
    for name, (servers, port, requests) in running.items():
        rig.load(port, requests, 2 if 'express' in name else 0.3)  # let compilers settle
        results[name] = []
    for _ in range(5):
        for name, (servers, port, requests) in running.items():
            results[name].append(rig.cost(servers, port, requests, 1.5)['cpu_us'])
    ours = median(results['ours'])
    for name, (_, goal, least) in wanted.items():
        if name not in running:
            continue
        ratio = median([b / a for a, b in zip(results['ours'], results[name])])
        rows.append(Row('session check, CPU per request', us(ours), name, us(median(results[name])),
                        ratio, goal, None if least is None else ratio >= least,
                        'Redis counted with express' if 'Redis' in name else '', 'times'))
    return rows


STEPS = (beside_nginx, behind_nginx, peers)


def versions():
    found = []
    for name, argv in (('nginx', ['nginx', '-v']), ('Node.js', ['node', '--version']),
                       ('Redis', ['redis-server', '--version']), ('Apache', ['apache2', '-v'])):
        try:
            found.append(f'{name} {version(program(argv[0]), *argv[1:])}')
        except Missing:
            continue
    return found
