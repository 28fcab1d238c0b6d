// SPDX-License-Identifier: Apache-2.0
// The process and its limits: dumps, slow and greedy clients, a full store.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readFileSync, statSync, truncateSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { Daemon, Jar, raw, request, sleep, until } from './lib.mjs';
import { metrics, plant, rawRequest, sanitized, status } from './routes.mjs';

test('HD-6 HD-7: no core dumps, not readable for its own user, no new privileges', { skip: process.getuid() !== 0 || sanitized }, async () => {
  const one = new Daemon({});
  await one.prepare();
  chmodSync(one.dir, 0o777);
  for (const name of ['data', 'run']) chownSync(`${one.dir}/${name}`, 65534, 65534);
  one.options.flags = ['--server.user=nobody', '--server.allow-root=false'];
  await one.up();
  const proc = `/proc/${one.child.pid}`;
  const fields = Object.fromEntries(readFileSync(`${proc}/status`, 'utf8').split('\n').map((l) => l.split(':\t')).filter((p) => p.length === 2));
  assert.match(fields.Uid, /^65534\t65534\t65534\t65534/);
  assert.match(fields.CapEff, /^0+$/);
  assert.equal(fields.NoNewPrivs, '1');
  assert.match(readFileSync(`${proc}/limits`, 'utf8'), /Max core file size\s+0\s+0/);
  assert.equal(statSync(`${proc}/environ`).uid, 0, 'not dumpable: its files in /proc belong to root');
  for (const file of ['environ', 'mem', 'maps']) assert.notEqual(spawnSync('/bin/cat', [`${proc}/${file}`], { uid: 65534, gid: 65534, cwd: '/' }).status, 0, file);
  const exited = await one.down('SIGSEGV');
  assert.equal(exited.signal, 'SIGSEGV');
  assert.ok(!existsSync('core') && !existsSync(`core.${one.child.pid}`));
  one.exited = null;
  one.child = null;
  await one.stop();
});

test('HD-7: as root without a user to become the daemon does not start', { skip: process.getuid() !== 0 }, async () => {
  const one = new Daemon({ flags: ['--server.allow-root=false'] });
  await one.prepare();
  await assert.rejects(one.up(), /allow-root/);
  assert.equal(one.exited.code, 3);
  await one.stop().catch(() => {});
});

test('SF-12: a reader that cuts off the activity file does not stop the daemon', async () => {
  const one = await Daemon.start();
  const file = `${one.dir}/run/table.seen`, { size } = statSync(file);
  const { jar, handle } = await plant(one);
  const pid = one.child.pid;
  for (let i = 0; i < 100; i++) {
    truncateSync(file, i % 3 === 0 ? 4096 : 0);
    assert.equal(await status(one, jar), 200);
  }
  truncateSync(file, 0);
  const event = await one.event('table_tampered');
  assert.equal(event.outcome, 'failure');
  await until('the file is whole', () => statSync(file).size === size);
  truncateSync(file, size + 1e6);
  await until('the file is no larger than it was', () => statSync(file).size === size);
  assert.equal((await one.ask('POST', `/v1/sessions/${handle}/end`)).status, 204);
  assert.equal(await status(one, jar), 401);
  assert.equal(one.child.pid, pid);
  await one.down();
  truncateSync(file, 0); /* while nobody looks: a new table is made */
  await one.up();
  assert.equal(await status(one, (await plant(one)).jar), 200);
  const exited = await one.down('SIGBUS'); /* any other SIGBUS is what it always was */
  assert.equal(exited.signal, 'SIGBUS');
  one.exited = null;
  one.child = null;
  await one.stop();
});

test('RX-1: lines, fields and bodies over their limits are refused, not cut', async () => {
  const one = await Daemon.start();
  const head = 'Host: localhost\r\nConnection: close\r\n';
  const of = async (bytes) => (await rawRequest(one.port, bytes)).status;
  assert.equal(await of(`GET /auth/login?x=${'a'.repeat(2000)} HTTP/1.1\r\n${head}\r\n`), 200);
  assert.equal(await of(`GET /auth/login?x=${'a'.repeat(9000)} HTTP/1.1\r\n${head}\r\n`), 414);
  assert.equal(await of(`GET /auth/login HTTP/1.1\r\n${head}X-Big: ${'a'.repeat(17000)}\r\n\r\n`), 431);
  const fields = (n) => Array.from({ length: n }, (_, i) => `X-${i}: 1\r\n`).join('');
  assert.equal(await of(`GET /auth/login HTTP/1.1\r\n${head}${fields(98)}\r\n`), 200);
  assert.equal(await of(`GET /auth/login HTTP/1.1\r\n${head}${fields(99)}\r\n`), 431);
  const post = `POST /auth/login HTTP/1.1\r\n${head}Origin: ${one.origin}\r\nContent-Type: application/json\r\n`;
  assert.equal(await of(`${post}Content-Length: 16384\r\n\r\n${' '.repeat(16384)}`), 400);
  assert.equal(await of(`${post}Content-Length: 16385\r\n\r\n`), 413);
  assert.equal(await of(`${post}Content-Length: 1073741824\r\n\r\n`), 413);
  assert.equal(await of(`${post}Transfer-Encoding: chunked\r\n\r\n${`1000\r\n${'a'.repeat(4096)}\r\n`.repeat(6)}`), 413);
  await one.stop();
});

test('RX-2: slow headers, slow bodies and silent clients are closed in time; others do not notice', async () => {
  const one = await Daemon.start({ config: 'limits:\n  header-timeout: 1s\n  body-timeout: 1s\n  idle-timeout: 1s\n' });
  const { jar } = await plant(one);
  const begun = Date.now();
  const slow = (bytes, more) => new Promise((resolve) => {
    const socket = net.connect(one.port, '127.0.0.1', () => socket.write(bytes));
    const timer = more ? setInterval(() => socket.writable && socket.write(more), 200) : null;
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      resolve(Date.now() - begun);
    });
  });
  const kinds = [['GET /auth/verify HTTP/1.1\r\nHost: localhost\r\nX-A: ', 'a'], ['', null], ['POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n', ' '], ['GET /auth/verify HTTP/1.1\r\nHost: localhost\r\n\r\n', null]];
  const all = Promise.all(Array.from({ length: 80 }, (_, i) => slow(...kinds[i % kinds.length])));
  for (let i = 0; i < 50; i++) assert.equal(await status(one, jar), 200);
  const times = await all;
  assert.ok(Math.max(...times) < 4000, `${Math.max(...times)} ms`);
  await one.stop();
});

test('RX-3: at the cap new connections wait or fall, the others and the administrator work on', async () => {
  const one = await Daemon.start({ config: 'limits:\n  connections: 24\n  connections-per-source: 1000\n' });
  const { handle } = await plant(one);
  const open = Array.from({ length: 200 }, () => net.connect(one.port, '127.0.0.1').on('error', () => {}));
  const first = open[0];
  await until('the cap', async () => (await metrics(one)).get('coatcheck_http_connections') >= 24);
  const answer = new Promise((resolve) => first.once('data', (data) => resolve(data.toString())));
  first.write('GET /auth/login HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.match(await answer, /^HTTP\/1\.1 200 /);
  const cpu = () => readFileSync(`/proc/${one.child.pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13).reduce((a, b) => a + Number(b), 0);
  const before = cpu();
  await sleep(1000);
  assert.ok(cpu() - before <= 20, 'no spinning');
  assert.equal((await one.ask('POST', `/v1/sessions/${handle}/end`)).status, 204);
  assert.ok((await metrics(one)).get('coatcheck_http_connections') <= 32);
  open.forEach((socket) => socket.destroy());
  await until('room again', async () => (await one.get('/auth/login').catch(() => ({}))).status === 200);
  await one.stop();
});

test('RX-4: strangers and their sign-in pages leave no record', async () => {
  const one = await Daemon.start();
  const before = (await metrics(one)).get('coatcheck_store_sessions');
  const pages = 'GET /auth/login HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100);
  for (let i = 0; i < 10; i++) await raw(one.port, pages, 150);
  assert.equal((await metrics(one)).get('coatcheck_store_sessions'), before);
  assert.equal((await metrics(one)).get('coatcheck_table_used'), 0);
  await one.stop();
});

test('SF-8: a full store refuses sign-ins with 503; verify and sign-out go on, and there is room again', async () => {
  const one = await Daemon.start({ config: 'store:\n  map-size: 16MiB\n  reserve: 4MiB\nsession:\n  per-user: 0\n  data-max: 16KiB\nthrottle:\n  attempts-per-minute: 8000\n' });
  await one.addUser();
  const early = await plant(one, { user: 'early' });
  const jar = new Jar();
  await one.signIn(jar);
  const csrf = await one.csrf(jar);
  const data = { fill: 'x'.repeat(14000) };
  const agent = new (await import('node:http')).Agent({ keepAlive: true, maxSockets: 40 });
  const fill = () => request({ socketPath: one.admin, agent, method: 'POST', path: '/v1/sessions', headers: { host: 'x', 'content-type': 'application/json' } }, JSON.stringify({ user: 'filler', data }));
  let full = false;
  for (let round = 0; round < 60 && !full; round++) full = (await Promise.all(Array.from({ length: 40 }, fill))).some((res) => res.status === 503);
  agent.destroy();
  assert.ok(full, 'the store never filled');
  const refused = await until('every creation is refused', async () => {
    const res = await one.ask('POST', '/v1/sessions', { user: 'filler', data });
    return res.status === 503 ? res : null;
  });
  assert.equal(refused.json().error.code, 'store_full');
  const signIn = await until('sign-in is refused', async () => {
    const res = await one.signIn(new Jar());
    return res.status === 503 ? res : null;
  });
  assert.match(signIn.headers['retry-after'], /^\d+$/);
  assert.equal(signIn.cookies.length, 0);
  assert.equal(await status(one, early.jar), 200);
  assert.equal(await status(one, jar), 200);
  assert.equal((await one.post('/auth/logout', { csrf }, { jar: jar.clone() })).status, 200);
  assert.equal(await status(one, jar), 401);
  assert.equal((await one.ask('GET', '/v1/status')).json().store.full, true);
  assert.ok(one.events('store_failure').some((e) => e.reason === 'STORE_FULL'));
  assert.equal((await one.ask('POST', '/v1/users/filler/end-sessions')).status, 204);
  assert.equal(await status(one, early.jar), 200);
  await until('room again', async () => (await one.signIn(new Jar())).status === 200, 20000);
  await one.stop();
});
