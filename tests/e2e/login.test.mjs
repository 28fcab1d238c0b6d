// SPDX-License-Identifier: Apache-2.0
// What a sign-in tells, costs and withstands.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, password, sleep } from './lib.mjs';
import { metrics, patient, plant, rawRequest, status, storeOps, stored, trusted } from './routes.mjs';

const wide = 'throttle:\n  attempts-per-minute: 8000\n';
const hashes = async (d) => (await metrics(d)).get('coatcheck_hashes_total');

let d;
before(async () => {
  d = await Daemon.start({ config: wide, listener: trusted });
  await d.addUser();
});
after(() => d.stop());

const from = (address) => ({ headers: { 'x-forwarded-for': address } });

test('LG-3: the password counts byte by byte; what is longer than 1024 bytes fails unhashed', async () => {
  const secrets = ['x'.repeat(64), 'y'.repeat(72), 'z'.repeat(73), 'w'.repeat(128), 'v'.repeat(1024), 'nul\0inside the password', '\u00e9t\u00e9 chaud et sec en mer'];
  for (const [i, plain] of secrets.entries()) {
    const secret = `${i}-plum cart ${plain}`.slice(0, 1024);
    const user = `len${i}`;
    assert.equal((await patient(() => d.ask('POST', '/v1/accounts', { name: user, password: secret }))).status, 201);
    const wrong = secret.slice(0, -1) + (secret.at(-1) === '!' ? '?' : '!');
    assert.equal((await patient(() => d.signIn(new Jar(), { user, secret: wrong, ...from(`198.51.100.${i}`) }))).status, 401, user);
    assert.equal((await patient(() => d.signIn(new Jar(), { user, secret, ...from(`198.51.100.${i}`) }))).status, 200, user);
    assert.equal((await patient(() => d.signIn(new Jar(), { user, secret: secret.normalize('NFD'), ...from(`198.51.100.${i}`) }))).status, 200, user);
    assert.equal((await patient(() => d.signIn(new Jar(), { user, secret: secret.toUpperCase(), ...from(`198.51.100.${i}`) }))).status, 401, user);
  }
  const before = await hashes(d);
  assert.equal((await patient(() => d.signIn(new Jar(), { secret: 'v'.repeat(1025), ...from('198.51.100.99') }))).status, 401);
  assert.equal(await hashes(d), before);
});

test('LG-3: 10 MiB are refused with 413 before they are there, and nothing is hashed', async () => {
  const before = await hashes(d);
  for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
    const begun = process.hrtime.bigint();
    const res = await rawRequest(d.port, `POST /auth/login HTTP/1.1\r\nHost: localhost\r\nOrigin: ${d.origin}\r\nContent-Type: ${type}\r\nContent-Length: 10485760\r\n\r\n{"user":"mara","password":"aaaa`);
    assert.equal(res.status, 413);
    assert.ok(Number(process.hrtime.bigint() - begun) < 2e9);
  }
  assert.equal(await hashes(d), before);
});

/** The whole raw answer, without what may differ: request id, date, the mask of the form's token. */
async function refusal(one, user, secret, form) {
  let body = JSON.stringify({ user, password: secret });
  let cookie = '';
  if (form) {
    const jar = new Jar();
    const csrf = /name="csrf" value="([^"]+)"/.exec((await one.get('/auth/login', { jar })).body)[1];
    cookie = `Cookie: ${jar.header().cookie}\r\n`;
    body = new URLSearchParams({ csrf, user, password: secret }).toString();
  }
  const res = await rawRequest(one.port, `POST /auth/login HTTP/1.1\r\nHost: localhost\r\nOrigin: ${one.origin}\r\nAccept: ${form ? 'text/html' : 'application/json'}\r\n${cookie}` +
    `Content-Type: application/${form ? 'x-www-form-urlencoded' : 'json'}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  assert.equal(res.status, 401, res.text);
  return res.text.replace(/^Date: .*$/m, 'Date').replace(/^X-Request-Id: .*$/m, 'Id').replace(/"request_id":"[0-9a-f]+"/, 'id')
    .replace(/name="csrf" value="[^"]+"/g, 'csrf').replaceAll(user, 'USER');
}

test('LG-5: unknown, wrong, disabled, locked and without password look the same, to the byte', async () => {
  const one = await Daemon.start({ config: 'throttle:\n  failures-unknown: 1\n  failures-known: 9\n  attempts-per-minute: 8000\n' });
  try {
    for (const name of ['wrong', 'offed', 'locks']) await one.addUser(name);
    await one.ask('POST', '/v1/accounts/offed/disable');
    await one.ask('POST', '/v1/accounts', { name: 'empty', hash: '$2b$04$abcdefghijklmnopqrstuuK6Y7l1D1H0yJ4nOQG7zdhS8H8KkXbyq' });
    for (const form of [false, true]) {
      await refusal(one, 'locks', 'not the password', form);
      const answers = new Map();
      for (const [user, secret] of [['never', 'not the password'], ['wrong', 'not the password'], ['offed', password], ['locks', password], ['empty', 'not the password']])
        answers.set(user, await refusal(one, user, secret, form));
      const first = answers.get('never');
      for (const [user, answer] of answers) assert.equal(answer, first, `${user} ${form ? 'form' : 'json'}`);
    }
    const reasons = new Set(one.events('login_failure').map((e) => e.reason));
    for (const reason of ['unknown_user', 'wrong_password', 'disabled', 'locked']) assert.ok(reasons.has(reason), reason);
  } finally {
    await one.stop();
  }
});

test('LG-6: an unknown user costs the same hashes and store operations', async () => {
  const cost = async (user) => {
    const ops = await storeOps(d);
    const before = await hashes(d);
    assert.equal((await d.signIn(new Jar(), { user, secret: 'not the password', ...from('203.0.113.77') })).status, 401);
    return { hashes: (await hashes(d)) - before, ops: (await storeOps(d)) - ops };
  };
  await d.addUser('cost');
  assert.deepEqual(await cost('nobody-here'), await cost('cost'));
});

test('LG-9: attempts are limited by network before any hash is computed', async () => {
  const one = await Daemon.start({ listener: trusted });
  try {
    const before = await hashes(one);
    const got = [];
    for (let i = 0; i < 40; i++) {
      const res = await one.signIn(new Jar(), { user: `u${i % 5}`, secret: 'not the password', ...from(`2001:db8:1:2:${i.toString(16)}::1`) });
      got.push(res.status);
      if (res.status === 429) assert.match(res.headers['retry-after'], /^[1-9]\d*$/);
    }
    assert.ok((await hashes(one)) - before <= 20);
    assert.equal(got.filter((s) => s === 401).length + got.filter((s) => s === 429).length, 40);
    assert.ok(got.slice(20).every((s) => s === 429));

    const later = await hashes(one);
    const spray = [];
    for (let i = 0; i < 15; i++) spray.push((await one.signIn(new Jar(), { user: `spray${i}`, secret: 'one password for all', ...from('192.0.2.33') })).status);
    assert.deepEqual(spray.slice(0, 10), Array(10).fill(401));
    assert.ok(spray.slice(10).every((s) => s === 429), `${spray}`);
    assert.equal((await hashes(one)) - later, 10);
  } finally {
    await one.stop();
  }
});

test('LG-7: from the fifth failure on there is a wait; success clears the counter', async () => {
  await d.addUser('waits');
  const attempt = (secret) => d.signIn(new Jar(), { user: 'waits', secret, ...from('203.0.113.5') });
  for (let i = 0; i < 4; i++) assert.equal((await attempt('not the password')).status, 401);
  assert.equal((await attempt(password)).status, 200);
  await d.event('login_success_after_failures');
  for (let i = 0; i < 5; i++) assert.equal((await attempt('not the password')).status, 401);
  const before = await hashes(d);
  const res = await attempt(password);
  assert.equal(res.status, 429);
  assert.match(res.headers['retry-after'], /^[1-9]\d*$/);
  assert.equal(await hashes(d), before);
  await d.down('SIGKILL');
  await d.up();
  assert.equal((await attempt(password)).status, 429, 'a crash does not forget');
});

test('LG-10: a flood of sign-ins is answered with 503 in time, and verify goes on', async () => {
  const one = await Daemon.start({ listener: trusted, config: `${wide}password:\n  threads: 1\n  queue: 2\n  queue-wait: 200ms\n  memory: 64MiB\n` });
  try {
    const users = Array.from({ length: 24 }, (_, i) => `flood${i}`);
    for (const name of users) await one.addUser(name);
    const { jar } = await plant(one);
    const begun = Date.now();
    const sent = users.map((user, i) => one.signIn(new Jar(), { user, ...from(`198.51.100.${i}`) }).then((res) => ({ res, ms: Date.now() - begun })));
    const checks = [];
    for (let i = 0; i < 20; i++) {
      checks.push(await status(one, jar));
      await sleep(5);
    }
    const done = await Promise.all(sent);
    assert.ok(checks.every((s) => s === 200));
    const refused = done.filter(({ res }) => res.status === 503);
    assert.ok(refused.length > 0 && done.some(({ res }) => res.status === 200), done.map(({ res }) => res.status).join());
    for (const { res, ms } of done) {
      assert.ok([200, 503].includes(res.status), `${res.status}`);
      assert.ok(ms < 15000, `${ms} ms`);
      if (res.status === 503) assert.match(res.headers['retry-after'], /^[1-9]\d*$/);
      if (res.status === 503) assert.equal(res.cookies.length, 0);
    }
    assert.ok((await metrics(one)).get('coatcheck_hash_overflows_total') > 0);
    const again = await one.signIn(new Jar(), { user: users.at(-1), ...from('192.0.2.1') });
    assert.equal(again.status, 200, 'what was not checked does not count');
  } finally {
    await one.stop();
  }
});

test('LG-11: a fresh install has no users, no default secret, and keys of its own', async () => {
  const two = [await Daemon.start(), await Daemon.start()];
  try {
    const keys = [];
    for (const one of two) {
      assert.deepEqual((await one.ask('GET', '/v1/accounts')).json().accounts, []);
      assert.deepEqual((await one.ask('GET', '/v1/sessions')).json().sessions, []);
      for (const user of ['admin', 'root', 'coatcheck', 'test'])
        for (const secret of ['admin', user]) assert.equal((await one.signIn(new Jar(), { user, secret })).status, 401);
      const file = path.join(one.dir, 'data/keys');
      assert.equal(statSync(file).mode & 0o777, 0o600);
      keys.push(readFileSync(file, 'utf8'));
    }
    const secrets = keys.map((text) => new Set(text.match(/[0-9a-f]{64}|[A-Za-z0-9_+/-]{43}/g)));
    assert.ok(secrets[0].size > 0, keys[0].replace(/[0-9a-f]{8,}/g, '..'));
    for (const value of secrets[0]) assert.ok(!secrets[1].has(value));
    const { token } = await plant(two[0]);
    assert.equal((await two[1].get('/auth/verify', { headers: { cookie: `id=${token}` } })).status, 401);
  } finally {
    await Promise.all(two.map((one) => one.stop()));
  }
});

test('LG-11: a malformed sign-in makes no session', async () => {
  const before = await stored(d);
  const json = (text) => d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'application/json' } }, text);
  for (const text of ['', '{', '[]', 'null', '"x"', '{}', '{"user":"mara"}', '{"password":"x"}', '{"user":1,"password":"x"}', '{"user":"mara","password":null}',
    `{"user":"mara","user":"lou","password":"${password}"}`, `{"user":"mara","password":"${password}"} x`, `{"user":"mara","password":"${password}",}`,
    `{"user":{"$ne":1},"password":{"$ne":1}}`, `[{"user":"mara","password":"${password}"}]`, '{"a":'.repeat(20) + '1' + '}'.repeat(20), `{"user":"mara","password":["${password}"]}`]) {
    const res = await json(text);
    assert.ok([400, 401].includes(res.status), `${text}: ${res.status}`);
    assert.ok(!res.cookies.some((c) => c.startsWith('id=')), text);
  }
  assert.equal(await stored(d), before);
});
