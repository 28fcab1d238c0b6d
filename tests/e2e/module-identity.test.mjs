// SPDX-License-Identifier: Apache-2.0
// What an application behind the nginx module gets to see of its visitor, and what it never gets.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from './lib.mjs';
import { FastCgi } from './module/app.mjs';
import { Gate, missing } from './module/nginx.mjs';
import { Stub, answer } from './module/stub.mjs';
import { Wire, once, text } from './module/wire.mjs';
import { patient, plant, strangeToken } from './routes.mjs';

const fields = ['User', 'Roles', 'Methods', 'Session', 'Time', 'Assertion'];
const names = fields.map((f) => `X-Auth-${f}`);
const cgiName = (name) => `HTTP_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;

/** Values of fields that an application would take for this header, in any spelling. */
const alike = (pairs, name) => pairs.filter(([n]) => n.toLowerCase().replace(/[^a-z0-9]/g, '-') === name.toLowerCase()).map(([, v]) => v);
const pairsOf = (raw) => raw.flatMap((_, i) => (i % 2 ? [] : [[raw[i], raw[i + 1]]]));

describe('identity headers', { skip: missing }, () => {
  let g, cgi, full, bare, nobody;
  before(async () => {
    cgi = await FastCgi.start();
    const down = '/nonexistent/gate.sock';
    g = await Gate.start({
      /* The worst that can be set: names with underscores and all others pass nginx itself. */
      server: (s) => `
        underscores_in_headers on;
        ignore_invalid_headers off;
        location / { proxy_pass ${s.upstream}; }
        location /open { coatcheck off; proxy_pass ${s.upstream}; }
        location /open-keep { coatcheck off; coatcheck_pass_cookie on; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /optional-error { coatcheck optional; coatcheck_daemon unix:${down}; coatcheck_table ${s.dir}/none; proxy_pass ${s.upstream}; post_action @after; }
        location /denied { coatcheck_require role=nobody-has-it; proxy_pass ${s.upstream}; error_page 401 403 = @after; post_action @after; }
        location /elsewhere { deny all; proxy_pass ${s.upstream}; error_page 403 = @after; }
        location /error { coatcheck_daemon unix:${down}; coatcheck_table ${s.dir}/none; proxy_pass ${s.upstream}; error_page 500 502 503 = @after; post_action @after; }
        location /any { satisfy any; allow all; proxy_pass ${s.upstream}; }
        location @after { coatcheck off; proxy_pass ${s.upstream}; }
        location /cgi { fastcgi_pass 127.0.0.1:${cgi.port}; }
        location /cgi-open { coatcheck off; fastcgi_pass 127.0.0.1:${cgi.port}; }
        location /cgi-optional { coatcheck optional; fastcgi_pass 127.0.0.1:${cgi.port}; }
        location /renamed { coatcheck_header user X-Remote-User; coatcheck_header roles off; proxy_pass ${s.upstream}; }
        location /chosen { proxy_set_header X-Auth-User "[$coatcheck_user]"; proxy_set_header X-Handle $coatcheck_handle; proxy_set_header X-When $coatcheck_auth_time;
          proxy_set_header X-R $coatcheck_roles; proxy_set_header X-M $coatcheck_methods; proxy_set_header X-V $coatcheck_verdict; proxy_set_header X-S $coatcheck_source;
          proxy_pass ${s.upstream}; }
        location /connection { proxy_set_header X-Connection $http_connection; proxy_pass ${s.upstream}; }
        location /keep { coatcheck_pass_cookie on; proxy_pass ${s.upstream}; }
        location /lost { proxy_set_header Cookie $http_cookie; proxy_set_header X-Cookie $http_cookie; proxy_pass ${s.upstream}; }
      `,
    });
    full = await plant(g.daemon, { roles: ['admin', 'staff'], methods: ['pwd', 'otp'] });
    bare = await plant(g.daemon, { roles: [], methods: [] });
    nobody = await plant(g.daemon, { user: undefined, roles: undefined });
  });
  after(async () => {
    await g.stop();
    await cgi.stop();
  });

  const send = (target, list) => once(g.port, text('GET', target, [['Connection', 'close'], ...list]));
  const cookie = (session) => ['Cookie', `__Host-id=${session.token}`];

  const outcomes = [
    ['authenticated', '/x', () => [cookie(full)], true],
    ['authenticated, from the table', '/x', () => [cookie(full)], true],
    ['roles and methods missing', '/x', () => [cookie(bare)], true],
    ['a session of nobody', '/x', () => [cookie(nobody)], true],
    ['anonymous, optional', '/optional', () => [], true],
    ['optional, an invented cookie', '/optional', () => [['Cookie', `__Host-id=${strangeToken()}`]], true],
    ['optional, garbage in the cookie', '/optional', () => [['Cookie', '__Host-id=x']], true],
    ['optional, authenticated', '/optional', () => [cookie(full)], true],
    ['optional, the daemon is not there', '/optional-error', () => [cookie(full)], false],
    ['denied: nobody', '/denied', () => [], false],
    ['denied: not the role', '/denied', () => [cookie(full)], false],
    ['denied by nginx', '/elsewhere', () => [cookie(full)], false],
    ['error: the daemon is not there', '/error', () => [cookie(full)], false],
    ['error, nobody', '/error', () => [], false],
    ['let in by another rule', '/any', () => [], false],
    ['not protected', '/open', () => [cookie(full)], true],
  ];

  for (const [what, target, list, arrives] of outcomes)
    test(`FA-3: no identity header of a client arrives: ${what}`, async () => {
      for (const name of names) {
        g.app.seen.length = 0;
        const res = await send(target, [[name, 'evil'], ...list(), [name, 'evil2']]);
        assert.ok(res, name);
        if (arrives) assert.equal(res.status, 200, `${name} ${res.body}`);
        if (arrives) assert.equal(g.app.seen.length, 1);
        const seen = g.app.seen.map((s) => s.head).join('');
        assert.equal(seen.toLowerCase().includes('evil'), false, seen);
      }
      g.app.seen.length = 0;
      await send(target, [...names.map((n) => [n, 'evil']), ...list(), ...names.map((n) => [n, 'evil2'])]);
      assert.equal(g.app.seen.map((s) => s.head).join('').includes('evil'), false);
      for (const { raw } of g.app.seen) {
        const pairs = pairsOf(raw);
        for (const name of names) {
          const values = alike(pairs, name);
          assert.ok(values.length <= 1, `${name}: ${values}`);
          if (target === '/open' || target === '/any' || list().length === 0) assert.deepEqual(values, []);
        }
      }
    });

  test('FA-3: each header has the value of the session, from the daemon and from the table alike', async () => {
    const fresh = await plant(g.daemon, { roles: ['admin', 'staff'], methods: ['pwd', 'otp'] });
    const all = [];
    for (let i = 0; i < 3; i++) {
      const { raw } = (await send('/x', [cookie(fresh)])).json();
      all.push(names.map((name) => alike(pairsOf(raw), name)));
    }
    assert.deepEqual(all[0], [['mara'], ['admin%20staff'], ['pwd%20otp'], [fresh.handle], [String(Math.floor(fresh.json.authenticated_ms / 1000))], []]);
    assert.deepEqual(all[1], all[0]);
    assert.deepEqual(all[2], all[0]);
    const none = pairsOf((await send('/x', [cookie(bare)])).json().raw);
    assert.deepEqual(alike(none, 'X-Auth-Roles'), []);
    assert.deepEqual(alike(none, 'X-Auth-Methods'), []);
    assert.deepEqual(alike(none, 'X-Auth-User'), ['mara']);
    const visitor = pairsOf((await send('/x', [cookie(nobody)])).json().raw);
    assert.deepEqual(alike(visitor, 'X-Auth-User'), []);
    assert.deepEqual(alike(visitor, 'X-Auth-Session'), [nobody.handle]);
  });

  const spellings = (name) => {
    const lower = name.toLowerCase();
    return [...new Set([name, lower, name.toUpperCase(), name.replaceAll('-', '_'), lower.replaceAll('-', '_'), name.replaceAll('-', '.'), lower.replace('-', '_'),
      lower.replace(/-(?=[^-]*$)/, '_'), lower.replaceAll('-', '~'), lower.replaceAll('-', '!'), lower.replaceAll('-', '+'), `x-AUTH_${lower.slice(7)}`])];
  };

  test('FA-4: no spelling, doubling or listing of a name gets through or takes our header away', async () => {
    for (const [target, list] of [['/x', [cookie(full)]], ['/optional', []], ['/open', []]])
      for (const name of names)
        for (const spelling of spellings(name)) {
          const res = await send(target, [[spelling, 'evil'], ...list, ['Connection', `close, ${spelling}`], [spelling, 'evil']]);
          if (res.status === 400) continue; /* nginx itself refuses this name */
          assert.equal(res.status, 200, spelling);
          assert.equal(res.json().head.includes('evil'), false, `${spelling}: ${res.json().head}`);
          if (list.length && name !== 'X-Auth-Assertion') assert.equal(alike(pairsOf(res.json().raw), name).length, 1, spelling);
        }
  });

  test('FA-4: Connection may name whatever it likes, the verdict and our headers stay', async () => {
    for (const listed of ['X-Auth-User', 'X-Auth-User, Cookie', 'cookie', 'close, x-auth-user, x-auth-session, cookie', 'keep-alive, Cookie', 'Host, X-Auth-Roles', 'upgrade, X-Auth-User']) {
      const res = await send('/x', [cookie(full), ['Connection', listed], ['X-Auth-User', 'evil']]);
      assert.equal(res.status, 200, listed);
      assert.deepEqual(alike(pairsOf(res.json().raw), 'X-Auth-User'), ['mara'], listed);
      assert.equal((await send('/x', [['Connection', listed]])).status, 401, listed);
      /* Nor does an application or a proxy further on get to see such a list. */
      for (const lines of [[listed], [listed, 'X-Auth-Methods'], ['keep-alive', listed]]) {
        const list = [cookie(full), ...lines.map((l) => ['Connection', l])];
        const passed = await once(g.port, text('GET', '/connection', list));
        assert.equal(/auth|cookie|host/i.test(passed.json().headers['x-connection'] ?? ''), false, passed.json().headers['x-connection']);
        const params = (await once(g.port, text('GET', '/cgi', list))).json();
        for (const [, value] of params.filter(([n]) => n === 'HTTP_CONNECTION')) assert.equal(/auth|cookie|host/i.test(value), false, value);
      }
    }
  });

  test('FA-4: what an application behind FastCGI takes for identity is ours alone', async () => {
    for (const [target, list] of [['/cgi', [cookie(full)]], ['/cgi-optional', []], ['/cgi-open', []]])
      for (const name of names)
        for (const spelling of spellings(name)) {
          const res = await send(target, [[spelling, 'evil'], ...list, [spelling, 'evil']]);
          if (res.status === 400) continue;
          assert.equal(res.status, 200, spelling);
          const values = res.json().filter(([n]) => n === cgiName(name)).map(([, v]) => v);
          assert.equal(res.body.includes('evil'), false, `${spelling}: ${res.body}`);
          if (list.length && name !== 'X-Auth-Assertion') assert.equal(values.length, 1, `${spelling}: ${values}`);
          else assert.deepEqual(values, [], spelling);
        }
    const all = (await send('/cgi', [cookie(full)])).json();
    assert.deepEqual(all.filter(([n]) => n === 'HTTP_X_AUTH_USER'), [['HTTP_X_AUTH_USER', 'mara']]);
    assert.equal(JSON.stringify(all).includes(full.token), false);
  });

  test('FA-4: fields that only look alike are let through', async () => {
    for (const name of ['X-Auth', 'X-Auth-Users', 'XX-Auth-User', 'X-Auth-User-', 'X-AuthUser', 'Auth-User', 'X-Auth-Use', 'X-Auth-Usex']) {
      const res = await send('/x', [cookie(full), [name, 'kept']]);
      assert.deepEqual(pairsOf(res.json().raw).filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v), ['kept'], name);
    }
  });

  test('FA-3: many fields around ours: each of 90 others arrives, in its order', async () => {
    const others = Array.from({ length: 90 }, (_, i) => [`X-N${i}`, `v${i}`]);
    const mixed = others.flatMap((f, i) => [f, [names[i % names.length], 'evil']]);
    const res = await send('/x', [cookie(full), ...mixed]);
    assert.equal(res.status, 200);
    assert.deepEqual(pairsOf(res.json().raw).filter(([n]) => /^X-N/.test(n)), others);
    assert.equal(res.body.includes('evil'), false);
  });

  test('a header can be renamed or left out; the former name is then taken out, not set', async () => {
    const res = await send('/renamed', [cookie(full), ['X-Auth-User', 'evil'], ['X-Remote-User', 'evil'], ['X-Auth-Roles', 'evil'], ['x_remote_user', 'evil']]);
    const pairs = pairsOf(res.json().raw);
    assert.equal(res.body.includes('evil'), false);
    assert.deepEqual(alike(pairs, 'X-Remote-User'), ['mara']);
    assert.deepEqual(alike(pairs, 'X-Auth-User'), []);
    assert.deepEqual(alike(pairs, 'X-Auth-Roles'), []);
    assert.deepEqual(alike(pairs, 'X-Auth-Methods'), ['pwd%20otp']);
    const elsewhere = await send('/x', [cookie(full), ['X-Remote-User', 'evil']]);
    assert.equal(elsewhere.body.includes('evil'), false);
  });

  test('variables are there for proxy_set_header, and empty where nobody is signed in', async () => {
    const one = (raw, name) => pairsOf(raw).find(([n]) => n === name)?.[1];
    const { raw } = (await send('/chosen', [cookie(full), ['X-Auth-User', 'evil']])).json();
    assert.deepEqual(alike(pairsOf(raw), 'X-Auth-User'), ['[mara]']);
    assert.equal(one(raw, 'X-Handle'), full.handle);
    assert.equal(one(raw, 'X-When'), String(Math.floor(full.json.authenticated_ms / 1000)));
    assert.equal(one(raw, 'X-R'), 'admin%20staff');
    assert.equal(one(raw, 'X-M'), 'pwd%20otp');
    assert.equal(one(raw, 'X-V'), 'live');
    assert.match(one(raw, 'X-S'), /^(table|daemon)$/);
  });

  /* ---- FA-7 ---- */

  const A = 'T'.repeat(54);
  const layouts = (id) => [
    [[`__Host-id=${id}`], []],
    [[`__Host-id=${id}; a=1; b="x y"`], ['a=1; b="x y"']],
    [[`a=1; __Host-id=${id}; b=2`], ['a=1; b=2']],
    [[`a=1; __Host-id=${id}`], ['a=1']],
    [[`a=1;__Host-id=${id};b=2`], ['a=1;b=2']],
    [[`__Host-id=${id}; __Host-id-device=x.y; a=1`], ['a=1']],
    [[`a=1; __Host-id=${id}; __Host-id-device=x.y`], ['a=1']],
    [[`a=1; __Host-id-device=x.y`, `__Host-id=${id}`], ['a=1']],
    [[`__Host-id=${id}; __Host-id-pre=z`], []],
    [['__Host-id-pre=z', `__Host-id=${id}`, '__Host-id-device=x.y', 'a=1'], ['a=1']],
    [[`__Host-id-device=x.y; __Host-id=${id}; __Host-id-pre=z; userid=7; xid=8; id2=9`], ['userid=7; xid=8; id2=9']],
    [[`a=b=c; __Host-id=${id}; d=id`], ['a=b=c; d=id']],
    [[`__Host-idx=1; __Host-id=${id}; x__Host-id=2; __host-id=3; id=4`], ['__Host-idx=1; x__Host-id=2; __host-id=3; id=4']],
    [[`a="x; y=z"; __Host-id=${id}`], ['a="x; y=z"']],
    [[`a=__Host-id=; __Host-id=${id}`], ['a=__Host-id=']],
    [[`flag; __Host-id=${id}; =empty; b=`], ['flag; =empty; b=']],
    [[`a=1;  __Host-id=${id};   b=2`], null],
    [[`a=1;\t__Host-id=${id};\tb=2`], null],
    [[`__Host-id=${id};`], null],
    [[`; ; __Host-id=${id}; ;a=1`], null],
    [[`a=${A}; __Host-id=${id}; b=${A}`], [`a=${A}; b=${A}`]],
    [['a=1', `__Host-id=${id}`, 'b=2'], ['a=1', 'b=2']],
    [[`__Host-id=${id}`, 'a=1'], ['a=1']],
    [['a=1', `b=2; __Host-id=${id}; c=3`], ['a=1', 'b=2; c=3']],
    [[`a=\xe4\xf6\xff; __Host-id=${id}; b=\x80`], ['a=\xe4\xf6\xff; b=\x80']],
    [[`a=%00%0d%0a; __Host-id=${id}; b=,;c= d`], ['a=%00%0d%0a; b=,;c= d']],
    [[`__Host-id=${id}; ${Array.from({ length: 150 }, (_, i) => `c${i}=${i}`).join('; ')}`], [Array.from({ length: 150 }, (_, i) => `c${i}=${i}`).join('; ')]],
    [[`big=${'x'.repeat(6000)}; __Host-id=${id}`], [`big=${'x'.repeat(6000)}`]],
    [[` __Host-id=${id} ; a=1`], null],
  ];

  test('FA-7: our cookies do not arrive, all others do, byte for byte, in 29 layouts', async () => {
    const cases = layouts(full.token);
    assert.ok(cases.length >= 20);
    for (const [lines, expected] of cases) {
      const res = await send('/x', lines.map((l) => ['Cookie', l]));
      const shown = JSON.stringify(lines).slice(0, 200);
      assert.equal(res.status, 200, shown);
      const got = pairsOf(res.json().raw).filter(([n]) => n.toLowerCase() === 'cookie').map(([, v]) => v);
      assert.equal(res.json().head.includes(full.token), false, shown);
      assert.equal(/(^|[;\s])__Host-id(-pre|-device)?\s*=/.test(got.join('; ')), false, `${shown} ${got}`);
      if (expected) assert.deepEqual(got, expected, shown);
      /* However much white space there was around it: the others are whole and in order. */
      const others = (list) => list.join(';').split(/;[ \t]*/).map((p) => p.trim()).filter((p) => p && !/^__Host-id(-pre|-device)?[ \t]*=/.test(p));
      assert.deepEqual(others(got), others(lines), shown);
    }
  });

  test('CK-4, FA-7: in 500 random layouts the verdict is the daemon\'s, and what goes on is all but ours', async () => {
    let state = 20261126;
    const random = (n) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const pieces = [`__Host-id=${full.token}`, `__Host-id=${full.token}`, `__Host-id=${full.token}`, '__Host-id=x', '__Host-id', '__Host-id=', `__Host-id =${full.token}`, `__Host-id= ${full.token}`, `__Host-id="${full.token}"`, `__host-id=${full.token}`,
      '__Host-id-pre=p', '__Host-id-device=d', '__Host-id-other=o', 'x__Host-id=1', 'a=1', 'b="q; r"', 'c="', 'flag', '=v', '', ' ', '\t', 'd=\xff\xe4', 'e=a=b=c', 'f=,', `g=__Host-id=${'G'.repeat(54)}`, 'h=%3B__Host-id%3D'];
    const gaps = [';', '; ', '; ', '; ', ' ; ', ';  ', ';\t'];
    const ours = /^__Host-id(-pre|-device)?[ \t]*(=|$)/;
    const others = (lines) => lines.join(';').split(';').map((p) => p.replace(/^[ \t]+|[ \t]+$/g, '')).filter((p) => p && !ours.test(p));
    const counts = {};
    for (let i = 0; i < 500; i++) {
      const lines = [];
      for (let n = 1 + random(3); n > 0; n--) {
        let line = '';
        for (let k = 1 + random(6); k > 0; k--) line += (line ? gaps[random(gaps.length)] : '') + pieces[random(pieces.length)];
        lines.push(line);
      }
      const shown = JSON.stringify(lines).replaceAll(full.token, 'TOKEN');
      const question = text('GET', '/auth/verify', [['Host', 'coatcheck'], ['X-Forwarded-Method', 'GET'], ['X-Forwarded-Uri', '/x'], ['X-Forwarded-Host', 'app.example'], ['X-Forwarded-Proto', 'https'], ['X-Forwarded-For', '127.0.0.1'], ...lines.map((l) => ['Cookie', l])]);
      const want = (await once(g.gate, question)).status;
      const res = await send('/x', lines.map((l) => ['Cookie', l]));
      assert.equal(res.status, want, shown);
      counts[want] = (counts[want] ?? 0) + 1;
      const open = res.status === 200 ? res : await send('/optional', lines.map((l) => ['Cookie', l]));
      assert.equal(open.status, 200, shown);
      const got = alike(pairsOf(open.json().raw), 'Cookie');
      assert.equal(open.json().head.includes(full.token) && !lines.join(';').includes(`__host-id=${full.token}`), false, `${shown} -> ${JSON.stringify(got)}`);
      assert.deepEqual(others(got), others(lines), shown);
    }
    assert.ok(counts[200] >= 50 && counts[401] >= 50, JSON.stringify(counts));
  });

  test('FA-7: the same without a session: a stale, an invented or a doubled cookie does not arrive either', async () => {
    for (const value of [strangeToken(), 'x', '', A]) {
      for (const [lines] of layouts(value)) {
        const res = await send('/optional', lines.map((l) => ['Cookie', l]));
        if (res.status !== 200) continue;
        const got = alike(pairsOf(res.json().raw), 'Cookie').join('; ');
        assert.equal(/(^|[;\s])__Host-id(-pre|-device)?\s*=/.test(got), false, JSON.stringify(lines).slice(0, 100) + got.slice(0, 200));
      }
    }
    for (const target of ['/optional', '/x']) {
      const res = await send(target, [['Cookie', `__Host-id=${full.token}; a=1; __Host-id=${full.token}`]]);
      assert.notEqual(res.status, 500);
      assert.equal(res.status === 200 && res.json().head.includes(full.token), false);
    }
  });

  test('FA-7: nor does any of them arrive where no check is made, unless it is asked for', async () => {
    const line = `a=1; __Host-id=${full.token}; __Host-id-device=d; b=2`;
    for (const lines of [[line], ['c=3', line], [`__Host-id=${full.token}`]]) {
      const res = await send('/open', lines.map((l) => ['Cookie', l]));
      assert.equal(res.status, 200);
      assert.deepEqual(alike(pairsOf(res.json().raw), 'Cookie'), lines.map((l) => (l === line ? 'a=1; b=2' : l)).filter((l) => !l.includes('__Host-id')));
    }
    assert.deepEqual(alike(pairsOf((await send('/open-keep', [['Cookie', line]])).json().raw), 'Cookie'), [line]);
  });

  test('CK-3: two cookies of that name are no session, whatever their order', async () => {
    for (const lines of [[`__Host-id=${full.token}; __Host-id=x`], [`__Host-id=x; __Host-id=${full.token}`], [`__Host-id=${full.token}`, '__Host-id=x'], [`__Host-id=${full.token}`, `__Host-id=${full.token}`]])
      assert.equal((await send('/x', lines.map((l) => ['Cookie', l]))).status, 401, JSON.stringify(lines));
    assert.equal((await send('/x', [['Cookie', `__host-id=${full.token}`]])).status, 401);
    assert.equal((await send('/x', [['Cookie', 'a=1'], cookie(full)])).status, 200);
  });

  test('ID-5: a token anywhere else than in its cookie is no session', async () => {
    for (const list of [[['Authorization', `Bearer ${full.token}`]], [['X-Session', full.token]], [['X-Auth-Session', full.token]], [['Cookie2', `__Host-id=${full.token}`]], [['X-Cookie', `__Host-id=${full.token}`]]])
      assert.equal((await send('/x', list)).status, 401, list[0][0]);
    for (const target of [`/x?__Host-id=${full.token}`, `/x;__Host-id=${full.token}`]) assert.equal((await send(target, [])).status, 401);
  });

  test('FA-7: coatcheck_pass_cookie on leaves them, also for FastCGI they are gone otherwise', async () => {
    const line = `a=1; __Host-id=${full.token}; __Host-id-device=d; b=2`;
    const kept = await send('/keep', [['Cookie', line]]);
    assert.deepEqual(alike(pairsOf(kept.json().raw), 'Cookie'), [line]);
    const cgiSeen = (await send('/cgi', [['Cookie', line]])).json();
    assert.deepEqual(cgiSeen.filter(([n]) => n === 'HTTP_COOKIE'), [['HTTP_COOKIE', 'a=1; b=2']]);
  });

  test('FA-7: $http_cookie is without them too, so that a proxy_set_header cannot give them away', async () => {
    const { raw } = (await send('/lost', [['Cookie', `a=1; __Host-id=${full.token}; b=2`]])).json();
    assert.equal(JSON.stringify(raw).includes(full.token), false, JSON.stringify(raw));
    assert.deepEqual(alike(pairsOf(raw), 'X-Cookie'), ['a=1; b=2']);
  });

  /* ---- FA-5 ---- */

  test('FA-5: values have no control byte and no byte above ASCII, whatever the name', async () => {
    const users = ['a\r\nX-Role: admin', 'a\nb', 'a\0b', 'a\tb', '\x01\x1f\x7f', 'ÄÖÜ ß €', '\u0080\u00ff', '日本語', 'a%b', '%0d%0aX: y', ' lead and trail ', '"quoted"', "x'y", 'a,b;c=d', '\u2028', 'é'.repeat(100), 'x'.repeat(255)];
    for (const user of users) {
      const made = await g.daemon.ask('POST', '/v1/sessions', { user, roles: ['r'], methods: ['pwd'] });
      if (made.status !== 201) continue; /* no such user can exist */
      const token = made.json().set_cookie.split(';')[0].split('=')[1];
      for (let i = 0; i < 2; i++) {
        const res = await send('/x', [['Cookie', `__Host-id=${token}`]]);
        assert.equal(res.status, 200, JSON.stringify(user));
        const { head } = res.json();
        const lines = head.split('\r\n').filter((l) => /^x-auth-/i.test(l));
        assert.equal(lines.length, 5, head);
        assert.equal(/^x-role/im.test(head), false);
        for (const line of lines) assert.match(line, /^X-Auth-(User|Roles|Methods|Session|Time): [\x21-\x7e]+$/);
        const value = lines.find((l) => l.startsWith('X-Auth-User: ')).slice('X-Auth-User: '.length);
        assert.ok(value.length <= 1024);
        assert.equal(decodeURIComponent(value), user.normalize('NFC') === user ? user : decodeURIComponent(value));
      }
    }
    const big = await g.daemon.ask('POST', '/v1/sessions', { user: 'x'.repeat(10240) });
    assert.notEqual(big.status, 201);
  });

  test('FA-5: the upstream gets exactly the lines that it should', async () => {
    const res = await once(g.port, 'GET /x HTTP/1.1\r\nHost: app.example\r\nX-Auth-User: evil\r\nCookie: a=1; __Host-id=' + full.token + '\r\nx_auth_user: evil\r\nConnection: close, X-Auth-User\r\nX-Keep: 1\r\n\r\n');
    const lines = res.json().head.split('\r\n').filter(Boolean);
    const seconds = Math.floor(full.json.authenticated_ms / 1000);
    assert.deepEqual(lines.slice().sort(), ['GET /x HTTP/1.0', `Host: 127.0.0.1:${g.app.port}`, 'Connection: close', 'Cookie: a=1', 'X-Keep: 1', 'X-Auth-User: mara', 'X-Auth-Roles: admin%20staff',
      'X-Auth-Methods: pwd%20otp', `X-Auth-Session: ${full.handle}`, `X-Auth-Time: ${seconds}`].sort());
  });
});

describe('identity headers over HTTP/2', { skip: missing }, () => {
  let g, live, client;
  before(async () => {
    g = await Gate.start({ listen: ' http2', server: (s) => `location / { proxy_pass ${s.upstream}; } location /optional { coatcheck optional; proxy_pass ${s.upstream}; }` });
    live = await plant(g.daemon);
    client = await g.h2();
  });
  after(() => {
    client.close();
    return g.stop();
  });
  const get = (target, headers) => client.request('GET', target, headers);

  test('FA-7: crumbs of cookies are put together, without ours', async () => {
    const cases = [
      [['a=1', `__Host-id=${live.token}`, 'b=2'], 'a=1; b=2'],
      [[`__Host-id=${live.token}`], undefined],
      [[`a=1; __Host-id=${live.token}`, 'b=2'], 'a=1; b=2'],
      [['__Host-id-pre=1', 'x=y', `__Host-id=${live.token}`, '__Host-id-device=2'], 'x=y'],
      [Array.from({ length: 60 }, (_, i) => `c${i}=${i}`).concat(`__Host-id=${live.token}`), Array.from({ length: 60 }, (_, i) => `c${i}=${i}`).join('; ')],
    ];
    for (const [cookie, expected] of cases) {
      const res = await get('/x', { cookie });
      assert.equal(res.status, 200, cookie.join('|').slice(0, 80));
      assert.equal(res.json().headers.cookie, expected);
      assert.equal(res.json().headers['x-auth-user'], 'mara');
    }
    assert.equal((await get('/x', { cookie: [`__Host-id=${live.token}`, '__Host-id=x'] })).status, 401);
    assert.equal((await get('/x', { cookie: ['a=1', 'b=2'] })).status, 401);
  });

  test('FA-3, FA-4: no identity header of a client arrives', async () => {
    for (const name of names)
      for (const [target, headers] of [['/x', { cookie: `__Host-id=${live.token}` }], ['/optional', {}]]) {
        const res = await get(target, { ...headers, [name.toLowerCase()]: ['evil', 'evil'] });
        assert.equal(res.status, 200);
        assert.equal(res.body.includes('evil'), false, name);
      }
  });
});

describe('variables in logs', { skip: missing }, () => {
  let g, live;
  before(async () => {
    g = await Gate.start({
      http: (s) => `log_format who '$uri|$status|$coatcheck_user|$coatcheck_roles|$coatcheck_methods|$coatcheck_handle|$coatcheck_auth_time|$coatcheck_assertion|$coatcheck_verdict|$coatcheck_source|$http_cookie';`,
      server: (s) => `access_log ${s.dir}/access.log who;
        location / { proxy_pass ${s.upstream}; }
        location /open { coatcheck off; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /role { coatcheck_require role=nobody-has-it; proxy_pass ${s.upstream}; }
        location /error { coatcheck_daemon unix:/nonexistent/gate.sock; coatcheck_table ${s.dir}/none; proxy_pass ${s.upstream}; }
        location /csrf { coatcheck_origins https://app.example; coatcheck_csrf on; proxy_pass ${s.upstream}; }`,
    });
    live = await plant(g.daemon, { user: 'mara "x"', methods: ['pwd'] });
  });
  after(() => g.stop());

  const lines = () => readFileSync(path.join(g.dir, 'access.log'), 'utf8').split('\n').filter(Boolean).map((l) => l.split('|'));
  const logged = async (target, options) => {
    const count = lines().length;
    await g.get(target, options);
    await until('a line in the log', () => lines().length > count);
    return lines().at(-1);
  };

  test('AU-2: user, handle, verdict and source stand in the access log', async () => {
    const { jar } = live;
    const seconds = String(Math.floor(live.json.authenticated_ms / 1000));
    const who = ['mara%20\\x22x\\x22', 'admin', 'pwd', live.handle, seconds, '-'];
    assert.deepEqual((await logged('/a', { jar })).slice(1, 10), ['200', ...who, 'live', 'daemon']);
    assert.deepEqual((await logged('/a', { jar })).slice(1, 10), ['200', ...who, 'live', 'table']);
    const none = ['-', '-', '-', '-', '-', '-'];
    assert.deepEqual((await logged('/a')).slice(1, 10), ['401', ...none, 'refused', 'daemon']);
    assert.deepEqual((await logged('/open', { jar })).slice(1, 10), ['200', ...none, '-', '-']);
    assert.deepEqual((await logged('/optional')).slice(1, 9), ['200', ...none, 'none']);
    const role = await logged('/role', { jar });
    assert.deepEqual([role[1], role[8]], ['403', 'refused']);
    const error = await logged('/error', { jar });
    assert.deepEqual([error[1], error[2], error[8]], ['503', '-', 'unknown']);
    const csrf = await logged('/csrf', { jar, method: 'POST', headers: { origin: 'https://evil.example' } });
    assert.deepEqual([csrf[1], csrf[8], csrf[9]], ['403', 'refused', 'gate']);
  });

  test('AU-1: a log with $http_cookie has no token of a checked request', async () => {
    await logged('/a', { jar: live.jar });
    assert.equal(lines().filter((l) => l[0] === '/a').some((l) => l[10].includes(live.token)), false);
  });

  test('AU-1: nor has it the token of a live session whose request was refused, or could not be decided', async () => {
    const headers = { cookie: `a=1; __Host-id=${live.token}; b=2` };
    for (const [target, status, method] of [['/role', '403', 'GET'], ['/error', '503', 'GET'], ['/csrf', '403', 'POST']]) {
      const line = await logged(target, { method, headers });
      assert.deepEqual([line[1], line[10]], [status, 'a=1; b=2'], target);
    }
  });
});

describe('identity from a daemon that lies', { skip: missing }, () => {
  const handle = 'H'.repeat(22);
  let g, stub, reply;
  before(async () => {
    g = await Gate.start({ daemon: false });
    stub = await Stub.start(g.gate, () => reply());
  });
  after(async () => {
    await stub.stop();
    await g.stop();
  });

  const jar = { header: () => ({ cookie: `__Host-id=${strangeToken()}` }), take: (res) => res };

  test('FA-5: a value too long, with control bytes or twice gives one clean line or none, or a refusal', async () => {
    const values = ['x'.repeat(1024), 'x'.repeat(1025), 'x'.repeat(8000), 'a\tb', 'a b', 'ü', 'a\x7fb', '\xff', ''];
    for (const value of values)
      for (const list of [[['X-Auth-User', value]], [['X-Auth-User', value], ['X-Auth-User', 'second']]]) {
        reply = () => answer(200, [['X-Auth-Session', handle], ...list]);
        const hits = g.app.hits;
        const res = await g.get('/x', { jar });
        if (res.status === 200) {
          const lines = res.json().head.split('\r\n').filter((l) => /^x-auth-user/i.test(l));
          assert.ok(lines.length <= 1, lines.join('|').slice(0, 200));
          for (const line of lines) assert.match(line, /^X-Auth-User: [\x21-\x7e]{1,1024}$/, line.slice(0, 100));
        } else {
          assert.ok(res.status >= 500, String(res.status));
          assert.equal(g.app.hits, hits);
        }
      }
  });

  test('FA-5: all values together have at most 4 KiB', async () => {
    for (const [length, want] of [[1018, 200], [1019, 503]]) {
      const v = 'v'.repeat(length);
      reply = () => answer(200, [['X-Auth-Session', handle], ...['User', 'Roles', 'Methods', 'Time'].map((name) => [`X-Auth-${name}`, v])]);
      const res = await g.get('/x', { jar });
      assert.equal(res.status, want, String(length));
      if (want === 200) assert.equal(res.json().head.split('\r\n').filter((l) => /^x-auth-/i.test(l)).reduce((n, l) => n + l.split(': ')[1].length, 0), 4 * length + handle.length);
    }
  });

  test('FA-3: only the six fields of an answer that passes become identity, the rest of it goes nowhere', async () => {
    reply = () => answer(200, [['X-Auth-User', 'mara'], ['X-Auth-Session', handle], ['X-Other', 'o'], ['X-Auth-Redirect', '/r'], ['Cookie', 'c=1'], ['Authorization', 'x'], ['Location', '/l'], ['X-Accel-Redirect', '/other']]);
    const res = await g.get('/x', { jar });
    assert.equal(res.status, 200);
    const { headers } = res.json();
    assert.equal(headers['x-auth-user'], 'mara');
    for (const name of ['x-other', 'x-auth-redirect', 'cookie', 'authorization', 'location']) assert.equal(headers[name], undefined, name);
    assert.equal(res.headers.location, undefined);
    assert.equal(res.headers['x-auth-user'], undefined);
    assert.equal(res.headers['x-accel-redirect'], undefined);
  });
});

describe('assertions', { skip: missing }, () => {
  let g;
  before(async () => {
    g = await Gate.start({
      clock: true,
      daemon: { config: 'assertion:\n  audiences: [https://orders.example, reports, books-Aa, books-BB]\n' },
      http: () => 'add_header X-Source $coatcheck_source always;',
      server: (s) => `
        location / { proxy_pass ${s.upstream}; }
        location /first { coatcheck_assertion on; proxy_pass ${s.upstream}; }
        location /orders { coatcheck_assertion https://orders.example; proxy_pass ${s.upstream}; }
        location /reports { coatcheck_assertion reports; coatcheck_header assertion X-Jwt; proxy_pass ${s.upstream}; }
        location /books-Aa { coatcheck_assertion books-Aa; proxy_pass ${s.upstream}; }
        location /books-BB { coatcheck_assertion books-BB; proxy_pass ${s.upstream}; }
        location /unknown { coatcheck_assertion nobody; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; coatcheck_assertion on; proxy_pass ${s.upstream}; }`,
    });
  });
  after(() => g.stop());

  const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString());

  test('FA-10: each person gets assertions about that person, for the audience of the place, that are still good', async () => {
    const people = await Promise.all(['mara', 'joe', 'sam'].map((user) => plant(g.daemon, { user })));
    const sources = new Set();
    for (let round = 0; round < 8; round++) {
      for (const s of people)
        for (const [target, header, aud] of [['/first', 'x-auth-assertion', 'https://orders.example'], ['/orders', 'x-auth-assertion', 'https://orders.example'], ['/reports', 'x-jwt', 'reports']]) {
          const res = await g.get(target, { jar: s.jar, headers: { 'X-Auth-Assertion': 'evil', 'X-Jwt': 'evil' } });
          assert.equal(res.status, 200, res.body);
          sources.add(res.headers['x-source']);
          const { headers } = res.json();
          const got = claims(headers[header]);
          assert.deepEqual([got.sub, got.aud], [s.json.user, aud]);
          assert.ok(got.exp * 1000 > g.clock.now(), 'it is over');
          assert.ok(got.exp - got.iat <= 60);
          assert.equal(headers[header === 'x-jwt' ? 'x-auth-assertion' : 'x-jwt'], undefined);
        }
      g.clock.forward(17000);
    }
    assert.deepEqual([...sources].sort(), ['daemon', 'table'], 'they are kept for a while');
    for (const s of people) assert.equal((await g.get('/x', { jar: s.jar, headers: { 'X-Auth-Assertion': 'evil' } })).json().headers['x-auth-assertion'], undefined);
  });

  test('FA-10: of hundreds of people nobody gets the assertion of somebody else', async () => {
    const people = [];
    for (let i = 0; i < 250; i++) people.push(await plant(g.daemon, { user: `person${i}` }));
    for (let round = 0; round < 2; round++)
      for (const s of people) assert.equal(claims((await g.get('/first', { jar: s.jar })).json().headers['x-auth-assertion']).sub, s.json.user);
  });

  test('FA-10: an audience with the hash of another one gets none that is for that one', async () => {
    const s = await plant(g.daemon);
    for (let i = 0; i < 3; i++)
      for (const audience of ['books-Aa', 'books-BB']) assert.equal(claims((await g.get(`/${audience}`, { jar: s.jar })).json().headers['x-auth-assertion']).aud, audience);
  });

  test('FA-10: a request that is still coming in keeps its assertion, whatever takes its place meanwhile', async () => {
    const s = await plant(g.daemon), wire = await Wire.open(g.port);
    const told = async () => (await g.get('/first', { jar: s.jar })).json().headers['x-auth-assertion'];
    const first = await told();
    wire.send(text('POST', '/first', { Cookie: `__Host-id=${s.token}`, 'Content-Length': '4', Expect: '100-continue' }));
    await wire.wait(() => wire.buffer.includes('100 Continue'), 'it has been checked');
    g.clock.forward(50000);
    assert.notEqual(await told(), first);
    assert.equal((await wire.send('body').response()).json().headers['x-auth-assertion'], first);
    wire.close();
  });

  test('FA-10: an ended session gets none, whatever was kept; an audience that is not one gets nobody in', async () => {
    const s = await plant(g.daemon);
    for (let i = 0; i < 2; i++) assert.equal((await g.get('/first', { jar: s.jar })).status, 200);
    const hits = g.app.hits;
    await patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
    assert.equal((await g.get('/first', { jar: s.jar })).status, 401);
    const other = await plant(g.daemon);
    const unknown = await g.get('/unknown', { jar: other.jar });
    assert.equal(unknown.status, 503);
    assert.equal(g.app.hits, hits);
    const nobody = await g.get('/optional', { headers: { 'X-Auth-Assertion': 'evil' } });
    assert.equal(nobody.json().headers['x-auth-assertion'], undefined);
  });

  test('SF-1: while the daemon is away a kept assertion serves, and without one nobody passes', async () => {
    const kept = await plant(g.daemon), without = await plant(g.daemon);
    assert.equal((await g.get('/first', { jar: kept.jar })).status, 200);
    assert.equal((await g.get('/x', { jar: without.jar })).status, 200);
    await g.daemon.down();
    try {
      assert.equal((await g.get('/first', { jar: kept.jar })).status, 200);
      assert.equal((await g.get('/first', { jar: without.jar })).status, 503);
      assert.equal((await g.get('/x', { jar: without.jar })).status, 200);
      g.clock.forward(60000);
      assert.equal((await g.get('/first', { jar: kept.jar })).status, 503);
    } finally {
      await g.daemon.up();
    }
    assert.equal((await g.get('/first', { jar: without.jar })).status, 200);
  });
});
