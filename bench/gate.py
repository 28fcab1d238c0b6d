# SPDX-License-Identifier: Apache-2.0
"""The nginx module: what it adds to a request, and how soon a sign-out is heeded."""
import dataclasses
import json
import os
import secrets
import statistics

from daemon import Daemon
from pressure import BOTH, metric
from report import Row, us
from rig import (CONNECTIONS, LOAD_CORE, ROOT, Missing, Server, ask, free_port, median, page,
                 program, until)
from verify import ASKING, apache, nginx

PAGE_BYTES = 4000
FEW, SESSIONS, SPREAD, SLOTS = 1000, 1000000, 200000, 2000000
DEFAULT_SLOTS = 131072
PROCESSES = 4  # of the gateway, one after another: where one happens to lie in memory is luck
OTHERS = 'theme=dark; _ga=GA1.1.1733742113.1755862013; '
MARK = '@' * 54
CACHED = 'proxy_http_version 1.1; proxy_set_header Connection "";'

# Everything in one process; a server that says nothing of coatcheck is one without it.
HTTP = '''
    sendfile on;
    tcp_nopush on;
    root {dir}/www;
    coatcheck_table {few.table};
    coatcheck_daemon unix:{few.gate};
    coatcheck_cookie id;
    upstream app {{ server 127.0.0.1:{app}; keepalive 64; keepalive_requests 1000000000; }}
    upstream node {{ server 127.0.0.1:{node}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{off};
        location / {{ }}
        location /app/ {{ proxy_pass http://app; {cached} }}
        location /node/ {{ proxy_pass http://node; {cached} }}
    }}
    server {{
        listen 127.0.0.1:{on};
        coatcheck on;
        location / {{ }}
        location /app/ {{ proxy_pass http://app; {cached} }}
        location /node/ {{ proxy_pass http://node; {cached} }}
    }}
    server {{
        listen 127.0.0.1:{on_many};
        coatcheck on;
        coatcheck_table {many.table};
        coatcheck_daemon unix:{many.gate};
        location / {{ }}
    }}
    server {{
        listen 127.0.0.1:{optional};
        coatcheck optional;
        location / {{ }}
    }}
'''


@dataclasses.dataclass
class Side:
    """One side of a comparison; servers are those whose time is counted."""
    servers: list
    port: int
    path: str = '/page'
    cookies: str = f'{OTHERS}id={MARK}'
    tokens: str = 'few'
    slice: int = 2000
    connections: int = CONNECTIONS
    fresh: bool = False  # each token is asked for when it is measured, never before


def turns(rig, sides, rounds):
    """CPU and rate of each side, round by round."""
    plan = []
    for name, side in sides.items():
        request = rig.path(f'{name}.request')
        with open(request, 'w', encoding='ascii') as out:
            out.write(page(side.path, side.cookies, f'127.0.0.1:{side.port}'))
        pids = ','.join(str(p) for s in side.servers for p in s.family())
        tokens = '-'
        if MARK in side.cookies:
            tokens = ('+' if side.fresh else '') + rig.path(f'{side.tokens}.tokens')
        plan.append(f'{name} 127.0.0.1:{side.port} {side.connections} {side.slice} {request} '
                    f'{tokens} {pids}\n')
    return json.loads(rig.run([rig.tool('bench_turns'), rounds], core=LOAD_CORE,
                              stdin=''.join(plan).encode(), timeout=900))


def write_tokens(rig, name, tokens):
    with open(rig.path(f'{name}.tokens'), 'w', encoding='ascii') as out:
        out.writelines(f'{t}\n' for t in tokens)


def invented(real):
    """As long as a real one, in its form, and never issued: another secret, the same tag."""
    return [t[:22] + secrets.token_urlsafe(15) + t[42:] for t in real]


def added(out, side, base):
    """(median, lower and upper quartile) of the microseconds that side takes more than base."""
    more = [a - b for a, b in zip(out[side]['cpu_us'], out[base]['cpu_us'])]
    low, middle, high = statistics.quantiles(more, n=4)
    return middle, low, high


def spread(low, high):
    return f'half of the rounds between {us(low)} and {us(high)}'


def busy(out, side):
    return median([c * r / 1e4 for c, r in zip(out[side]['cpu_us'], out[side]['rate'])])


def beside(out, title, side, base, peer, rate_goal, cpu_goal=None):
    """Requests a second with and without, and the CPU that is added."""
    rates = [median(out[s]['rate']) for s in (side, base)]
    ratio = median([a / b for a, b in zip(out[side]['rate'], out[base]['rate'])])
    cpu, low, high = added(out, side, base)
    rows = [Row(f'{title}, requests a second', f'{rates[0]:,.0f}', peer, f'{rates[1]:,.0f}', ratio,
                f'>= {rate_goal}', ratio >= rate_goal,
                f'its core {busy(out, side):.0f} % and {busy(out, base):.0f} % busy')]
    row = Row(f'{title}, CPU added', us(cpu), note=f'to {us(median(out[base]["cpu_us"]))}; '
              + spread(low, high))
    if cpu_goal:
        row.goal, row.met = f'<= {cpu_goal} us', cpu <= cpu_goal
    return rows + [row]


def hops(out):
    """What asking another process adds to the same page, and what checking in Apache adds."""
    ours = added(out, 'few', 'off')[0]
    rows, costs = [], {}
    for side, peer in (('daemon', '`auth_request` to coatcheck, Unix socket'),
                       ('unix', '`auth_request` to nginx `return 204`, Unix socket'),
                       ('tcp', '`auth_request` to nginx `return 204`, TCP')):
        costs[side], low, high = added(out, side, 'off')
        rows.append(Row('CPU added to a request', us(ours), peer, us(costs[side]),
                        costs[side] / ours, note=spread(low, high), unit='times'))
    cheapest = min(costs['unix'], costs['tcp'])
    row = next(r for r in rows if r.theirs == us(cheapest))
    row.goal, row.met = '>= 15', cheapest / ours >= 15
    if 'apache' in out:
        cost, low, high = added(out, 'apache', 'apache_plain')
        rows.append(Row('CPU added to a request', us(ours), 'Apache mod_session_crypto', us(cost),
                        cost / ours, note=f'to its own {us(median(out["apache_plain"]["cpu_us"]))} '
                        'without', unit='times'))
    else:
        rows.append(Row('CPU added to a request', us(ours), 'Apache mod_session_crypto',
                        note='it is not installed'))
    return rows


def report(out):
    rows = beside(out, 'nginx, 1,000 sessions', 'few', 'off', 'without the module', 0.98, 0.5)
    rows += beside(out, f'nginx, {SPREAD:,} of 10^6 sessions in turn', 'many', 'off',
                   'without the module', 0.95, 0.9)
    rows += beside(out, 'nginx, proxied', 'app_on', 'app_off', 'without the module', 0.96)
    if 'node_on' in out:
        rows += beside(out, 'nginx, proxied to an application in Node.js', 'node_on', 'node_off',
                       'without the module', 0.96)
    cost, low, high = added(out, 'invented', 'absent')
    rows.append(Row('nginx, an invented cookie, refused', us(cost), goal='<= 0.15 us',
                    met=cost <= 0.15, note='more than the same request whose cookie is another\'s; '
                    f'the module does {us(added(out, "absent", "off")[0])} for that; '
                    + spread(low, high)))
    return rows + hops(out)


def load_module(rig):
    module = rig.build / 'nginx/ngx_http_coatcheck_module.so'
    if not module.exists():
        raise Missing('the module was not built (nginx-dev)')
    return f'load_module {module};\n'


def start_others(rig, few):
    """Who is asked by the gateway: (application, who answers 204, ports, configuration)"""
    ports = {name: free_port() for name in ('off', 'on', 'on_many', 'optional', 'app', 'node',
                                            'tcp', 'a0', 'a1', 'a2')}
    socket = rig.path('answers.sock')
    app = nginx(rig, 'app', f'''server {{ listen 127.0.0.1:{ports['app']};
        location / {{ return 200 "{'an answer of the application ' * 20}"; }} }}''')
    answers = nginx(rig, 'answers', f'''server {{ listen unix:{socket};
        listen 127.0.0.1:{ports['tcp']}; location = /auth/verify {{ return 204; }} }}''')
    asking = ''.join(
        ASKING.format(n=n, port=ports[f'a{n}'], server=server, content='')
        for n, server in enumerate((f'unix:{few.socket}', f'unix:{socket}',
                                    f"127.0.0.1:{ports['tcp']}")))
    until('nginx', lambda: ask(ports['app'], 'GET', '/')[0] == 200, app)
    until('nginx', lambda: ask(ports['tcp'], 'GET', '/auth/verify')[0] == 204, answers)
    return app, answers, ports, asking


def start_gateway(rig, few, many, ports, asking):
    rig.dir.joinpath('www').mkdir(exist_ok=True)
    rig.dir.joinpath('www/page').write_text('p' * PAGE_BYTES, encoding='ascii')
    gateway = nginx(rig, 'gateway', HTTP.format(dir=rig.dir, few=few, many=many, cached=CACHED,
                                                **ports) + asking, load_module(rig))
    until('nginx', lambda: ask(ports['off'], 'GET', '/page')[0] == 200, gateway)
    return gateway


def sides_of(few, gateway, app, answers, ports):
    return {
        'off': Side([gateway], ports['off'], slice=8 * FEW),
        'few': Side([gateway], ports['on'], slice=8 * FEW),
        'many': Side([gateway], ports['on_many'], tokens='many', slice=8 * FEW),
        'absent': Side([gateway], ports['optional'], cookies=f'{OTHERS}xd={MARK}', slice=8 * FEW),
        'invented': Side([gateway], ports['optional'], tokens='invented', slice=8 * FEW),
        'app_off': Side([gateway, app], ports['off'], '/app/page'),
        'app_on': Side([gateway, app], ports['on'], '/app/page'),
        'daemon': Side([gateway, few.server], ports['a0']),
        'unix': Side([gateway, answers], ports['a1']),
        'tcp': Side([gateway, answers], ports['a2']),
    }


def start_node(rig, ports):
    """An application that costs something, though it does nothing; or None."""
    try:
        node = program('node')
    except Missing:
        return None
    app = Server(rig, 'app-node', [node, ROOT / 'bench/node/app.js', ports['node']],
                 env={'NODE_ENV': 'production', 'PATH': '/usr/bin:/bin'})
    until('the application', lambda: ask(ports['node'], 'GET', '/')[0] == 200, app)
    return app


def node_sides(gateway, app, ports):
    return {f'node_{side}': Side([gateway, app], ports[side], '/node/page', slice=500)
            for side in ('off', 'on')} if app else {}


def apache_sides(rig):
    try:
        servers, port, cookie = apache(rig)
    except Missing:
        return {}
    return {'apache': Side(servers, port, '/auth/verify', OTHERS + cookie, slice=50),
            'apache_plain': Side(servers, port, '/plain', OTHERS + cookie, slice=500)}


def add_rounds(out, more):
    for name, lists in more.items():
        for key, values in lists.items():
            out.setdefault(name, {}).setdefault(key, []).extend(values)


def filled(rig, name, sessions, tokens, slots, config=''):
    """A daemon whose sessions are in the node table; some of their tokens are in a file."""
    daemon = Daemon(rig, config=config, name=name, data=rig.memory(f'{name}.data'))
    cookies = daemon.fill(sessions, max(1, sessions // 5), 0, tokens, slots=slots)
    found = [c.split('=')[1] for c in cookies]
    write_tokens(rig, name, found)
    return daemon.start(), found


def in_nginx(rig):
    """Everything side by side in one run, slice by slice."""
    few, tokens = filled(rig, 'few', FEW, FEW, DEFAULT_SLOTS)
    many, _ = filled(rig, 'many', SESSIONS, SPREAD, SLOTS, f'table:\n  slots: {SLOTS}\n')
    write_tokens(rig, 'invented', invented(tokens))
    try:
        load_module(rig)
        app, answers, ports, asking = start_others(rig, few)
    except Missing as why:
        return [Row('what the nginx module adds', note=str(why))]
    out, peers, node = {}, apache_sides(rig), start_node(rig, ports)
    for _ in range(PROCESSES):
        gateway = start_gateway(rig, few, many, ports, asking)
        sides = sides_of(few, gateway, app, answers, ports) | peers
        sides |= node_sides(gateway, node, ports)
        add_rounds(out, turns(rig, sides, 25 if rig.full else 10))
        gateway.stop()
    asked = sum(metric(d, 'coatcheck_slow_checks_total') for d in (few, many))
    if asked > FEW / 100:
        raise RuntimeError(f'{asked:.0f} sessions were not to be had from the table')
    return report(out)


REVOKED = '''
    coatcheck_table {daemon.table};
    coatcheck_daemon unix:{daemon.gate};
    coatcheck_cookie id;
    server {{
        listen 127.0.0.1:{port} reuseport;
        coatcheck on;
        add_header X-Worker $pid always;
        add_header X-Source $coatcheck_source always;
        location / {{ empty_gif; }}
    }}
'''


def late(rig):
    """Sign-outs, and what every worker says of the session from then on."""
    trials, workers, port = 100000 if rig.full else 20000, 2, free_port()
    daemon = Daemon(rig, BOTH, 2, data=rig.memory('data'))
    write_tokens(rig, 'revoked', [c.split('=')[1] for c in
                                  daemon.fill(trials, trials, 0, trials)])
    daemon.start()
    try:
        gateway = nginx(rig, 'gateway', REVOKED.format(daemon=daemon, port=port), load_module(rig)
                        + ('user root;\n' if os.geteuid() == 0 else ''), workers, BOTH)
    except Missing as why:
        return [Row('sign-outs, accepted late', note=str(why))]
    until('nginx', lambda: ask(port, 'GET', '/')[0] == 401, gateway)
    with open(rig.path('revoked.request'), 'w', encoding='ascii') as out:
        out.write(page('/', f'{OTHERS}id={MARK}', f'127.0.0.1:{port}'))
    out = rig.run([rig.tool('bench_revoke'), f'127.0.0.1:{port}', workers, daemon.admin,
                   f'127.0.0.1:{daemon.port}', f'localhost:{daemon.port}',
                   rig.path('revoked.request'), rig.path('revoked.tokens')], timeout=900,
                  statuses=(0, 1))
    out = json.loads(out)
    first, last = out['first_us'], out['all_us']
    rows = [Row('sign-outs, accepted late by any worker', f"{out['late']:,}", goal='0',
                met=out['late'] == 0, wrong=out['late'] > 0,
                note=f"{out['trials']:,} sign-outs by page and by admin socket, {workers} workers "
                'asked without a pause')]
    if out['late']:
        return rows
    return rows + [
        Row('from an acknowledged sign-out to the first refusal', us(first['p50']),
            note=f"half of them; 99 % {us(first['p99'])}, longest {us(first['max'])}; "
            f"{out['early'] / out['trials']:.0%} were refused before the acknowledgement came, "
            'and count as 0'),
        Row('from it to a refusal by every worker', us(last['p50']),
            note=f"half of them; 99 % {us(last['p99'])}, longest {us(last['max'])}; with the "
            "requests that were under way, and the daemon's answer"),
    ]


STEPS = (in_nginx, late)
