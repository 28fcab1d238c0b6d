// SPDX-License-Identifier: Apache-2.0
// Behind stock nginx with auth_request: what an application and its visitors get.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Gateway } from './gateway.mjs';
import { Jar, password } from './lib.mjs';

let g;
before(async () => {
  g = await Gateway.start();
  await g.daemon.addUser('mara', ['admin', 'staff']);
});
after(() => g.stop());

const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

test('an anonymous navigation is led to the sign-in page, with the way back', async () => {
  const res = await g.get('/reports?year=2026&x=%2F', { headers: page });
  assert.equal(res.status, 302);
  assert.equal(res.headers.location, `${g.origin}/auth/login?return=%2Freports%3Fyear%3D2026%26x%3D%252F`);
  assert.equal(res.headers['cache-control'], 'no-store');
});

test('an anonymous fetch gets 401 with the address of the sign-in page, not a redirect', async () => {
  const res = await g.get('/api', { headers: { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } });
  assert.equal(res.status, 401);
  assert.equal(res.json().login, `${g.origin}/auth/login`);
});

test('a signed-in request arrives with identity, whoever the client says it is', async () => {
  const jar = new Jar();
  assert.equal((await g.signIn(jar, 'mara', password)).status, 200);
  const res = await g.get('/x', {
    jar,
    headers: { 'X-Auth-User': 'evil', 'x-auth-roles': 'root', X_Auth_User: 'evil' },
  });
  const seen = res.json();
  assert.equal(seen.user, 'mara');
  assert.equal(seen.headers['x-auth-roles'], 'admin%20staff');
  assert.equal(JSON.stringify(seen).includes('evil'), false);
});

test('FA-3: no identity field of a client arrives, whether or not there is one of ours to replace it', async () => {
  const jar = new Jar();
  await g.signIn(jar, 'mara', password);
  const names = ['User', 'Roles', 'Methods', 'Session', 'Time'];
  const forged = Object.fromEntries(names.flatMap((n) => [[`X-Auth-${n}`, 'evil'], [`x_auth_${n}`, 'evil']]));
  const seen = (await g.get('/x', { jar, headers: { ...forged, connection: 'X-Auth-User' } })).json();
  assert.equal(JSON.stringify(seen).includes('evil'), false);
  assert.equal(seen.headers['x-auth-methods'], 'pwd');
  assert.match(seen.headers['x-auth-time'], /^\d+$/);
});

test('FA-7: the application gets all cookies but those of coatcheck, byte for byte', async () => {
  const jar = new Jar();
  await g.signIn(jar, 'mara', password);
  const id = jar.map.get('id');
  const layouts = [
    [`id=${id}`, undefined],
    [`id=${id}; a=1; b="x y"`, 'a=1; b="x y"'],
    [`a=1; id=${id}; b=2`, 'a=1; b=2'],
    [`a=1; id=${id}`, 'a=1;'],
    [`a=1;id=${id};b=2`, 'a=1;b=2'],
    [`id-device=x.y; id=${id}; id-pre=z; userid=7; xid=8; id2=9`, 'userid=7; xid=8; id2=9'],
    [`id=stale; id=${id}; a=1`, undefined],
    [`a=b=c; id=${id}; d=id`, 'a=b=c; d=id'],
  ];
  for (const [cookie, expected] of layouts)
    assert.equal((await g.get('/x', { headers: { cookie } })).json().headers.cookie, expected, cookie.replace(id, 'ID'));
});

test('a refused request never reaches the application', async () => {
  const hits = g.hits;
  for (const headers of [{}, page, { cookie: 'id=x' }, { 'X-Auth-User': 'mara' }])
    assert.notEqual((await g.get('/', { headers })).status, 200);
  assert.equal(g.hits, hits);
});

test('FA-1: forwarding headers of a client do not pass the gateway', async () => {
  const res = await g.get('/secret', {
    headers: { ...page, 'X-Original-URI': '/public', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Uri': '/public' },
  });
  assert.equal(res.headers.location, `${g.origin}/auth/login?return=%2Fsecret`);
});

test('sign-out at the gateway holds for the next request', async () => {
  const jar = new Jar();
  await g.signIn(jar, 'mara', password);
  const copy = jar.clone();
  assert.equal((await g.get('/', { jar })).status, 200);
  const { csrf } = (await g.get('/auth/csrf', { jar })).json();
  assert.equal((await g.post('/auth/logout', { csrf }, { jar })).status, 200);
  assert.equal((await g.get('/', { jar: copy })).status, 401);
});

test('while the daemon is away: 503 with Retry-After, no sign-in page, and signed in afterwards', async () => {
  const jar = new Jar();
  await g.signIn(jar, 'mara', password);
  await g.daemon.down();
  const res = await g.get('/', { jar, headers: page });
  assert.equal(res.status, 503);
  assert.equal(res.headers['retry-after'], '2');
  assert.equal(res.headers.location, undefined);
  assert.equal(res.cookies.length, 0);
  await g.daemon.up();
  assert.equal((await g.get('/', { jar })).status, 200);
});
