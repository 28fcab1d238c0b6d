// SPDX-License-Identifier: Apache-2.0
// Two machines on two memcached servers, real ones, started here; accounts in LMDB.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, run, until } from './lib.mjs';
import { Memcached, modules, only, usable } from './memcached.mjs';
import { sameKeys } from './redis.mjs';
import { status } from './routes.mjs';

const dir = mkdtempSync(path.join(tmpdir(), 'coat-memcached-'));
const servers = [new Memcached(dir, 'one'), new Memcached(dir, 'two')];
const config = `store:\n  url: memcached+unix:${servers.map((s) => s.socket).join(',')}\n  modules: ${modules}\n` +
  'accounts:\n  url: lmdb:{data.directory}/accounts\n';
let a, b;
before(async () => {
  if (!usable) return;
  for (const server of servers) await server.up();
  a = await Daemon.start({ config });
  await a.addUser();
  // The second machine has the keys and the accounts of the first.
  b = new Daemon({ config });
  await b.prepare();
  sameKeys(a, b);
  await b.up();
  await b.addUser();
});
after(async () => {
  await a?.stop();
  await b?.stop();
  for (const server of servers) await server.down();
  rmSync(dir, { recursive: true, force: true });
});

const signedIn = async (daemon) => {
  const jar = new Jar();
  assert.equal((await daemon.signIn(jar)).status, 200);
  return jar;
};

test('RV-1: who signs in on one machine is known on the other, and unknown once signed out', only, async () => {
  for (const [here, there] of [[a, b], [b, a]]) {
    const jar = await signedIn(here);
    for (let i = 0; i < 3; i++) {
      assert.equal(await status(here, jar), 200);
      assert.equal(await status(there, jar), 200);
    }
    const kept = jar.clone();
    const out = await there.postJson('/auth/logout', { csrf: await there.csrf(jar) }, { jar });
    assert.equal(out.status, 200, out.body);
    assert.equal(await status(here, kept), 401);
    assert.equal(await status(there, kept), 401);
  }
});

test('RV-4: ending a user or everybody on one machine holds on the other at once', only, async () => {
  const one = await signedIn(a), two = await signedIn(b);
  assert.equal((await b.ask('POST', '/v1/users/mara/end-sessions')).status, 204);
  for (const jar of [one, two]) for (const d of [a, b]) assert.equal(await status(d, jar), 401);
  const three = await signedIn(b);
  assert.equal(await status(a, three), 200);
  assert.equal((await a.ask('POST', '/v1/end-all')).status, 204);
  for (const d of [a, b]) assert.equal(await status(d, three), 401);
});

test('a user\'s sessions can be listed, everybody\'s cannot', only, async () => {
  await signedIn(a);
  const own = await b.ask('GET', '/v1/users/mara/sessions');
  assert.equal(own.status, 200, own.body);
  assert.ok(own.json().sessions.length >= 1);
  const all = await b.ask('GET', '/v1/sessions');
  assert.equal(all.status, 501);
  assert.equal(all.json().error.code, 'not_supported_by_store');
});

test('SF-7: flush_all means to sign in again', only, async () => {
  const jar = await signedIn(a);
  for (const server of servers) assert.match(await server.ask('flush_all'), /^OK/);
  for (const d of [a, b]) assert.equal(await status(d, jar), 401);
  assert.equal(await status(b, await signedIn(a)), 200);
});

test('SF-1: without its servers a daemon says 503, and accounts stay', only, async () => {
  const jar = await signedIn(a);
  for (const server of servers) await server.down();
  for (let i = 0; i < 20; i++) {
    // Whom it lets in without a session it lets in when there is none, not when nobody can tell.
    const res = await a.get(i % 2 === 0 ? '/auth/verify' : '/auth/verify?optional=yes', { jar });
    assert.equal(res.status, 503);
    assert.equal(res.cookies.length, 0);
  }
  assert.equal((await a.ask('GET', '/v1/ready')).status, 503);
  assert.equal((await a.ask('GET', '/v1/accounts/mara')).status, 200);
  for (const server of servers) await server.up();
  await until('it is back', async () => (await status(a, jar)) === 401);
  await until('both sign in', async () => (await a.signIn(new Jar())).status === 200 && (await b.signIn(new Jar())).status === 200);
});

test('memcached keeps no accounts, and says so at the start', only, async () => {
  const file = path.join(dir, 'alone.yaml');
  writeFileSync(file, readFileSync(a.file, 'utf8').replace(/accounts:\n {2}url: .*\n/, ''));
  const refused = run(['config', 'check', '--config', file]);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stdout + refused.stderr, /set accounts\.url as well/);
});
