// SPDX-License-Identifier: Apache-2.0
// Two machines on one PostgreSQL: a real server, started here, and daemons in folders of their own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, run, until } from './lib.mjs';
import { Server, bin, nobody, only, usable } from './postgresql.mjs';
import { status } from './routes.mjs';

const server = new Server();
let a, b;
before(async () => {
  if (!usable) return;
  server.make();
  await server.up('postgres');
  server.sql('CREATE ROLE coatcheck LOGIN', 'postgres');
  server.sql('CREATE DATABASE coatcheck OWNER coatcheck', 'postgres');
  a = new Daemon({ config: server.config() });
  await a.prepare();
  b = new Daemon({ config: server.config() });
  await b.prepare();
});
after(async () => {
  await a?.stop();
  await b?.stop();
  await server.down();
  rmSync(server.dir, { recursive: true, force: true });
});

test('a daemon does not start on tables that are not there, and does not make them', only, () => {
  const refused = run(['serve', '--config', a.file]);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /coatcheck store migrate/);
  assert.equal(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'coatcheck'"), '0');
});

test('store migrate makes the tables, once', only, async () => {
  const first = run(['store', 'migrate', '--config', a.file]);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /of version 1 now/);
  const again = run(['store', 'migrate', '--config', a.file, '--json']);
  assert.deepEqual(JSON.parse(again.stdout), { from: 1, to: 1 });
  const none = run(['store', 'migrate', '--config', a.file, '--url=memory:']);
  assert.notEqual(none.status, 0);
  assert.match(none.stderr, /no tables to migrate/);
  await a.up();
  await a.addUser();
  // The second machine has the keys of the first: one installation.
  copyFileSync(path.join(a.dir, 'data/keys'), path.join(b.dir, 'data/keys'));
  chmodSync(path.join(b.dir, 'data/keys'), 0o600);
  await b.up();
});

const signedIn = async (daemon) => {
  const jar = new Jar();
  assert.equal((await daemon.signIn(jar)).status, 200);
  return jar;
};

test('RV-1 RV-4: what one machine signs in or ends holds on the other with the next request', only, async () => {
  for (const [here, there] of [[a, b], [b, a]]) {
    const jar = await signedIn(here);
    assert.equal(await status(there, jar), 200);
    const out = await there.postJson('/auth/logout', { csrf: await there.csrf(jar) }, { jar: jar.clone() });
    assert.equal(out.status, 200, out.body);
    assert.equal(await status(here, jar), 401);
  }
  const one = await signedIn(a), two = await signedIn(b);
  assert.equal((await b.ask('POST', '/v1/users/mara/end-sessions')).status, 204);
  for (const jar of [one, two]) for (const d of [a, b]) assert.equal(await status(d, jar), 401);
  const three = await signedIn(b);
  assert.equal((await a.ask('POST', '/v1/end-all')).status, 204);
  for (const d of [a, b]) assert.equal(await status(d, three), 401);
});

test('SF-1 SF-11: without its store a daemon says 503, and nobody is signed out by it', only, async () => {
  const jar = await signedIn(a);
  await server.down();
  for (let i = 0; i < 20; i++) {
    const res = await a.get('/auth/verify', { jar });
    assert.equal(res.status, 503);
    assert.equal(res.cookies.length, 0);
  }
  const state = (await a.ask('GET', '/v1/status')).json();
  assert.equal(state.store.away, true);
  assert.notEqual(state.store.notice, '');
  await server.up();
  await until('both are back', async () => (await status(a, jar)) === 200 && (await status(b, jar)) === 200);
});

test('ST-1: a dump of the database has no token and no secret', only, async () => {
  const jar = await signedIn(a);
  const dump = execFileSync(`${bin}pg_dump`, ['-h', server.dir, '-U', 'postgres', 'coatcheck'],
    { encoding: 'latin1', cwd: server.dir });
  assert.match(dump, /COPY coatcheck\.sessions/);
  const tokens = [...jar.map.values()].filter((value) => /^[\w-]{54}$/.test(value));
  assert.ok(tokens.length > 0);
  for (const token of tokens) {
    const secret = Buffer.from(token, 'base64url').subarray(16, 32);
    for (const form of [token, secret.toString('hex'), secret.toString('base64'), secret.toString('base64url'), secret.toString('latin1')])
      assert.equal(dump.includes(form), false);
  }
});

test('a node loads libpq only when it uses it', only, async () => {
  const plain = await Daemon.start();
  const maps = (d) => readFileSync(`/proc/${d.child.pid}/maps`, 'utf8');
  try {
    assert.doesNotMatch(maps(plain), /libpq|libssl|store-postgresql/);
    assert.match(maps(a), /libpq/);
  } finally {
    await plain.stop();
  }
});
