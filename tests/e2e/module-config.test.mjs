// SPDX-License-Identifier: Apache-2.0
// The directives of the nginx module: what is accepted, what is refused and how it is said, what is
// inherited.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Gate, check, missing } from './module/nginx.mjs';
import { plant } from './routes.mjs';

describe('directives', { skip: missing }, () => {
  let dir;
  before(() => (dir = mkdtempSync(path.join(tmpdir(), 'coat-conf-'))));
  after(() => rmSync(dir, { recursive: true, force: true }));

  const server = (text) => `server { listen 127.0.0.1:1; ${text} }`;
  const origins = 'coatcheck_origins https://app.example; ';

  const good = {
    coatcheck: ['on', 'off', 'optional'],
    coatcheck_table: ['/run/coatcheck/table', '"/run/my table"', '/srv/../run/table'],
    coatcheck_daemon: ['unix:/run/coatcheck/gate.sock', 'unix:/run/gate.sock keepalive=1', 'unix:/run/gate.sock keepalive=1024', 'unix:/run/gate.sock keepalive=0', '127.0.0.1:8080', '[::1]:8080 keepalive=4'],
    coatcheck_timeout: ['2s', '250ms', '1m', '30s'],
    coatcheck_base_path: ['/auth', '/a/b', '/sign-in'],
    coatcheck_cookie: ['__Host-id', 'id', '__Secure-shop', 'a.b!c'],
    coatcheck_pass_cookie: ['on', 'off'],
    coatcheck_require: ['role=admin', 'role=admin role=staff', 'off', 'role=a:b/c'],
    coatcheck_max_age: ['5m', '300s', '300', '12h', '30d', 'off', '1s'],
    coatcheck_activity: ['on', 'off'],
    coatcheck_cors_methods: ['GET', 'GET POST PUT DELETE PATCH HEAD', 'POST', 'off'],
    coatcheck_cors_headers: ['content-type', 'content-type x-csrf-token x-requested-with', 'X-Upper', 'off'],
    coatcheck_cors_expose: ['x-request-id', 'etag x-total', 'off'],
    coatcheck_cors_max_age: ['0', '60s', '10m', '600'],
    coatcheck_assertion: ['on', 'off', 'reports', 'https://api.example'],
    coatcheck_header: ['user X-Remote-User', 'user off', 'roles X-Roles', 'methods off', 'session X-Sid', 'time X-When', 'assertion X-Jwt'],
    coatcheck_watch: ['on', 'off'],
    coatcheck_proto: ['http', 'https', '$scheme', '$http_x_forwarded_proto'],
    coatcheck_origins: ['https://app.example', 'https://app.example https://www.app.example', 'http://localhost:3000', 'https://app.example:8443', 'http://[::1]:8080'],
  };

  test('every directive takes its good values in http, server and location', () => {
    const each = (name) => good[name].map((value) => `${name} ${value};`);
    const demands = ['coatcheck_require', 'coatcheck_max_age'];
    for (const name of Object.keys(good))
      for (const line of each(name)) {
        for (const text of [`${line} ${server('')}`, server(line), server(`${demands.includes(name) ? 'coatcheck on;' : ''} location /x { ${line} }`)]) {
          const { status, message } = check(dir, text);
          assert.equal(status, 0, `${text}\n${message}`);
        }
      }
    for (const line of ['coatcheck_csrf on;', 'coatcheck_csrf off;', 'coatcheck_csrf same-site;', 'coatcheck_cors https://spa.example;',
      'coatcheck_cors https://spa.example http://localhost:5173;', 'coatcheck_cors off;'])
      for (const text of [`${origins}${line} ${server('')}`, `${origins} ${server(line)}`, server(`${origins} location /x { ${line} }`)]) {
        const { status, message } = check(dir, text);
        assert.equal(status, 0, `${text}\n${message}`);
      }
  });

  test('coatcheck_header may stand once for each field, and several times together', () => {
    const { status, message } = check(dir, server('coatcheck_header user X-U; coatcheck_header roles X-R; coatcheck_header time off;'));
    assert.equal(status, 0, message);
  });

  /* [line, what the message must say of what would be right] */
  const wrong = [
    ['coatcheck maybe;', /on.*off.*optional/],
    ['coatcheck ON extra;', /number of arguments|on.*off.*optional/],
    ['coatcheck;', /number of arguments/],
    ['coatcheck "";', /on.*off.*optional/],
    ['coatcheck On;', null],
    ['coatcheck_table table;', /absolute|\//],
    ['coatcheck_table "";', /absolute|path|\//],
    ['coatcheck_table $document_root/table;', /variable|absolute|\//],
    ['coatcheck_daemon unix:;', /unix:/],
    ['coatcheck_daemon unix:gate.sock;', /absolute|unix:\//],
    ['coatcheck_daemon 127.0.0.1;', /ADDRESS:PORT/],
    ['coatcheck_daemon http://127.0.0.1:1/;', /ADDRESS:PORT/],
    ['coatcheck_daemon unix:/run/gate.sock keepalive=1025;', /keepalive/],
    ['coatcheck_daemon unix:/run/gate.sock keepalive=-1;', /keepalive/],
    ['coatcheck_daemon unix:/run/gate.sock keepalive=x;', /keepalive/],
    ['coatcheck_daemon unix:/run/gate.sock keepalive=99999999999999999999;', /keepalive/],
    ['coatcheck_daemon unix:/run/gate.sock keep=3;', /keepalive/],
    [`coatcheck_daemon unix:/${'x'.repeat(200)};`, /long|108|107|bytes/],
    ['coatcheck_timeout 0;', /time|ms|greater|least/],
    ['coatcheck_timeout never;', /time|2s|ms/],
    ['coatcheck_timeout -1s;', /time|2s|ms/],
    ['coatcheck_base_path auth;', /\//],
    ['coatcheck_base_path /auth/;', /\/auth|slash/],
    ['coatcheck_base_path "/a b";', /\//],
    ['coatcheck_base_path /a?b;', /\//],
    ['coatcheck_base_path "";', /\//],
    ['coatcheck_base_path "/a\\r\\nX: y";', /\//],
    ['coatcheck_cookie "a b";', /name|token/],
    ['coatcheck_cookie "";', /name|token/],
    ['coatcheck_cookie a=b;', /name|token/],
    ['coatcheck_cookie __host-id;', /__Host-/],
    ['coatcheck_cookie __Host-;', /__Host-|name/],
    ['coatcheck_pass_cookie yes;', /on.*off/],
    ['coatcheck_require admin;', /role=/],
    ['coatcheck_require role=;', /role=/],
    ['coatcheck_require role="a b";', null],
    ['coatcheck_require "role=a b";', /role=|space/],
    ['coatcheck_require off role=admin;', /off|role=/],
    ['coatcheck_require role=admin off;', /off|role=/],
    ['coatcheck_require user=mara;', /role=/],
    [`coatcheck_require ${Array.from({ length: 40 }, (_, i) => `role=r${i}`).join(' ')};`, /role|most|16/],
    ['coatcheck_max_age 0;', /1s|least|time|off/],
    ['coatcheck_max_age 31d;', /30d|most|time|off/],
    ['coatcheck_max_age soon;', /time|off|5m/],
    ['coatcheck_max_age 500ms;', /time|off|second/],
    ['coatcheck_activity no;', /on.*off/],
    ['coatcheck_csrf yes;', /on.*off.*same-site/],
    ['coatcheck_csrf on;', /coatcheck_origins/],
    ['coatcheck_csrf same-site;', /coatcheck_origins/],
    ['coatcheck_cors https://spa.example;', /coatcheck_origins/],
    ['coatcheck_origins;', /number of arguments/],
    ['coatcheck_origins app.example;', /https:\/\//],
    ['coatcheck_origins https://app.example/;', /https:\/\//],
    ['coatcheck_origins https://app.example/x;', /https:\/\//],
    ['coatcheck_origins HTTPS://app.example;', /https:\/\//],
    ['coatcheck_origins https://APP.example;', /https:\/\//],
    ['coatcheck_origins https://app.example:443;', /https:\/\//],
    ['coatcheck_origins null;', /https:\/\//],
    ['coatcheck_origins *;', /list every origin/],
    ['coatcheck_origins "";', /https:\/\//],
    [`${origins}coatcheck_cors *;`, /list every origin/],
    [`${origins}coatcheck_cors https://*.example;`, /list every origin/],
    [`${origins}coatcheck_cors null;`, /https:\/\//],
    [`${origins}coatcheck_cors https://spa.example/;`, /https:\/\//],
    [`${origins}coatcheck_cors ~^https:.*$;`, /list every origin/],
    [`${origins}coatcheck_cors off https://spa.example;`, /off|https:\/\//],
    ['coatcheck_cors_methods "GET POST";', /method|GET/],
    ['coatcheck_cors_methods GET,POST;', /method|GET/],
    ['coatcheck_cors_methods *;', /method|GET/],
    ['coatcheck_cors_methods "";', /method|GET/],
    ['coatcheck_cors_headers *;', /header|name|field/],
    ['coatcheck_cors_headers content-type,x-y;', /header|name|field/],
    ['coatcheck_cors_headers "a b";', /header|name|field/],
    ['coatcheck_cors_expose *;', /header|name|field/],
    ['coatcheck_cors_expose "x:y";', /header|name|field/],
    ['coatcheck_cors_max_age 11m;', /10m|600|most/],
    ['coatcheck_cors_max_age 1h;', /10m|600|most/],
    ['coatcheck_cors_max_age x;', /10m|time/],
    ['coatcheck_assertion "";', /on.*off|audience/],
    ['coatcheck_assertion "a\\nb";', null],
    ['coatcheck_header user;', /number of arguments/],
    ['coatcheck_header name X-Name;', /user.*roles/],
    ['coatcheck_header user "X Name";', /name/],
    ['coatcheck_header user "";', /name|off/],
    ['coatcheck_header user X-Name:;', /name/],
    ['coatcheck_header user Cookie;', null],
    ['coatcheck_header user Host;', null],
    ['coatcheck_header user Connection;', null],
    ['coatcheck_header user Content-Length;', null],
    ['coatcheck_header user Transfer-Encoding;', null],
    ['coatcheck_header user X-U; coatcheck_header roles X-U;', /twice|same|already|X-U|roles/],
    ['coatcheck_header user X-U; coatcheck_header roles x_u;', /letters, digits/],
    ['coatcheck_header user X-A; coatcheck_header user X-B;', /duplicate|twice|already/],
    ['coatcheck_watch maybe;', /on.*off/],
    ['coatcheck_proto ftp;', /https?/],
    ['coatcheck_proto "";', /https?/],
    ['coatcheck_proto HTTPS;', /https?/],
    ['coatcheck_require role=admin;', /coatcheck on/],
    ['coatcheck off; coatcheck_require role=admin role=staff;', /coatcheck on/],
    ['coatcheck_max_age 5m;', /coatcheck on/],
    ['coatcheck off; coatcheck_max_age 5m;', /coatcheck on/],
    ['coatcheck on; coatcheck off;', /duplicate/],
    ['coatcheck_table /a; coatcheck_table /b;', /duplicate/],
    ['coatcheck_require role=a; coatcheck_require role=b;', /duplicate/],
    ['coatcheck_origins https://a.example; coatcheck_origins https://b.example;', /duplicate/],
  ];

  test('every wrong value stops nginx -t, names the directive, and says what would be right', () => {
    const failures = [];
    for (const [line, hint] of wrong) {
      const { status, message } = check(dir, server(`location / { ${line} }`));
      const name = line.split('; ').at(-1).split(/[ ;]/)[0];
      if (status === 0) failures.push(`accepted: ${line.slice(0, 100)}`);
      else if (!message.includes(`"${name}"`) && !message.includes(name)) failures.push(`not named: ${line.slice(0, 100)}\n    ${message.split('\n')[0]}`);
      else if (hint && !hint.test(message.split('\n')[0].replace(/ in \/.*$/, ''))) failures.push(`no hint ${hint}: ${line.slice(0, 100)}\n    ${message.split('\n')[0]}`);
      if (/Sanitizer|runtime error/.test(message)) failures.push(`sanitizer: ${line}\n${message}`);
    }
    assert.deepEqual(failures, [], failures.join('\n'));
    assert.ok(wrong.length >= 40);
  });

  test('a demand where nobody is asked is refused, one that is meant for places further in is not', () => {
    for (const demand of ['coatcheck_require role=admin;', 'coatcheck_max_age 5m;']) {
      const place = (text) => `location /a { ${text} }`;
      const fine = [`${demand} ${server(place('coatcheck on;'))} ${server('')}`, server(`${demand} ${place('')} ${place('coatcheck on;').replace('/a', '/b')}`), server(`coatcheck on; ${demand} ${place('coatcheck off;')}`),
        server(place(`coatcheck on; ${demand} location /a/b { coatcheck off; }`)), server(place(`coatcheck optional; ${demand}`)), server(`coatcheck on; ${place(`${demand} limit_except GET { deny all; }`)}`),
        server(place('coatcheck_require off; coatcheck_max_age off;'))];
      for (const text of fine) {
        const { status, message } = check(dir, text);
        assert.equal(status, 0, `${text}\n${message}`);
      }
      for (const text of [server(place(demand)), server(`coatcheck off; ${place(demand)}`), server(`coatcheck on; ${place(`coatcheck off; ${place(demand).replace('/a', '/a/b')}`)}`), server(`location @named { ${demand} }`)]) {
        const { status, message } = check(dir, text);
        assert.notEqual(status, 0, text);
        assert.match(message, /nobody is asked/);
      }
    }
  });

  test('a directive that does not exist, or stands where it may not, is refused', () => {
    for (const [text, said] of [[server('coatcheck_tabel /x;'), /unknown directive/], [`upstream u { server 127.0.0.1:1; coatcheck on; } ${server('')}`, /not allowed here|unknown/],
      [server('location / { if ($a) { coatcheck off; } }'), /not allowed here/]]) {
      const { status, message } = check(dir, text);
      assert.notEqual(status, 0, text);
      assert.match(message, said);
    }
  });


  test('UP-3: a wrong directive stops a reload, and the running configuration goes on', async () => {
    const g = await Gate.start({ daemon: false });
    try {
      const { writeFileSync, readFileSync } = await import('node:fs');
      const workers = g.nginx.workers();
      writeFileSync(g.nginx.file, readFileSync(g.nginx.file, 'utf8').replace('coatcheck on;', 'coatcheck maybe;'));
      g.nginx.allowed.push(/"?coatcheck"?/);
      g.nginx.child.kill('SIGHUP');
      const { until } = await import('./lib.mjs');
      await until('the mistake is in the log', () => /coatcheck.*optional/.test(g.nginx.errors()));
      assert.deepEqual(g.nginx.workers(), workers);
      assert.equal((await g.get('/nothing')).status, 204);
    } finally {
      await g.stop();
    }
  });
});

describe('inheritance', { skip: missing }, () => {
  let g, live;
  before(async () => {
    g = await Gate.start({
      http: () => 'coatcheck_require role=outer; coatcheck_header user X-Outer-User; coatcheck_header roles X-Outer-Roles; coatcheck_pass_cookie on;',
      server: (s) => `
        location /outer { proxy_pass ${s.upstream}; }
        location /inner { coatcheck_require role=inner; proxy_pass ${s.upstream}; location /inner/off { coatcheck_require off; proxy_pass ${s.upstream}; } }
        location /open { coatcheck off; proxy_pass ${s.upstream}; location /open/not { coatcheck on; proxy_pass ${s.upstream}; } }
        location /optional { coatcheck optional; coatcheck_require off; proxy_pass ${s.upstream}; }
        location /header { coatcheck_header user X-Inner; proxy_pass ${s.upstream}; }
        location /hidden { coatcheck_pass_cookie off; proxy_pass ${s.upstream}; }
        location /excepted { limit_except GET { allow all; } proxy_pass ${s.upstream}; }
        location /limit { limit_except GET { deny all; } coatcheck_require off; proxy_pass ${s.upstream}; }
        location ~ \\.php$ { proxy_pass ${s.upstream}; }
        `,
    });
    live = await plant(g.daemon, { roles: ['outer'] });
  });
  after(() => g.stop());

  const seen = async (target) => (await g.get(target, { jar: live.jar })).json().headers;

  test('what stands in http holds in every server and location', async () => {
    assert.equal((await g.get('/outer', { jar: live.jar })).status, 200);
    assert.equal((await g.get('/x.php', { jar: live.jar })).status, 200);
    const headers = await seen('/outer');
    assert.equal(headers['x-outer-user'], 'mara');
    assert.equal(headers['x-outer-roles'], 'outer');
    assert.equal(headers['x-auth-user'], undefined);
    assert.match(headers['x-auth-session'], /^[\w-]{22}$/);
    assert.ok(headers.cookie.includes(live.token));
    assert.equal((await g.get('/outer')).status, 401);
    assert.equal((await g.get('/x.php')).status, 401);
    const other = await plant(g.daemon, { roles: ['other'] });
    for (const target of ['/outer', '/x.php', '/header', '/excepted'])
      for (const method of ['GET', 'POST']) {
        for (let i = 0; i < 2; i++) assert.equal((await g.get(target, { jar: other.jar, method })).status, 403, `${method} ${target}: the role is asked for there, too`);
        assert.equal((await g.get(target, { method })).status, 401);
        assert.equal((await g.get(target, { jar: live.jar, method })).status, 200);
      }
  });

  test('what stands further in replaces it whole', async () => {
    assert.equal((await g.get('/inner', { jar: live.jar })).status, 403);
    assert.equal((await g.get('/inner/off', { jar: live.jar })).status, 200);
    assert.equal((await g.get('/open')).status, 200);
    assert.equal((await g.get('/open/not')).status, 401);
    assert.equal((await g.get('/optional')).status, 200);
    assert.equal((await seen('/hidden')).cookie, undefined);
  });

  test('a header renamed further in does not lose the others that are renamed outside, field by field', async () => {
    const headers = await seen('/header');
    assert.equal(headers['x-inner'], 'mara');
    assert.equal(headers['x-outer-user'], undefined);
  });

  test('FA-3: names of all locations are taken out everywhere in the server', async () => {
    for (const target of ['/open', '/outer', '/header', '/optional']) {
      const names = ['X-Auth-User', 'X-Outer-User', 'X-Inner', 'X-Outer-Roles', 'X-Auth-Methods', 'X-Auth-Session', 'X-Auth-Time', 'X-Auth-Assertion', 'X-Auth-Roles'];
      const res = await g.get(target, { jar: live.jar, headers: Object.fromEntries(names.map((n) => [n, 'evil'])) });
      assert.equal(res.status, 200);
      assert.equal(res.body.includes('evil'), false, `${target}: ${res.json().head}`);
    }
  });

  test('coatcheck stands in limit_except as well', async () => {
    assert.equal((await g.get('/limit')).status, 401);
    assert.equal((await g.get('/limit', { jar: live.jar })).status, 200);
  });
});
