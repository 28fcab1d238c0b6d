// SPDX-License-Identifier: Apache-2.0
// The admin socket: who may use it, what it takes, what it shows.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, password, raw, request, until } from './lib.mjs';
import { jarOf, metrics, plant, status, stored } from './routes.mjs';
import { adminRoutes } from './openapi.mjs';

let d;
before(async () => {
  d = await Daemon.start({ config: 'session:\n  per-user: 0\n' });
  await d.addUser();
});
after(() => d.stop());

const concreteAdmin = (p) => p.replace('{handle}', 'A'.repeat(22)).replace(/\{\w+\}/, 'mara');

test('AD-1: the public listener has none of its paths', async () => {
  for (const route of adminRoutes())
    for (const prefix of ['', '/auth']) {
      const res = await d.get(prefix + concreteAdmin(route.path), { method: route.method, headers: { origin: d.origin } });
      assert.equal(res.status, 404, `${route.method} ${prefix}${route.path}`);
    }
});

test('AD-1: another user is refused before a byte is read', { skip: process.getuid() !== 0 }, async () => {
  const one = await Daemon.start({ config: 'admin:\n  mode: "0660"\n  group: nogroup\n' });
  chmodSync(one.dir, 0o755);
  /* no request is sent: the connection is closed all the same */
  const script = `const s=require('net').connect(${JSON.stringify(one.admin)});s.on('connect',()=>console.log('connected'));s.on('close',()=>{console.log('closed');process.exit(0)});s.on('error',e=>{console.log(e.code);process.exit(0)});setTimeout(()=>{console.log('open');process.exit(0)},1500)`;
  const as = (uid, gid) => spawnSync(process.execPath, ['-e', script], { uid, gid, encoding: 'utf8', cwd: '/' }).stdout.trim().split('\n').pop();
  assert.equal(as(65534, 65534), 'closed');
  assert.match(as(65534, 12345), /EACCES/);
  assert.match(readFileSync(one.log, 'utf8'), /may not use it/);
  await one.down();
  one.options.config += '  users: [nobody]\n';
  await one.prepare();
  await one.up();
  assert.equal(as(65534, 65534), 'open');
  await one.stop();
});

test('AD-2: nothing a browser sends is accepted, and nothing changes', async () => {
  const before = await stored(d);
  const json = { 'content-type': 'application/json' };
  const send = (headers, body = '{"user":"evil"}', method = 'POST', target = '/v1/sessions') =>
    request({ socketPath: d.admin, method, path: target, headers: { host: 'localhost', ...headers } }, body);
  for (const more of [{ origin: 'http://localhost' }, { origin: 'null' }, { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }, { 'sec-fetch-mode': 'cors' }, { 'Sec-Fetch-Dest': 'empty' }]) {
    const res = await send({ ...json, ...more });
    assert.equal(res.status, 403, JSON.stringify(more));
    assert.ok(!Object.keys(res.headers).some((name) => name.startsWith('access-control')));
    assert.equal((await send(more, '', 'GET', '/v1/status')).status, 403);
    assert.equal((await send(more, '', 'POST', '/v1/end-all')).status, 403);
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp', undefined])
    assert.equal((await send(type ? { 'content-type': type } : {})).status, 415, `${type}`);
  assert.equal((await send({ ...json, cookie: `id=${(await plant(d)).token}` }, '{}', 'POST', '/v1/check')).status, 401);
  assert.equal((await send(json, '', 'OPTIONS')).status, 405);
  const left = JSON.parse(await stored(d));
  assert.equal(left.accounts.length, JSON.parse(before).accounts.length);
  assert.ok(!left.sessions.some((s) => s.user === 'evil'));
});

test('AD-4: no secret in any answer but the one line for the browser', async () => {
  const jar = (await plant(d)).jar;
  const token = jar.map.get('id');
  const csrf = await d.csrf(jar);
  const made = await d.ask('POST', '/v1/sessions', { user: 'mara', data: { cart: 3 } });
  const { set_cookie: line, handle, ...rest } = made.json();
  const fresh = line.split('; ')[0].slice(3);
  const secret = Buffer.from(fresh, 'base64url').subarray(16, 32);
  const forms = [fresh, fresh.slice(22), secret.toString('base64url').slice(1, 20), secret.toString('hex'), token, csrf, password, 'argon2id$'];
  const clean = (text, what) => forms.forEach((form) => assert.ok(!text.includes(form), what));
  clean(JSON.stringify(rest), 'create');
  const answers = [
    ['GET', '/v1/sessions'], ['GET', `/v1/sessions/${handle}`], ['GET', '/v1/users/mara/sessions'], ['GET', '/v1/accounts'], ['GET', '/v1/accounts/mara'], ['GET', '/v1/status'],
    ['GET', '/v1/health'], ['GET', '/v1/ready'], ['GET', '/metrics'], ['GET', '/v1/openapi.yaml'], ['POST', '/v1/check', { token: fresh }], ['PATCH', `/v1/sessions/${handle}/data`, { cart: 4 }],
    ['POST', '/v1/sessions', { user: 1 }], ['POST', '/v1/keys/rotate', {}], ['POST', '/v1/reload', {}], ['POST', '/v1/accounts', { name: 'mara', password }], ['POST', `/v1/sessions/${handle}/end`],
  ];
  for (const [method, target, body] of answers) {
    const res = await d.ask(method, target, body);
    clean(res.body.replace(/"set_cookie":"[^"]*"/, ''), `${method} ${target}`);
    clean(JSON.stringify(res.headers), target);
  }
  assert.equal(await status(d, jarOf(d, handle)), 401);
  assert.equal((await d.ask('POST', '/v1/check', { token: handle })).status, 401);
});

test('AD-4: it ends one, all of a user, all; each action is in the log before the answer', async () => {
  const a = await plant(d, { user: 'ann' });
  const b = await plant(d, { user: 'ann' });
  const c = await plant(d, { user: 'ann' });
  const other = await plant(d, { user: 'bob' });
  const got = async () => Promise.all([a, b, c, other].map(({ jar }) => status(d, jar)));
  const act = async (target, body) => {
    const had = d.events('admin_action').length;
    const res = await d.ask('POST', target, body);
    assert.equal(res.status, 204, res.body);
    const events = d.events('admin_action').slice(had);
    assert.equal(events.length, 1, target);
    assert.equal(events[0].request_id, res.headers['x-request-id']);
  };
  await act(`/v1/sessions/${a.handle}/end`);
  assert.deepEqual(await got(), [401, 200, 200, 200]);
  await act(`/v1/sessions/${a.handle}/end`);
  await act('/v1/users/ann/end-sessions', { spare: c.handle });
  assert.deepEqual(await got(), [401, 401, 200, 200]);
  await act('/v1/users/ann/end-sessions');
  assert.deepEqual(await got(), [401, 401, 401, 200]);
  await act('/v1/end-all');
  assert.deepEqual(await got(), [401, 401, 401, 401]);
  assert.equal(await status(d, (await plant(d)).jar), 200, 'what is made afterwards lives');
});

test('AD-5: lists come in pages, complete, without repetition', async () => {
  const handles = new Set();
  for (let i = 0; i < 30; i++) (await Promise.all(Array.from({ length: 10 }, () => plant(d, { user: 'many', data: { text: 'x'.repeat(400) } })))).forEach((s) => handles.add(s.handle));
  for (const limit of [1000, 100, 7]) {
    const seen = [];
    let after = '';
    for (let pages = 0; ; pages++) {
      assert.ok(pages < 200);
      const page = (await d.ask('GET', `/v1/users/many/sessions?limit=${limit}${after}`)).json();
      assert.ok(page.sessions.length <= limit);
      seen.push(...page.sessions.map((s) => s.handle));
      if (page.next === null) break;
      after = `&after=${page.next}`;
    }
    assert.equal(seen.length, 300, `limit ${limit}`);
    assert.deepEqual(new Set(seen), handles);
  }
  for (const bad of ['limit=0', 'limit=1001', 'limit=x', 'limit=-1', 'after=x', 'after=', 'limit=5&limit=5'])
    assert.equal((await d.ask('GET', `/v1/sessions?${bad}`)).status, 400, bad);
});

test('AD-5: accounts in pages', async () => {
  const hash = '$2b$04$abcdefghijklmnopqrstuuK6Y7l1D1H0yJ4nOQG7zdhS8H8KkXbyq';
  const names = Array.from({ length: 45 }, (_, i) => `page${i}`);
  for (const name of names) assert.equal((await d.ask('POST', '/v1/accounts', { name, hash })).status, 201);
  const seen = [];
  let after = '';
  do {
    const page = (await d.ask('GET', `/v1/accounts?limit=10${after}`)).json();
    seen.push(...page.accounts.map((a) => a.name));
    after = page.next === null ? '' : `&after=${page.next}`;
  } while (after);
  assert.equal(new Set(seen).size, seen.length);
  for (const name of names) assert.ok(seen.includes(name));
});

test('RX-1 on the admin socket: limits hold there as well', async () => {
  const { text } = await raw(d.admin, `POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n`);
  assert.match(text, /^HTTP\/1\.1 413 /);
  const deep = await request({ socketPath: d.admin, method: 'POST', path: '/v1/sessions', headers: { host: 'x', 'content-type': 'application/json' } }, `{"data":${'{"a":'.repeat(20)}1${'}'.repeat(20)}}`);
  assert.equal(deep.status, 400);
  await until('metrics', async () => (await metrics(d)).get('coatcheck_http_refused_total{why="malformed"}') > 0);
});
