// SPDX-License-Identifier: Apache-2.0
// Signing in, being recognised, signing out: through the daemon's public routes.
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, Jar, password } from './lib.mjs';

let d;
before(async () => {
  d = await Daemon.start();
  await d.addUser();
});
after(() => d.stop());

test('sign-in by form: page, token, redirect to the target, recognised, signed out', async () => {
  const jar = new Jar();
  const page = await d.get('/auth/login?return=/hello%3Fa=1', { jar });
  assert.equal(page.status, 200);
  const csrf = /name="csrf" value="([^"]+)"/.exec(page.body)[1];
  assert.match(page.body, /name="return" value="\/hello\?a=1"/);
  const res = await d.post('/auth/login', { csrf, user: 'mara', password, return: '/hello?a=1' }, { jar });
  assert.equal(res.status, 303);
  assert.equal(res.headers.location, '/hello?a=1');
  const verify = await d.get('/auth/verify', { jar });
  assert.equal(verify.status, 200);
  assert.equal(verify.headers['x-auth-user'], 'mara');
  assert.equal(verify.headers['x-auth-roles'], 'admin');
  const out = await d.post('/auth/logout', { csrf: await d.csrf(jar) }, { jar });
  assert.equal(out.status, 200);
  assert.equal((await d.get('/auth/verify', { jar })).status, 401);
});

test('LC-8: GET does not sign out; POST does, at once, idempotently, with Clear-Site-Data', async () => {
  const jar = new Jar();
  await d.signIn(jar);
  assert.equal((await d.get('/auth/logout', { jar })).status, 405);
  assert.equal((await d.get('/auth/verify', { jar })).status, 200);
  const copy = jar.clone();
  const csrf = await d.csrf(jar);
  const first = await d.post('/auth/logout', { csrf }, { jar });
  assert.equal(first.status, 200);
  assert.equal(first.headers['clear-site-data'], '"cache", "storage"');
  assert.equal((await d.get('/auth/verify', { jar: copy })).status, 401);
  const second = await d.post('/auth/logout', { csrf }, { jar: copy });
  assert.equal(second.status, 200);
});

test('LC-8: a sign-out that was acknowledged survives kill -9', async () => {
  const jar = new Jar();
  await d.signIn(jar);
  const copy = jar.clone();
  await d.post('/auth/logout', { csrf: await d.csrf(jar) }, { jar });
  await d.down('SIGKILL');
  await d.up();
  assert.equal((await d.get('/auth/verify', { jar: copy })).status, 401);
});

test('sessions survive a restart', async () => {
  const jar = new Jar();
  await d.signIn(jar);
  await d.down();
  await d.up();
  assert.equal((await d.get('/auth/verify', { jar })).headers['x-auth-user'], 'mara');
});

test('a lost key file beside a store stops the start, and a restored one brings everybody back', async () => {
  const jar = new Jar();
  await d.signIn(jar);
  await d.down();
  const keys = `${d.dir}/data/keys`;
  renameSync(keys, `${keys}.away`);
  await assert.rejects(d.up(), /is missing, but there is a store/);
  assert.equal(d.exited.code, 3);
  renameSync(`${keys}.away`, keys);
  await d.up();
  assert.equal((await d.get('/auth/verify', { jar })).headers['x-auth-user'], 'mara');
});
