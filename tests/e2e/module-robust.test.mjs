// SPDX-License-Identifier: Apache-2.0
// The nginx module among everything else that nginx does: reloads, crashes, bodies, redirects inside,
// connections that live long; and what is left behind afterwards.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freeze, sleep, until } from './lib.mjs';
import { FastCgi } from './module/app.mjs';
import { Gate, missing, sanitized } from './module/nginx.mjs';
import { Stub, answer, yes } from './module/stub.mjs';
import { Wire, once, text } from './module/wire.mjs';
import { jarOf, patient, plant, strangeToken } from './routes.mjs';

const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const cookieOf = (session) => `__Host-id=${session.token}`;

/** Requests one after the other on `width` lanes until stop() is called; resolves to what came back. */
function load(width, ask) {
  const got = { statuses: new Map(), failed: [], count: 0 };
  let going = true;
  const lane = async (i) => {
    while (going) {
      const res = await ask(i).catch((error) => error);
      got.count += 1;
      if (res instanceof Error) got.failed.push(res.code ?? res.message);
      else got.statuses.set(res.status, (got.statuses.get(res.status) ?? 0) + 1);
    }
  };
  const lanes = Promise.all(Array.from({ length: width }, (_, i) => lane(i)));
  got.reached = (n) => until(`${n} requests`, () => got.count >= n, 60000);
  got.stop = async () => {
    going = false;
    await lanes;
    return got;
  };
  return got;
}

describe('several workers', { skip: missing }, () => {
  let g, live, other;
  before(async () => {
    g = await Gate.start({
      workers: 3,
      main: 'worker_shutdown_timeout 20s;',
      http: () => 'add_header X-Worker $pid always; add_header X-Source $coatcheck_source always;',
      server: (s) => `location / { proxy_pass ${s.upstream}; } location /role { coatcheck_require role=admin; proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; }`,
    });
    live = await plant(g.daemon);
    other = await plant(g.daemon, { user: 'joe', roles: [] });
  });
  after(() => g.stop());

  /** One request of one of several kinds, on a connection of its own; throws on a wrong verdict. */
  const kinds = [
    { jar: () => live.jar, want: [200], user: 'mara' }, { jar: () => other.jar, want: [200], user: 'joe' }, { jar: () => undefined, want: [401] }, { jar: () => jarOf(g.daemon, strangeToken()), want: [401, 429] },
    { target: '/role', jar: () => live.jar, want: [200], user: 'mara' }, { target: '/role', jar: () => other.jar, want: [403] }, { target: '/optional', jar: () => undefined, want: [200] },
  ];
  const wrong = [];
  let turn = 0;
  const mixed = async (down = []) => {
    const kind = kinds[turn++ % kinds.length];
    const res = await g.get(kind.target ?? '/x', { jar: kind.jar() });
    if (!kind.want.includes(res.status) && !down.includes(res.status)) wrong.push(`${JSON.stringify(kind.want)} ${kind.user}: ${res.status}`);
    if (res.status === 200 && res.json().headers['x-auth-user'] !== kind.user) wrong.push(`${kind.user} became ${res.json().headers['x-auth-user']}`);
    return res;
  };

  test('UP-3: reloads under load fail no request and change no verdict', async () => {
    const run = load(4, () => mixed());
    for (let i = 1; i <= 6; i++) {
      await run.reached(run.count + 30);
      await g.nginx.reload();
    }
    await run.reached(run.count + 60);
    const got = await run.stop();
    assert.deepEqual(got.failed, []);
    assert.deepEqual(wrong.splice(0), []);
    assert.ok(got.count >= 240);
  });

  test('UP-3: what a reload takes away is gone with it: an origin, a place for everybody, a place for every role', async () => {
    const own = await Gate.start({ workers: 2, http: () => 'add_header X-Worker $pid always;', server: (s) => `coatcheck_origins https://app.example; coatcheck_cors https://friend.example; location / { proxy_pass ${s.upstream}; } location /open { coatcheck off; proxy_pass ${s.upstream}; }` });
    try {
      const s = await plant(own.daemon);
      const friend = { origin: 'https://friend.example' };
      const all = async (target, options) => {
        const lanes = await own.lanes();
        const got = await Promise.all(lanes.map((lane) => lane.get(target, options)));
        for (const lane of lanes) lane.agent.destroy();
        return got.map((res) => res.status);
      };
      assert.deepEqual(await all('/x', { jar: s.jar, headers: friend }), [200, 200]);
      assert.deepEqual(await all('/open'), [200, 200]);
      const less = own.nginx.text.replace('https://friend.example', 'https://other.example').replace('location /open { coatcheck off;', 'location /open { coatcheck_require role=nobody;');
      await own.nginx.reload({ text: less });
      assert.deepEqual(await all('/x', { jar: s.jar, headers: friend }), [403, 403]);
      assert.deepEqual(await all('/open'), [401, 401]);
      assert.deepEqual(await all('/open', { jar: s.jar }), [403, 403]);
      assert.deepEqual(await all('/x', { jar: s.jar }), [200, 200]);
    } finally {
      await own.stop();
    }
  });

  test('UP-3: while the former workers still end, both generations know of a revocation', async () => {
    const s = await plant(g.daemon);
    const lanes = await g.lanes();
    for (const lane of lanes) assert.equal((await lane.get('/x', { jar: s.jar })).status, 200);
    /* Former workers are kept by a request that is still being answered. */
    let release;
    g.app.on('/slow', (req, res) => (release = () => res.end('slow')));
    const slow = lanes.map((lane) => g.get('/slow', { jar: live.jar, agent: lane.agent }));
    await until('they are under way', () => release !== undefined);
    await g.nginx.reload();
    const fresh = await g.lanes();
    for (const lane of fresh) assert.equal((await lane.get('/x', { jar: s.jar })).status, 200);
    await patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
    for (const lane of fresh) assert.equal((await lane.get('/x', { jar: s.jar })).status, 401);
    const ends = [];
    g.app.on('/slow', (req, res) => res.end('slow'));
    release();
    for (const socket of g.app.sockets) ends.push(socket);
    for (const socket of ends) socket.end();
    await Promise.allSettled(slow);
    for (const lane of [...lanes, ...fresh]) lane.agent.destroy();
    await until('the former workers have ended', () => g.nginx.everybody().length === 3, 60000);
  });

  for (const signal of ['SIGKILL', 'SIGSEGV'])
    test(`SF-12: a worker that gets ${signal} loses what it had in hand, nothing else`, async () => {
      const width = 4, rounds = 5;
      const run = load(width, () => mixed());
      for (let i = 0; i < rounds; i++) {
        await run.reached(run.count + 30);
        const workers = g.nginx.workers();
        await g.nginx.kill(workers[i % workers.length], signal);
      }
      await run.reached(run.count + 60);
      const got = await run.stop();
      assert.ok(got.failed.length <= rounds * width, `${got.failed.length} failed: ${[...new Set(got.failed)]}`);
      assert.deepEqual(wrong.splice(0), []);
      for (const jar of [live.jar, other.jar]) assert.equal((await g.get('/x', { jar })).status, 200);
    });

  test('UP-3: the daemon is restarted under load: sessions of the table do not notice, nobody is signed out', async () => {
    for (let i = 0; i < 20; i++) for (const jar of [live.jar, other.jar]) assert.equal((await g.get('/x', { jar })).status, 200);
    const run = load(4, () => mixed([503]));
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM']) {
      await run.reached(run.count + 30);
      await g.daemon.down(signal);
      await run.reached(run.count + 30);
      await g.daemon.up();
      await run.reached(run.count + 30);
    }
    const got = await run.stop();
    assert.deepEqual(got.failed, []);
    assert.deepEqual(wrong.splice(0), []);
    assert.ok(got.statuses.get(503) > 0);
    for (const jar of [live.jar, other.jar])
      for (let i = 0; i < 6; i++) {
        const res = await g.get('/x', { jar });
        assert.equal(res.status, 200);
        assert.equal(res.cookies.length, 0);
      }
  });

  test('SF-2: a daemon that is stopped costs coatcheck_timeout and no more; then it goes on', async () => {
    assert.equal((await g.get('/x', { jar: live.jar })).status, 200);
    await freeze(g.daemon.child.pid);
    try {
      assert.equal((await g.get('/x', { jar: live.jar })).status, 200);
      const many = await Promise.all(Array.from({ length: 30 }, () => g.get('/x', { headers: page })));
      assert.deepEqual([...new Set(many.map((r) => r.status))], [503]);
      assert.deepEqual([...new Set(many.map((r) => r.headers.location))], [undefined]);
    } finally {
      g.daemon.signal('SIGCONT');
    }
    for (let i = 0; i < 10; i++) assert.equal((await g.get('/x', { headers: page })).status, 302);
    assert.equal((await g.get('/x', { jar: live.jar })).status, 200);
  });

  test('RV-1: a table that was removed is not believed any more: the new one is taken up by every worker, without a reload', async () => {
    const lanes = await g.lanes();
    for (const lane of lanes) for (const s of [live, other]) assert.equal((await lane.get('/x', { jar: s.jar })).status, 200);
    await g.daemon.down();
    for (const name of ['table', 'table.seen']) rmSync(path.join(g.run, name));
    await g.daemon.up();
    for (const lane of lanes)
      await until('the former table is given up', async () => {
        const s = await plant(g.daemon, { user: 'new' });
        const sources = [];
        for (let i = 0; i < 2; i++) sources.push((await lane.get('/x', { jar: s.jar })).headers['x-source']);
        return sources.join() === 'daemon,table';
      }, 20000);
    for (const lane of lanes) for (const s of [live, other]) for (let i = 0; i < 2; i++) assert.equal((await lane.get('/x', { jar: s.jar })).status, 200);
    for (const s of [live, other]) await patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
    for (const lane of lanes) for (const s of [live, other]) assert.equal((await lane.get('/x', { jar: s.jar })).status, 401, 'of the former table');
    for (const lane of lanes) lane.agent.destroy();
  });

  test('SF-1: a table that was removed while the daemon is away decides nothing', async () => {
    const s = await plant(g.daemon);
    assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
    await g.daemon.down();
    for (const name of ['table', 'table.seen']) rmSync(path.join(g.run, name));
    await until('nobody can tell', async () => (await g.get('/x', { jar: s.jar })).status === 503, 20000);
    await g.daemon.up();
    assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
  });
});

describe('inside nginx', { skip: missing }, () => {
  let g, live, staff, cgi, mirrored;
  before(async () => {
    cgi = await FastCgi.start();
    mirrored = [];
    g = await Gate.start({
      http: () => 'limit_req_zone $uri zone=slow:1m rate=100r/s; add_header X-Source $coatcheck_source always;',
      before: (s) => {
        mkdirSync(path.join(s.dir, 'files/dir'), { recursive: true });
        for (const [name, body] of [['a.html', 'file a'], ['dir/index.html', 'index'], ['ssi.html', 'before <!--#include virtual="/included" --> after'], ['ssi2.html', 'before <!--#include virtual="/included-role" --> after'], ['fallback.html', 'fallback']])
          writeFileSync(path.join(s.dir, 'files', name), body);
        s.app.on('/app-404', (req, res) => {
          res.writeHead(404);
          res.end('not found');
        });
        for (const [name, to] of [['/accel-role', '/inner-role/x'], ['/accel-open', '/inner-open/x'], ['/accel-renamed', '/inner-renamed/x'], ['/accel-named', '@second'], ['/accel-loop', '/accel-role'], ['/accel-keep', '/inner-keep/x']])
          s.app.on(name, (req, res) => {
            if (req.headers['x-second']) return false;
            res.writeHead(200, { 'x-accel-redirect': to });
            res.end();
            return true;
          });
        s.app.on('/sub-ok', (req, res) => res.end());
        s.app.on('/sub-no', (req, res) => {
          res.writeHead(403);
          res.end();
        });
        s.app.on('/mirror', (req, res) => {
          mirrored.push(req.headers);
          res.end();
        });
      },
      server: (s) => `
        root ${s.dir}/files;
        location / { proxy_pass ${s.upstream}; }
        location /try/ { try_files /none.html /dir/index.html; }
        location /try-app/ { try_files /none.html /x?moved=1; }
        location /try-named/ { try_files /none.html @named; }
        location /try-role/ { try_files /none.html /inner-role/y; }
        location @named { proxy_pass ${s.upstream}; }
        location @second { proxy_set_header X-Second 1; proxy_pass ${s.upstream}; }
        location /dir/ { index index.html; }
        location /a.html { }
        location /app-404 { proxy_intercept_errors on; error_page 404 = /not-found; proxy_pass ${s.upstream}; }
        location /inner-role/ { internal; coatcheck_require role=staff; proxy_pass ${s.upstream}; }
        location /inner-open/ { internal; coatcheck off; proxy_set_header X-Who "$coatcheck_user$coatcheck_handle$coatcheck_verdict"; proxy_pass ${s.upstream}; }
        location /inner-keep/ { internal; coatcheck_pass_cookie on; proxy_pass ${s.upstream}; }
        location /inner-renamed/ { internal; coatcheck_header user X-Remote; coatcheck_header session off; proxy_pass ${s.upstream}; }
        location /was-open { coatcheck off; rewrite ^ /x last; }
        location /open-error { coatcheck off; return 404; error_page 404 /x; }
        location /if { set $a 1; if ($a) { proxy_pass ${s.upstream}; } }
        location /ssi { ssi on; alias ${s.dir}/files/ssi.html; default_type text/html; }
        location /ssi-open { coatcheck off; ssi on; alias ${s.dir}/files/ssi.html; default_type text/html; }
        location /included { proxy_pass ${s.upstream}; }
        location /mirrored { mirror /mirror; proxy_pass ${s.upstream}; }
        location = /mirror { internal; coatcheck off; proxy_pass ${s.upstream}; }
        location /also-ok { auth_request /sub-ok; proxy_pass ${s.upstream}; }
        location /also-no { auth_request /sub-no; proxy_pass ${s.upstream}; }
        location = /sub-ok { internal; proxy_pass ${s.upstream}; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
        location = /sub-no { internal; proxy_pass ${s.upstream}; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
        location /any-allowed { satisfy any; allow all; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /any-denied { satisfy any; deny all; proxy_pass ${s.upstream}; }
        location /all-denied { satisfy all; deny all; proxy_pass ${s.upstream}; }
        location /any-role { satisfy any; deny all; coatcheck_require role=staff; proxy_pass ${s.upstream}; }
        location /any-role-allowed { satisfy any; allow all; coatcheck_require role=staff; proxy_pass ${s.upstream}; }
        location /limited { limit_req zone=slow burst=20; proxy_pass ${s.upstream}; }
        error_page 400 405 494 /early-error;
        location /everybody { coatcheck off; proxy_pass ${s.upstream}; }
        location /early-error { coatcheck off; proxy_pass ${s.upstream}; }
        location /cgi { fastcgi_pass 127.0.0.1:${cgi.port}; }
        location /error-page { coatcheck_daemon unix:/nonexistent; coatcheck_table /nonexistent; error_page 503 /sorry; proxy_pass ${s.upstream}; }
        location /error-page-on { coatcheck_daemon unix:/nonexistent; coatcheck_table /nonexistent; error_page 503 /error-page; proxy_pass ${s.upstream}; }
        location = /sorry { coatcheck off; return 200 "sorry"; }
        location /returned { return 200 "never protected"; }
        location /keepalive { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass ${s.upstream}; }
        location /slice { slice 1000; proxy_set_header Range $slice_range; proxy_http_version 1.1; proxy_set_header Connection close; proxy_pass ${s.upstream}; }
        location /post-action { post_action @named; proxy_pass ${s.upstream}; }
      `,
    });
    live = await plant(g.daemon, { roles: ['admin'] });
    staff = await plant(g.daemon, { user: 'sam', roles: ['staff'] });
  });
  after(async () => {
    await g.stop();
    await cgi.stop();
  });

  const forged = { 'x-auth-user': 'evil', x_auth_roles: 'evil' };
  /** Exactly one of each identity field, and no cookie of ours. */
  function one(seen, user, names = ['x-auth-user', 'x-auth-roles', 'x-auth-session', 'x-auth-time']) {
    const raw = seen.raw.map((v, i) => (i % 2 ? v : v.toLowerCase()));
    const values = (name) => raw.filter((v, i) => i % 2 && raw[i - 1] === name);
    for (const name of names) assert.equal(values(name).length, 1, `${name}: ${values(name)}`);
    assert.deepEqual(values('x-auth-user'), user ? [user] : []);
    assert.equal(seen.head.includes('evil'), false);
    assert.equal(seen.head.includes(live.token), false);
    assert.equal(seen.head.includes(staff.token), false);
  }

  test('redirects inside lead to a second check that still knows the cookie, and to one set of headers', async () => {
    for (let i = 0; i < 2; i++) {
      for (const target of ['/try-app/x', '/try-named/x', '/app-404', '/accel-named', '/was-open', '/if', '/limited']) {
        const res = await g.get(target, { headers: { ...forged, cookie: `a=1; ${cookieOf(live)}; b=2` } });
        assert.equal(res.status, 200, `${target} ${res.body.slice(0, 100)}`);
        one(res.json(), 'mara');
        assert.equal(res.json().headers.cookie, 'a=1; b=2', target);
      }
      for (const [target, body] of [['/try/x', 'index'], ['/dir/', 'index'], ['/a.html', 'file a']]) {
        assert.equal((await g.get(target, { jar: live.jar })).body, body, target);
        assert.equal((await g.get(target)).status, 401, target);
      }
    }
    for (const target of ['/try-app/x', '/try-named/x', '/app-404', '/accel-named', '/was-open', '/open-error', '/if', '/cgi', '/limited', '/ssi', '/mirrored', '/also-ok'])
      assert.equal((await g.get(target)).status, 401, target);
  });

  test('what the second place demands is demanded', async () => {
    for (const target of ['/try-role/x', '/accel-role', '/accel-loop']) {
      assert.equal((await g.get(target, { jar: live.jar })).status, 403, target);
      assert.equal((await g.get(target)).status, 401, target);
      for (let i = 0; i < 2; i++) {
        const res = await g.get(target, { jar: staff.jar, headers: forged });
        assert.equal(res.status, 200, target);
        one(res.json(), 'sam');
      }
    }
  });

  test('the second place\'s names count, and in a place that is not protected nobody has a name', async () => {
    const renamed = (await g.get('/accel-renamed', { jar: live.jar, headers: forged })).json();
    one(renamed, undefined, ['x-remote', 'x-auth-time', 'x-auth-roles']);
    assert.equal(renamed.headers['x-remote'], 'mara');
    assert.equal(renamed.headers['x-auth-session'], undefined);
    const open = (await g.get('/accel-open', { jar: live.jar, headers: forged })).json();
    assert.deepEqual(Object.keys(open.headers).filter((n) => n.startsWith('x-auth')), []);
    assert.equal(open.head.includes('evil'), false);
    assert.equal(open.headers['x-who'], undefined, 'no variable tells one either');
    for (const line of [`a=1; ${cookieOf(live)}`, cookieOf(live)])
      assert.equal((await g.get('/accel-keep', { headers: { cookie: line } })).json().headers.cookie, line, 'what was taken out in the first place is back in the second');
  });

  test('subrequests carry the identity of the page that makes them, and nobody else\'s', async () => {
    const res = await g.get('/ssi', { headers: { ...forged, cookie: `a=1; ${cookieOf(live)}` } });
    assert.match(res.body, /^before .*"x-auth-user":"mara".* after$/s);
    assert.equal(res.body.includes('evil'), false);
    assert.equal(res.body.includes(live.token), false);
    const open = await g.get('/ssi-open', { headers: forged });
    assert.equal(open.body.includes('evil'), false);
    assert.equal(open.body.includes('x-auth-user'), false);
    mirrored.length = 0;
    assert.equal((await g.get('/mirrored', { jar: live.jar, headers: forged })).status, 200);
    await until('the mirror', () => mirrored.length > 0);
    assert.equal(mirrored[0]['x-auth-user'], 'mara');
    assert.equal(JSON.stringify(mirrored[0]).includes(live.token), false);
    assert.equal((await g.get('/mirrored')).status, 401);
    assert.equal(mirrored.length, 1);
  });

  test('what nginx does after the answer, or in pieces, carries one identity as well', async () => {
    g.app.seen.length = 0;
    assert.equal((await g.get('/post-action', { jar: live.jar, headers: forged })).status, 200);
    await until('the action behind it', () => g.app.seen.length === 2);
    for (const seen of g.app.seen) one(seen, 'mara');
    const body = 'x'.repeat(4000);
    g.app.on('/slice', (req, res) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(req.headers.range);
      const part = body.slice(Number(from), Number(to) + 1);
      res.writeHead(206, { 'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${body.length}`, etag: '"v"' });
      res.end(part);
    });
    g.app.seen.length = 0;
    const whole = await g.get('/slice', { jar: live.jar, headers: forged });
    assert.equal(whole.body, body);
    assert.equal(g.app.seen.length, 4);
    for (const seen of g.app.seen) one(seen, 'mara');
  });

  test('auth_request beside it: both must agree', async () => {
    for (let i = 0; i < 2; i++) {
      assert.equal((await g.get('/also-ok', { jar: live.jar })).status, 200);
      assert.equal((await g.get('/also-no', { jar: live.jar })).status, 403);
      assert.equal((await g.get('/also-ok')).status, 401);
      assert.notEqual((await g.get('/also-no')).status, 200);
    }
    const fresh = await plant(g.daemon);
    one((await g.get('/also-ok', { jar: fresh.jar, headers: forged })).json(), 'mara');
    const body = randomBytes(100000);
    const posted = (await g.get('/also-ok', { jar: (await plant(g.daemon)).jar, method: 'POST' }, body)).json();
    assert.equal(posted.digest, createHash('sha256').update(body).digest('hex'));
  });

  test('satisfy any: either is enough, and no token or forged name gets through whoever it was', async () => {
    for (const headers of [{}, page]) {
      const anonymous = await g.get('/any-allowed', { headers: { ...headers, ...forged } });
      assert.equal(anonymous.status, 200, JSON.stringify(headers));
      assert.equal(anonymous.body.includes('evil'), false);
      assert.equal(anonymous.json().headers['x-auth-user'], undefined);
      assert.notEqual((await g.get('/any-denied', { headers })).status, 200);
      assert.notEqual((await g.get('/any-role', { headers, jar: live.jar })).status, 200);
      assert.notEqual((await g.get('/all-denied', { headers, jar: live.jar })).status, 200);
    }
    one((await g.get('/any-allowed', { jar: live.jar, headers: forged })).json(), 'mara');
    one((await g.get('/any-denied', { jar: live.jar, headers: forged })).json(), 'mara');
    one((await g.get('/any-role', { jar: staff.jar })).json(), 'sam');
    const without = (await g.get('/any-role-allowed', { jar: live.jar, headers: forged })).json();
    assert.equal(without.headers['x-auth-user'], undefined);
    assert.equal(without.head.includes(live.token), false, 'FA-7: let in by another rule, the cookie is not passed on');
  });

  test('FA-3: a request that nginx refuses while it reads it takes no name to the page for that', async () => {
    const evil = 'X-Auth-User: evil\r\nx_auth_roles: evil\r\n';
    for (const head of [`GET /early HTTP/1.1\r\n${evil}`, `GET /early HTTP/1.1\r\n${evil}Host: a b\r\n`, `GET /early HTTP/1.1\r\nHost: app.example\r\n${evil}Content-Length: x\r\n`,
      `GET /early HTTP/1.1\r\nHost: app.example\r\n${evil}no field\r\n`, `GET /early HTTP/1.1\r\nHost: app.example\r\n${evil}X-Long: ${'x'.repeat(9000)}\r\n`,
      `TRACE /early HTTP/1.1\r\nHost: app.example\r\n${evil}`, `GET /early\x01 HTTP/1.1\r\n${evil}`]) {
      g.app.seen.length = 0;
      const res = await once(g.port, `${head}Connection: close\r\n\r\n`);
      assert.ok([400, 405].includes(res.status), `${JSON.stringify(head.slice(0, 80))} ${res.status}`);
      assert.equal(g.app.seen.length, 1, JSON.stringify(head.slice(0, 80)));
      assert.equal(g.app.seen[0].url, '/early-error');
      assert.equal(g.app.seen[0].head.includes('evil'), false, g.app.seen[0].head);
    }
  });

  test('FA-6, FA-7: the page for a request that cannot be read is no way into a place that is checked', async () => {
    const lines = Array.from({ length: 10 }, (_, i) => ['Cookie', i === 0 || i === 9 ? cookieOf(live) : `c${i}=${i}`]);
    await g.nginx.reload({ text: g.text({ server: (s) => `error_page 400 /x; location / { proxy_pass ${s.upstream}; }` }), drained: true });
    g.app.seen.length = 0;
    assert.equal((await once(g.port, text('GET', '/too-many', lines))).status, 400);
    assert.deepEqual(g.app.seen, []);
    for (const head of ['GET /early HTTP/1.1\r\n', 'GET /early HTTP/1.1\r\nHost: app.example\r\nContent-Length: x\r\n']) {
      const res = await once(g.port, `${head}Cookie: ${cookieOf(live)}\r\nConnection: close\r\n\r\n`);
      assert.ok([400, 500].includes(res.status), String(res.status));
      assert.deepEqual(g.app.seen, [], 'nobody has looked at its cookie');
    }
    await g.nginx.reload({ text: g.text(), drained: true });
  });

  test('FA-7: more Cookie lines than anybody sends: no token gets through', async () => {
    for (const count of [7, 8, 9, 12, 40])
      for (const target of ['/x', '/any-allowed', '/optional', '/everybody']) {
        const lines = Array.from({ length: count }, (_, i) => ['Cookie', `c${i}=${i}`]);
        const res = await once(g.port, text('GET', target, [...lines, ['Cookie', cookieOf(live)]]));
        assert.equal(res.status, count < 8 ? 200 : 400, `${count}: ${res.status}`);
        if (res.status === 200) assert.equal(res.json().head.includes(live.token), false, `${count} lines, ${target}`);
      }
  });

  test('odd cookies and odd targets are answered as any other, not with 503', async () => {
    for (const value of ['', 'x', '"', '"x"', '\xff\xfe', 'a b', 'a\tb', 'a\x01b', '\x7f', 'a,b', '=', '==', '%', 'x'.repeat(53), 'x'.repeat(55), 'x'.repeat(255), 'x'.repeat(257), 'x'.repeat(4000), live.token.slice(0, -1), `${live.token}=`, `"${live.token}"`, live.token.toLowerCase()])
      for (const target of ['/x', '/any-denied']) {
        const res = await once(g.port, text('GET', target, { Cookie: `__Host-id=${value}` }));
        assert.ok([401, 403, 429].includes(res.status), `${JSON.stringify(value.slice(0, 60))} ${res.status} ${target}`);
      }
    for (const target of ['/\xe4', '/a%00b', '/a%0d%0ab', '//x', '/x?\xff', `/${'x'.repeat(2000)}`, `/${'x'.repeat(7000)}`, '/x#y', '/?a=b c=d', '/x?%', '/%', '/%zz', '/a\\b', '/{}', '/<script>', '/x?"', 'http://app.example/x', 'http://other.example/x']) {
      for (const headers of [{}, { Accept: 'text/html' }]) {
        const res = await once(g.port, text('GET', target, { ...headers, Connection: 'close' }));
        assert.ok([302, 401, 400].includes(res.status), `${JSON.stringify(target.slice(0, 60))} ${res.status}`);
      }
      const fresh = await plant(g.daemon, { user: 'odd' });
      const res = await once(g.port, text('GET', target, { Cookie: cookieOf(fresh), Connection: 'close' }));
      assert.ok([200, 400].includes(res.status), `signed in, ${JSON.stringify(target.slice(0, 60))}: ${res.status}`);
    }
    for (const host of ['APP.EXAMPLE', 'app.example:443', '[::1]', '127.0.0.1', 'a_b.example', 'x'.repeat(250), 'app.example.', 'xn--e1afmkfd.example'])
      assert.equal((await once(g.port, text('GET', '/x', { Host: host, Connection: 'close' }))).status, 401, host);
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'MKCOL', 'FOO', 'X-Y', 'A_B'])
      assert.ok([401, 400, 405].includes((await once(g.port, text(method, '/x', { Connection: 'close' }))).status), method);
    assert.equal((await once(g.port, 'GET /x HTTP/1.0\r\n\r\n')).status, 401);
  });

  test('many and long fields of a client do not turn into 503', async () => {
    const long = 'y'.repeat(6000);
    for (const fields of [{ 'User-Agent': long }, { Accept: long }, { 'Accept-Language': long }, { Cookie: `a=${long}; ${cookieOf(live)}` }, Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`X-${i}`, 'v'])), { 'Sec-Fetch-Mode': long }, { 'Sec-Fetch-Dest': '\xff' },
      { 'Accept-Language': '\xff' }, { 'User-Agent': '\xff\x80' }, { Accept: 'text/html;q="\xff"' }, { 'User-Agent': 'tab\there' }, { 'User-Agent': 'bell\x07' }, { Accept: '\x01' }, { 'Accept-Language': '\x7f' }, { 'Sec-Fetch-Mode': '\x1b' }, { Referer: long, Origin: long }]) {
      const fresh = await plant(g.daemon, { user: 'long' });
      const known = await once(g.port, text('GET', '/x', { Cookie: cookieOf(fresh), ...fields, Connection: 'close' }));
      /* 400 is the application's own word about such bytes */
      assert.ok([200, 400].includes(known.status), `${JSON.stringify(fields).slice(0, 60)}: ${known.status}`);
      if (!fields.Cookie) assert.ok([401, 302].includes((await once(g.port, text('GET', '/x', { ...fields, Connection: 'close' }))).status), JSON.stringify(fields).slice(0, 60));
    }
  });

  test('an operator\'s page for 503 is shown with its status, and does not go round in circles', async () => {
    for (const target of ['/error-page', '/error-page-on']) {
      const res = await g.get(target, { jar: live.jar, headers: page });
      assert.equal(res.status, 503, target);
      assert.equal(res.cookies.length, 0);
      assert.equal(res.headers.location, undefined);
      assert.match(res.headers['retry-after'] ?? '', /^\d+$/, target);
    }
    assert.equal((await g.get('/error-page')).body, 'sorry');
  });

  test('limit_req delays, and the check comes after it', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, (_, i) => g.get('/limited', { jar: i % 2 ? live.jar : undefined })));
    for (const [i, res] of all.entries()) assert.equal(res.status, i % 2 ? 200 : 401);
  });

  test('the connection to the application is kept alive, and nobody gets another\'s identity on it', async () => {
    const people = await Promise.all(Array.from({ length: 8 }, (_, i) => plant(g.daemon, { user: `u${i}`, roles: [`r${i}`] })));
    const all = await Promise.all(Array.from({ length: 120 }, (_, i) => g.get('/keepalive', { jar: people[i % 8].jar }).then((res) => [i % 8, res])));
    for (const [i, res] of all) {
      assert.equal(res.status, 200);
      assert.equal(res.json().headers['x-auth-user'], `u${i}`);
      assert.equal(res.json().headers['x-auth-roles'], `r${i}`);
      assert.equal(res.json().headers['x-auth-session'], people[i].handle);
    }
  });
});

describe('requests with bodies, and connections that go on', { skip: missing }, () => {
  let g, live;
  before(async () => {
    g = await Gate.start({
      server: (s) => `
        client_max_body_size 20m;
        location / { proxy_pass ${s.upstream}; }
        location /stream { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass ${s.upstream}; }
        location /file { client_body_in_file_only clean; proxy_pass ${s.upstream}; }
        location /small { client_max_body_size 10; proxy_pass ${s.upstream}; }
        location /csrf { coatcheck_origins https://app.example; coatcheck_csrf on; proxy_pass ${s.upstream}; }`,
    });
    live = await plant(g.daemon);
  });
  after(() => g.stop());

  const digest = (data) => createHash('sha256').update(data).digest('hex');

  test('a body arrives whole, whoever decided, in one piece, in chunks or slowly', async () => {
    const body = randomBytes(3000000);
    for (const target of ['/x', '/stream', '/file'])
      for (const session of [live, await plant(g.daemon), live]) {
        const res = await g.get(target, { jar: session.jar, method: 'POST' }, body);
        assert.equal(res.status, 200);
        assert.equal(res.json().digest, digest(body));
        const chunked = await g.get(target, { jar: session.jar, method: 'PUT', headers: { 'transfer-encoding': 'chunked' } }, body.subarray(0, 200001));
        assert.equal(chunked.json().digest, digest(body.subarray(0, 200001)));
      }
    for (const session of [live, await plant(g.daemon)]) {
      const wire = await Wire.open(g.port);
      wire.send(`POST /x HTTP/1.1\r\nHost: app.example\r\nCookie: ${cookieOf(session)}\r\nContent-Length: 6\r\n\r\n`);
      for (const byte of 'slowly'.split('')) {
        await sleep(20);
        wire.send(byte);
      }
      const res = await wire.response();
      assert.equal(res.json().digest, digest('slowly'));
      wire.close();
    }
  });

  test('Expect: 100-continue: whoever is let in is asked for the body, whoever is not gets the refusal', async () => {
    const wire = await Wire.open(g.port);
    for (const session of [live, await plant(g.daemon)]) {
      wire.send(`POST /x HTTP/1.1\r\nHost: app.example\r\nCookie: ${cookieOf(session)}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
      await wire.wait(() => wire.buffer.includes('100 Continue'), '100 Continue');
      wire.send('hello');
      const res = await wire.response();
      assert.deepEqual([res.status, res.json().digest, res.interim], [200, digest('hello'), [100]]);
    }
    const hits = g.app.hits;
    wire.send('POST /x HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    const refused = await wire.response();
    assert.equal(refused.status, 401);
    assert.equal(g.app.hits, hits);
    wire.close();
  });

  test('FA-8: after a refusal with a body the connection goes on with the next request, or is closed; the body is never a request', async () => {
    const inner = `GET /smuggled HTTP/1.1\r\nHost: app.example\r\nCookie: ${cookieOf(live)}\r\n\r\n`;
    const next = text('GET', '/next', { Cookie: cookieOf(live) });
    const refusals = [
      [401, 'POST', '/x', {}], [401, 'POST', '/x', { Cookie: `__Host-id=${strangeToken()}` }], [401, 'PUT', '/stream', {}], [403, 'POST', '/csrf', { Origin: 'https://evil.example', Cookie: cookieOf(live) }], [401, 'DELETE', '/x', {}], [401, 'GET', '/x', {}], [302, 'POST', '/x', { Accept: 'text/html', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' }],
    ];
    for (const [status, method, target, fields] of refusals)
      for (const body of [inner, inner.repeat(50), `${Number(inner.length).toString(16)}\r\n${inner}\r\n0\r\n\r\n`]) {
        const framed = body.endsWith('0\r\n\r\n') ? { ...fields, 'Transfer-Encoding': 'chunked' } : fields;
        for (const split of [false, true]) {
          const wire = await Wire.open(g.port);
          const bytes = text(method, target, framed, body) + next;
          g.app.seen.length = 0;
          if (split) {
            const at = bytes.indexOf('\r\n\r\n') + 10;
            wire.send(bytes.slice(0, at));
            await sleep(15);
            wire.send(bytes.slice(at));
          } else wire.send(bytes);
          const res = await wire.response();
          assert.ok(res.status === status || (status === 302 && res.status === 401), `${method} ${target} ${res.status}`);
          const after = await wire.response().catch(() => null);
          if (after) assert.deepEqual([after.status, after.json().url], [200, '/next']);
          else assert.ok(wire.closed);
          assert.equal(g.app.seen.some((s) => s.url === '/smuggled'), false, `${method} ${target} ${split}`);
          wire.close();
        }
      }
  });

  test('a body that is too large is 413 whoever sends it, and the next request is a request', async () => {
    for (const session of [live, await plant(g.daemon)]) {
      const wire = await Wire.open(g.port);
      wire.send(text('POST', '/small', { Cookie: cookieOf(session) }, 'x'.repeat(100)));
      assert.equal((await wire.response()).status, 413);
      wire.send(text('GET', '/next', { Cookie: cookieOf(session) }));
      const res = await wire.response().catch(() => null);
      if (res) assert.equal(res.status, 200);
      wire.close();
    }
  });

  test('RV-1: on one connection each request is judged by what its session is then, whoever came before', async () => {
    const own = await Promise.all([0, 1].map((i) => plant(g.daemon, { user: `u${i}` })));
    const wire = await Wire.open(g.port);
    const ask = async (s, token = s.token) => {
      wire.send(text('GET', '/x', { Cookie: `a=1; __Host-id=${token}` }));
      const res = await wire.response();
      return res.status === 200 ? res.json().headers['x-auth-user'] : res.status;
    };
    for (let i = 0; i < 3; i++) for (const [n, s] of own.entries()) assert.equal(await ask(s), `u${n}`);
    await patient(() => g.daemon.ask('POST', `/v1/sessions/${own[0].handle}/end`));
    for (let i = 0; i < 3; i++) {
      assert.equal(await ask(own[0]), 401);
      assert.equal(await ask(own[1]), 'u1');
      assert.equal(await ask(own[1], own[0].token.slice(0, 22) + own[1].token.slice(22)), 401, 'halves of two');
    }
    await patient(() => g.daemon.ask('POST', '/v1/users/u1/end-sessions'));
    assert.equal(await ask(own[1]), 401);
    wire.close();
  });

  test('pipelined requests are answered in order, each by its own cookie', async () => {
    const wire = await Wire.open(g.port);
    const people = [live, undefined, await plant(g.daemon, { user: 'joe' }), { token: strangeToken() }, await plant(g.daemon, { user: 'sam' }), undefined];
    const users = ['mara', undefined, 'joe', undefined, 'sam', undefined];
    const order = Array.from({ length: 60 }, (_, i) => (i * 7) % 6);
    wire.send(order.map((i, n) => text(n % 5 === 4 ? 'POST' : 'GET', `/n${n}`, people[i] ? { Cookie: cookieOf(people[i]) } : {}, n % 5 === 4 ? 'body' : '')).join(''));
    for (const [n, i] of order.entries()) {
      const res = await wire.response();
      assert.ok(res, `the connection ended before answer ${n}`);
      if (users[i]) {
        assert.equal(res.status, 200, String(n));
        assert.deepEqual([res.json().url, res.json().headers['x-auth-user']], [`/n${n}`, users[i]]);
      } else assert.ok([401, 429].includes(res.status));
    }
    wire.close();
  });

  test('HEAD has no body and leaves the connection in order', async () => {
    const wire = await Wire.open(g.port);
    for (const fields of [{}, { Cookie: cookieOf(live) }, { ...page }, { Cookie: '__Host-id=x' }])
      for (let i = 0; i < 2; i++) {
        wire.send(text('HEAD', '/x', fields));
        const head = await wire.response({ head: true });
        wire.send(text('GET', '/x', fields));
        const full = await wire.response();
        assert.equal(head.status, full.status);
        assert.equal(wire.buffer.length, 0);
      }
    wire.close();
  });

  test('HTTP/1.0 and Connection: close are closed after the answer', async () => {
    for (const bytes of ['GET /x HTTP/1.0\r\n\r\n', text('GET', '/x', { Connection: 'close' }), `GET /x HTTP/1.0\r\nCookie: ${cookieOf(live)}\r\n\r\n`]) {
      const wire = await Wire.open(g.port);
      const res = await wire.send(bytes).response();
      assert.ok([200, 401].includes(res.status));
      await wire.wait(() => wire.closed, 'the end');
      assert.ok(wire.closed);
      wire.close();
    }
  });
});

describe('HTTP/2', { skip: missing }, () => {
  let g, live, h2;
  before(async () => {
    g = await Gate.start({
      listen: ' http2',
      server: (s) => `location / { proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; } location /try/ { root ${s.dir}; try_files /none /x; }`,
    });
    live = await plant(g.daemon);
    h2 = await g.h2();
  });
  after(async () => {
    h2.close();
    await g.stop();
  });

  test('a hundred streams at once, each with its own verdict and its own identity', async () => {
    const people = await Promise.all(Array.from({ length: 5 }, (_, i) => plant(g.daemon, { user: `u${i}` })));
    for (let round = 0; round < 2; round++) {
      const all = await Promise.all(Array.from({ length: 100 }, (_, i) => {
        const s = people[i % 7];
        return h2.request(i % 3 ? 'GET' : 'POST', i % 11 ? '/x' : '/try/x', s ? { cookie: ['a=1', cookieOf(s)] } : {}, i % 3 ? undefined : Buffer.alloc(20000, i)).then((res) => [s && `u${i % 7}`, res]);
      }));
      for (const [user, res] of all) {
        assert.equal(res.status, user ? 200 : 401);
        if (user) assert.equal(res.json().headers['x-auth-user'], user);
      }
    }
  });

  test('HEAD, refusals and redirects have their fields and end their streams', async () => {
    assert.equal((await h2.request('HEAD', '/x', { cookie: cookieOf(live) })).status, 200);
    const head = await h2.request('HEAD', '/x');
    assert.deepEqual([head.status, head.body], [401, '']);
    const res = await h2.request('GET', '/x?y=1', page);
    assert.equal(res.status, 302);
    assert.equal(res.headers.location, 'https://app.example/auth/login?return=%2Fx%3Fy%3D1');
    assert.equal(res.headers.connection, undefined);
    const refused = await h2.request('POST', '/x', {}, Buffer.alloc(200000));
    assert.equal(refused.status, 401);
    assert.equal(refused.json().error.code, 'not_signed_in');
  });

  test('streams that are reset, at any moment, disturb no other', async () => {
    const fresh = await Promise.all(Array.from({ length: 40 }, () => plant(g.daemon, { user: 'reset' })));
    const others = Array.from({ length: 40 }, () => h2.request('GET', '/x', { cookie: cookieOf(live) }));
    for (const [i, s] of fresh.entries()) {
      const stream = h2.stream(i % 2 ? 'GET' : 'POST', '/x', i % 4 === 3 ? {} : { cookie: cookieOf(s) });
      stream.on('error', () => {});
      if (i % 2 === 0) stream.write(Buffer.alloc(1000));
      if (i % 3 === 0) stream.close(8);
      else if (i % 3 === 1) setImmediate(() => stream.close(8));
      else setTimeout(() => stream.close(8), i % 5);
    }
    for (const res of await Promise.all(others)) assert.equal(res.status, 200);
    assert.equal((await h2.request('GET', '/x', { cookie: cookieOf(live) })).status, 200);
  });
});

describe('clients that go away', { skip: missing }, () => {
  test('HD-11: aborts in every phase leave nothing behind: descriptors and memory stay flat', async () => {
    let stall = true;
    const g = await Gate.start({ daemon: false, workers: 1, server: (s) => `coatcheck_timeout 500ms; location / { proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; }` });
    const stub = await Stub.start(g.gate, (q, socket) => {
      if (!stall) return yes([['X-Auth-User', 'mara']]);
      if (q.head.includes('/half')) socket.write('HTTP/1.1 200 OK\r\nX-Auth-Us');
      return undefined;
    });
    try {
      g.app.on('/hang', () => {});
      const cookie = () => `__Host-id=${strangeToken()}`;
      const pid = g.nginx.workers()[0];
      const abort = async (bytes, when, hard) => {
        const wire = await Wire.open(g.port);
        wire.socket.on('error', () => {});
        wire.send(bytes);
        await when();
        if (hard) wire.socket.resetAndDestroy();
        else wire.close();
      };
      const asked = () => {
        const n = stub.questions.length;
        return () => until('the question', () => stub.questions.length > n);
      };
      const round = async () => {
        for (const hard of [false, true]) {
          stall = true;
          await abort('GET /x HT', () => sleep(2), hard);
          await abort(text('GET', '/x', { Cookie: cookie() }), () => {}, hard);
          await abort(text('GET', '/x', { Cookie: cookie() }), asked(), hard);
          await abort(text('GET', '/half', { Cookie: cookie() }), asked(), hard);
          await abort(text('POST', '/x', { Cookie: cookie(), 'Content-Length': '100000' }, 'part'), asked(), hard);
          await abort(text('POST', '/optional', { Cookie: cookie() }, 'whole'), asked(), hard);
          await abort(text('GET', '/x', { Cookie: cookie() }) + text('GET', '/y', { Cookie: cookie() }), asked(), hard);
          stall = false;
          await abort(text('GET', '/hang', { Cookie: cookie() }), asked(), hard);
          await abort(text('POST', '/x', { Cookie: cookie(), 'Content-Length': '100000' }, 'part'), asked(), hard);
          for (let i = 0; i < 10; i++) assert.equal((await once(g.port, text('GET', '/x', { Cookie: cookie() }))).status, 200);
        }
      };
      const count = () => {
        for (const socket of [...g.app.sockets, ...stub.sockets]) socket.destroy();
        return g.nginx.descriptors(pid).length;
      };
      for (let i = 0; i < 3; i++) await round();
      await sleep(600); /* longer than coatcheck_timeout */
      const before = { fds: count(), memory: g.nginx.memory(pid) };
      for (let i = 0; i < 25; i++) await round();
      await until(`no more than ${before.fds} descriptors`, () => count() <= before.fds).catch((error) => {
        throw new Error(`${error.message}: ${g.nginx.descriptors(pid)}`);
      });
      const memory = g.nginx.memory(pid);
      if (!sanitized) assert.ok(memory <= before.memory + 512, `${before.memory} KiB, then ${memory}`);
      assert.deepEqual(g.nginx.workers(), [pid]);
    } finally {
      await stub.stop();
      await g.stop();
    }
  });

  test('a question is taken back when its client goes, or has gone already', async () => {
    const g = await Gate.start({ daemon: false, workers: 1, server: (s) => `coatcheck_timeout 60s; location / { proxy_pass ${s.upstream}; }` });
    const stub = await Stub.start(g.gate, () => undefined);
    try {
      const bytes = () => text('GET', '/x', { Cookie: `__Host-id=${strangeToken()}` });
      const waits = await Wire.open(g.port);
      waits.send(bytes());
      await until('the question', () => stub.sockets.size === 1);
      waits.close();
      await until('it is taken back', () => stub.sockets.size === 0);
      const gone = await Wire.open(g.port), pid = g.nginx.workers()[0];
      assert.equal((await gone.send(text('GET', '/nothing')).response()).status, 204);
      await freeze(pid); /* so that its request and its end arrive together */
      await new Promise((resolve) => gone.socket.end(bytes(), 'latin1', resolve));
      process.kill(pid, 'SIGCONT');
      await until('the second question', () => stub.connections === 2);
      await until('it is taken back', () => stub.sockets.size === 0);
      gone.close();
    } finally {
      await stub.stop();
      await g.stop();
    }
  });

  test('HD-11: requests by the thousand and reloads leave memory and descriptors flat', async () => {
    const g = await Gate.start({ workers: 1, server: (s) => `location / { return 204; } location /file { root ${s.dir}; } location /role { coatcheck_require role=x; root ${s.dir}; }`, before: (s) => writeFileSync(path.join(s.dir, 'file'), 'file') });
    try {
      const s = await plant(g.daemon);
      const burst = async (n) => {
        const wire = await Wire.open(g.port);
        const one = text('GET', '/file', { Cookie: `a=1; ${cookieOf(s)}; b=2`, 'X-Auth-User': 'evil' }) + text('GET', '/file', {}) + text('GET', '/role', { Cookie: cookieOf(s) });
        for (let i = 0; i < n; i += 30) {
          wire.send(one.repeat(10));
          for (let k = 0; k < 30; k++) {
            const res = await wire.response();
            if (!res) {
              /* keepalive_requests is reached: a new connection */
              break;
            }
            assert.equal(res.status, [200, 401, 403][k % 3]);
          }
        }
        wire.close();
      };
      await burst(900);
      const pid = g.nginx.workers()[0];
      const before = { fds: g.nginx.descriptors(pid).length, memory: g.nginx.memory(pid) };
      for (let i = 0; i < 6; i++) await burst(900);
      const after = { fds: g.nginx.descriptors(pid).length, memory: g.nginx.memory(pid) };
      assert.ok(after.fds <= before.fds + 1, `${before.fds} descriptors, then ${after.fds}`);
      if (!sanitized) assert.ok(after.memory <= before.memory + 256, `${before.memory} KiB, then ${after.memory}`);
      const master = g.nginx.child.pid;
      await g.nginx.reload({ drained: true });
      await g.nginx.reload({ drained: true });
      const first = { fds: g.nginx.descriptors(master).length, memory: g.nginx.memory(master) };
      for (let i = 0; i < 12; i++) await g.nginx.reload({ drained: true });
      const last = { fds: g.nginx.descriptors(master).length, memory: g.nginx.memory(master) };
      assert.ok(last.fds <= first.fds, `master: ${first.fds} descriptors, then ${last.fds}`);
      if (!sanitized) assert.ok(last.memory <= first.memory + 1024, `master: ${first.memory} KiB, then ${last.memory}`);
    } finally {
      await g.stop();
    }
  });

  /* Its accept queue has room for two, and it takes none of them. Of those who wait for an answer none may get one before
     the others have theirs: so a worker that waited for its own would hang here, and no timing decides. */
  test('HD-11: with a daemon that neither answers nor accepts, a worker goes on with all other requests', async () => {
    const g = await Gate.start({ daemon: false, workers: 1, server: (s) => `coatcheck_timeout 60s; location / { proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; }` });
    const daemon = spawn(process.execPath, ['-e', `require('net').createServer(() => {}).listen({ path: ${JSON.stringify(g.gate)}, backlog: 1 }, () => process.stdout.write('ready'))`], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise((resolve) => daemon.stdout.once('data', resolve));
      await freeze(daemon.pid);
      const pid = g.nginx.workers()[0];
      const statuses = [];
      const waiting = Array.from({ length: 40 }, () => g.get('/x', { headers: { cookie: `__Host-id=${strangeToken()}` } }).then((res) => statuses.push(res.status), (error) => statuses.push(error.code)));
      await until('those for whom there is no room are answered', () => statuses.length === waiting.length - 2);
      for (let round = 0; round < 20; round++) {
        assert.equal((await g.get('/nothing')).status, 204);
        assert.equal((await g.get('/optional')).status, 200);
      }
      await g.nginx.reload();
      for (let round = 0; round < 20; round++) assert.equal((await g.get('/optional')).status, 200);
      assert.deepEqual(statuses, Array(waiting.length - 2).fill(503), 'two are still being asked about');
      assert.ok(g.nginx.everybody().includes(pid), 'by the former worker');
      daemon.kill('SIGKILL');
      await Promise.all(waiting);
      assert.deepEqual(statuses, Array(waiting.length).fill(503));
    } finally {
      daemon.kill('SIGKILL');
      await g.stop();
    }
  });

  /** What strace says of a process while work() is done; undefined where it may not be watched. */
  const traced = async (pid, file, args, work) => {
    /* A client has its answer before nginx has closed the file that it is from. */
    const waits = () => until('it waits for events', () => /^State:\s*S/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
    await waits();
    const strace = spawn('strace', ['-o', file, ...args, '-p', String(pid)], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '', ended = false;
    strace.stderr.on('data', (data) => (said += data));
    strace.on('error', () => (ended = true));
    const end = new Promise((resolve) => strace.on('close', resolve)).then(() => (ended = true));
    await until('strace is there', () => ended || /attached/.test(said));
    if (ended) return undefined;
    await work();
    await waits();
    strace.kill('SIGINT');
    await end;
    return readFileSync(file, 'utf8');
  };
  /** How many calls of each name. */
  const systemCalls = async (pid, file, work) => {
    const text = await traced(pid, file, [], work);
    const calls = new Map();
    for (const [, name] of (text ?? '').matchAll(/^(\w+)\(/gm)) calls.set(name, (calls.get(name) ?? 0) + 1);
    return text === undefined ? undefined : calls;
  };
  const times = (n, work) => Array.from({ length: n }).reduce((before, _, i) => before.then(() => work(i)), Promise.resolve());

  test('HD-11: a check from the table makes no system call of its own, a question none that waits', async (t) => {
    if (sanitized || spawnSync('strace', ['-V']).error) return t.skip('there is no strace, or a sanitizer makes calls of its own');
    const g = await Gate.start({ workers: 1, server: (s) => `location /on { alias ${s.dir}/file; } location /off { coatcheck off; alias ${s.dir}/file; }`, before: (s) => writeFileSync(path.join(s.dir, 'file'), 'file') });
    try {
      const s = await plant(g.daemon);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const ask = (target, jar) => g.get(target, { jar, agent }).then((res) => assert.equal(res.status, jar === s.jar ? 200 : 401));
      /* An answer is there before its file is closed: what comes behind it shows that it has been. */
      const last = () => g.get('/nothing', { agent });
      const seen = {};
      for (const target of ['/on', '/off']) {
        await times(5, () => ask(target, s.jar));
        seen[target] = await systemCalls(g.nginx.workers()[0], path.join(g.dir, 'calls'), () => times(100, () => ask(target, s.jar)).then(last));
        if (!seen[target]) return t.skip('no process may be watched here');
      }
      agent.destroy();
      assert.ok(seen['/on'].get('epoll_wait') >= 100);
      /* Ten times a second it is looked whether the table is still that file; tmpfs does not wait, nor does malloc. */
      for (const name of ['stat', 'newfstatat', 'brk', 'mmap', 'munmap']) for (const calls of Object.values(seen)) calls.delete(name);
      assert.deepEqual([...seen['/on'].keys()].filter((name) => !seen['/off'].has(name)), []);
      for (const name of seen['/on'].keys()) if (name !== 'epoll_wait') assert.ok(seen['/on'].get(name) <= seen['/off'].get(name), name);

      const asking = await systemCalls(g.nginx.workers()[0], path.join(g.dir, 'calls'), () => times(20, () => g.get('/on', { headers: { accept: '*/*' } }).then((res) => assert.equal(res.status, 401))));
      assert.ok(asking.get('epoll_wait') >= 40);
      for (const name of ['poll', 'ppoll', 'select', 'pselect6', 'nanosleep', 'clock_nanosleep', 'futex', 'flock', 'fsync', 'fdatasync', 'wait4', 'rt_sigtimedwait']) assert.equal(asking.get(name), undefined, name);
    } finally {
      await g.stop();
    }
  });

  /* Freeing a large one takes 100 ms; nothing here depends on how large it is. */
  test('HD-11: a former table is unmapped beside the loop, whether it was removed or replaced', async (t) => {
    if (sanitized || spawnSync('strace', ['-V']).error) return t.skip('there is no strace, or a sanitizer makes calls of its own');
    const g = await Gate.start({ workers: 1, http: () => 'add_header X-Source $coatcheck_source always;' });
    try {
      const s = await plant(g.daemon);
      const pid = g.nginx.workers()[0];
      const known = () => until('it is in the table', async () => (await g.get('/x', { jar: s.jar })).headers['x-source'] === 'table', 20000);
      const mapped = (end = '') => readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').filter((line) => line.includes(g.table) && line.endsWith(end))
        .map((line) => /^([0-9a-f]+)-([0-9a-f]+)/.exec(line).slice(1).map((n) => parseInt(n, 16)));
      const ways = {
        removed: () => ['table', 'table.seen'].forEach((name) => rmSync(path.join(g.run, name))),
        replaced: () => {
          g.daemon.options.config = 'table:\n  slots: 4096\n';
          writeFileSync(g.daemon.file, g.daemon.yaml());
        },
      };
      for (const [way, change] of Object.entries(ways)) {
        await known();
        const former = mapped();
        assert.equal(former.length, 2, 'the table and its activity');
        const text = await traced(pid, path.join(g.dir, 'calls'), ['-f', '-e', 'trace=munmap'], async () => {
          await g.daemon.down();
          change();
          await g.daemon.up();
          await known();
          await until('the former one is gone', () => mapped('(deleted)').length === 0);
        });
        if (text === undefined) return t.skip('no process may be watched here');
        const calls = [...text.matchAll(/^(\d+) +munmap\((0x[0-9a-f]+), (\d+)/gm)].map(([, by, at, length]) => ({ loop: Number(by) === pid, from: Number(at), to: Number(at) + Number(length) }));
        for (const [from, to] of former) {
          let at = from; /* below it, addresses may be another mapping's by now */
          for (const call of calls) {
            if (call.from > at || call.to <= at || at >= to) continue;
            assert.equal(call.loop, false, `${way}: by the loop, ${call.to - call.from} bytes`);
            at = call.to;
          }
          assert.ok(at > to - 4096, `${way}: ${to - at} bytes are left`);
        }
      }
    } finally {
      await g.stop();
    }
  });

  test('a worker without a connection to spare says 503, and goes on when there is one', async () => {
    const g = await Gate.start({ daemon: false, workers: 1, connections: 24, server: (s) => `coatcheck_daemon unix:${s.gate} keepalive=4; coatcheck_timeout 5s; location / { return 204; } location /x { root ${s.dir}; }`, before: (s) => writeFileSync(path.join(s.dir, 'x'), 'x') });
    const held = [];
    const stub = await Stub.start(g.gate, (q, socket) => void held.push(socket));
    try {
      const pid = g.nginx.workers()[0];
      const waiting = Array.from({ length: 40 }, () => g.get('/x', { headers: { cookie: `__Host-id=${strangeToken()}` } }).then((res) => res.status, (error) => error.code));
      await until('some are being asked about', () => held.length > 0);
      await sleep(300);
      const release = setInterval(() => {
        for (const socket of held.splice(0)) socket.write(yes());
      }, 20);
      const got = new Set(await Promise.all(waiting));
      clearInterval(release);
      for (const status of got) assert.ok([200, 503, 'ECONNRESET', 'EPIPE'].includes(status), String(status));
      stub.reply = () => yes();
      for (let i = 0; i < 10; i++) assert.equal((await g.get('/x', { headers: { cookie: `__Host-id=${strangeToken()}` } })).status, 200);
      assert.deepEqual(g.nginx.workers(), [pid]);
      g.nginx.allowed.push(/worker_connections are not enough/);
    } finally {
      await stub.stop();
      await g.stop();
    }
  });

  test('many questions at once with few kept connections: every one is answered, and no more are kept than said', async () => {
    const g = await Gate.start({ daemon: false, workers: 1, server: (s) => `coatcheck_daemon unix:${s.gate} keepalive=2; location / { proxy_pass ${s.upstream}; }` });
    const stub = await Stub.start(g.gate, (q, socket) => void setTimeout(() => socket.writable && socket.write(yes([['X-Auth-User', q.all('x-forwarded-uri')[0].slice(1)]])), 30));
    try {
      for (let round = 0; round < 3; round++) {
        const all = await Promise.all(Array.from({ length: 120 }, (_, i) => g.get(`/u${i}`, { headers: { cookie: `__Host-id=${strangeToken()}` } })));
        for (const [i, res] of all.entries()) {
          assert.equal(res.status, 200);
          assert.equal(res.json().headers['x-auth-user'], `u${i}`, 'the answer of another question');
        }
        await until('two are kept', () => stub.sockets.size <= 2);
      }
    } finally {
      await stub.stop();
      await g.stop();
    }
  });
});

describe('logs', { skip: missing }, () => {
  test('AU-1: at debug, no line of ours has a token, and no other line but those in which nginx shows headers', async () => {
    const g = await Gate.start({
      level: 'debug',
      daemon: { level: 'debug' },
      http: (s) => `log_format all '$remote_addr "$request" $status $coatcheck_user $coatcheck_handle $coatcheck_verdict $coatcheck_source $sent_http_location'; access_log ${s.dir}/access.log all;`,
      server: (s) => `access_log ${s.dir}/access.log all; location / { proxy_pass ${s.upstream}; } location /role { coatcheck_require role=x; proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /down { coatcheck_daemon unix:/nonexistent; coatcheck_table /nonexistent; proxy_pass ${s.upstream}; } location /csrf { coatcheck_origins https://app.example; coatcheck_csrf on; proxy_pass ${s.upstream}; }`,
    });
    try {
      const s = await plant(g.daemon);
      for (const target of ['/x', '/x', '/role', '/optional', '/down', '/csrf'])
        for (const method of ['GET', 'POST']) await g.get(target, { jar: s.jar, method, headers: { origin: 'https://evil.example' } });
      const secret = s.token.slice(22);
      await g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`);
      await g.get('/x', { jar: s.jar });
      const lines = g.nginx.errors().split('\n').filter((l) => l.includes(secret));
      const shown = lines.filter((l) => !/http header: "cookie: /i.test(l) && !/http upstream request|http script var|http process request header line/.test(l));
      assert.deepEqual(shown, []);
      assert.ok(g.nginx.errors().includes('coatcheck'), 'the module is in the log');
      const ours = g.nginx.errors().split('\n').filter((l) => /coatcheck/.test(l.replace(/coat-gate-\w+|\/coatcheck[\w./]*/g, '')));
      for (const line of ours) assert.equal(line.includes(secret), false, line);
      for (const file of ['access.log', 'log']) if (existsSync(path.join(g.dir, file))) assert.equal(readFileSync(path.join(g.dir, file), 'utf8').includes(secret), false, file);
      assert.equal(JSON.stringify(g.app.seen).includes(secret), false);
    } finally {
      await g.stop();
    }
  });

  test('AU-2: a refusal at the gate can be found in the daemon\'s log by its request id, and its client is the client', async () => {
    const g = await Gate.start({ server: (s) => `location / { proxy_pass ${s.upstream}; } location /age { coatcheck_max_age 1s; proxy_pass ${s.upstream}; } location /csrf { coatcheck_origins https://app.example; coatcheck_csrf on; proxy_pass ${s.upstream}; }` });
    try {
      const s = await plant(g.daemon);
      await sleep(1100);
      for (const [type, res] of [['step_up_required', await g.get('/age', { jar: s.jar })], ['csrf_refused', await g.get('/csrf', { jar: s.jar, method: 'POST', headers: { origin: 'https://evil.example' } })]]) {
        assert.equal(res.status, 403);
        const event = await g.daemon.event(type);
        assert.equal(event.request_id, res.json().request_id, JSON.stringify(event));
        assert.equal(event.client, '127.0.0.1', JSON.stringify(event));
      }
    } finally {
      await g.stop();
    }
  });
});
