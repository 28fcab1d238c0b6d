// SPDX-License-Identifier: Apache-2.0
// WebSockets and event streams behind the nginx module: they end with their session, not before.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Jar, sleep, until } from './lib.mjs';
import { Gate, missing } from './module/nginx.mjs';
import { Wire, text } from './module/wire.mjs';
import { patient, plant } from './routes.mjs';

const cookieOf = (session) => `__Host-id=${session.token}`;

describe('connections that live long', { skip: missing }, () => {
  let g;
  before(async () => {
    g = await Gate.start({
      workers: 2,
      clock: true,
      http: () => 'add_header X-Source $coatcheck_source always;',
      server: (s) => `
        proxy_http_version 1.1;
        proxy_read_timeout 300s;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        location / { proxy_pass ${s.upstream}; }
        location /unwatched { coatcheck_watch off; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /open { coatcheck off; proxy_pass ${s.upstream}; }
        location /plain { proxy_set_header Connection ""; proxy_pass ${s.upstream}; }`,
    });
    for (const name of ['/sse', '/unwatched/sse', '/optional/sse', '/plain/sse'])
      g.app.on(name, (req, res) => {
        res.writeHead(200, { 'content-type': name.startsWith('/plain') ? 'text/plain' : 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
        res.write('data: hello\n\n');
        const timer = setInterval(() => res.write(': still here\n\n'), 200);
        res.on('close', () => clearInterval(timer));
      });
  });
  after(() => g.stop());

  /** An open WebSocket (as far as nginx can tell) that has echoed once. */
  async function websocket(session, target = '/ws') {
    const wire = await Wire.open(g.port);
    wire.send(text('GET', target, { ...(session ? { Cookie: cookieOf(session) } : {}), Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'x' }));
    const res = await wire.response();
    assert.equal(res.status, 101, `${target} ${res.status}`);
    await echoed(wire);
    return wire;
  }
  async function echoed(wire) {
    const word = randomBytes(6).toString('hex');
    wire.buffer = Buffer.alloc(0);
    wire.send(word);
    assert.ok(await wire.wait(() => wire.buffer.includes(word), 'the echo'), 'the connection was closed');
  }
  async function events(session, target = '/sse') {
    const wire = await Wire.open(g.port);
    wire.send(text('GET', target, session ? { Cookie: cookieOf(session) } : {}));
    assert.ok(await wire.wait(() => wire.buffer.includes('hello'), 'the first event'));
    assert.match(wire.buffer.toString('latin1'), /^HTTP\/1.1 200/);
    return wire;
  }
  const closes = (wire, what) => until(`${what} is closed`, () => wire.closed, 20000);
  const end = (s) => patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));

  test('WebSockets and event streams are closed when their session ends; those of others stay', async () => {
    const s = await plant(g.daemon), other = await plant(g.daemon, { user: 'joe' });
    const mine = { websocket: await websocket(s), events: await events(s), 'a second websocket': await websocket(s, '/optional/ws') };
    const stay = [await websocket(other), await websocket(s, '/unwatched/ws'), await websocket(undefined, '/optional/ws'), await websocket(s, '/open/ws')];
    const streams = [await events(other), await events(s, '/unwatched/sse'), await events(undefined, '/optional/sse')];
    await sleep(2500);
    for (const wire of [...Object.values(mine), ...stay, ...streams]) assert.equal(wire.closed, false);
    await end(s);
    for (const [what, wire] of Object.entries(mine)) await closes(wire, what);
    await sleep(2500);
    for (const wire of stay) await echoed(wire);
    for (const wire of streams) {
      wire.buffer = Buffer.alloc(0);
      assert.ok(await wire.wait(() => wire.buffer.includes('still'), 'an event'), 'a stream of somebody else was closed');
    }
    for (const wire of [...stay, ...streams]) wire.close();
  });

  /* 1024 is client_header_buffer_size: what is behind it is read when the connection is taken over, into the same memory. */
  test('RV-1: a client that goes on writing behind its handshake puts no other session in the place of the one that it began with', async () => {
    const s = await plant(g.daemon), other = await plant(g.daemon, { user: 'joe' });
    for (const { jar } of [s, other]) for (const source of ['daemon', 'table']) assert.equal((await g.get('/x', { jar })).headers['x-source'], source);
    const head = ({ token }) => text('GET', '/ws', { Cookie: `__Host-id=${token}`, Connection: 'Upgrade', Upgrade: 'websocket' }).padEnd(1024, 'E');
    const wire = await Wire.open(g.port);
    wire.send(head(s) + head(other));
    assert.equal((await wire.response()).status, 101);
    assert.ok(await wire.wait(() => wire.buffer.includes(other.token), 'the echo'));
    await end(s);
    await closes(wire, 'it');
  });

  test('each way for a session to end ends its connections: everybody, the user, a change of roles', async () => {
    const ways = [
      (s) => g.daemon.ask('POST', `/v1/users/${s.json.user}/end-sessions`), () => g.daemon.ask('POST', '/v1/end-all'), (s) => g.daemon.ask('POST', '/v1/renew', { token: s.token, roles: ['other'] }),
    ];
    for (const way of ways) {
      const s = await plant(g.daemon, { user: 'ways' });
      const wires = [await websocket(s), await events(s)];
      assert.ok((await patient(() => way(s))).status < 300);
      for (const wire of wires) await closes(wire, 'it');
    }
  });

  test('many at once: all are closed, and no descriptor is left', async () => {
    const s = await plant(g.daemon), t = await plant(g.daemon);
    const wires = [];
    for (let i = 0; i < 60; i++) wires.push(await websocket(i % 2 ? s : t));
    await end(s);
    for (const [i, wire] of wires.entries()) if (i % 2) await closes(wire, `number ${i}`);
    for (const [i, wire] of wires.entries()) if (i % 2 === 0) await echoed(wire);
    await end(t);
    for (const [i, wire] of wires.entries()) await closes(wire, `number ${i}`);
    await until('the application has lost them too', () => g.app.sockets.size <= 4, 20000);
  });

  test('over HTTP/2 a stream is closed, and the others on its connection go on', async () => {
    const h = await Gate.start({ listen: ' http2', server: (s) => `proxy_http_version 1.1; proxy_set_header Connection ""; location / { proxy_pass ${s.upstream}; }` });
    const h2 = await h.h2();
    try {
      h.app.on('/sse', (req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
        res.write('data: hello\n\n');
        const timer = setInterval(() => res.write(': still here\n\n'), 100);
        res.on('close', () => clearInterval(timer));
      });
      const s = await plant(h.daemon), other = await plant(h.daemon);
      const open = async (session) => {
        const stream = h2.stream('GET', '/sse', { cookie: cookieOf(session) });
        const state = { text: '', ended: false, stream };
        stream.on('data', (data) => (state.text += data));
        for (const name of ['close', 'error']) stream.on(name, () => (state.ended = true));
        await until('the first event', () => state.text.includes('hello'));
        return state;
      };
      const [mine, theirs] = [await open(s), await open(other)];
      await sleep(1500);
      assert.equal(mine.ended, false);
      await patient(() => h.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
      await until('the stream is closed', () => mine.ended, 20000);
      theirs.text = '';
      await until('the other one goes on', () => theirs.text.includes('still'));
      assert.equal(theirs.ended, false);
      assert.equal((await h2.request('GET', '/x', { cookie: cookieOf(other) })).status, 200);
      theirs.stream.close();
    } finally {
      h2.close();
      await h.stop();
    }
  });

  test('a restart of the daemon closes none of a live session; after a crash it can at worst be opened again', async () => {
    const s = await plant(g.daemon);
    const wires = [await websocket(s), await events(s)];
    const open = (what) => {
      for (const wire of wires) assert.equal(wire.closed, false, what);
    };
    await g.daemon.down();
    await sleep(2500);
    open('while it is away');
    /* A start that takes longer than the two seconds of a watch leaves nobody who can tell. */
    const again = async () => {
      if (wires[0].closed) wires[0] = await websocket(s);
      if (wires[1].closed) wires[1] = await events(s);
    };
    const began = performance.now();
    await g.daemon.up();
    const slow = performance.now() - began > 1000;
    await sleep(1500);
    if (!slow) open('afterwards');
    await again();
    await g.daemon.down('SIGKILL');
    await sleep(2500);
    open('while it is away after a crash');
    await g.daemon.up();
    await sleep(1500);
    await again();
    await echoed(wires[0]);
    await end(s);
    for (const wire of wires) await closes(wire, 'it');
  });

  test('SF-1: when nobody can tell any more, neither a table nor a daemon, they are closed', async () => {
    const s = await plant(g.daemon);
    const wires = [await websocket(s), await events(s)];
    await g.daemon.down();
    for (const name of ['table', 'table.seen']) rmSync(path.join(g.run, name));
    for (const wire of wires) await closes(wire, 'it');
    await g.daemon.up();
    const again = await websocket(s);
    await echoed(again);
    again.close();
  });

  test('a reload of nginx closes none, and the end of the session still ends them', async () => {
    const s = await plant(g.daemon);
    const wires = [await websocket(s), await events(s)];
    await g.nginx.reload();
    await sleep(2500);
    await echoed(wires[0]);
    assert.equal(wires[1].closed, false);
    await end(s);
    for (const wire of wires) await closes(wire, 'a connection of a former worker');
    await until('the former workers have ended', () => g.nginx.everybody().length === 2, 60000);
  });

  test('LC-6: it goes on when its secret is replaced meanwhile, and grace and all are over', async () => {
    const s = await plant(g.daemon);
    const wire = await websocket(s);
    const jar = new Jar();
    jar.map = new Map(s.jar.map);
    for (let i = 0; i < 3; i++) {
      g.clock.forward(15 * 60000 + 1000);
      const before = jar.map.get(g.cookie);
      assert.equal((await g.get('/x', { jar })).status, 200);
      assert.notEqual(jar.map.get(g.cookie), before);
      assert.equal((await g.get('/x', { jar })).status, 200);
      g.clock.forward(30000);
      await sleep(2000);
      await echoed(wire);
    }
    assert.equal((await g.get('/x', { jar })).status, 200, 'asking about it was no reuse of a secret');
    assert.equal(g.daemon.events('token_reuse').length, 0);
    await end(s);
    await closes(wire, 'it');
  });

  test('LC-5: a handshake at the time of a rotation carries the new cookie, and the connection lives on', async () => {
    const s = await plant(g.daemon);
    assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
    g.clock.forward(15 * 60000 + 1000);
    const wire = await Wire.open(g.port);
    wire.send(text('GET', '/ws', { Cookie: cookieOf(s), Connection: 'Upgrade', Upgrade: 'websocket' }));
    const res = await wire.response();
    assert.equal(res.status, 101);
    assert.equal(res.cookies.length, 1);
    s.jar.take(res);
    assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
    g.clock.forward(30000);
    await sleep(2000);
    await echoed(wire);
    await end(s);
    await closes(wire, 'it');
  });

  test('LC-4: traffic and our looking are no activity: idle, it is closed', async () => {
    const s = await plant(g.daemon);
    const wires = [await websocket(s), await events(s)];
    const seen = async () => (await g.daemon.ask('GET', `/v1/sessions/${s.handle}`)).json().seen_ms;
    const before = await seen();
    g.clock.forward(10 * 60000);
    await echoed(wires[0]);
    await sleep(2500);
    assert.equal(await seen(), before);
    for (const wire of wires) assert.equal(wire.closed, false);
    g.clock.forward(20 * 60000 + 1000);
    for (const wire of wires) await closes(wire, 'an idle one');
  });

  test('LC-2: at the absolute end it is closed, however active its user is', async () => {
    const s = await plant(g.daemon);
    const jar = new Jar();
    jar.map = new Map(s.jar.map);
    const wire = await websocket(s);
    const ends = s.json.created_ms + 12 * 3600000;
    while (ends - g.clock.now() > 30 * 60000) {
      g.clock.forward(14 * 60000);
      assert.equal((await g.get('/x', { jar })).status, 200);
    }
    await sleep(1500);
    await echoed(wire);
    g.clock.forward(ends - g.clock.now() + 500);
    await closes(wire, 'it');
  });
});
