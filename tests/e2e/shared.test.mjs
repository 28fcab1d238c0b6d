// SPDX-License-Identifier: Apache-2.0
// Three instances over one real Redis, each with a node table of its own: what is served from memory,
// and that nothing is which another instance has ended.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { race } from './instances.mjs';
import { Daemon, Jar, freeze, password, sleep, until } from './lib.mjs';
import { Clock, Gate, clockPath, missing } from './module/nginx.mjs';
import { Redis, only, sameKeys, usable } from './redis.mjs';
import { metrics, patient, plant, status, storeOps } from './routes.mjs';

const scale = Number(process.env.COAT_TEST_SCALE ?? 1);
const redis = new Redis();
let all, a, b, c;

async function another(first, options = {}) {
  const d = new Daemon({ config: redis.config(), level: 'info', ...options });
  await d.prepare();
  if (first) sameKeys(first, d);
  await d.up();
  return d;
}

const everywhere = (jar) => Promise.all(all.map((d) => status(d, jar)));
const count = async (d, name) => (await metrics(d)).get(name) ?? 0;
const hits = (d) => count(d, 'coatcheck_table_answers_total{answer="live"}');
const end = (d, handle) => d.ask('POST', `/v1/sessions/${handle}/end`);

/** Until this instance answers from its table: looked at by what the store is asked for. */
const served = (d, jar) => until('the table answers', async () => {
  const from = await hits(d);
  return (await status(d, jar)) === 200 && (await hits(d)) > from;
});

before(async () => {
  if (!usable) return;
  await redis.up();
  a = await another(null);
  await a.addUser();
  b = await another(a);
  c = await another(a);
  all = [a, b, c];
});
after(async () => {
  for (const d of all ?? []) await d.stop();
  await redis.gone();
});

test('under the lease checks are answered from the table, on every instance, without the store', only, async () => {
  const { jar } = await plant(a);
  for (const d of all) await served(d, jar);
  for (const d of all) {
    const from = await hits(d), asked = await storeOps(d, ['load']);
    for (let i = 0; i < 200; i++) assert.equal(await status(d, jar), 200);
    const told = (await hits(d)) - from, loads = (await storeOps(d, ['load'])) - asked;
    assert.ok(told >= 190 && loads <= 10, `${told} from the table, ${loads} from the store`);
  }
});

test('RV-1: what one instance has ended, and said so, is accepted on none: races', only, async () => {
  const turns = Math.round(300 * scale);
  const before = await Promise.all(all.map((d) => count(d, 'coatcheck_table_answers_total{answer="live"}')));
  for (let n = 0; n < turns; n++)
    await race(all, n, (d, s) => (n % 10 === 9 ? d.ask('POST', `/v1/users/${s.user}/end-sessions`)
      : n % 50 === 25 ? d.ask('POST', '/v1/end-all') : end(d, s.handle)));
  /* These were races with tables that answered. */
  for (const [i, d] of all.entries()) assert.ok((await hits(d)) - before[i] > turns / 2);
});

test('RV-1 RV-2: deleted or flushed in Redis by hand: gone from every table', only, async () => {
  for (const how of ['del', 'flush']) {
    const { jar } = await plant(b);
    for (const d of all) await served(d, jar);
    if (how === 'flush') {
      await redis.ask('FLUSHALL');
      await a.addUser();
    } else {
      const keys = (await redis.ask('KEYS coat:{*}:s:*')).split('\r\n').filter((k) => k.startsWith('coat:'));
      for (const key of keys) await redis.ask(`DEL ${key}`);
    }
    for (const d of all) await until('it is gone', async () => (await status(d, jar)) === 401);
  }
});

test('RV-2: whose subscription is cut does not trust its table until it hears again', only, async () => {
  const { jar } = await plant(a);
  for (const d of all) await served(d, jar);
  await redis.ask('ACL SETUSER default -subscribe');
  await redis.ask('CLIENT KILL TYPE pubsub');
  for (const d of all) await until('every check asks the store', async () => {
    const from = await hits(d);
    return (await status(d, jar)) === 200 && (await hits(d)) === from;
  });
  for (const d of all) {
    const from = await hits(d);
    for (let i = 0; i < 20; i++) assert.equal(await status(d, jar), 200);
    assert.equal(await hits(d), from, 'nothing is answered from the table');
    await until('it says why', async () => /changes are not heard of: .*SUBSCRIBE/.test((await d.ask('GET', '/v1/status')).json().store.notice));
  }
  for (let n = 0; n < 5; n++) await race(all, 1000 + n, (d, s) => end(d, s.handle));
  await redis.ask('ACL SETUSER default +subscribe');
  for (const d of all) await served(d, jar);
  for (let n = 0; n < 10; n++) {
    /* Cut while the races go on. */
    const cut = redis.ask('CLIENT KILL TYPE pubsub');
    await race(all, 2000 + n, (d, s) => end(d, s.handle));
    await cut;
  }
  assert.deepEqual(await everywhere(jar), [200, 200, 200]);
});

test('SF-1 RV-3: Redis stops or dies: 503 when the lease is over, nobody is signed out', only, async () => {
  for (const how of ['SIGSTOP', 'SIGKILL']) {
    const { jar } = await plant(a);
    for (const d of all) await served(d, jar);
    if (how === 'SIGSTOP') await freeze(redis.child.pid);
    else await redis.down();
    const since = performance.now();
    for (const d of all) await until('503', async () => {
      const late = performance.now() - since > 1500; /* a lease is of 1 s */
      const res = await d.get('/auth/verify', { jar });
      assert.ok(res.status === 503 || (res.status === 200 && !late), `${how}: ${res.status}`);
      assert.equal(res.cookies.length, 0);
      return res.status === 503;
    });
    if (how === 'SIGSTOP') redis.child.kill('SIGCONT');
    else await redis.up();
    for (const d of all) {
      await until('it is back', async () => {
        const got = await status(d, jar);
        assert.notEqual(got, 401, 'nobody was signed out');
        return got === 200;
      });
      await served(d, jar);
    }
  }
});

/* Over the limit of 30 s by more than half of a store operation's deadline: a way there may be slower than the way back. */
const OFF_MS = 32000;

test('SF-10: a daemon whose clock is off its store signs nobody in, answers checks, and goes on when it is right',
  existsSync(clockPath) ? only : { skip: 'no clock to put forward' }, async () => {
    const clock = new Clock(redis.dir);
    const d = await another(a, { env: { LD_PRELOAD: clockPath, COAT_TEST_CLOCK: clock.file } });
    const make = () => d.ask('POST', '/v1/sessions', { user: 'mara', roles: [] });
    const ready = () => patient(() => d.ask('GET', '/v1/ready')).then((res) => res.json());
    /** Nobody is signed in meanwhile, whatever else is slow. */
    const refused = () => until('it is refused for its clock', async () => {
      const res = await make();
      assert.equal(res.status, 503);
      return res.json().error.code === 'clock_off';
    });
    try {
      const { jar } = await plant(d), { jar: leaves } = await plant(d), csrf = await d.csrf(leaves);
      assert.equal((await ready()).issuing, true);
      clock.set(OFF_MS);
      await refused();
      assert.equal((await d.signIn(new Jar())).status, 503);
      assert.equal((await patient(() => d.get('/auth/verify', { jar }))).status, 200);
      assert.equal((await patient(() => d.postJson('/auth/logout', { csrf }, { jar: leaves }))).status, 200);
      assert.deepEqual(await ready(), { status: 'ready', issuing: false });
      assert.equal(await count(d, 'coatcheck_issuing'), 0);
      assert.ok(await count(d, 'coatcheck_store_clock_offset_seconds') >= 31);
      const engine = (await d.ask('GET', '/v1/status')).json().engine;
      assert.ok(engine.issuing === false && engine.clock_offset_ms >= 31000, JSON.stringify(engine));
      assert.match((await d.event('clock_off')).reason, /ahead/);

      clock.set(-OFF_MS);
      await refused(); /* no session gets longer: its own time does not go back */
      await d.down();
      await d.up();
      assert.equal((await patient(make)).status, 201);
      assert.equal((await patient(() => d.get('/auth/verify', { jar }))).status, 200);

      await d.down();
      clock.set(-OFF_MS);
      await d.up();
      await refused();
      assert.match((await until('it is said', () => d.events('clock_off')[1])).reason, /behind/);
      assert.equal((await patient(() => d.get('/auth/verify', { jar }))).status, 200);
      clock.set(OFF_MS);
      assert.equal((await patient(make)).status, 201);
      assert.equal((await ready()).issuing, true);
      await d.event('clock_agrees');
    } finally {
      await d.stop();
    }
  });

const html = { accept: 'text/html' };
const formOf = (csrf) => new URLSearchParams({ csrf }).toString();
const byPage = (d, route, jar, csrf) => d.get(`/auth/${route}`, { jar: jar.clone(), method: 'POST',
  headers: { ...html, 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' } }, formOf(csrf));

/** The answer to a sign-out that nobody could be told of: no success, and nothing left for the browser to do. */
function pending(res, code, what) {
  assert.equal(res.status, 503, what);
  assert.match(res.body, new RegExp(code), what);
  assert.equal(res.cookies.length, 1, what);
  assert.match(res.cookies[0], /^(__Host-)?id=; Path=\/; .*HttpOnly; SameSite=Lax.*Max-Age=0/, what);
  assert.match(res.headers['clear-site-data'], /storage/, what);
  assert.equal(res.headers['retry-after'], undefined, what);
}

test('SF-4: a sign-out during an outage, by page or admin socket: 503, denied at once, replayed, also after kill -9', only, async () => {
  for (const how of ['lives', 'dies']) {
    const both = [await plant(a, { user: `both-${how}` }), await plant(b, { user: `both-${how}` })];
    const ended = await plant(a), seen = await plant(a), unseen = await plant(b), everywhereElse = await plant(a, { user: `all-${how}` }), another = await plant(b, { user: `all-${how}` }), stays = await plant(a);
    const csrf = new Map();
    for (const s of [seen, unseen, everywhereElse, stays]) csrf.set(s, await b.csrf(s.jar));
    for (const d of all) for (const s of [ended, seen]) await served(d, s.jar);
    await redis.down();
    assert.equal((await end(a, ended.handle)).status, 503);
    for (const [what, res] of [
      ['without a token', await byPage(a, 'logout', stays.jar, '')],
      ['with a token of another session', await byPage(a, 'logout', stays.jar, csrf.get(seen))],
      ['all, without a token', await byPage(a, 'logout-all', stays.jar, '')],
      ['all, with a token of another session', await byPage(a, 'logout-all', stays.jar, csrf.get(seen))],
      ['from another site', await a.get('/auth/logout', { jar: stays.jar.clone(), method: 'POST', headers: { ...html, origin: 'https://evil.example', 'x-csrf-token': csrf.get(stays) } })],
    ]) {
      assert.equal(res.status, what === 'from another site' ? 403 : 503, what);
      assert.equal(res.cookies.length, 0, what);
      assert.notEqual(await status(a, stays.jar), 401, what);
    }
    pending(await byPage(a, 'logout', seen.jar, csrf.get(seen)), 'sign_out_pending', 'in every table');
    pending(await byPage(a, 'logout', unseen.jar, csrf.get(unseen)), 'sign_out_pending', 'in no table of this instance');
    pending(await byPage(a, 'logout-all', everywhereElse.jar, csrf.get(everywhereElse)), 'sign_out_only_here', 'all');
    assert.notEqual(await status(a, another.jar), 401, 'who has a token of a session that nobody knows ends no other');
    assert.equal((await a.ask('POST', `/v1/users/both-${how}/end-sessions`)).status, 503);
    pending(await byPage(a, 'logout', unseen.jar, csrf.get(unseen)), 'sign_out_pending', 'again');
    pending(await byPage(a, 'logout', unseen.jar, ''), 'sign_out_pending', 'again, without a token');
    const gone = [ended, seen, unseen, everywhereElse, ...both];
    for (const s of gone) assert.equal(await status(a, s.jar), 401, 'denied at once');
    if (how === 'dies') {
      await a.down('SIGKILL');
      await redis.up();
      await a.up();
    } else {
      await redis.up();
    }
    for (const s of gone) {
      assert.equal(await status(a, s.jar), 401, 'denied where it was ended');
      for (const d of all) await until('it is replayed', async () => (await status(d, s.jar)) === 401, 5000);
    }
    for (const s of [stays, another])
      await until('the others are live', async () => (await everywhere(s.jar)).every((got) => got === 200));
    assert.equal((await byPage(a, 'logout', seen.jar, csrf.get(seen))).status, 200, 'and now it is a success');
    assert.equal((await byPage(a, 'logout', stays.jar, csrf.get(stays))).status, 200);
  }
});

test('SF-4: signing out everywhere by page while the store takes no change: all are denied at once, and ended later', only, async () => {
  const other = await plant(a, { user: 'neighbour' });
  for (let turn = 1; ; turn++) {
    const mine = await plant(a, { user: `roamer${turn}` }), also = await plant(b, { user: `roamer${turn}` });
    const csrf = await a.csrf(mine.jar);
    for (const s of [mine, also, other]) await served(a, s.jar);
    await redis.ask('CONFIG SET min-replicas-to-write 1'); /* it has none: reads are answered, writes are not */
    try {
      assert.equal((await patient(() => byPage(a, 'logout-all', mine.jar, 'wrong'))).status, 403);
      assert.equal((await patient(() => a.get('/auth/verify', { jar: also.jar }))).status, 200, 'nobody is ended by that');
      const res = await byPage(a, 'logout-all', mine.jar, csrf);
      /* A read that was too slow: whose session it is cannot be known then. */
      if (turn < 5 && /sign_out_only_here/.test(res.body)) continue;
      pending(res, 'sign_out_pending', 'all of the user');
      for (const s of [mine, also]) assert.equal(await status(a, s.jar), 401, 'denied at once');
      assert.notEqual(await status(a, other.jar), 401, 'and nobody else');
    } finally {
      await redis.ask('CONFIG SET min-replicas-to-write 0');
    }
    for (const s of [mine, also]) {
      assert.equal(await status(a, s.jar), 401);
      for (const d of all) await until('it is replayed', async () => (await status(d, s.jar)) === 401, 5000);
    }
    break;
  }
  await until('the other is live', async () => (await everywhere(other.jar)).every((got) => got === 200));
});

test('SF-4: all but one, and everybody, by admin socket during an outage: 503, denied at once, replayed, also after kill -9', only, async () => {
  for (const how of ['lives', 'dies']) {
    const user = `many-${how}`;
    const mine = await plant(a, { user }), others = [await plant(a, { user }), await plant(b, { user }), await plant(c, { user })];
    const stranger = await plant(b, { user: `other-${how}` });
    const accented = await plant(b, { user: `zo\u00e9-${how}` }); /* and asked for as it is not written in accounts */
    const pendingAdmin = async (target, body) => {
      const res = await a.ask('POST', target, body);
      assert.equal(res.status, 503, target);
      assert.equal(res.json().error.code, 'end_pending', target);
    };
    const again = async () => {
      if (how === 'dies') await a.down('SIGKILL');
      await redis.up();
      if (how === 'dies') await a.up();
    };
    await redis.down();
    await pendingAdmin(`/v1/users/${user}/end-sessions`, { spare: mine.handle });
    await pendingAdmin(`/v1/users/${encodeURIComponent(`zoe\u0301-${how}`)}/end-sessions`);
    for (const s of [...others, accented]) assert.equal(await status(a, s.jar), 401, 'denied at once');
    for (const s of [mine, stranger]) assert.notEqual(await status(a, s.jar), 401, 'the spared one, and nobody else');
    await again();
    for (const s of [...others, accented]) {
      assert.equal(await status(a, s.jar), 401, 'denied where it was ended');
      for (const d of all) await until('it is replayed', async () => (await status(d, s.jar)) === 401, 5000);
    }
    for (const s of [mine, stranger])
      await until('the others are live', async () => (await everywhere(s.jar)).every((got) => got === 200));

    await redis.down();
    await pendingAdmin('/v1/end-all');
    for (const s of [mine, stranger]) assert.equal(await status(a, s.jar), 401, 'everybody is denied at once');
    await again();
    for (const s of [mine, stranger]) {
      assert.equal(await status(a, s.jar), 401, 'denied where it was ended');
      for (const d of all) await until('it is replayed', async () => (await status(d, s.jar)) === 401, 5000);
    }
    /* Nothing is left to be done: whoever signs in now stays. */
    await until('the replay is over', async () => (await plant(a).then((s) => everywhere(s.jar))).every((got) => got === 200));
  }
});

test('SF-4 LC-11: one device by page, and all others by a new password, while the store takes no change', only, async () => {
  const d = new Daemon({ level: 'info' });
  d.options.config = `${redis.config()}accounts:\n  url: "lmdb:${d.dir}/data/accounts"\n`;
  await d.prepare();
  sameKeys(a, d);
  await d.up();
  try {
    await d.addUser();
    const jar = new Jar();
    assert.equal((await d.signIn(jar)).status, 200);
    const user = (await d.get('/auth/session', { jar })).json().user;
    const devices = [await plant(d, { user }), await plant(d, { user })];
    for (const s of devices) await served(d, s.jar);
    const csrf = await d.csrf(jar);
    await redis.ask('CONFIG SET min-replicas-to-write 1');
    try {
      const one = await byPage(d, `sessions/${devices[0].handle}/end`, jar, csrf);
      assert.equal(one.status, 503);
      assert.match(one.body, /end_pending/);
      assert.equal(one.cookies.length, 0);
      assert.equal(await status(d, devices[0].jar), 401, 'denied at once');
      assert.notEqual(await status(d, devices[1].jar), 401);
      const changed = await d.postJson('/auth/password', { password, new: `${password} two`, csrf }, { jar });
      assert.equal(changed.status, 503);
      assert.match(changed.body, /password_pending/);
      assert.equal(await status(d, devices[1].jar), 401, 'denied at once');
      assert.notEqual(await status(d, jar), 401, 'who has changed it stays');
    } finally {
      await redis.ask('CONFIG SET min-replicas-to-write 0');
    }
    for (const s of devices) await until('it is replayed', async () => (await status(b, s.jar)) === 401, 5000);
    await until('who has changed it stays', async () => (await status(d, jar)) === 200);
    assert.equal((await d.signIn(new Jar())).status, 401, 'the former password');
    assert.equal((await d.signIn(new Jar(), { secret: `${password} two` })).status, 200);
  } finally {
    await d.stop();
  }
});

describe('the nginx module in front of one instance', { skip: !usable ? only.skip : missing }, () => {
  let g;
  before(async () => {
    g = await Gate.start({
      daemon: { config: redis.config(), prepared: (d) => sameKeys(a, d) },
      server: (gate) => `location / { proxy_pass ${gate.upstream}; }\n` +
        `location /auth/ { coatcheck off; coatcheck_pass_cookie on; proxy_pass http://unix:${gate.run}/http.sock; proxy_set_header Host app.example; ` +
        'proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-For $remote_addr; }',
    });
  });
  after(async () => g?.stop());

  test('RV-1: serves from the table under the lease, and refuses what another instance has ended', async () => {
    for (let n = 0; n < 30 * scale; n++) {
      const { jar, handle } = await plant(g.daemon, { user: `gate${n}` });
      for (let i = 0; i < 3; i++) assert.equal((await patient(() => g.get('/', { jar }))).status, 200);
      assert.ok((await patient(() => end(all[n % 3], handle))).status < 300);
      assert.equal((await patient(() => g.get('/', { jar }))).status, 401);
    }
  });

  test('SF-4: a sign-out by page during an outage is heeded by nginx at once', async () => {
    const { jar, handle } = await plant(g.daemon), { csrf } = (await g.get('/auth/csrf', { jar })).json();
    await until('it lets him in', async () => (await g.get('/', { jar })).status === 200);
    await redis.down();
    pending(await byPage(g, 'logout', jar, csrf), 'sign_out_pending', 'with nginx in front');
    for (let i = 0; i < 5; i++) assert.equal((await g.get('/', { jar })).status, 401);
    await redis.up();
    await until('it is replayed', async () => (await g.daemon.ask('GET', `/v1/sessions/${handle}`)).status === 404);
    for (let i = 0; i < 5; i++) assert.equal((await g.get('/', { jar })).status, 401);
    /* And all are back, before what comes next. */
    for (const d of all) await until('it is back', async () => (await d.ask('GET', '/v1/ready')).status === 200);
  });

  test('SF-1: without Redis it says 503 when the lease is over', async () => {
    const { jar } = await plant(g.daemon);
    await until('it lets him in', async () => (await g.get('/', { jar })).status === 200);
    await redis.down();
    await sleep(1500); /* longer than a lease: from now on never */
    for (let i = 0; i < 5; i++) assert.equal((await g.get('/', { jar })).status, 503);
    await redis.up();
    await until('it is back', async () => (await g.get('/', { jar })).status === 200);
    /* And so are the others, before what comes next. */
    for (const d of all) await until('it is back', async () => (await d.ask('GET', '/v1/ready')).status === 200);
  });
});
