# SPDX-License-Identifier: Apache-2.0
"""Stores behind a network: look-ups beside the servers' own benchmarks, three instances over one
store, sign-outs heard by all of them, bytes of a session, and large changes under load."""
import csv
import io
import json
import os
import re
import time

from daemon import Daemon
from gate import MARK, Side, turns, write_tokens
from pressure import BOTH, ending, metric, swept
from report import Row, us
from rig import LOAD_CORE, SERVER_CORE, Missing, get, median, page, program
from servers import Cluster, Memcached, PostgreSQL, Redis, postgres
from verify import express

STORES = (Redis, PostgreSQL, Memcached)
TITLES = {'redis': 'Redis', 'redis+cluster': 'Redis Cluster', 'postgresql': 'PostgreSQL',
          'memcached': 'memcached'}
PIPELINE = 64  # requests under way; so many a connection of the PostgreSQL store takes
LOOK_UPS = 100000  # sessions there are
TURNS = 5
INSTANCES = 3
LEAST_OF_PEER, LEAST_OF_EMBEDDED, TIMES_EXPRESS, REVOKED_MS = 0.6, 0.95, 20, 5
SERIAL = '18bcfe5680000001'  # as in bench_lane.c, which see
LOAD_SQL = ('SELECT 1::bigint, s.address, s.version, s.expires_ms, s.value, s.epoch_owner,'
            ' s.epoch_global, coalesce(o.epoch, 0), g.epoch FROM coatcheck.state g'
            ' LEFT JOIN coatcheck.owners o ON o.owner = :o{n}::bytea'
            ' LEFT JOIN coatcheck.sessions s ON s.address = :a{n}::bytea WHERE g.one;\n')


def lane(rig, store, sessions, seconds=1.5, url=None):
    return json.loads(rig.run([rig.tool('bench_lane'), 'load', url or store.url, store.modules,
                               sessions, PIPELINE, seconds], core=LOAD_CORE))


def redis_benchmark(rig, store, *command):
    out = rig.run([program('redis-benchmark'), '-s', store.socket, '-c', 1, '-P', PIPELINE, '-n',
                   200000, '-r', LOOK_UPS, '--csv', *command], core=LOAD_CORE)
    return float(list(csv.reader(io.StringIO(out)))[-1][1])


def beside_redis(rig):
    """One lane, and redis-benchmark with the command that a look-up is."""
    title = 'look-ups by one lane, Redis, a second'
    try:
        store = Redis(rig)
        program('redis-benchmark')
    except Missing as why:
        return [Row(title, goal=f'>= {LEAST_OF_PEER}', note=str(why))]
    rig.run([rig.tool('bench_lane'), 'fill', store.url, store.modules, LOOK_UPS], core=LOAD_CORE)
    session = 'coat:{0000__rand_int__}:s:' + SERIAL
    ours, mget, plain = [], [], []
    for _ in range(TURNS):
        ours.append(lane(rig, store, LOOK_UPS))
        mget.append(redis_benchmark(rig, store, 'MGET', session, 'coat:{0000__rand_int__}:e',
                                    'coat:global'))
        plain.append(redis_benchmark(rig, store, 'GET', session))
    rate = median([o['rate'] for o in ours])
    rows = []
    for peer, theirs, goal in (('redis-benchmark, the same MGET', mget, LEAST_OF_PEER),
                               ('redis-benchmark, a plain GET', plain, None)):
        ratio = median([o['rate'] / t for o, t in zip(ours, theirs)])
        rows.append(Row(title, f'{rate:,.0f}', peer, f'{median(theirs):,.0f}', ratio,
                        f'>= {goal}' if goal else '', ratio >= goal if goal else None,
                        f"{PIPELINE} under way on one connection; "
                        f"{us(median([o['cpu_us'] for o in ours]))} of CPU each, the server's not "
                        'counted'))
    return rows


def pgbench(rig, store, script, seconds):
    """Statements a second of one client; each run of the script has PIPELINE of them."""
    keys = [f'-D{k}{n}=\\x{v}{n:016d}' for n in range(PIPELINE)
            for k, v in (('a', SERIAL), ('o', ''))]
    out = store.command([postgres('pgbench'), '-n', '-M', 'prepared', '-c', 1, '-j', 1, '-T',
                         seconds, '-h', store.dir, '-U', 'coatcheck', '-f', script, *keys,
                         'coatcheck'], LOAD_CORE)
    return float(re.search(r'^tps = ([\d.]+)', out, re.M)[1]) * PIPELINE


def beside_postgresql(rig):
    """One connection, and pgbench with the same statement, prepared, in a pipeline."""
    title = 'look-ups by one lane, PostgreSQL, a second'
    try:
        store = in_memory(PostgreSQL, rig, SERVER_CORE)
        postgres('pgbench')
    except Missing as why:
        return [Row(title, goal=f'>= {LEAST_OF_PEER}', note=str(why))]
    rig.run([rig.tool('bench_lane'), 'fill', store.url, store.modules, LOOK_UPS], core=LOAD_CORE)
    store.sql('VACUUM ANALYZE')
    script = f'{store.dir}/script.sql'
    with open(script, 'w', encoding='ascii') as out:
        out.write('\\startpipeline\n' + ''.join(LOAD_SQL.format(n=n) for n in range(PIPELINE))
                  + '\\endpipeline\n')
    os.chmod(script, 0o644)
    ours, theirs = [], []
    for _ in range(TURNS):
        ours.append(lane(rig, store, PIPELINE, url=store.url + '&connections=1'))
        theirs.append(pgbench(rig, store, script, 1))
    ratio = median([o['rate'] / t for o, t in zip(ours, theirs)])
    return [Row(title, f"{median([o['rate'] for o in ours]):,.0f}",
                'pgbench, the same prepared statement', f'{median(theirs):,.0f}', ratio,
                f'>= {LEAST_OF_PEER}', ratio >= LEAST_OF_PEER,
                f"{PIPELINE} in a pipeline on one connection, for {PIPELINE} of {LOOK_UPS:,} "
                f"sessions; {us(median([o['cpu_us'] for o in ours]))} of CPU each, the server's "
                'not counted')]


# ---- several instances ----

def same_keys(first, other):
    with open(f'{first.data}/keys', 'rb') as source:
        fd = os.open(f'{other.data}/keys', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, 'wb') as out:
            out.write(source.read())


def instances(rig, store, core, fill, config='', count=INSTANCES):
    """Daemons over one store; fill(first) before they start. (daemons, what fill gave)"""
    daemons = [Daemon(rig, core, 1, store.config() + config, f'{store.name}-{n}')
               for n in range(count)]
    for d in daemons:
        d.environment = store.environment()
    filled = fill(daemons[0])
    for d in daemons[1:]:
        same_keys(daemons[0], d)
    for d in daemons:
        d.start()
    return daemons, filled


HOT, SHARE, SLICE, ROUNDS = 990, 100, 4000, 9  # one of SHARE look-ups is not in the table


def mixed(rig, name, hot, cold):
    """A file of tokens: those in the table, and after each SHARE - 1 of them one that is not."""
    tokens = []
    for i, one in enumerate(cold):
        tokens += [hot[(i * (SHARE - 1) + k) % len(hot)] for k in range(SHARE - 1)] + [one]
    write_tokens(rig, name, tokens)


def warmed(rig, daemon, hot):
    """All of hot are in its table: asked until none is looked up any more."""
    asked = [get('/auth/verify', f'id={t}', f'localhost:{daemon.port}') for t in hot]
    for _ in range(20):
        before = metric(daemon, 'coatcheck_slow_checks_total')
        rig.load(daemon.port, asked, 0.3)
        if metric(daemon, 'coatcheck_slow_checks_total') - before <= len(hot) / 1000:
            return
    raise RuntimeError(f'{daemon.name}: the table never had them')


def shared_hits(rig):
    """Three instances over one Redis, one check of a hundred asked of it; beside them LMDB, and
    express-session with its sessions in a Redis."""
    title = f'{INSTANCES} instances over Redis, 99 % from the table'
    cold = SLICE // SHARE * (ROUNDS + 1)
    sum_of = HOT + cold
    try:
        store = Redis(rig)
    except Missing as why:
        return [Row(title, goal=f'>= {LEAST_OF_EMBEDDED}', note=str(why))]
    config = 'table:\n  slots: 131072\n'
    daemons, cookies = instances(rig, store, 0, lambda d: d.fill(sum_of, sum_of, 0, sum_of), config)
    alone = Daemon(rig, 0, 1, config, 'embedded')
    own = alone.fill(sum_of, sum_of, 0, sum_of)
    alone.start()
    sides = {}
    for d, servers, found in [(d, [d.server], cookies) for d in daemons] + [
            (alone, [alone.server], own)]:
        found = [c.split('=')[1] for c in found]
        mixed(rig, d.name, found[:HOT], found[HOT:])
        warmed(rig, d, found[:HOT])
        sides[d.name] = Side(servers, d.port, '/auth/verify', f'id={MARK}', d.name, SLICE,
                             fresh=True)
    part = rig.part()  # its Redis is another one
    rig.stack.push(part)
    try:
        with_redis, port, cookie = express(part, True)
        sides['express'] = Side(with_redis, port, '/auth/verify', cookie, slice=400)
    except Missing as why:
        port = why
    missed = [metric(d, 'coatcheck_slow_checks_total') for d in daemons]
    server = store.server.cpu_s()
    out = turns(rig, sides, ROUNDS)
    checks = SLICE * (ROUNDS + 1) * INSTANCES
    server = (store.server.cpu_s() - server) * 1e6 / checks
    missed = sum(metric(d, 'coatcheck_slow_checks_total') - m for d, m in zip(daemons, missed))
    return hits_rows(title, out, [d.name for d in daemons], server, missed / checks, port)


def hits_rows(title, out, names, server_us, missed, express_port):
    ours = [median(r) for r in zip(*(out[n]['cpu_us'] for n in names))]
    theirs = out['embedded']['cpu_us']
    ratio = median([b / a for a, b in zip(ours, theirs)])
    note = (f'{missed:.1%} asked of Redis, which took {us(server_us)} a check more, beats of '
            f'{INSTANCES} instances included')
    rows = [Row(f'{title}, checks a second of a core', f'{1e6 / median(ours):,.0f}', 'LMDB',
                f'{1e6 / median(theirs):,.0f}', ratio, f'>= {LEAST_OF_EMBEDDED}',
                ratio >= LEAST_OF_EMBEDDED, note)]
    row = Row(f'{title}, CPU per request', us(median(ours) + server_us),
              'express-session, Redis', goal=f'>= {TIMES_EXPRESS}', unit='times')
    if 'express' not in out:
        row.note = str(express_port)
        return rows + [row]
    row.theirs = us(median(out['express']['cpu_us']))
    row.ratio = median([b / (a + server_us) for a, b in zip(ours, out['express']['cpu_us'])])
    row.met, row.note = row.ratio >= TIMES_EXPRESS, 'Redis counted with both'
    return rows + [row]


# ---- sign-outs ----

def in_memory(kind, rig, core):
    """A server whose syncing costs nothing: how long a disk takes says nothing about us."""
    return kind(rig, core, relaxed=True) if kind is PostgreSQL else kind(rig, core)


def revoked(rig, kind, trials):
    """A session is ended on one instance; what the others say from then on."""
    title = f'sign-outs over {TITLES[kind.name]}'
    try:
        store = in_memory(kind, rig, BOTH)
    except Missing as why:
        return [Row(title, note=str(why))]
    daemons, cookies = instances(rig, store, BOTH, lambda d: d.fill(trials, trials, 0, trials))
    write_tokens(rig, 'revoked', [c.split('=')[1] for c in cookies])
    time.sleep(2.5)  # an instance that is new does not believe the register for a lease's length
    with open(rig.path('revoked.request'), 'w', encoding='ascii') as out:
        out.write(page('/auth/verify', f'id={MARK}', f'localhost:{daemons[0].port}'))
    out = json.loads(rig.run(
        [rig.tool('bench_revoke'), ','.join(f'127.0.0.1:{d.port}' for d in daemons), INSTANCES,
         ','.join(d.admin for d in daemons), f'127.0.0.1:{daemons[0].port}',
         f'localhost:{daemons[0].port}', rig.path('revoked.request'), rig.path('revoked.tokens')],
        timeout=1800, statuses=(0, 1)))
    rows = [Row(f'{title}, accepted late by any of {INSTANCES} instances', f"{out['late']:,}",
                goal='0', met=out['late'] == 0, wrong=out['late'] > 0,
                note=f"{out['trials']:,} sign-outs by page and by admin socket, on one instance "
                'after another; all are asked without a pause'
                + (f"; {out['undecided']:,} more were answered 503" if out['undecided'] else ''))]
    if out['late']:
        return rows
    whole, ack = out['whole_us'], out['ack_us']
    return rows + [Row(f'{title}, until all refuse, p99', us(whole['p99']),
                       goal=f'<= {REVOKED_MS} ms', met=whole['p99'] <= REVOKED_MS * 1000,
                       note=f"from the request; half {us(whole['p50'])}, longest "
                       f"{us(whole['max'])}; acknowledged after {us(ack['p50'])}, 99 % "
                       f"{us(ack['p99'])}, longest {us(ack['max'])}")]


def sign_outs(rig):
    rows = []
    for kind, few in ((Redis, 3000), (Cluster, 1000), (PostgreSQL, 1000), (Memcached, 1000)):
        with rig.part() as part:
            rows += revoked(part, kind, 100000 if rig.full else few)
    return rows


# ---- bytes ----

def bytes_each(rig):
    """What a session takes in each store, made as the daemon makes them."""
    rows = []
    for kind in STORES:
        with rig.part() as part:
            rows.append(bytes_in(part, kind, 1000000 if rig.full else 100000))
    return rows


def bytes_in(rig, kind, count):
    title = f'bytes of a session, {TITLES[kind.name]}'
    try:
        store = in_memory(kind, rig, BOTH)
    except Missing as why:
        return Row(title, note=str(why))
    before, folder = store.bytes(), rig.path('data')
    os.mkdir(folder, 0o700)
    out = rig.run([rig.tool('bench_fill'), folder, count, count // 5, 0, 1, 'user'], timeout=1200,
                  env=store.environment())
    record = int(re.search(r'^# bytes (\d+)$', out, re.M)[1]) / count
    each = (store.bytes() - before) / count
    return Row(title, f'{each:,.0f}', 'its record', f'{record:,.0f}', each / record,
               note=f'{count:,} sessions, 5 of each user; indexes, and what the server adds, '
               'included')


# ---- large changes ----

def large(rig):
    rows = []
    for kind in (Redis, PostgreSQL):
        for step in (ending_one, sweeping):
            with rig.part() as part:
                rows += step(part, kind)
    return rows


def one_over(rig, kind, name):
    store = in_memory(kind, rig, BOTH)
    daemon = Daemon(rig, BOTH, 2, store.config() + 'table:\n  slots: 2000000\n', name)
    daemon.environment = store.environment()
    return daemon


def ending_one(rig, kind):
    """All sessions of one user are ended, which is one small write."""
    one, users = (100000, 5) if rig.full else (20000, 5)
    try:
        daemon = one_over(rig, kind, kind.name)
    except Missing as why:
        return [Row(f'verify p99, while a user is signed out, {TITLES[kind.name]}', note=str(why))]
    cookies = daemon.fill(5000, 1000, 0, 1000)
    daemon.fill(one * users, users, 0, 1, 'heavy')
    daemon.start()
    requests = [daemon.verify(c) for c in cookies]
    rig.load(daemon.port, requests, 1)
    return [ending(rig, daemon, requests, one, users, f', {TITLES[kind.name]}')]


def sweeping(rig, kind):
    where, daemons = f', {TITLES[kind.name]}', []
    try:
        for name in ('calm', 'sweeping'):  # a server each
            part = rig.part()
            rig.stack.push(part)
            daemons.append(one_over(part, kind, name))
    except Missing as why:
        return [Row(f'verify p99, while expired sessions are erased{where}', note=str(why))]
    return [swept(rig, daemons, where)[0]]


STEPS = (beside_redis, beside_postgresql, shared_hits, sign_outs, bytes_each, large)
