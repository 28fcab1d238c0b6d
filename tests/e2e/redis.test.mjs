// SPDX-License-Identifier: Apache-2.0
// Two machines on one Redis: a real redis-server, started here, and daemons in folders of their own.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, freeze, run, until } from './lib.mjs';
import { Redis, only, sameKeys, usable } from './redis.mjs';
import { plant, status } from './routes.mjs';

const redis = new Redis();
let a, b;
before(async () => {
  if (!usable) return;
  await redis.up();
  a = await Daemon.start({ config: redis.config() });
  await a.addUser();
  // The second machine has the keys of the first: one installation.
  b = new Daemon({ config: redis.config() });
  await b.prepare();
  sameKeys(a, b);
  await b.up();
});
after(async () => {
  await a?.stop();
  await b?.stop();
  await redis.gone();
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

test('SF-1 SF-2: without its store a daemon says 503, and nobody is signed out by it', only, async () => {
  const jar = await signedIn(a);
  await redis.down();
  for (let i = 0; i < 20; i++) {
    // Whom it lets in without a session it lets in when there is none, not when nobody can tell.
    const res = await a.get(i % 2 === 0 ? '/auth/verify' : '/auth/verify?optional=yes', { jar });
    assert.equal(res.status, 503);
    assert.ok(res.headers['retry-after']);
    assert.equal(res.cookies.length, 0);
  }
  assert.equal((await a.ask('GET', '/v1/ready')).status, 503);
  const state = (await a.ask('GET', '/v1/status')).json();
  assert.equal(state.store.away, true);
  assert.notEqual(state.store.notice, '');
  await redis.up();
  await until('both are back', async () => (await status(a, jar)) === 200 && (await status(b, jar)) === 200);
});

test('SF-11: a daemon starts before its store, and is ready without a restart', only, async () => {
  const jar = await signedIn(a);
  await redis.down();
  await b.down();
  const started = b.up();
  await until('the admin socket answers', async () =>
    (await b.ask('GET', '/v1/health').catch(() => null))?.status === 200);
  assert.equal((await b.ask('GET', '/v1/ready')).status, 503);
  assert.equal(await status(b, jar), 503);
  await redis.up();
  await started;
  assert.equal(await status(b, jar), 200);
});

test('keys are made for an empty store only, and never while that cannot be told', only, async () => {
  const config = path.join(a.dir, 'third.yaml');
  const dir = path.join(a.dir, 'third');
  mkdirSync(dir, { mode: 0o700 });
  const text = readFileSync(a.file, 'utf8').replaceAll(`${a.dir}/data`, `${dir}/data`).replaceAll(`${a.dir}/run`, `${dir}/run`)
    .replace(String(a.port), String(a.port + 1));
  writeFileSync(config, text);
  const refused = run(['serve', '--config', config]);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /is missing, but there is a store/);
  assert.equal(existsSync(path.join(dir, 'data/keys')), false);
  writeFileSync(config, text.replace(redis.socket, `${redis.socket}-nobody`));
  const unknown = run(['serve', '--config', config]);
  assert.notEqual(unknown.status, 0);
  assert.match(unknown.stderr, /does not answer/);
  assert.equal(existsSync(path.join(dir, 'data/keys')), false);
});

test('a node loads the libraries of a store only when it uses it', only, async () => {
  const plain = await Daemon.start();
  const maps = (d) => readFileSync(`/proc/${d.child.pid}/maps`, 'utf8');
  try {
    assert.doesNotMatch(maps(plain), /hiredis|libssl|store-redis/);
    assert.match(maps(a), /store-redis/);
  } finally {
    await plain.stop();
  }
  const missing = run(['serve', '--config', a.file, `--store.modules=${a.dir}`, `--runtime.directory=${a.dir}/other`]);
  assert.notEqual(missing.status, 0);
  assert.match(missing.stderr, /store-redis\.so is not installed/);
});

test('SF-2: store.timeout is how long an answer of the store is waited for', only, async () => {
  const patient = new Daemon({ config: redis.config().replace('store:\n', 'store:\n  timeout: 5s\n') });
  await patient.prepare();
  sameKeys(a, patient);
  await patient.up();
  try {
    const { handle } = await plant(a), look = (d) => d.ask('GET', `/v1/sessions/${handle}`);
    for (const d of [a, patient]) await until('it answers', async () => (await look(d)).status === 200);
    await freeze(redis.child.pid);
    let is_back = false;
    const waiting = look(patient).then((res) => ({ status: res.status, is_back }));
    assert.equal((await look(a)).status, 503, 'the default is over');
    is_back = true;
    redis.child.kill('SIGCONT');
    assert.deepEqual(await waiting, { status: 200, is_back: true });
    for (const wrong of ['9ms', '6s']) {
      writeFileSync(patient.file, patient.yaml().replace('timeout: 5s', `timeout: ${wrong}`));
      const res = run(['config', 'check', '--config', patient.file]);
      assert.equal(res.status, 3);
      assert.match(res.stderr, /store\.timeout.*10ms to 5s/);
    }
  } finally {
    await patient.stop();
  }
});
