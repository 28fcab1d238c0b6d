// SPDX-License-Identifier: Apache-2.0
// What the nginx module asks on behalf of connections that go on for long: GET /auth/live.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, freePort, password, request, sleep, until } from './lib.mjs';
import { jarOf, plant, status, storeOps, strangeToken } from './routes.mjs';

let d, gate, tcp;
before(async () => {
  tcp = await freePort();
  const untrusted = await freePort();
  d = new Daemon({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
  gate = { socketPath: path.join(d.dir, 'run/gate.sock') };
  d.untrusted = untrusted;
  d.options.listener = `  - address: unix:${gate.socketPath}\n    dialect: module\n` +
    `  - address: 127.0.0.1:${tcp}\n    dialect: module\n    trusted: [127.0.0.1/32]\n` +
    `  - address: 127.0.0.1:${untrusted}\n    dialect: module\n    trusted: [192.0.2.200/32]\n`;
  await d.prepare();
  await d.up();
  await d.addUser();
});
after(() => d.stop());

const ask = (cookie, { to = gate, method = 'GET', target = '/auth/live', headers = {} } = {}) =>
  request({ ...to, method, path: target, headers: { host: 'coatcheck', ...(cookie === undefined ? {} : { cookie }), ...headers } });
const live = async (cookie, options) => (await ask(cookie, options)).status;
const cookieOf = (token) => `id=${token}`;

test('a session is live until it ends, in whatever way it ends', async () => {
  const ends = {
    'signed out': async ({ jar }) => (await d.post('/auth/logout', { csrf: await d.csrf(jar) }, { jar: jar.clone() })).status,
    'ended by an administrator': async ({ handle }) => (await d.ask('POST', `/v1/sessions/${handle}/end`)).status,
    'all of the user\'s': async () => (await d.ask('POST', '/v1/users/mara/end-sessions')).status,
    'account disabled': async () => (await d.ask('POST', '/v1/accounts/mara/disable')).status,
    'everybody\'s': async () => (await d.ask('POST', '/v1/end-all')).status,
  };
  for (const [name, end] of Object.entries(ends)) {
    for (const to of [gate, { host: '127.0.0.1', port: tcp }]) {
      const s = await plant(d);
      for (let i = 0; i < 3; i++) assert.equal(await live(cookieOf(s.token), { to }), 200, name);
      assert.ok([200, 204, 303].includes(await end(s)), name);
      for (let i = 0; i < 3; i++) assert.equal(await live(cookieOf(s.token), { to }), 404, name);
    }
  }
  await d.ask('POST', '/v1/accounts/mara/enable');
});

test('LC-1: a new handle ends the connections of the former one', async () => {
  const s = await plant(d);
  assert.equal(await live(cookieOf(s.token)), 200);
  const renewed = await d.ask('POST', '/v1/renew', { token: s.token, roles: ['admin', 'auditor'] });
  assert.equal(renewed.status, 201);
  assert.equal(await live(cookieOf(s.token)), 404);
  assert.equal(await live(renewed.json().set_cookie.split('; ')[0]), 200);
});

test('RV-3: of many sessions ended while they are asked about, none is live afterwards', async () => {
  const sessions = await Promise.all(Array.from({ length: 20 }, (_, i) => plant(d, { user: `user${i % 4}` })));
  const asking = sessions.map(async ({ token }, i) => {
    for (let k = 0; k < 20; k++) assert.ok([200, 404].includes(await live(cookieOf(token), { to: i % 2 ? gate : { host: '127.0.0.1', port: tcp } })));
  });
  const ending = Array.from({ length: 4 }, (_, i) => d.ask('POST', `/v1/users/user${i}/end-sessions`));
  for (const res of await Promise.all(ending)) assert.ok([200, 204].includes(res.status), `${res.status}`);
  for (const { token } of sessions) assert.equal(await live(cookieOf(token)), 404);
  await Promise.all(asking);
  for (const { token } of sessions) assert.equal(await live(cookieOf(token)), 404);
});

test('the first answer fills the node table: no further one asks the store', async () => {
  const { token, jar } = await plant(d);
  const loads = await storeOps(d, ['load']);
  for (let i = 0; i < 50; i++) assert.equal(await live(cookieOf(token)), 200);
  assert.equal(await storeOps(d, ['load']), loads + 1);
  assert.equal(await status(d, jar), 200); /* a check is no less strict for it */
  assert.equal(await storeOps(d, ['load']), loads + 2);
  assert.equal(await status(d, jar), 200);
  assert.equal(await live(cookieOf(token)), 200);
  assert.equal(await storeOps(d, ['load']), loads + 2);
});

test('LC-4: asking is no activity', async () => {
  const { token, handle, jar } = await plant(d);
  const seen = async () => (await d.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
  const first = await seen();
  await sleep(2100);
  for (let i = 0; i < 5; i++) assert.equal(await live(cookieOf(token)), 200);
  assert.equal(await seen(), first);
  assert.equal(await status(d, jar), 200);
  assert.ok((await seen()) > first);
});

test('RX-4 ID-7: what was not issued here asks no store, is no event and no guess that counts', async () => {
  const { token } = await plant(d);
  const ops = await storeOps(d);
  const had = d.events().length;
  for (let i = 0; i < 300; i++) assert.equal(await live(cookieOf(strangeToken())), 404);
  for (const value of ['', 'x', token.slice(1), `${token}A`, `${token.slice(0, -1)}~`]) assert.equal(await live(cookieOf(value)), 404, value);
  for (const cookie of [undefined, '', 'other=1', `Id=${token}`, `${token}`]) assert.equal(await live(cookie), 404, cookie);
  assert.equal(await storeOps(d), ops);
  assert.equal(await live(cookieOf(token)), 200);
  assert.equal(d.events().length, had);
});

test('the answer is a status and nothing else: no cookie, no identity, no event', async () => {
  const { token, handle } = await plant(d);
  const quiet = async (expected) => {
    const res = await ask(cookieOf(token));
    assert.equal(res.status, expected);
    assert.deepEqual(res.cookies, []);
    assert.equal(res.body, '');
    assert.equal(res.headers['cache-control'], 'no-store');
    assert.deepEqual(Object.keys(res.headers).filter((name) => name.startsWith('x-auth')), []);
    const other = await ask(cookieOf(strangeToken()));
    /* A question that is refused elsewhere is in the log after them: by then theirs would be, too. */
    const mark = (await d.post('/auth/logout', {}, { headers: { origin: 'https://evil.example' } })).json().request_id;
    await until('the mark is in the log', () => d.events().some((event) => event.request_id === mark));
    for (const answer of [res, other])
      assert.deepEqual(d.events().filter((event) => event.request_id === answer.headers['x-request-id']), []);
  };
  await quiet(200);
  await d.ask('POST', `/v1/sessions/${handle}/end`);
  await quiet(404);
});

test('FA-1: where the module asks there are no pages, whoever comes, with whatever cookie', async () => {
  const { token } = await plant(d);
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.9', 'content-type': 'application/json' };
  for (const to of [gate, { host: '127.0.0.1', port: tcp }])
    for (const [method, target] of [['GET', '/auth/login'], ['GET', '/auth/'], ['GET', '/auth/session'], ['GET', '/auth/sessions'], ['GET', '/auth/password'], ['POST', '/auth/login'], ['POST', '/auth/logout'], ['POST', '/auth/logout-all'], ['OPTIONS', '/auth/session']])
      assert.equal((await ask(cookieOf(token), { to, method, target, headers })).status, 404, `${method} ${target}`);
  assert.equal(await live(cookieOf(token)), 200);
});

test('of a refusal it must be told why, in one of two words', async () => {
  for (const [query, want] of [['?why=csrf', 403], ['?why=cors', 403], ['?why=x', 400], ['?why=', 400], ['', 400], ['?why=csrf&why=cors', 400], ['?why=csrf&x=1', 400]])
    assert.equal((await ask(undefined, { target: `/auth/refused${query}` })).status, want, query);
});

test('only the module may ask: elsewhere there is no such page', async () => {
  const { token } = await plant(d);
  const places = {
    none: [d.port], nginx: [await freePort(), 'nginx'], forwarded: [await freePort(), 'forwarded'], envoy: [await freePort(), 'envoy'],
  };
  const other = new Daemon({ dir: d.dir, port: d.port, listener: Object.values(places).slice(1).map(([port, dialect]) => `  - address: 127.0.0.1:${port}\n    dialect: ${dialect}\n    trusted: [127.0.0.1/32]\n`).join('') });
  const cookie = cookieOf(token);
  const compare = async (to, name) => {
    const headers = { 'x-forwarded-proto': 'https' };
    const res = await ask(cookie, { to, headers }), unknown = await ask(cookie, { to, headers, target: '/auth/lives' });
    assert.equal(res.status, 404, name);
    const plain = ({ headers: { date, 'x-request-id': id, ...rest }, body }) => [rest, body.replaceAll(id, '')];
    assert.deepEqual(plain(res), plain(unknown), name);
  };
  await compare({ host: '127.0.0.1', port: d.untrusted }, 'a peer that is not trusted');
  assert.equal(await live(cookie), 200);
  await d.down();
  try {
    await other.prepare();
    await other.up();
    for (const [name, [port]] of Object.entries(places)) await compare({ host: '127.0.0.1', port }, name);
  } finally {
    await other.down();
    await d.prepare();
    await d.up();
  }
  assert.equal(await live(cookie), 200); /* a restart ends nobody's connection */
});

test('a question that is not understood whole gets no yes', async () => {
  const { token } = await plant(d);
  for (const query of ['?', '?x', '?background=yes', '?role=admin'])
    assert.equal(await live(cookieOf(token), { target: `/auth/live${query}` }), 400, query);
  assert.equal(await live(cookieOf(token), { method: 'HEAD' }), 200);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) assert.equal(await live(cookieOf(token), { method }), 405, method);
  assert.equal(await live(cookieOf(token), { target: '/auth/live/' }), 404);
  assert.equal(await live(cookieOf(token), { headers: { 'x-forwarded-uri': ['/a', '/b'] } }), 400);
});

test('CK-5: of several cookies the one that was live decides; an ambiguous one is none', async () => {
  const { token } = await plant(d), gone = await plant(d), other = await plant(d);
  await d.ask('POST', `/v1/sessions/${gone.handle}/end`);
  for (const cookies of [[token, gone.token], [gone.token, token], [strangeToken(), token], [token, token], [token, other.token]])
    assert.equal(await live(jarOf(d, ...cookies).header().cookie), 200, cookies.map((c) => c === token));
  assert.equal(await live(jarOf(d, gone.token, strangeToken()).header().cookie), 404);
  assert.equal(await live([`a=1; ${cookieOf(gone.token)}`, `${cookieOf(token)}; b=2`]), 200);

  const port = await freePort();
  const secure = await Daemon.start({ plain: false, origin: 'https://app.example', listener: `  - address: 127.0.0.1:${port}\n    dialect: module\n    trusted: [127.0.0.1/32]\n` });
  try {
    const to = { host: '127.0.0.1', port };
    const one = (await plant(secure)).token;
    assert.equal(await live(`__Host-id=${one}`, { to }), 200); /* how the connection came does not matter any more */
    assert.equal(await live(`__Host-id=${one}; __Host-id=${one}`, { to }), 404); /* verify lets nobody in with these */
    assert.equal(await live(`id=${one}`, { to }), 404);
  } finally {
    await secure.stop();
  }
});

test('signing in again ends the connections that came before', async () => {
  const { jar, token } = await plant(d);
  assert.equal(await live(cookieOf(token)), 200);
  assert.equal((await d.signIn(jar, { secret: password })).status, 200);
  assert.equal(await live(cookieOf(token)), 404);
  assert.equal(await live(jar.header().cookie), 200);
});
