// SPDX-License-Identifier: Apache-2.0
// Who passes the nginx module, who does not, and what is said: with a stub in the daemon's place for
// answers that no daemon gives, and with the daemon and a clock that can be put forward.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort, freeze, request, run, sleep, until } from './lib.mjs';
import { Gate, missing } from './module/nginx.mjs';
import { Stub, answer, yes } from './module/stub.mjs';
import { Wire, once, text } from './module/wire.mjs';
import { jarOf, patient, plant, strangeToken } from './routes.mjs';

const ipv6 = Object.values(networkInterfaces()).flat().some((a) => a.address === '::1');
const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const strange = () => ({ cookie: `__Host-id=${strangeToken()}` });

/** "Cannot tell" as a client may see it. */
function unavailable(res, what) {
  assert.equal(res.status, 503, `${what}: ${res.status} ${res.body}`);
  assert.match(res.headers['retry-after'] ?? '', /^\d+$/, what);
  assert.equal(res.headers.location, undefined, what);
  assert.equal(res.cookies.length, 0, what);
  assert.match(res.headers['cache-control'] ?? '', /no-store/, what);
}

describe('answers of a stub', { skip: missing }, () => {
  let g, stub, reply;
  before(async () => {
    g = await Gate.start({
      daemon: false,
      server: (s) => `coatcheck_timeout 400ms;
        location / { proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /any { satisfy any; allow all; proxy_pass ${s.upstream}; }
        location /absolute { absolute_redirect on; proxy_pass ${s.upstream}; }
        location /demands { coatcheck_max_age 5m; coatcheck_require role=a role=b:c; coatcheck_activity off; coatcheck optional; coatcheck_base_path /sign; proxy_pass ${s.upstream}; }
        location /assertion { coatcheck_assertion on; proxy_pass ${s.upstream}; }
        location /audience { coatcheck_assertion https://api.example/x; proxy_pass ${s.upstream}; }
        location /gzip { gzip on; gzip_types *; gzip_min_length 1; proxy_pass ${s.upstream}; }
        location /pages { error_page 401 403 503 /replaced; proxy_pass ${s.upstream}; }
        location = /replaced { coatcheck off; return 200 replaced; }
        location /who { coatcheck optional; proxy_set_header X-Who "$coatcheck_user$coatcheck_handle"; proxy_pass ${s.upstream}; }
        location /who-not { coatcheck_assertion on; error_page 503 /who-page; proxy_pass ${s.upstream}; }
        location = /who-page { coatcheck off; proxy_set_header X-Who "$coatcheck_user$coatcheck_handle"; proxy_pass ${s.upstream}; }`,
    });
    stub = await Stub.start(g.gate, (question, socket) => reply(question, socket));
  });
  after(async () => {
    await stub.stop();
    await g.stop();
  });

  test('FA-6: of all statuses from 100 to 599 only 200 lets a request through', async () => {
    for (let status = 100; status < 600; status++) {
      reply = () => answer(status, [['X-Auth-User', 'mara'], ['X-Auth-Session', 'H'.repeat(22)]], status === 204 || status === 304 ? '' : 'text');
      const hits = g.app.hits;
      const res = await g.get('/x', { headers: strange() });
      if (status === 200) assert.equal(res.status, 200);
      else assert.equal(g.app.hits, hits, `${status} reached the application`);
      if (status !== 200) assert.notEqual(res.headers['content-type'], 'application/json', String(status));
      if (g.app.hits === hits) assert.ok(res.status >= 300, `${status} -> ${res.status}`);
    }
  });

  const OK = `HTTP/1.1 200 OK\r\nX-Auth-User: evil\r\nX-Auth-Session: ${'H'.repeat(22)}\r\n`;
  const broken = {
    'closed without a word': (q, s) => s.end(),
    'reset': (q, s) => s.destroy(),
    'closed in the status line': (q, s) => s.end('HTTP/1.1 20'),
    'closed behind the status line': (q, s) => s.end('HTTP/1.1 200 OK\r\n'),
    'closed in the fields': (q, s) => s.end(`${OK}Content-Len`),
    'closed before the empty line': (q, s) => s.end(`${OK}Content-Length: 0\r\n`),
    'closed in the body': (q, s) => s.end(`${OK}Content-Length: 10\r\n\r\nabc`),
    'no length, closed': (q, s) => s.end(`${OK}\r\n`),
    'no length, open': (q, s) => void s.write(`${OK}\r\n`),
    'nothing, ever': () => {},
    'half a status line, then nothing': (q, s) => void s.write('HTTP/1.1 2'),
    'all but the last byte, then nothing': (q, s) => void s.write(`${OK}Content-Length: 3\r\n\r\nab`),
    'garbage': () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage \r\n\r\n',
    'an empty line first': () => `\r\n${OK}Content-Length: 0\r\n\r\n`,
    'HTTP/0.9': (q, s) => s.end('200 OK'),
    'HTTP/2.0': () => 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    'lower case': () => 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    'four digits': () => 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n',
    'two digits': () => 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n',
    'no digits': () => 'HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n',
    'signed': () => 'HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n',
    'two spaces': () => 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n',
    'bare LF': () => 'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
    'bare LF in the fields': () => `${OK}X: y\nContent-Length: 0\r\n\r\n`,
    'bare CR': () => `${OK}X: y\rz\r\nContent-Length: 0\r\n\r\n`,
    'folded': () => `${OK}X: y\r\n z\r\nContent-Length: 0\r\n\r\n`,
    'NUL': () => `${OK}X: \0\r\nContent-Length: 0\r\n\r\n`,
    'no colon': () => `${OK}nonsense\r\nContent-Length: 0\r\n\r\n`,
    'space before the colon': () => `${OK}Content-Length : 0\r\n\r\n`,
    'no name': () => `${OK}: x\r\nContent-Length: 0\r\n\r\n`,
    'two lengths': () => `${OK}Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde`,
    'two equal lengths': () => `${OK}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`,
    'a list of lengths': () => `${OK}Content-Length: 0, 0\r\n\r\n`,
    'a signed length': () => `${OK}Content-Length: +0\r\n\r\n`,
    'a negative length': () => `${OK}Content-Length: -1\r\n\r\n`,
    'a hexadecimal length': () => `${OK}Content-Length: 0x0\r\n\r\n`,
    'an empty length': () => `${OK}Content-Length: \r\n\r\n`,
    'a huge length': () => `${OK}Content-Length: 18446744073709551616\r\n\r\n`,
    'chunked': () => `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'chunked and a length': () => `${OK}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`,
    'more than its length': () => `${OK}Content-Length: 2\r\n\r\nabc`,
    'a second answer behind it': () => `${OK}Content-Length: 0\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
    'a header of 40 KiB': () => `${OK}X: ${'x'.repeat(40000)}\r\nContent-Length: 0\r\n\r\n`,
    '2000 fields': () => `${OK}${'X: y\r\n'.repeat(2000)}Content-Length: 0\r\n\r\n`,
    'a body of 1 MiB': () => `${OK}Content-Length: 1048576\r\n\r\n${'x'.repeat(1048576)}`,
    'endless fields': (q, s) => {
      const timer = setInterval(() => s.write('X: y\r\n'), 10);
      s.on('close', () => clearInterval(timer));
      s.write('HTTP/1.1 200 OK\r\n');
    },
    'interim, then nothing': () => 'HTTP/1.1 100 Continue\r\n\r\n',
    '101': () => 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  };

  test('FA-6: an answer that is not whole and plain is 503, and the application is not asked', async () => {
    for (const [what, bad] of Object.entries(broken)) {
      for (const target of ['/x', '/optional']) {
        reply = bad;
        const hits = g.app.hits;
        const res = await g.get(target, { headers: { ...strange(), ...page } });
        unavailable(res, `${what} ${target}`);
        assert.equal(g.app.hits, hits, what);
      }
      /* Nothing of it is left for the next one. */
      reply = () => yes([['X-Auth-User', 'good']]);
      const next = await g.get('/x', { headers: strange() });
      assert.equal(next.status, 200, `behind: ${what}`);
      assert.equal(next.json().headers['x-auth-user'], 'good', what);
    }
  });

  test('FA-6: a yes that names no session is none, but for a place that lets anybody in: as nobody', async () => {
    for (const list of [[], [['X-Auth-User', 'mara']], [['X-Auth-Session', '']], [['X-Auth-User', 'mara'], ['X-Auth-Roles', 'admin']]]) {
      reply = () => answer(200, list);
      const hits = g.app.hits;
      unavailable(await g.get('/x', { headers: strange() }), JSON.stringify(list));
      assert.equal(g.app.hits, hits);
      const res = await g.get('/optional', { headers: strange() });
      assert.equal(res.status, 200);
      assert.deepEqual(Object.keys(res.json().headers).filter((n) => n.startsWith('x-auth')), []);
    }
  });

  test('FA-6: of an answer that lets nobody in as somebody, no variable tells a name either', async () => {
    reply = () => answer(200, [['X-Auth-User', 'mara']]);
    assert.equal((await g.get('/who', { headers: strange() })).json().headers['x-who'], undefined);
    reply = () => yes([['X-Auth-User', 'mara']]); /* without the assertion that was asked for */
    const res = await g.get('/who-not', { headers: strange() });
    assert.equal(res.status, 503);
    assert.equal(res.json().url, '/who-page');
    assert.equal(res.json().headers['x-who'], undefined);
  });

  test('SF-1: "cannot tell" is no refusal that satisfy any would leave to others', async () => {
    for (const [status, want] of [[401, 200], [403, 200], [503, 503], [500, 503]]) {
      reply = () => answer(status, [['Retry-After', '3'], ['Cache-Control', 'no-store']]);
      const hits = g.app.hits;
      assert.equal((await g.get('/any', { headers: strange() })).status, want, String(status));
      assert.equal(g.app.hits, hits + (want === 200));
    }
  });

  test('SF-6: what comes without a question is nobody\'s answer', async () => {
    for (let i = 0; i < 5; i++) {
      reply = (q, s) => {
        setTimeout(() => s.writable && s.write(yes([['X-Auth-User', 'evil']])), 20);
        return answer(401, [], 'no');
      };
      assert.equal((await g.get('/x', { headers: strange() })).status, 401);
      await sleep(60);
      reply = () => answer(401, [], 'no');
      assert.equal((await g.get('/x', { headers: strange() })).status, 401, 'the answer of another question was believed');
    }
    /* An answer that comes too late belongs to no later question either. */
    reply = (q, s) => void setTimeout(() => s.writable && s.write(yes([['X-Auth-User', 'evil']])), 600);
    unavailable(await g.get('/x', { headers: strange() }), 'too late');
    reply = () => answer(401, [], 'no');
    for (let i = 0; i < 10; i++) {
      assert.equal((await g.get('/x', { headers: strange() })).status, 401);
      await sleep(40);
    }
  });

  test('FA-6: an answer in single bytes is an answer', async () => {
    reply = async (q, s) => {
      for (const byte of yes([['X-Auth-User', 'mara']], 'ab')) {
        s.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    stub.reply = (q, s) => void reply(q, s);
    const res = await g.get('/x', { headers: strange() });
    stub.reply = (q, s) => reply(q, s);
    assert.equal(res.status, 200);
    assert.equal(res.json().headers['x-auth-user'], 'mara');
  });

  test('FA-9, FA-11: a refusal of the daemon is what the client gets: status, fields, body, but nothing of the connection', async () => {
    const html = '<!doctype html><title>\xe4</title>';
    const list = [
      ['Content-Type', 'text/html; charset=utf-8'], ['Cache-Control', 'no-store'], ['Set-Cookie', 'a=1; Path=/; HttpOnly'], ['Set-Cookie', 'b=2; Path=/; Secure'],
      ['Set-Cookie', '__Host-id=; Max-Age=0'], ['Retry-After', '7'], ['Vary', 'Cookie'], ['Vary', 'Origin'], ['WWW-Authenticate', 'Cookie realm="x"'], ['X-Request-Id', 'abc'],
      ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"], ['X-Content-Type-Options', 'nosniff'], ['Content-Language', 'de'], ['Clear-Site-Data', '"cache"'],
      ['Link', '</a>; rel=next'], ['ETag', '"v1"'], ['Strict-Transport-Security', 'max-age=63072000'], ['Referrer-Policy', 'no-referrer'], ['X-Auth-Login', 'https://app.example/auth/login'],
    ];
    const hop = [['Connection', 'keep-alive'], ['Keep-Alive', 'timeout=5'], ['Proxy-Connection', 'x'], ['Upgrade', 'h2c'], ['Trailer', 'x'], ['TE', 'trailers']];
    for (const status of [401, 403, 429, 503]) {
      reply = () => answer(status, [...list, ...hop], html);
      const res = await once(g.port, text('GET', '/x', { Cookie: strange().cookie }));
      assert.equal(res.status, status);
      assert.equal(res.body, html);
      for (const name of new Set(list.map(([n]) => n.toLowerCase())))
        assert.deepEqual(res.headers[name], list.filter(([n]) => n.toLowerCase() === name).map(([, v]) => v), `${status} ${name}`);
      assert.deepEqual(res.headers['content-length'], [String(html.length)]);
      for (const name of ['keep-alive', 'proxy-connection', 'upgrade', 'trailer', 'te', 'transfer-encoding']) assert.equal(res.headers[name], undefined, name);
      assert.equal((res.headers.connection ?? []).length <= 1, true);
      assert.equal((res.headers.date ?? []).length, 1);
      const head = await once(g.port, text('HEAD', '/x', { Cookie: strange().cookie }), { head: true });
      assert.equal(head.status, status);
      assert.deepEqual(head.headers['set-cookie'], res.headers['set-cookie']);
    }
  });

  test('a redirect keeps its Location as it came, also where nginx would make it absolute', async () => {
    for (const location of ['https://app.example/auth/login?return=%2Fx%3Fa%3D1%26b%3D%2520', '/auth/login?return=%2F', '//x', 'https://a.example/#x'])
      for (const target of ['/x', '/absolute'])
        for (const status of [302, 303, 307]) {
          reply = () => answer(status, [['Location', location], ['Set-Cookie', 'p=1'], ['Cache-Control', 'no-store']]);
          const res = await g.get(target, { headers: { ...strange(), ...page } });
          assert.equal(res.status, status);
          assert.equal(res.headers.location, location);
          assert.deepEqual(res.cookies, ['p=1']);
          assert.equal(res.headers['cache-control'], 'no-store');
        }
  });

  test('no answer of ours is compressed, taken for another page or cut to a range', async () => {
    const body = 'not signed in '.repeat(100);
    reply = () => answer(401, [['Content-Type', 'text/plain; charset=utf-8'], ['ETag', '"x"'], ['Last-Modified', 'Mon, 01 Jan 2024 00:00:00 GMT']], body);
    for (const headers of [{ 'accept-encoding': 'gzip' }, { range: 'bytes=0-3' }, { 'if-none-match': '"x"' }, { 'if-modified-since': 'Mon, 01 Jan 2024 00:00:00 GMT' }])
      for (const target of ['/gzip', '/x']) {
        const res = await g.get(target, { headers: { ...strange(), ...headers } });
        assert.equal(res.status, 401);
        assert.equal(res.headers['content-encoding'], undefined);
        assert.equal(res.body, body);
      }
    const res = await g.get('/pages', { headers: strange() });
    assert.equal(res.status, 401);
    assert.equal(res.body, body);
  });

  test('a cookie in an answer that passes is handed to the client, each line of it', async () => {
    reply = () => yes([['X-Auth-User', 'mara'], ['Set-Cookie', '__Host-id=new; Path=/; Secure'], ['Set-Cookie', 'x=1']]);
    const res = await g.get('/x', { headers: strange() });
    assert.equal(res.status, 200);
    assert.deepEqual(res.cookies, ['__Host-id=new; Path=/; Secure', 'x=1']);
  });

  test('FA-1, FA-2: the question says who asks for what, in our words; what a client claims is not in it', async () => {
    reply = () => yes();
    const lies = { 'X-Forwarded-Uri': '/lie', 'X-Forwarded-Method': 'LIE', 'X-Forwarded-Host': 'lie.example', 'X-Forwarded-Proto': 'http', 'X-Forwarded-For': '9.9.9.9', 'X-Original-URI': '/lie', 'X-Original-Method': 'LIE',
      'X_Forwarded_Uri': '/lie', Forwarded: 'for=9.9.9.9', 'X-Real-IP': '9.9.9.9', Authorization: 'Basic lie', 'Content-Type': 'lie/lie', 'X-Auth-User': 'lie', Origin: 'https://lie.example', Referer: 'https://lie.example/' };
    const fields = { Cookie: ['a=1', strange().cookie], 'User-Agent': 'UA/1 (x)', Accept: 'text/html;q=0.9', 'Accept-Language': 'de-CH, en;q=0.5', 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
    stub.questions.length = 0;
    await once(g.port, text('POST', '/x%20y?a=1&b=%2F', { ...lies, ...fields, 'Content-Length': '3' }, 'abc'));
    const q = stub.questions.at(-1);
    assert.equal(stub.questions.length, 1);
    assert.equal(q.method, 'GET');
    assert.equal(q.target, '/auth/verify');
    const want = { host: ['coatcheck'], 'x-forwarded-method': ['POST'], 'x-forwarded-uri': ['/x%20y?a=1&b=%2F'], 'x-forwarded-host': ['app.example'], 'x-forwarded-proto': ['https'], 'x-forwarded-for': ['127.0.0.1'],
      cookie: [fields.Cookie[1]], 'user-agent': ['UA/1 (x)'], accept: [fields.Accept], 'accept-language': [fields['Accept-Language']], 'sec-fetch-site': ['none'], 'sec-fetch-mode': ['navigate'], 'sec-fetch-dest': ['document'] };
    for (const [name, values] of Object.entries(want)) assert.deepEqual(q.all(name), values, name);
    assert.equal(/lie/i.test(q.head), false, q.head);
    assert.deepEqual(q.all('content-length').concat(q.all('transfer-encoding')).filter((v) => v !== '0'), []);
  });

  test('the parameters of the question are those of the location, and no others', async () => {
    reply = () => yes();
    const asked = async (target) => {
      stub.questions.length = 0;
      await g.get(target, { headers: strange() });
      const url = new URL(stub.questions[0].target, 'http://x');
      return [url.pathname, Object.fromEntries([...url.searchParams].sort())];
    };
    assert.deepEqual(await asked('/x'), ['/auth/verify', {}]);
    assert.deepEqual(await asked('/optional'), ['/auth/verify', { optional: 'yes' }]);
    assert.deepEqual(await asked('/demands'), ['/sign/verify', { background: 'yes', max_age: '300', optional: 'yes', role: 'a b:c' }]);
    assert.deepEqual(await asked('/assertion'), ['/auth/verify', { assertion: 'yes' }]);
    assert.deepEqual(await asked('/audience'), ['/auth/verify', { assertion: 'https://api.example/x' }]);
  });

  test('targets, hosts and fields of any kind do not break out of their line in the question', async () => {
    const cases = [
      ['GET', '/\xe4\xff', {}], ['GET', `/${'x'.repeat(7000)}`, {}], ['GET', '/a?b=c d', {}], ['GET', '/%0d%0aX-Auth-User:%20evil', {}], ['GET', '//x//y', {}], ['GET', '/x#frag', {}], ['GET', 'http://app.example/x', {}],
      ['GET', '/x', { 'User-Agent': '\xff\x80 weird' }], ['GET', '/x', { 'User-Agent': 'x'.repeat(7000) }], ['GET', '/x', { 'Accept-Language': 'y'.repeat(7000), Accept: 'z'.repeat(7000) }], ['GET', '/x', { Host: 'app.example:8443' }],
      ['GET', '/x', { Host: 'APP.EXAMPLE' }], ['GET', '/x', { Host: '[::1]' }], ['FOO', '/x', {}], ['PROPFIND', '/x', {}], ['GET', '/x', { Accept: ['text/html', 'b'], 'User-Agent': ['a', 'b'], 'Sec-Fetch-Mode': ['navigate', 'cors'] }],
      ['GET', '/x', { 'User-Agent': '' }], ['GET', '/x', { 'Sec-Fetch-Mode': 'x y\tz' }], ['OPTIONS', '/x', {}], ['GET', '/x', { 'User-Agent': 'tab\there' }],
    ];
    for (const [method, target, fields] of cases) {
      reply = () => answer(401, [], 'no');
      stub.questions.length = 0;
      const hits = g.app.hits;
      const res = await once(g.port, text(method, target, { ...fields, Cookie: strange().cookie, Connection: 'close' }));
      assert.ok(res && res.status >= 400, `${method} ${target.slice(0, 60)} ${JSON.stringify(fields).slice(0, 60)}: ${res?.status}`);
      assert.equal(g.app.hits, hits);
      for (const q of stub.questions) {
        assert.equal(q.target, '/auth/verify');
        assert.equal(q.all('x-auth-user').length, 0);
        for (const name of ['x-forwarded-uri', 'x-forwarded-method', 'x-forwarded-proto', 'x-forwarded-for']) assert.equal(q.all(name).length, 1, `${name} ${target.slice(0, 60)}`);
        assert.ok(q.head.length <= 16384, `a question of ${q.head.length} bytes`);
      }
    }
    const old = await once(g.port, `GET /x HTTP/1.0\r\nCookie: ${strange().cookie}\r\n\r\n`);
    assert.equal(old.status, 401);
  });

  test('connections to the daemon are kept and used again', async () => {
    reply = () => yes();
    await g.get('/x', { headers: strange() });
    const before = stub.connections;
    for (let i = 0; i < 20; i++) await g.get('/x', { headers: strange() });
    assert.equal(stub.connections, before);
    /* One that the daemon has closed meanwhile is no reason to fail. */
    for (let i = 0; i < 5; i++) {
      for (const socket of stub.sockets) socket.end();
      assert.equal((await g.get('/x', { headers: strange() })).status, 200, 'right after it was closed');
    }
    /* Closed just as the question arrives, each time on a connection that was good before. */
    reply = (q, s) => {
      if (s.used) return void s.end();
      s.used = true;
      return yes();
    };
    for (let i = 0; i < 10; i++) assert.equal((await g.get('/x', { headers: strange() })).status, 200, 'closed as it arrived');
    /* Not for ever: a new connection that is closed as well is no answer. */
    reply = (q, s) => void s.end();
    const asked = stub.questions.length;
    unavailable(await g.get('/x', { headers: strange() }), 'closed twice');
    assert.ok(stub.questions.length <= asked + 2);
  });

  test('SF-2, SF-6: a question is put once more only if its connection had ended without a word; one that is to be closed is not used again', async () => {
    const questions = async (bad) => {
      reply = () => yes();
      await g.get('/x', { headers: strange() }); /* leaves a connection that is kept */
      const before = stub.questions.length;
      reply = bad;
      unavailable(await g.get('/x', { headers: strange() }), String(bad));
      return stub.questions.length - before;
    };
    assert.equal(await questions((q, s) => s.end()), 2, 'it had ended');
    assert.equal(await questions((q, s) => s.end('HTTP/1.1 20')), 1, 'it had begun to answer');
    assert.equal(await questions(() => undefined), 1, 'too slow is not too old');
    const used = [];
    for (let i = 0; i < 2; i++) {
      reply = (q, s) => void used.push(s) ?? yes([['Connection', 'close']]);
      assert.equal((await g.get('/x', { headers: strange() })).status, 200);
    }
    assert.notEqual(used[0], used[1]);
  });

  /* nginx sleeps while both arrive, its client's request first: so the other is not noticed by an event of its own. */
  test('SF-6: an answer that lies on a kept connection before the question is put is not its answer', async () => {
    const sockets = [], wire = await Wire.open(g.port), pid = g.nginx.workers()[0];
    const ask = () => wire.send(text('GET', '/x', { Cookie: strange().cookie }));
    reply = (q, s) => void sockets.push(s) ?? answer(401, [], 'no');
    assert.equal((await ask().response()).status, 401);
    await freeze(pid);
    await new Promise((resolve) => wire.socket.write(text('GET', '/x', { Cookie: strange().cookie }), 'latin1', resolve));
    await sleep(50);
    await new Promise((resolve) => sockets.at(-1).write(yes([['X-Auth-User', 'evil']]), 'latin1', resolve));
    process.kill(pid, 'SIGCONT');
    assert.equal((await wire.response()).status, 401, 'the answer of nobody was believed');
    assert.notEqual(sockets.at(-1), sockets.at(-2));
    wire.close();
  });
});

describe('verdicts of the daemon', { skip: missing }, () => {
  let g;
  before(async () => {
    g = await Gate.start({
      workers: 4,
      listen: ' reuseport',
      http: (s) => `proxy_cache_path ${s.dir}/cache keys_zone=c:1m; log_format s '$uri $coatcheck_verdict $coatcheck_source'; add_header X-Worker $pid always;`,
      server: (s) => `
        ${ipv6 ? `listen [::1]:${s.port};` : ''}
        listen unix:${s.dir}/client.sock;
        set_real_ip_from unix:;
        real_ip_header X-Forwarded-For;
        location / { proxy_pass ${s.upstream}; add_header X-Worker $pid always; add_header X-Source $coatcheck_source always; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /role { coatcheck_require role=admin role=staff; proxy_pass ${s.upstream}; }
        location /age { coatcheck_max_age 5m; proxy_pass ${s.upstream}; }
        location /both { coatcheck optional; coatcheck_require role=admin; proxy_pass ${s.upstream}; }`,
    });
    await g.daemon.addUser('mara', ['admin', 'staff']);
  });
  after(() => g.stop());

  /** What the daemon says when it is asked as the module asks it. */
  const direct = (target, headers, method = 'GET') => request({ socketPath: g.gate, path: '/auth/verify', headers: {
    host: 'coatcheck', 'x-forwarded-method': method, 'x-forwarded-uri': target, 'x-forwarded-host': 'app.example', 'x-forwarded-proto': 'https', 'x-forwarded-for': '127.0.0.1', ...headers } });

  test('refusals are those of the daemon, for pages and for data', async () => {
    for (const headers of [page, { accept: 'application/json' }, { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }, { ...page, cookie: `__Host-id=${strangeToken()}` }, { ...page, cookie: '__Host-id=x' }, {}]) {
      const want = await direct('/reports?year=2026&x=%2F', headers);
      const got = await g.get('/reports?year=2026&x=%2F', { headers });
      assert.equal(got.status, want.status);
      for (const name of new Set([...Object.keys(want.fields), ...Object.keys(got.fields)]))
        if (!['date', 'x-request-id', 'connection', 'server', 'x-worker', 'x-source', 'keep-alive', 'content-length', 'transfer-encoding'].includes(name))
          assert.deepEqual(got.fields[name], want.fields[name], `${name} ${JSON.stringify(headers)}`);
      const same = (res) => res.body.replace(/"request_id":"[^"]*"/, '');
      assert.equal(same(got), same(want));
    }
    const res = await g.get('/reports?year=2026', { headers: page });
    assert.equal(res.status, 302);
    assert.equal(res.headers.location, 'https://app.example/auth/login?return=%2Freports%3Fyear%3D2026');
  });

  test('AU-7: a missing, an unknown, a malformed and an ended token get the same answer', async () => {
    const { jar, handle } = await plant(g.daemon);
    await g.get('/x', { jar });
    await g.daemon.ask('POST', `/v1/sessions/${handle}/end`);
    const plain = (res) => JSON.stringify([res.status, res.body.replace(/"request_id":"[^"]*"/, ''), Object.keys(res.headers).filter((n) => n !== 'x-worker').sort()]);
    const all = await Promise.all([g.get('/x'), g.get('/x', { jar }), g.get('/x', { jar: jarOf(g.daemon, strangeToken()) }), g.get('/x', { jar: jarOf(g.daemon, 'x') })]);
    assert.equal(new Set(all.map(plain)).size, 1, all.map(plain).join('\n'));
  });

  test('coatcheck_require: each role that is named is needed', async () => {
    for (const [roles, status] of [[['admin', 'staff'], 200], [['admin', 'staff', 'x'], 200], [['admin'], 403], [['staff'], 403], [[], 403], [['adminstaff'], 403], [['admin-staff', 'staff'], 403], [['Admin', 'staff'], 403], [['admin%20staff'], 403]]) {
      const { jar } = await plant(g.daemon, { roles });
      const hits = g.app.hits;
      for (let i = 0; i < 3; i++) assert.equal((await g.get('/role', { jar })).status, status, roles.join());
      for (let i = 0; i < 3; i++) {
        assert.equal((await g.get('/x', { jar })).status, 200);
        assert.equal((await g.get('/role', { jar })).status, status, `${roles} in the table`);
      }
      assert.equal(g.app.hits, hits + (status === 200 ? 9 : 3));
    }
    const { jar } = await plant(g.daemon, { roles: ['admin'] });
    const refused = await g.get('/role', { jar, headers: page });
    assert.equal(refused.status, 403);
    assert.equal(refused.headers.location, undefined);
    assert.equal((await g.get('/role')).status, 401);
    assert.equal((await g.get('/role', { headers: page })).status, 302);
    /* optional is about who has no session; who has one and not the role does not pass */
    assert.equal((await g.get('/both', { jar: (await plant(g.daemon, { roles: ['other'] })).jar })).status, 403);
    assert.equal((await g.get('/both', { jar })).status, 200);
  });

  test('optional: with a session its identity, without one nobody\'s; an ended one is nobody\'s', async () => {
    const { jar, handle } = await plant(g.daemon);
    assert.equal((await g.get('/optional', { jar })).json().headers['x-auth-user'], 'mara');
    assert.equal((await g.get('/optional', { jar })).json().headers['x-auth-user'], 'mara');
    await g.daemon.ask('POST', `/v1/sessions/${handle}/end`);
    for (const other of [jar, jarOf(g.daemon, strangeToken()), jarOf(g.daemon, 'x'), undefined]) {
      const res = await g.get('/optional', { jar: other });
      assert.equal(res.status, 200);
      assert.equal(res.json().headers['x-auth-user'], undefined);
      assert.equal(res.json().headers['x-auth-session'], undefined);
    }
  });

  test('a session is in the table after its first request, whatever its browser sends along', async () => {
    const agents = ['Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0', 'curl/8', 'x'.repeat(400), 'x'.repeat(3000), '\xe4\xf6', undefined, ''];
    const languages = ['de-CH, fr;q=0.9, en;q=0.8', 'en', '*', ';q=1', 'x'.repeat(300), '', undefined];
    for (const agent of agents)
      for (const language of languages) {
        const { jar } = await plant(g.daemon, { user: 'lots' });
        const headers = { ...(agent === undefined ? {} : { 'user-agent': agent }), ...(language === undefined ? {} : { 'accept-language': language }) };
        const first = await g.get('/x', { jar, headers });
        assert.equal(first.status, 200);
        const second = await g.get('/x', { jar, headers });
        assert.equal(second.headers['x-source'], 'table', JSON.stringify(headers).slice(0, 120));
      }
  });

  test('a session is in the table after its first request, from IPv6, a Unix socket and behind another proxy too', async () => {
    const where = [
      ['IPv4', { host: '127.0.0.1', port: g.port }, {}], ...(ipv6 ? [['IPv6', { host: '::1', port: g.port }, {}]] : []), ['a Unix socket', { socketPath: path.join(g.dir, 'client.sock') }, {}],
      ['another proxy', { socketPath: path.join(g.dir, 'client.sock') }, { 'x-forwarded-for': '192.0.2.77' }], ['another proxy, IPv6', { socketPath: path.join(g.dir, 'client.sock') }, { 'x-forwarded-for': '2001:DB8:0::0:1' }],
      ['another proxy, mapped', { socketPath: path.join(g.dir, 'client.sock') }, { 'x-forwarded-for': '::ffff:192.0.2.78' }],
    ];
    for (const [what, to, more] of where) {
      const { jar } = await plant(g.daemon, { user: 'places' });
      const ask = () => request({ ...to, path: '/x', headers: { host: 'app.example', 'user-agent': 'UA', ...jar.header(), ...more } });
      const sources = [];
      for (let i = 0; i < 3; i++) {
        const res = await ask();
        assert.equal(res.status, 200, what);
        sources.push(res.headers['x-source']);
      }
      assert.deepEqual(sources, ['daemon', 'table', 'table'], what);
    }
  });

  test('LC-13: a session whose browser has changed is put to the daemon, which reports it', async () => {
    const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
    const { jar } = await plant(g.daemon, { user: 'moved', user_agent: firefox, language: 'de', address: '127.0.0.1' });
    const ask = (agent, language = 'de') => g.get('/x', { jar, headers: { 'user-agent': agent, 'accept-language': language } });
    for (const source of ['daemon', 'table', 'table']) assert.equal((await ask(firefox)).headers['x-source'], source);
    const count = g.daemon.events('session_context_changed').length;
    assert.equal((await ask('curl/8.0')).headers['x-source'], 'daemon');
    await until('the event', () => g.daemon.events('session_context_changed').length > count);
    assert.equal((await ask('curl/8.0')).headers['x-source'], 'table');
    assert.equal((await ask('curl/8.0', 'en')).headers['x-source'], 'daemon');
  });

  describe('on one connection', () => {
    const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
    const usual = { 'User-Agent': firefox, 'Accept-Language': 'de-CH, en;q=0.5', 'X-Real-IP': '192.0.2.7' };
    let own;
    before(async () => {
      own = await Gate.start({ http: () => 'add_header X-Source $coatcheck_source always; set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;' });
    });
    after(() => own.stop());
    const connect = async () => {
      const wire = await Wire.open(own.port);
      const ask = async (s, fields = {}) => {
        wire.send(text('GET', '/x', { ...usual, ...fields, Cookie: `__Host-id=${s.token}` }));
        const res = await wire.response();
        assert.equal(res.status, 200);
        return res.one('x-source');
      };
      const times = async (n, s, fields) => {
        const got = [];
        for (let i = 0; i < n; i++) got.push(await ask(s, fields));
        return got.join(' ');
      };
      return { ask, times, close: () => wire.close() };
    };

    test('LC-13: whatever changes between two requests is put to the daemon, and the way back too', async () => {
      const changes = [
        { 'User-Agent': 'curl/8.0' }, { 'User-Agent': 'Chrome/1' }, { 'User-Agent': `${firefox} Edg/1` }, { 'Accept-Language': 'fr' }, { 'X-Real-IP': '198.51.100.8' }, { 'X-Real-IP': '2001:db8::7' },
      ];
      const s = await plant(own.daemon, { user: 'moved' }), { times, close } = await connect();
      assert.equal(await times(4, s), 'daemon table table table');
      for (const change of changes) {
        assert.equal(await times(4, s, change), 'daemon table table table', JSON.stringify(change));
        assert.equal(await times(3, s), 'daemon table table', JSON.stringify(change));
      }
      assert.equal(await times(2, s, { 'Accept-Language': 'de-CH' }), 'table table', 'the same language in other words');
      close();
    });

    test('LC-13: each session on it has a browser of its own', async () => {
      const [one, two] = await Promise.all([0, 1].map(() => plant(own.daemon)));
      const { ask, times, close } = await connect(), curl = { 'User-Agent': 'curl/8.0' };
      assert.equal(await times(3, one), 'daemon table table');
      assert.equal(await times(3, two, curl), 'daemon table table');
      for (let i = 0; i < 3; i++) assert.deepEqual([await ask(one), await ask(two, curl)], ['table', 'table']);
      assert.equal(await ask(one), 'table');
      assert.equal(await ask(two), 'daemon');
      close();
    });

    test('LC-13: another table, with another key, is compared with as well', async () => {
      const s = await plant(own.daemon, { user: 'stays' }), { ask, times, close } = await connect();
      assert.equal(await times(4, s), 'daemon table table table');
      await own.daemon.down();
      for (const part of ['', '.seen']) rmSync(`${own.table}${part}`);
      await own.daemon.up();
      await sleep(150); /* twice as long as a worker believes that the file is there */
      await ask(s);
      await until('the new one is taken up', async () => (await ask(s)) === 'table');
      assert.equal(await times(3, s), 'table table table');
      assert.equal(await times(3, s, { 'User-Agent': 'curl/8.0' }), 'daemon table table');
      close();
    });
  });

  const ends = {
    'the session is ended': (s) => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`),
    'all of the user are ended': () => g.daemon.ask('POST', '/v1/users/mara/end-sessions'),
    'everybody\'s are ended': () => g.daemon.ask('POST', '/v1/end-all'),
    'the account is disabled': async () => {
      const res = await g.daemon.ask('POST', '/v1/accounts/mara/disable');
      await g.daemon.ask('POST', '/v1/accounts/mara/enable');
      return res;
    },
    'the session is renewed': (s) => g.daemon.ask('POST', '/v1/renew', { token: s.token, roles: ['x'] }),
  };

  for (const [what, end] of Object.entries(ends))
    test(`RV-1: once ${what}, the next request at every worker is refused`, async () => {
      const lanes = await g.lanes();
      assert.equal(lanes.length, 4);
      for (let round = 0; round < 20; round++) {
        const s = await plant(g.daemon);
        for (const lane of lanes)
          for (let i = 0; i < 2; i++) {
            const res = await lane.get('/x', { jar: s.jar });
            assert.equal(res.status, 200);
            assert.equal(Number(res.headers['x-worker']), lane.pid);
          }
        for (const lane of lanes) assert.equal((await lane.get('/x', { jar: s.jar })).headers['x-source'], 'table');
        assert.ok((await patient(() => end(s))).status < 300);
        const after = await Promise.all(lanes.map((lane) => lane.get('/x', { jar: s.jar })));
        assert.deepEqual(after.map((res) => res.status), [401, 401, 401, 401]);
      }
      for (const lane of lanes) lane.agent.destroy();
    });

  test('RV-1: under load, no request that begins after the acknowledgement passes', async () => {
    const lanes = await g.lanes();
    for (let round = 0; round < 25; round++) {
      const s = await plant(g.daemon);
      let ended = false;
      let late = 0;
      const hammer = async (lane) => {
        for (let left = 3; left > 0;) {
          const begunAfter = ended;
          const res = await lane.get('/x', { jar: s.jar });
          if (begunAfter) left--;
          if (begunAfter && res.status !== 401) late++;
          assert.ok(res.status === 200 || res.status === 401, String(res.status));
        }
      };
      const running = lanes.map(hammer);
      await sleep(5);
      await patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
      ended = true;
      await Promise.all(running);
      assert.equal(late, 0);
    }
    for (const lane of lanes) lane.agent.destroy();
  });

  test('SF-1: while the daemon is away the table decides alone, and everything else is 503', async () => {
    const lanes = await g.lanes();
    const known = await plant(g.daemon, { roles: ['admin'] });
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      const unseen = await plant(g.daemon);
      for (const lane of lanes) assert.equal((await lane.get('/x', { jar: known.jar })).status, 200);
      await g.daemon.down(signal);
      const hits = g.app.hits;
      for (const lane of lanes)
        for (let i = 0; i < 3; i++) {
          const res = await lane.get('/x', { jar: known.jar });
          assert.equal(res.status, 200, `${signal}: in the table`);
          assert.equal(res.headers['x-source'], 'table');
          assert.equal(res.cookies.length, 0);
        }
      assert.equal(g.app.hits, hits + 12);
      for (const headers of [page, {}, { accept: 'application/json' }])
        for (const [what, jar] of [['unseen', unseen.jar], ['nobody', undefined], ['invented', jarOf(g.daemon, strangeToken())], ['garbage', jarOf(g.daemon, 'x')]])
          for (const lane of lanes) unavailable(await lane.get('/x', { jar, headers }), `${signal} ${what}`);
      for (const lane of lanes) {
        unavailable(await lane.get('/role', { jar: known.jar }), 'the role is missing');
        unavailable(await lane.get('/optional', { jar: unseen.jar, headers: page }), 'optional, cannot tell');
        assert.equal((await lane.get('/optional', { jar: known.jar })).json().headers['x-auth-user'], 'mara');
        assert.equal((await lane.get('/optional')).status, 200, 'optional, nobody');
      }
      await g.daemon.up();
      for (const lane of lanes)
        for (const { jar } of [known, unseen]) {
          const res = await lane.get('/x', { jar });
          assert.equal(res.status, 200, `${signal}: signed in afterwards`);
          assert.equal(res.cookies.length, 0);
        }
      assert.equal((await g.get('/x', { headers: page })).status, 302);
    }
    for (const lane of lanes) lane.agent.destroy();
  });

  test('AU-1: at level info, the log of nginx has no token', async () => {
    const { jar, token } = await plant(g.daemon);
    await g.get('/x', { jar });
    await g.get('/role', { jar });
    assert.equal(g.nginx.errors().includes(token), false);
  });
});

describe('verdicts in time', { skip: missing }, () => {
  let g;
  const MINUTE = 60000, HOUR = 60 * MINUTE;
  before(async () => {
    g = await Gate.start({
      clock: true,
      workers: 2,
      daemon: { config: 'session:\n  per-user: 0\n' },
      http: (s) => `proxy_cache_path ${s.dir}/cache keys_zone=c:1m;`,
      server: (s) => `
        location / { proxy_pass ${s.upstream}; add_header X-Source $coatcheck_source always; }
        location /age { coatcheck_max_age 5m; proxy_pass ${s.upstream}; }
        location /role { coatcheck_require role=nobody-has-it; proxy_pass ${s.upstream}; }
        location /background { coatcheck_activity off; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /cross { coatcheck_origins https://app.example; coatcheck_csrf on; coatcheck_cors https://spa.example; proxy_pass ${s.upstream}; }
        location /cached { proxy_cache c; proxy_cache_valid 200 10m; proxy_ignore_headers Cache-Control Set-Cookie Vary; proxy_pass ${s.upstream}; add_header X-Cache $upstream_cache_status always; }
        location /intercept { proxy_intercept_errors on; error_page 404 = @not_found; proxy_pass ${s.upstream}; }
        location @not_found { proxy_pass ${s.upstream}; }
        location /page404 { proxy_intercept_errors on; error_page 404 /files/none.html; proxy_pass ${s.upstream}; }
        location /files/ { root ${s.dir}; }
        location /internal/ { internal; alias ${s.dir}/files/; }
        location /internal-open/ { internal; coatcheck off; alias ${s.dir}/files/; }
        location /try/ { root ${s.dir}/files; try_files $uri /files/none.html; }
        location /named/ { root ${s.dir}/files; try_files $uri @app; }
        location @app { proxy_pass ${s.upstream}; }
        location /hide { proxy_hide_header Set-Cookie; proxy_pass ${s.upstream}; }
        location /index/ { alias ${s.dir}/files/; index index.html; }
        location /expires { expires 1h; add_header Cache-Control public; proxy_pass ${s.upstream}; }
        location /returned { error_page 418 = @app; return 418; }
      `,
      before: (s) => {
        mkdirSync(path.join(s.dir, 'files'));
        writeFileSync(path.join(s.dir, 'files/none.html'), 'none');
        writeFileSync(path.join(s.dir, 'files/index.html'), 'index');
      },
    });
    await g.daemon.addUser();
    g.app.on('/set-cookie', (req, res) => {
      res.writeHead(200, { 'set-cookie': ['app=1; Path=/', 'other=2'], 'cache-control': 'public, max-age=60' });
      res.end('ok');
    });
    g.app.on('/hide', (req, res) => {
      res.writeHead(200, { 'set-cookie': 'app=1' });
      res.end('ok');
    });
    for (const name of ['/cached/a', '/cached/b', '/cached/c'])
      g.app.on(name, (req, res) => {
        res.writeHead(200, { 'cache-control': 'public, max-age=600' });
        res.end('cached');
      });
    for (const name of ['/intercept', '/page404'])
      g.app.on(name, (req, res) => {
        if (name === '/intercept' && req.headers['x-second']) return res.end('second');
        req.headers['x-second'] = '1';
        res.writeHead(404);
        res.end('not here');
      });
    for (const [name, to] of [['/accel', '/internal/none.html'], ['/accel-open', '/internal-open/none.html']])
      g.app.on(name, (req, res) => {
        res.writeHead(200, { 'x-accel-redirect': to });
        res.end();
      });
    g.app.on('/500', (req, res) => {
      res.writeHead(500);
      res.end('error');
    });
  });
  after(() => g.stop());

  const seen = async (handle) => (await g.daemon.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
  const status = async (jar, target = '/x') => (await g.get(target, { jar })).status;
  /** Let the daemon see the new time. */
  const ticked = () => sleep(1200);

  test('LC-2: a session ends when it has been idle, not before and not after', async () => {
    const a = await plant(g.daemon), b = await plant(g.daemon);
    for (const s of [a, b]) assert.equal(await status(s.jar), 200);
    g.clock.forward(14 * MINUTE);
    assert.equal(await status(a.jar), 200);
    g.clock.forward(15 * MINUTE + 50000); /* b: 29:50, a: 15:50 */
    assert.equal(await status(b.jar.clone()), 200, '10 s before');
    const c = await plant(g.daemon);
    assert.equal(await status(c.jar), 200);
    assert.equal((await g.get('/x', { jar: c.jar })).headers['x-source'], 'table');
    g.clock.forward(30 * MINUTE + 1000);
    assert.equal(await status(c.jar), 401, '1 s after');
    assert.equal(await status(c.jar, '/optional'), 200);
    assert.equal((await g.get('/optional', { jar: c.jar })).json().headers['x-auth-user'], undefined);
  });

  test('LC-2: neither activity nor rotation moves the absolute end', async () => {
    const s = await plant(g.daemon);
    const end = s.json.created_ms + 12 * HOUR;
    let rotations = 0;
    for (let left; (left = end - g.clock.now()) > 10 * MINUTE; g.clock.forward(10 * MINUTE)) {
      const before = s.jar.map.get(g.cookie);
      assert.equal(await status(s.jar), 200, `${left} ms before the end`);
      if (s.jar.map.get(g.cookie) !== before) rotations++;
    }
    assert.ok(rotations > 20, `${rotations} rotations`);
    g.clock.forward(end - g.clock.now() - 20000);
    assert.equal(await status(s.jar), 200, '20 s before the end');
    assert.equal(await status(s.jar), 200);
    g.clock.forward(end - g.clock.now() + 1000);
    assert.equal(await status(s.jar), 401, 'one second after the end');
  });

  test('LC-2: without the daemon, what the table has ends at its time all the same', async () => {
    const s = await plant(g.daemon);
    assert.equal(await status(s.jar), 200);
    await g.daemon.down();
    assert.equal(await status(s.jar), 200);
    g.clock.forward(14 * MINUTE);
    assert.equal(await status(s.jar), 200);
    g.clock.forward(31 * MINUTE);
    unavailable(await g.get('/x', { jar: s.jar }), 'idle for too long');
    await g.daemon.up();
    assert.equal(await status(s.jar), 401);
  });

  test('coatcheck_max_age: who has signed in longer ago is asked again', async () => {
    const s = await plant(g.daemon);
    assert.equal(await status(s.jar, '/age'), 200);
    assert.equal(await status(s.jar, '/age'), 200);
    g.clock.forward(4 * MINUTE + 50000);
    assert.equal(await status(s.jar, '/age'), 200);
    const hits = g.app.hits;
    g.clock.forward(12000);
    const data = await g.get('/age', { jar: s.jar });
    assert.equal(data.status, 403);
    assert.equal(data.json().error.code, 'step_up_required');
    const nav = await g.get('/age/x?y=1', { jar: s.jar, headers: page });
    assert.equal(nav.status, 302);
    assert.match(nav.headers.location, /^https:\/\/app\.example\/auth\/reauth\?return=%2Fage%2Fx%3Fy%3D1$/);
    assert.equal(g.app.hits, hits);
    assert.equal(await status(s.jar), 200, 'elsewhere it goes on');
    const renewed = await g.daemon.ask('POST', '/v1/renew', { token: s.jar.map.get(g.cookie), reauthenticated: true });
    s.jar.take({ cookies: [renewed.json().set_cookie] });
    assert.equal(await status(s.jar, '/age'), 200);
  });

  test('LC-5: when rotation is due, of 40 requests at once exactly one carries the successor, and none fails', async () => {
    for (let round = 0; round < 5; round++) {
      const s = await plant(g.daemon);
      assert.equal(await status(s.jar), 200);
      g.clock.forward(15 * MINUTE + 1000);
      const old = s.jar.clone();
      const all = await Promise.all(Array.from({ length: 40 }, () => g.get('/x', { jar: old.clone() })));
      assert.deepEqual([...new Set(all.map((r) => r.status))], [200]);
      const carriers = all.filter((r) => r.cookies.length > 0);
      assert.equal(carriers.length, 1);
      assert.equal(carriers[0].cookies.length, 1);
      assert.match(carriers[0].cookies[0], /^__Host-id=[\w-]{54}; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
      assert.match(carriers[0].headers['cache-control'] ?? '', /no-store/, 'CK-8');
      const next = old.clone().clone();
      next.take(carriers[0]);
      assert.equal(await status(next), 200);
      assert.equal((await g.get('/x', { jar: next })).headers['x-source'], 'table');
      assert.equal(await status(old), 200, 'within the grace');
    }
  });

  test('LC-6, LC-7: a lost successor comes again after a minute; a superseded cookie ends the session', async () => {
    const s = await plant(g.daemon);
    assert.equal(await status(s.jar), 200);
    g.clock.forward(15 * MINUTE + 1000);
    const old = s.jar.clone();
    const first = await g.get('/x', { jar: old.clone() });
    assert.equal(first.cookies.length, 1);
    for (let i = 0; i < 5; i++) {
      const res = await g.get('/x', { jar: old.clone() });
      assert.equal(res.status, 200);
      assert.equal(res.cookies.length, 0);
    }
    g.clock.forward(61000);
    const again = await g.get('/x', { jar: old.clone() });
    assert.deepEqual(again.cookies, first.cookies);
    const next = old.clone();
    next.take(again);
    assert.equal(await status(next), 200);
    g.clock.forward(9000);
    assert.equal(await status(old.clone()), 200);
    g.clock.forward(3000);
    assert.equal(await status(old), 401);
    assert.equal(await status(next), 401, 'the session has ended for both');
    await g.daemon.event('token_reuse');
  });

  /* [target, what the client gets, cookies of the application] */
  const carried = [
    ['/set-cookie', 200, ['app=1; Path=/', 'other=2']], ['/500', 500, []], ['/hide', 200, []], ['/intercept', null, []], ['/page404', null, []], ['/files/none.html', 200, []], ['/files/missing', 404, []], ['/accel', 200, []],
    ['/accel-open', 200, []], ['/try/x', 200, []], ['/named/x', 200, []], ['/index/', 200, []], ['/returned', 200, []], ['/cached/a', 200, []], ['/expires', 200, []], ['/role', 403, []], ['/files/none.html?precondition', 412, []],
  ];
  for (const [target, want, own] of carried)
    test(`a rotated cookie is handed over exactly once: ${target}`, async () => {
      const s = await plant(g.daemon);
      assert.equal(await status(s.jar), 200);
      g.clock.forward(15 * MINUTE + 1000);
      const old = s.jar.clone();
      const conditions = { '/files/none.html': { 'if-modified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }, '/files/none.html?precondition': { 'if-match': '"x"' } };
      const res = await g.get(target, { jar: s.jar, headers: conditions[target] ?? {} });
      if (want) assert.equal(res.status, want, res.body.slice(0, 200));
      const ours = res.cookies.filter((c) => c.startsWith('__Host-id='));
      if (target === '/role') return; /* a refusal may carry it or leave it for the next request */
      assert.equal(ours.length, 1, `${res.status} ${JSON.stringify(res.cookies)}`);
      assert.deepEqual(res.cookies.filter((c) => !c.startsWith('__Host-id=')), own);
      assert.match(res.headers['cache-control'] ?? '', /no-store/, `CK-8: ${JSON.stringify(res.fields)}`);
      if (target !== '/expires') assert.equal(/public|max-age=[1-9]/.test((res.fields['cache-control'] ?? []).join()), false, `CK-8: ${res.fields['cache-control']}`);
      assert.equal(await status(s.jar), 200);
      assert.equal((await g.get(target, { jar: s.jar })).cookies.filter((c) => c.startsWith('__Host-id=')).length, 0);
      assert.equal(await status(old), 200);
    });

  test('a rotated cookie does not get into proxy_cache, nor to another visitor', async () => {
    const s = await plant(g.daemon), other = await plant(g.daemon, { user: 'joe' });
    assert.equal(await status(s.jar), 200);
    g.clock.forward(15 * MINUTE + 1000);
    const first = await g.get('/cached/b', { jar: s.jar });
    assert.equal(first.headers['x-cache'], 'MISS');
    assert.equal(first.cookies.length, 1);
    await g.get('/x', { jar: other.jar });
    const second = await g.get('/cached/b', { jar: other.jar });
    assert.equal(second.headers['x-cache'], 'HIT');
    assert.deepEqual(second.cookies, []);
    assert.equal(second.body, 'cached');
    /* And on a hit it is handed over as well. */
    const third = await plant(g.daemon);
    assert.equal(await status(third.jar), 200);
    g.clock.forward(5 * MINUTE);
    await g.get('/cached/c', { jar: other.jar });
    g.clock.forward(10 * MINUTE + 2000);
    await g.get('/cached/c', { jar: other.jar });
    const hit = await g.get('/cached/c', { jar: third.jar });
    assert.equal(hit.headers['x-cache'], 'HIT');
    assert.equal(hit.cookies.length, 1);
  });

  test('what a cache may not keep: a 304 and a HEAD with a rotated cookie are complete', async () => {
    const s = await plant(g.daemon);
    const first = await g.get('/files/none.html', { jar: s.jar });
    g.clock.forward(15 * MINUTE + 1000);
    const res = await g.get('/files/none.html', { jar: s.jar, headers: { 'if-none-match': first.headers.etag } });
    assert.equal(res.status, 304);
    assert.equal(res.cookies.length, 1);
    assert.equal(await status(s.jar), 200);
    g.clock.forward(15 * MINUTE + 1000);
    const head = await g.get('/files/none.html', { jar: s.jar, method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.cookies.length, 1);
    assert.equal(await status(s.jar), 200);
  });

  test('LC-4: what is no activity leaves the last use alone, what is moves it', async () => {
    const s = await plant(g.daemon);
    const { jar, handle } = s;
    assert.equal(await status(jar), 200);
    g.clock.forward(5000);
    await ticked();
    const before = await seen(handle);
    const idle = {
      'a preflight': () => g.get('/cross', { jar, method: 'OPTIONS', headers: { origin: 'https://spa.example', 'access-control-request-method': 'POST' } }),
      'a preflight from elsewhere': () => g.get('/cross', { jar, method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } }),
      'a forged request': () => g.get('/cross', { jar, method: 'POST', headers: { origin: 'https://evil.example' } }),
      'cross-site by Fetch Metadata': () => g.get('/cross', { jar, method: 'POST', headers: { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' } }),
      'a refused origin that reads': () => g.get('/cross', { jar, headers: { origin: 'https://evil.example' } }),
      'coatcheck_activity off': () => g.get('/background', { jar }),
      'an administrator who looks': () => g.daemon.ask('GET', `/v1/sessions/${handle}`),
      'no session': () => g.get('/x'),
    };
    for (const [what, attempt] of Object.entries(idle)) {
      g.clock.forward(5000);
      await attempt();
      assert.equal(await seen(handle), before, what);
    }
    await ticked();
    assert.equal(await seen(handle), before, 'after a while');
    for (const attempt of [() => g.get('/x', { jar }), () => g.get('/cross', { jar, method: 'POST', headers: { origin: 'https://app.example' } }), () => g.get('/optional', { jar }), () => g.get('/age', { jar })]) {
      const last = await seen(handle);
      g.clock.forward(5000);
      await attempt();
      assert.ok(await seen(handle) > last);
    }
  });

  test('LC-4: requests that are no activity do not keep a session alive', async () => {
    const s = await plant(g.daemon);
    assert.equal(await status(s.jar), 200);
    for (let i = 0; i < 11; i++) {
      g.clock.forward(2.5 * MINUTE);
      await g.get('/background', { jar: s.jar });
      await g.get('/cross', { jar: s.jar, method: 'POST', headers: { origin: 'https://evil.example' } });
    }
    g.clock.forward(2.5 * MINUTE + 1000);
    assert.equal(await status(s.jar), 401);
  });

  test('LC-4: activity that only nginx has seen is in the record after a crash of the daemon, at most a minute late', async () => {
    const s = await plant(g.daemon);
    assert.equal(await status(s.jar), 200);
    g.clock.forward(10 * MINUTE);
    assert.equal(await status(s.jar), 200);
    const used = g.clock.now();
    g.clock.forward(MINUTE);
    await ticked();
    await ticked();
    await g.daemon.down('SIGKILL');
    await g.daemon.up();
    const kept = await seen(s.handle);
    assert.ok(kept <= used + 1000 && kept >= used - MINUTE, `${kept - used} ms`);
    assert.equal(await status(s.jar), 200);
  });
});

describe('other ways to set it up', { skip: missing }, () => {
  test('CK-8, FA-1: over TLS all is well, over plain http a secure cookie is refused, whatever the table has', async (t) => {
    const port = await freePort();
    const certificate = (s) => spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${s.dir}/key.pem`, '-out', `${s.dir}/cert.pem`, '-days', '2', '-subj', '/CN=app.example']);
    if (spawnSync('openssl', ['version']).status !== 0) return t.skip('there is no openssl');
    const g = await Gate.start({
      proto: false,
      http: () => 'add_header X-Source $coatcheck_source always;',
      before: certificate,
      server: (s) => `listen 127.0.0.1:${port} ssl http2; ssl_certificate ${s.dir}/cert.pem; ssl_certificate_key ${s.dir}/key.pem;
        location / { proxy_pass ${s.upstream}; } location /said { coatcheck_proto $http_x_said; proxy_pass ${s.upstream}; } location /fixed { coatcheck_proto https; proxy_pass ${s.upstream}; } location /other-prefix { coatcheck_cookie __Secure-id; proxy_pass ${s.upstream}; }`,
    });
    const client = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    try {
      const { jar, token } = await plant(g.daemon);
      const plain = (target, headers = {}) => g.get(target, { jar, headers });
      const tls = (target, headers = {}) => new Promise((resolve, reject) => {
        const stream = client.request({ ':path': target, ':authority': 'app.example', ...jar.header(), ...headers });
        stream.on('response', (h) => resolve([h[':status'], h['x-source']]));
        stream.on('error', reject);
        stream.resume();
        stream.end();
      });
      const refused = async (target, headers) => {
        const res = await plain(target, headers);
        assert.deepEqual([res.status, res.json().error.code], [403, 'https_required'], target);
      };
      await refused('/x');
      assert.deepEqual(await tls('/x'), [200, 'daemon']);
      assert.deepEqual(await tls('/x'), [200, 'table']);
      assert.deepEqual(await tls('/x'), [200, 'table']);
      for (let i = 0; i < 3; i++) await refused('/x');
      const secure = { cookie: `__Secure-id=${token}` };
      assert.deepEqual(await tls('/other-prefix', secure), [200, 'table']);
      await refused('/other-prefix', secure);
      await refused('/said', { 'x-said': 'http' });
      assert.equal((await plain('/said', { 'x-said': 'https' })).status, 200);
      assert.notEqual((await plain('/said', { 'x-said': 'https, http' })).status, 200);
      assert.notEqual((await plain('/said')).status, 200);
      assert.equal((await plain('/fixed')).headers['x-source'], 'table');
      assert.deepEqual(await tls('/x'), [200, 'table']);
      return undefined;
    } finally {
      client.destroy();
      await g.stop();
    }
  });

  test('CK-3: under a name without prefix up to four values are tried, and exactly one must be live', async () => {
    const port = await freePort();
    const g = await Gate.start({
      proto: false,
      daemon: { plain: true, origin: `http://localhost:${port}`, listener: '' },
      http: () => 'coatcheck_cookie id; add_header X-Source $coatcheck_source always;',
      server: (s) => `location / { proxy_pass ${s.upstream}; }`,
    });
    try {
      const a = await plant(g.daemon), b = await plant(g.daemon), ended = await plant(g.daemon);
      await patient(() => g.daemon.ask('POST', `/v1/sessions/${ended.handle}/end`));
      const status = async (...values) => {
        const res = await g.get('/x', { headers: { cookie: `x=1; ${values.map((v) => `id=${v}`).join('; ')}; id-device=d; idx=2` } });
        if (res.status === 200) assert.deepEqual([res.json().headers['x-auth-user'], res.json().headers.cookie], ['mara', 'x=1; idx=2']);
        return res.status;
      };
      for (let i = 0; i < 2; i++) {
        assert.equal(await status(a.token), 200);
        assert.equal(await status(ended.token, a.token), 200);
        assert.equal(await status(a.token, ended.token), 200);
        assert.equal(await status(a.token, strangeToken(), 'x'), 200);
        assert.equal(await status(a.token, b.token), 401);
        assert.equal(await status(a.token, a.token), 401);
        assert.equal(await status('x', 'y', 'z', 'w', a.token), 401);
        assert.equal(await status(ended.token), 401);
      }
      assert.equal((await g.get('/x', { headers: { cookie: `__Host-id=${a.token}` } })).status, 401);
    } finally {
      await g.stop();
    }
  });

  test('a daemon on TCP, two servers with names of their own, and a table for both', async () => {
    const [port, second] = [await freePort(), await freePort()];
    const g = await Gate.start({
      daemon: { listener: `  - address: 127.0.0.1:${port}\n    dialect: module\n    trusted: [127.0.0.1/32]\n` },
      http: (s) => `add_header X-Source $coatcheck_source always; coatcheck_header user X-Outer;
        server { listen 127.0.0.1:${second}; coatcheck on; coatcheck_daemon 127.0.0.1:${port} keepalive=4; coatcheck_header user X-Second; location / { proxy_pass ${s.upstream}; } }`,
      server: (s) => `coatcheck_daemon 127.0.0.1:${port}; location / { proxy_pass ${s.upstream}; }`,
    });
    try {
      const { jar } = await plant(g.daemon);
      const other = (headers) => request({ host: '127.0.0.1', port: second, path: '/x', headers: { ...jar.header(), ...headers } });
      assert.equal((await g.get('/x', { jar })).headers['x-source'], 'daemon');
      const res = await other({ 'X-Second': 'evil', 'X-Outer': 'kept' });
      assert.equal(res.headers['x-source'], 'table');
      assert.equal(res.json().headers['x-second'], 'mara');
      assert.equal(res.json().head.includes('evil'), false);
      assert.equal((await request({ host: '127.0.0.1', port: second, path: '/x' })).status, 401);
      assert.equal((await g.get('/x', { jar })).json().headers['x-outer'], 'mara');
      const hits = g.app.hits;
      await g.daemon.down();
      unavailable(await request({ host: '127.0.0.1', port: second, path: '/x' }), 'TCP, away');
      assert.equal(g.app.hits, hits);
      await g.daemon.up();
    } finally {
      await g.stop();
    }
  });
});

describe('a table that comes later', { skip: missing }, () => {
  test('SF-1: without a table every request is put to the daemon; with it the table answers, without a reload', async () => {
    const g = await Gate.start({
      http: () => 'add_header X-Source $coatcheck_source always;',
      server: (s) => `coatcheck_table ${s.dir}/later/table; location / { proxy_pass ${s.upstream}; }`,
    });
    try {
      const { jar } = await plant(g.daemon);
      for (let i = 0; i < 3; i++) {
        const res = await g.get('/x', { jar });
        assert.equal(res.status, 200);
        assert.equal(res.headers['x-source'], 'daemon');
      }
      assert.equal((await g.get('/x')).status, 401);
      mkdirSync(path.join(g.dir, 'later'));
      const { copyFileSync } = await import('node:fs');
      for (const name of ['table', 'table.seen']) copyFileSync(path.join(g.run, name), path.join(g.dir, 'later', `${name}.new`));
      for (const name of ['table.seen', 'table']) renameSync(path.join(g.dir, 'later', `${name}.new`), path.join(g.dir, 'later', name));
      await until('the table is used', async () => (await g.get('/x', { jar })).headers['x-source'] === 'table', 30000);
      assert.ok(g.nginx.errors().split('\n').filter((l) => /later\/table/.test(l)).length <= 3, 'said once, not for every request');
    } finally {
      await g.stop();
    }
  });

  test('RV-1: what a command ends while no daemon runs has ended, at nginx too and for the next daemon', async () => {
    const g = await Gate.start({ http: () => 'add_header X-Source $coatcheck_source always;' });
    try {
      await g.daemon.addUser();
      const commands = [(s) => ['session', 'end', s.handle], () => ['user', 'disable', 'mara'], () => ['session', 'end-all', '--user=mara'], () => ['session', 'end-all', '--yes']];
      for (const command of commands) {
        const s = await plant(g.daemon);
        const other = await plant(g.daemon, { user: 'joe' });
        for (const { jar } of [s, other]) for (const source of ['daemon', 'table']) assert.equal((await g.get('/x', { jar })).headers['x-source'], source);
        await g.daemon.down();
        assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
        const args = command(s);
        await until('the command is done', () => run([...args, '--config', g.daemon.file]).status === 0);
        unavailable(await g.get('/x', { jar: s.jar }), args.join(' '));
        if (!args.includes('--yes')) assert.equal((await g.get('/x', { jar: other.jar })).headers['x-source'], 'table', 'who is not meant does not notice');
        await g.daemon.up();
        for (let i = 0; i < 2; i++) assert.equal((await g.get('/x', { jar: s.jar })).status, 401, args.join(' '));
        await g.daemon.ask('POST', '/v1/accounts/mara/enable');
      }
    } finally {
      await g.stop();
    }
  });

  test('RV-5: sessions that a replaced store does not have do not live on in the table', async () => {
    const g = await Gate.start({});
    try {
      const s = await plant(g.daemon);
      for (let i = 0; i < 2; i++) assert.equal((await g.get('/x', { jar: s.jar })).status, 200);
      await g.daemon.down();
      rmSync(path.join(g.dir, 'data/store'), { recursive: true });
      await g.daemon.up();
      assert.equal((await g.daemon.ask('GET', `/v1/sessions/${s.handle}`)).status, 404);
      assert.equal((await g.get('/x', { jar: s.jar })).status, 401);
    } finally {
      await g.stop();
    }
  });

  test('RV-1: a table that the daemon does not write any more is not believed, once the daemon has answered for some seconds', async () => {
    const g = await Gate.start({ workers: 2, listen: ' reuseport', http: () => 'add_header X-Worker $pid always; add_header X-Source $coatcheck_source always;' });
    try {
      const s = await plant(g.daemon), t = await plant(g.daemon);
      const lanes = await g.lanes();
      const all = async (jar, want, source) => {
        for (const lane of lanes) {
          const res = await lane.get('/x', { jar });
          assert.deepEqual([res.status, res.headers['x-source']], [want, source]);
        }
      };
      for (const { jar } of [s, t]) for (const lane of lanes) assert.equal((await lane.get('/x', { jar })).status, 200);
      await all(s.jar, 200, 'table');
      await g.daemon.down();
      await all(s.jar, 200, 'table');
      /* Somebody has moved it, and told the daemon only. */
      writeFileSync(g.daemon.file, `${readFileSync(g.daemon.file, 'utf8')}table:\n  path: ${g.run}/elsewhere\n`);
      await g.daemon.up();
      for (const lane of lanes)
        await until('it is not believed', async () => {
          assert.equal((await lane.get('/x')).status, 401);
          return (await lane.get('/x', { jar: t.jar })).headers['x-source'] === 'daemon';
        });
      await patient(() => g.daemon.ask('POST', `/v1/sessions/${s.handle}/end`));
      await all(s.jar, 401, 'daemon');
      await all(t.jar, 200, 'daemon');
      assert.ok(g.nginx.errors().split('\n').filter((l) => /stands still/.test(l)).length <= 2, 'said once by each worker');
      for (const lane of lanes) lane.agent.destroy();
    } finally {
      await g.stop();
    }
  });

  test('SF-1: a table that is not one, or cut short, is not believed', async () => {
    const g = await Gate.start({ http: () => 'add_header X-Source $coatcheck_source always;', server: (s) => `coatcheck_table ${s.dir}/bad; location / { proxy_pass ${s.upstream}; }` });
    try {
      const { jar } = await plant(g.daemon);
      for (const bytes of [Buffer.alloc(0), Buffer.alloc(4096), Buffer.alloc(100000, 0xff)]) {
        writeFileSync(path.join(g.dir, 'bad.new'), bytes);
        renameSync(path.join(g.dir, 'bad.new'), path.join(g.dir, 'bad'));
        for (let i = 0; i < 3; i++) {
          const res = await g.get('/x', { jar });
          assert.equal(res.status, 200);
          assert.equal(res.headers['x-source'], 'daemon');
        }
      }
    } finally {
      await g.stop();
    }
  });
});
