// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep, run } from './lib.mjs';
import { Proxied, concrete, plant, publicRoutes, storeOps, stored } from './routes.mjs';
import { strangers } from './vectors.mjs';

const friend = 'https://spa.example';
let off, on;
before(async () => {
  off = await Proxied.start();
  on = await Proxied.start({ config: `cors:\n  origins: [${friend}]\n  exposed: [x-request-id]\n` });
});
after(async () => {
  await off.stop();
  await on.stop();
});

const corsFields = (res) => Object.keys(res.headers).filter((name) => name.startsWith('access-control-'));

test('CO-1: without configuration there is no Access-Control field, whatever is asked', async () => {
  const { jar } = await plant(off);
  for (const route of publicRoutes())
    for (const origin of [undefined, off.origin, friend, 'null']) {
      const headers = { ...(origin ? { origin } : {}), 'access-control-request-method': 'POST' };
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const res = await off.get(concrete(route.path), { jar: jar.clone(), method, headers });
        assert.deepEqual(corsFields(res), [], `${method} ${route.path} ${origin}`);
      }
    }
});

test('CO-1: only an exact match is granted, and only by name', async () => {
  assert.ok(strangers.length >= 45);
  const { jar } = await plant(on);
  for (const origin of strangers) {
    const res = await on.get('/auth/session', { jar, headers: { origin } });
    assert.deepEqual(corsFields(res), [], origin);
    assert.equal(res.status, 403, origin);
    assert.equal((await on.get('/auth/logout', { jar: jar.clone(), method: 'POST', headers: { origin } })).status, 403, origin);
  }
  const res = await on.get('/auth/session', { jar, headers: { origin: friend } });
  assert.equal(res.status, 200);
  assert.equal(res.headers['access-control-allow-origin'], friend);
  assert.equal(res.headers['access-control-allow-credentials'], 'true');
  assert.equal(res.headers['access-control-expose-headers'], 'x-request-id');
  assert.deepEqual(corsFields(res).length, 3);
  assert.deepEqual(corsFields(await on.get('/auth/session', { jar, headers: { origin: [friend, friend] } })), []);
  assert.deepEqual(corsFields(await on.get('/auth/session', { jar, headers: { origin: on.origin } })), []);
});

test('CO-1: wildcards and patterns are refused at the start', () => {
  for (const origin of ['*', 'https://*.example', 'https://*', 'null', '.example', 'https://spa.example/', 'https://spa.example/x', '/^https:.*$/', 'spa.example', 'https://spa.*']) {
    const res = run(['config', 'check', `--cors.origins=${origin}`]);
    assert.equal(res.status, 3, origin);
    assert.match(res.stderr, /cors\.origins/);
  }
});

test('CO-2: every answer of these routes varies by Origin, errors included', async () => {
  const { jar } = await plant(on);
  for (const route of publicRoutes().filter((r) => !/VERIFY|STATIC/.test(r.flags)))
    for (const origin of [undefined, on.origin, friend, 'https://evil.example'])
      for (const visitor of [jar, undefined]) {
        const body = route.method === 'POST' ? '{"x":1}' : undefined;
        const headers = { ...(origin ? { origin } : {}), ...(body ? { 'content-type': 'application/json' } : {}) };
        const res = await on.get(concrete(route.path), { jar: visitor?.clone(), method: route.method, headers }, body);
        assert.match(res.headers.vary ?? '', /(^|, )Origin(,|$)/, `${route.method} ${route.path} ${origin} ${res.status}`);
      }
});

test('CO-3: a preflight looks at no session, and grants what is configured', async () => {
  const { jar, handle } = await plant(on);
  const seen = async () => (await on.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
  const before = await seen();
  await sleep(1100);
  const ops = await storeOps(on);
  const ask = (headers) => on.get('/auth/logout', { jar: jar.clone(), method: 'OPTIONS', headers });
  const good = { origin: friend, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type, x-csrf-token' };
  const res = await ask(good);
  assert.equal(res.status, 204);
  assert.equal(res.headers['access-control-allow-origin'], friend);
  assert.equal(res.headers['access-control-allow-methods'], 'GET, POST');
  assert.equal(res.headers['access-control-allow-headers'], 'content-type, x-csrf-token');
  assert.ok(Number(res.headers['access-control-max-age']) <= 600);
  for (const bad of [{ ...good, origin: 'https://evil.example' }, { ...good, origin: 'null' }, { ...good, 'access-control-request-method': 'DELETE' },
    { ...good, 'access-control-request-headers': 'x-other' }]) {
    const refused = await ask(bad);
    assert.equal(refused.status, 403, JSON.stringify(bad));
    assert.deepEqual(corsFields(refused), []);
    assert.equal(refused.cookies.length, 0);
  }
  assert.equal(res.cookies.length, 0);
  assert.equal(await storeOps(on), ops);
  assert.equal(await seen(), before);
});

test('CO-3: a refused origin\'s request does nothing, though cookie and token are right', async () => {
  const { jar } = await plant(on);
  const csrf = await on.csrf(jar);
  const before = await stored(on);
  const res = await on.post('/auth/logout-all', { csrf }, { jar: jar.clone(), headers: { origin: 'https://evil.example' } });
  assert.equal(res.status, 403);
  assert.deepEqual(corsFields(res), []);
  assert.equal(await stored(on), before);
  const granted = await on.post('/auth/logout-all', { csrf }, { jar, headers: { origin: friend } });
  assert.equal(granted.status, 200);
  assert.equal(granted.headers['access-control-allow-origin'], friend);
});
