// SPDX-License-Identifier: Apache-2.0
// What /auth/verify reads and answers in each dialect: the table in docs/deployment.md.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, freePort, request } from './lib.mjs';

const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const target = '/orders/7?page=2';
const back = encodeURIComponent(target);
const dialects = {
  nginx: { path: '/auth/verify', fields: { 'x-original-method': 'GET', 'x-original-uri': target, 'x-original-host': 'app.example' } },
  forwarded: { path: '/auth/verify', fields: { 'x-forwarded-method': 'GET', 'x-forwarded-uri': target, 'x-forwarded-host': 'app.example' } },
  envoy: { path: `/auth/verify${target}`, fields: {} },
};

let d, cookie;
before(async () => {
  let listener = '';
  for (const [name, dialect] of Object.entries(dialects)) {
    dialect.port = await freePort();
    listener += `  - address: 127.0.0.1:${dialect.port}\n    dialect: ${name}\n    trusted: [127.0.0.1/32]\n`;
  }
  d = await Daemon.start({ plain: false, origin: 'https://app.example', listener });
  const made = await d.ask('POST', '/v1/sessions', { user: 'mara', roles: ['staff', 'admin'], methods: ['pwd'] });
  cookie = made.json().set_cookie.split(';')[0];
});
after(() => d.stop());

const ask = ({ port, path, fields }, headers = {}, method = 'GET', query = '') =>
  request({ host: '127.0.0.1', port, method, path: path + query,
    headers: { host: 'app.example', 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.7', ...fields, ...headers } });

for (const [name, dialect] of Object.entries(dialects)) {
  test(`${name}: somebody who is signed in passes, with identity headers`, async () => {
    const res = await ask(dialect, { cookie });
    assert.equal(res.status, 200);
    assert.equal(res.headers['x-auth-user'], 'mara');
    assert.equal(res.headers['x-auth-roles'], 'staff%20admin');
  });

  test(`${name}: a page leads to the sign-in page and back`, async () => {
    const res = await ask(dialect, navigation);
    const page = `https://app.example/auth/login?return=${back}`;
    assert.equal(res.status, name === 'nginx' ? 401 : 302);
    assert.equal(res.headers[name === 'nginx' ? 'x-auth-redirect' : 'location'], page);
  });

  test(`${name}: data get 401 and the address of the page`, async () => {
    const res = await ask(dialect);
    assert.equal(res.status, 401);
    assert.equal(res.headers.location, undefined);
    assert.equal(res.headers['x-auth-redirect'], undefined);
    assert.equal(res.headers['x-auth-login'], 'https://app.example/auth/login');
  });
}

for (const name of ['nginx', 'forwarded'])
  test(`${name}: a missing role is 403 without a redirect`, async () => {
    const res = await ask(dialects[name], { ...navigation, cookie }, 'GET', '?role=owner');
    assert.equal(res.status, 403);
    assert.equal(res.headers['x-auth-redirect'] ?? res.headers.location, undefined);
    assert.equal((await ask(dialects[name], { cookie }, 'GET', '?role=admin&max_age=300')).status, 200);
  });

test('envoy: every method is asked about by itself, also at the root', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
    assert.equal((await ask(dialects.envoy, { cookie }, method)).status, 200, method);
  const res = await ask({ ...dialects.envoy, path: '/auth/verify/' }, navigation);
  assert.equal(res.headers.location, 'https://app.example/auth/login?return=%2F');
});

test('envoy: parameters of the request itself are no demands', async () => {
  assert.equal((await ask(dialects.envoy, { cookie }, 'GET', '&role=owner')).status, 200);
});
