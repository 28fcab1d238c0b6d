// SPDX-License-Identifier: Apache-2.0
// Tokens as the daemon takes them: only its own, only in the cookie, and cheaply.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, Jar } from './lib.mjs';
import { concrete, jarOf, plant, publicRoutes, rawRequest, status, storeOps, strangeToken } from './routes.mjs';

let d;
before(async () => {
  d = await Daemon.start({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
  await d.addUser();
});
after(() => d.stop());

test('ID-3: a token of the client\'s own choice is never adopted', async () => {
  const chosen = strangeToken();
  const handle = chosen.slice(0, 22);
  for (const route of publicRoutes().filter((r) => r.method === 'GET'))
    await d.get(concrete(route.path), { jar: jarOf(d, chosen) });
  const res = await d.postJson('/auth/login', { user: 'mara', password: 'violet kettle ramp 93' }, { jar: jarOf(d, chosen) });
  assert.equal(res.status, 200);
  const jar = new Jar();
  jar.take(res);
  assert.notEqual(jar.map.get('id'), chosen);
  assert.notEqual(jar.map.get('id').slice(0, 22), handle);
  assert.equal(await status(d, jarOf(d, chosen)), 401);
  const canonical = Buffer.from(chosen, 'base64url').subarray(0, 16).toString('base64url');
  assert.equal((await d.ask('GET', `/v1/sessions/${canonical}`)).status, 404);
  await d.event('session_unknown_token');
});

function mutations(token) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const list = ['', '=', 'A', token + '=', token + 'A', token.slice(0, -1), ` ${token}A`, `"${token}"`, '%41' + token.slice(3)];
  const last = alphabet.indexOf(token.at(-1));
  for (let bits = 1; bits < 16; bits++) list.push(token.slice(0, -1) + alphabet[last + bits]); /* aliases */
  for (const c of ['+', '/', '=', '%', '.', '~', '!', '\xc3', '\xff'])
    for (const at of [0, 1, 21, 22, 40, 53]) list.push(token.slice(0, at) + c + token.slice(at + 1));
  for (const n of [1, 2, 3, 4, 8, 16, 32, 48, 52, 53, 55, 56, 64, 108, 128, 512, 4096, 8000]) list.push('A'.repeat(n));
  for (let n = 0; n < token.length; n++) list.push(token.slice(0, n), token + token.slice(0, n + 1));
  return list;
}

test('ID-4: what is not exactly a token reaches no store', async () => {
  const { token, jar } = await plant(d);
  assert.equal(await status(d, jar), 200);
  const values = mutations(token);
  assert.ok(values.length > 180);
  const before = await storeOps(d);
  for (const value of values) {
    const got = await status(d, jarOf(d, value));
    assert.ok([400, 401, 431].includes(got), `${JSON.stringify(value.slice(0, 80))}: ${got}`);
  }
  for (const bad of ['\0', '\r', '\x01', '\x7f']) {
    const res = await rawRequest(d.port, `GET /auth/verify HTTP/1.1\r\nHost: localhost\r\nCookie: id=${token.slice(0, 20)}${bad}${token.slice(21)}\r\n\r\n`);
    assert.ok([400, 401].includes(res.status), `${JSON.stringify(bad)}: ${res.status}`);
  }
  assert.equal(await storeOps(d), before);
  assert.equal(await status(d, jar), 200);
});

test('ID-5: a live token counts in the cookie only, is reported elsewhere, and shows up nowhere', async () => {
  const { token } = await plant(d);
  const form = { origin: d.origin, 'content-type': 'application/x-www-form-urlencoded' };
  const json = { origin: d.origin, 'content-type': 'application/json' };
  const channels = [
    () => d.get(`/auth/session?id=${token}`),
    () => d.get(`/auth/verify/page;id=${token}`),
    () => d.get('/auth/logout-all', { method: 'POST', headers: form }, `id=${token}`),
    () => d.get('/auth/logout-all', { method: 'POST', headers: json }, JSON.stringify({ id: token })),
    () => d.get('/auth/verify', { headers: { authorization: `Bearer ${token}` } }),
    () => d.get('/auth/verify', { headers: { 'x-session': token } }),
  ];
  const had = d.events('token_wrong_channel').length;
  for (const [i, send] of channels.entries()) {
    const res = await send();
    assert.equal(res.status, 401, `channel ${i}`);
    assert.ok(!res.body.includes(token) && !JSON.stringify(res.headers).includes(token), `channel ${i} reflects`);
    assert.equal(res.cookies.length, 0);
  }
  await d.get('/auth/verify', { jar: jarOf(d, token) });
  for (let i = 0; i < 50 && d.events('token_wrong_channel').length < had + channels.length; i++) await new Promise((r) => setTimeout(r, 20));
  assert.equal(d.events('token_wrong_channel').length, had + channels.length);
  assert.ok(!readFileSync(d.log, 'utf8').includes(token));
});

test('ID-7 RX-4: guesses are limited by network, live tokens are not, the store notices nothing', async () => {
  const fresh = await Daemon.start();
  try {
    const { jar } = await plant(fresh);
    assert.equal(await status(fresh, jar), 200);
    const before = await storeOps(fresh);
    const got = [];
    for (let i = 0; i < 100; i++) {
      const res = await fresh.get('/auth/verify', { jar: jarOf(fresh, strangeToken()) });
      got.push(res.status);
      if (res.status === 429) assert.match(res.headers['retry-after'], /^[1-9]\d*$/);
      if (i % 5 === 0) assert.equal(await status(fresh, jar), 200);
    }
    assert.ok(got.filter((s) => s === 401).length <= 20, `${got}`);
    assert.ok(got.slice(20).every((s) => s === 429));
    assert.equal(await storeOps(fresh), before);
    const event = await fresh.event('token_guessing');
    assert.equal(event.count, 20);
    assert.equal(event.client, '127.0.0.1');
    assert.equal(fresh.events('token_guessing').length, 1);
  } finally {
    await fresh.stop();
  }
});
