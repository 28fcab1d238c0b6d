// SPDX-License-Identifier: Apache-2.0
// Secrets stay where they belong: not in logs, metrics, answers, the store, or memory.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, sleep } from './lib.mjs';
import { jarOf, metrics, plant, rawRequest, sanitized, status, trusted } from './routes.mjs';

const wide = 'throttle:\n  attempts-per-minute: 8000\n';
let d;
before(async () => {
  d = await Daemon.start({ listener: trusted, config: `${wide}table:\n  slots: 1024\n`, level: 'debug' });
});
after(() => d.stop());

const formsOf = (secret) => {
  const bytes = Buffer.from(secret);
  return [secret, bytes.toString('hex'), bytes.toString('hex').toUpperCase(), bytes.toString('base64').replace(/.{0,2}=*$/, ''), bytes.toString('base64url').slice(0, -2), encodeURIComponent(secret)];
};

/** A token in every form its parts could have been written in. */
const tokenForms = (token) => {
  const bytes = Buffer.from(token, 'base64url');
  const secret = bytes.subarray(16, 32);
  return [...formsOf(token), ...[bytes, secret].flatMap((b) => [b.toString('latin1'), b.toString('hex'), b.toString('base64').slice(0, 20), b.toString('base64url').slice(0, 20)])];
};

test('AU-1: no canary in any log, metric, error or standard error, in any form', async () => {
  const canary = { password: 'Canary!pass word-0123456789', changed: 'Canary?new word-9876543210', wrong: 'Canary+wrong/word=5555', bearer: 'CanaryBearer.zz-9', cookie: 'CanaryCookieValue-1', csrf: 'CanaryCsrf-77777777', query: 'CanaryQuery-8888' };
  assert.equal((await d.ask('POST', '/v1/accounts', { name: 'mara', password: canary.password })).status, 201);
  const secrets = Object.values(canary).flatMap(formsOf);
  const jar = new Jar();
  const page = await d.get('/auth/login', { jar });
  const csrf0 = /name="csrf" value="([^"]+)"/.exec(page.body)[1];
  const pre = jar.map.get('id-pre');
  await d.post('/auth/login', { csrf: csrf0, user: 'mara', password: canary.wrong }, { jar });
  await d.post('/auth/login', { csrf: canary.csrf, user: 'mara', password: canary.wrong }, { jar });
  await d.signIn(jar, { secret: canary.password, remember: true });
  const tokens = [jar.map.get('id')];
  const csrf = await d.csrf(jar);
  await d.postJson('/auth/reauth', { password: canary.wrong, csrf }, { jar });
  await d.postJson('/auth/reauth', { password: canary.password, csrf }, { jar });
  tokens.push(jar.map.get('id'));
  await d.postJson('/auth/password', { password: canary.password, new: canary.changed, csrf: await d.csrf(jar) }, { jar });
  tokens.push(jar.map.get('id'));
  const device = jar.map.get('id-device');
  const headers = { authorization: `Bearer ${canary.bearer}`, cookie: `${jar.header().cookie}; other=${canary.cookie}`, 'x-csrf-token': canary.csrf, 'proxy-authorization': canary.bearer, 'x-auth-token': canary.bearer };
  for (const target of ['/auth/verify', '/auth/session', '/auth/sessions', '/auth/nothing', `/auth/login?return=${canary.query}`, `/auth/verify?x=${canary.query}`, `/auth/${canary.query}`])
    for (const method of ['GET', 'POST', 'TRACE']) await d.get(target, { method, headers });
  await d.get('/auth/verify', { headers: { authorization: `Bearer ${tokens[2]}` } });
  await d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'application/json' } }, `{"user":"mara","password":"${canary.wrong}"`);
  await rawRequest(d.port, `GET /auth/verify HTTP/1.1\r\nHost: x\r\nCookie: id=${tokens[2]}\x01\r\nAuthorization: ${canary.bearer}\0\r\n\r\n`);
  for (const body of [{ token: tokens[2] }, { token: tokens[0] }, { token: canary.cookie }]) await d.ask('POST', '/v1/check', body);
  await d.ask('POST', '/v1/accounts/mara/password', { password: canary.password });
  await d.ask('POST', '/v1/accounts/mara/password', { password: 'short-canary-1' });
  const keys = readFileSync(path.join(d.dir, 'data/keys'), 'utf8').match(/[0-9a-f]{64}|[A-Za-z0-9_+/-]{43}/g);
  await sleep(100);
  const everything = {
    log: readFileSync(d.log, 'latin1'), stderr: d.stderr, metrics: (await d.ask('GET', '/metrics')).body, status: (await d.ask('GET', '/v1/status')).body,
    cmdline: readFileSync(`/proc/${d.child.pid}/cmdline`, 'latin1'),
  };
  const all = [...secrets, ...tokens.flatMap(tokenForms), csrf0, csrf, pre, device, ...keys, 'short-canary-1'];
  assert.ok(all.length > 60 && all.every((s) => s && s.length > 8));
  for (const [where, text] of Object.entries(everything)) for (const secret of all) assert.ok(!text.includes(secret), `${where}: ${secret.slice(0, 12)}...`);
});

test('AU-1: errors echo nothing that was sent', async () => {
  const canary = 'CanaryEcho-31415926';
  const json = { origin: d.origin, 'content-type': 'application/json' };
  const answers = [
    await d.get('/auth/login', { method: 'POST', headers: json }, JSON.stringify({ user: 'u', password: canary })), await d.get('/auth/login', { method: 'POST', headers: json }, `{"password":"${canary}`),
    await d.get('/auth/verify', { jar: jarOf(d, canary) }), await d.get('/auth/logout-all', { method: 'POST', headers: { ...json, 'x-csrf-token': canary, cookie: `id=${canary}` } }, '{}'),
    await d.ask('POST', '/v1/accounts', { name: 'x', password: canary, hash: canary }), await d.ask('POST', '/v1/check', { token: canary }),
  ];
  for (const res of answers) {
    assert.ok(res.status >= 400);
    assert.ok(!res.body.includes(canary) && !JSON.stringify(res.headers).includes(canary));
  }
});

test('ST-1: the store holds no token, whole or in part, and its addresses open nothing', async () => {
  const made = [];
  for (let i = 0; i < 12; i++) made.push(...(await Promise.all(Array.from({ length: 10 }, () => plant(d, { user: `st${i}` })))));
  for (const s of made.slice(0, 100)) await d.get('/auth/verify', { jar: s.jar });
  await d.ask('POST', '/v1/renew', { token: made[0].token });
  const files = readdirSync(path.join(d.dir, 'data/store')).map((name) => readFileSync(path.join(d.dir, 'data/store', name)));
  files.push(readFileSync(path.join(d.dir, 'run/table')), readFileSync(path.join(d.dir, 'run/table.seen')));
  assert.ok(files[0].length > 100000);
  for (const { token, handle } of made) {
    const bytes = Buffer.from(token, 'base64url');
    const secret = bytes.subarray(16, 32);
    const forms = [bytes, secret, bytes.subarray(16), Buffer.from(token), Buffer.from(token.slice(22)), Buffer.from(secret.toString('hex')), Buffer.from(secret.toString('base64').slice(0, 20)), Buffer.from(secret.toString('base64url').slice(0, 20))];
    for (const file of files) for (const form of forms) assert.equal(file.indexOf(form), -1);
    assert.ok(files.some((file) => file.indexOf(bytes.subarray(0, 16)) >= 0 || file.indexOf(Buffer.from(bytes.subarray(0, 16)).reverse()) >= 0), 'the handle is there: the search works');
    if (made.indexOf(made.find((m) => m.handle === handle)) % 40 === 0) assert.equal(await status(d, jarOf(d, handle.padEnd(54, 'A'))), 401);
  }
});

/** Writable memory of a process, without what files and the table are mapped to. */
function* memory(pid) {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const m = /^([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \S+\s*(.*)$/.exec(line);
      if (!m || m[3].startsWith('/') && !m[3].includes('coatcheck')) continue;
      if (m[3].includes('/run/')) continue;
      const begin = BigInt(`0x${m[1]}`);
      const size = Number(BigInt(`0x${m[2]}`) - begin);
      for (let at = 0; at < size; at += 1 << 20) {
        const chunk = Buffer.alloc(Math.min(1 << 20, size - at) + 0);
        try {
          if (readSync(fd, chunk, 0, chunk.length, begin + BigInt(at)) > 0) yield { where: `${m[3] || 'anonymous'} ${line.slice(0, 30)} +${at}`, chunk };
        } catch {
          break; /* guard pages */
        }
      }
    }
  } finally {
    closeSync(fd);
  }
}

test('HD-6: a password is nowhere in memory once it has been answered', { skip: process.getuid() !== 0 || sanitized }, async () => {
  const secret = 'Memory canary 27182818';
  const one = await Daemon.start({ config: wide });
  try {
    assert.equal((await one.ask('POST', '/v1/accounts', { name: 'mara', password: secret })).status, 201);
    assert.equal((await one.signIn(new Jar(), { secret })).status, 200);
    const jar = new Jar();
    const csrf = /name="csrf" value="([^"]+)"/.exec((await one.get('/auth/login', { jar })).body)[1];
    assert.equal((await one.post('/auth/login', { csrf, user: 'mara', password: secret }, { jar })).status, 303);
    assert.equal((await one.postJson('/auth/reauth', { password: secret, csrf: await one.csrf(jar) }, { jar })).status, 200);
    assert.equal((await one.signIn(new Jar(), { secret: `${secret}!` })).status, 401);
    const hits = [];
    let total = 0;
    for (const { where, chunk } of memory(one.child.pid)) {
      total += chunk.length;
      for (const form of [secret, secret.replaceAll(' ', '+'), secret.replaceAll(' ', '%20')]) if (chunk.includes(form)) hits.push(`${where}: ${chunk.toString('latin1', Math.max(0, chunk.indexOf(form) - 60), chunk.indexOf(form) + 60).replace(/[^\x20-\x7e]/g, '.')}`);
    }
    assert.ok(total > 1 << 20);
    assert.deepEqual(hits, []);
    assert.ok((await metrics(one)).size > 20);
  } finally {
    await one.stop();
  }
});
