// SPDX-License-Identifier: Apache-2.0
// What every answer carries, and how odd requests are answered.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Jar, password, request } from './lib.mjs';
import { Proxied, concrete, jarOf, plant, publicRoutes, rawRequest, strangeToken } from './routes.mjs';

let d;
before(async () => {
  d = await Proxied.start({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
  await d.addUser();
});
after(() => d.stop());

const types = [/^application\/json; charset=utf-8$/, /^text\/html; charset=utf-8$/, /^text\/css; charset=utf-8$/, /^image\/svg\+xml; charset=utf-8$/];

function checkTable(res, what, { tls = true } = {}) {
  const h = res.headers;
  assert.equal(h['x-content-type-options'], 'nosniff', what);
  for (const directive of ["frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "default-src 'none'"])
    assert.ok(h['content-security-policy'].includes(directive), `${what}: ${h['content-security-policy']}`);
  assert.doesNotMatch(h['content-security-policy'], /unsafe|\*/);
  assert.equal(h['cross-origin-resource-policy'], 'same-origin', what);
  assert.equal(h['referrer-policy'], 'no-referrer', what);
  assert.match(h['x-request-id'], /^[0-9a-f]{16}$/);
  assert.equal(h.server, undefined);
  assert.equal(h['x-powered-by'], undefined);
  assert.ok(!/coatcheck\/\d|0\.1\.0/.test(JSON.stringify(h)), what);
  if (tls) assert.ok(Number(/max-age=(\d+)/.exec(h['strict-transport-security'] ?? '')?.[1]) >= 31536000, what);
  if (res.status !== 204 && res.body.length > 0) assert.ok(types.some((t) => t.test(h['content-type'])), `${what}: ${h['content-type']}`);
  if (res.body.startsWith('<!')) assert.match(h['content-type'], /^text\/html/);
  if (res.body.startsWith('{')) assert.match(h['content-type'], /^application\/json/);
  if (res.status !== 204) assert.equal(Number(h['content-length']), Buffer.byteLength(res.body), what);
  for (const [name, values] of Object.entries(res.fields))
    assert.ok(values.length === 1 || ['vary', 'set-cookie'].includes(name), `${what}: ${name} twice`);
}

test('FA-11 FA-9: all routes, all visitors, all methods: the table of fields holds', async () => {
  const visitors = { nobody: () => undefined, stranger: () => jarOf(d, strangeToken()), live: async () => (await plant(d)).jar };
  for (const route of publicRoutes())
    for (const [who, make] of Object.entries(visitors))
      for (const accept of ['text/html', '*/*']) {
        const method = route.method;
        const headers = { accept, origin: d.origin, ...(method === 'POST' ? { 'content-type': 'application/json' } : {}) };
        const res = await d.get(concrete(route.path), { jar: await make(), method, headers }, method === 'POST' ? '{"user":"mara","password":"no"}' : undefined);
        checkTable(res, `${method} ${route.path} ${who} ${accept} ${res.status}`);
      }
});

test('FA-11: error paths carry the same fields', async () => {
  const { jar } = await plant(d);
  const cases = [
    [404, () => d.get('/')], [404, () => d.get('/auth/nothing')], [404, () => d.get('/auth/assets/none.css')], [405, () => d.get('/auth/login', { method: 'DELETE' })],
    [415, () => d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'text/plain' } }, 'x')],
    [415, () => d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'application/json', 'content-encoding': 'gzip' } }, '{}')],
    [400, () => d.get('/auth/login?return=%zz')], [400, () => d.get('/auth/verify?max_age=0')], [400, () => d.get('/auth/%zz')], [403, () => d.post('/auth/logout-all', {}, { jar })],
    [401, () => d.get('/auth/session')], [403, () => d.post('/auth/logout-all', {}, { headers: { origin: 'https://evil.example' } })],
    [413, () => d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'application/json' } }, 'x'.repeat(20000))],
  ];
  for (const [expected, send] of cases) {
    const res = await send();
    assert.equal(res.status, expected, res.body);
    checkTable(res, `${expected}`, { tls: expected !== 413 });
    const { error, request_id: id } = res.json();
    assert.match(error.code, /^[a-z0-9_]+$/);
    assert.equal(id, res.headers['x-request-id']);
  }
});

test('FA-11: TRACE, CONNECT and undeclared methods are answered 405', async () => {
  for (const method of ['TRACE', 'CONNECT', 'FOO', 'PROPFIND', 'get', 'PURGE'])
    for (const target of ['/auth/login', '/auth/session', '/auth/verify']) {
      const res = await rawRequest(d.port, `${method} ${target} HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n`);
      assert.ok(res.status === 405 || (method === 'CONNECT' && res.status === 400), `${method} ${target}: ${res.status}`);
      assert.ok(!res.body.includes('X-Forwarded-Proto'));
    }
});

test('FA-11: parameters and JSON members that come twice are answered 400', async () => {
  const jar = new Jar();
  const csrf = /name="csrf" value="([^"]+)"/.exec((await d.get('/auth/login', { jar })).body)[1];
  const form = (body) => d.post('/auth/login', body, { jar });
  assert.equal((await form(`csrf=${csrf}&user=a&user=b&password=x`)).status, 400);
  assert.equal((await form(`csrf=${csrf}&user=a&password=x&password=${encodeURIComponent(password)}`)).status, 400);
  assert.equal((await form(`csrf=${csrf}&user=a&us%65r=b&password=x`)).status, 400);
  assert.equal((await d.get('/auth/login?return=/a&return=/b')).status, 400);
  assert.equal((await d.get('/auth/verify?role=a&role=b')).status, 400);
  const json = (body) => d.get('/auth/login', { method: 'POST', headers: { origin: d.origin, 'content-type': 'application/json' } }, body);
  assert.equal((await json('{"user":"a","user":"b","password":"x"}')).status, 400);
  const admin = await request({ socketPath: d.admin, method: 'POST', path: '/v1/sessions', headers: { host: 'localhost', 'content-type': 'application/json' } }, '{"user":"a","user":"b"}');
  assert.equal(admin.status, 400);
});

test('FA-9: reflected bytes cannot break an answer: one status line, fields as they are, exact length', async () => {
  let seed = 11;
  const next = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const odd = ['\r\nX-Evil: 1', '%0d%0aX-Evil:1', '\u2028', '<script>', '"', '\\', '%00', '\xff', '\x01', "'", '&', ';', 'é'];
  for (let i = 0; i < 200; i++) {
    const value = Array.from({ length: 4 }, () => odd[next(odd.length)]).join('a');
    const clean = value.replace(/[\r\n\0\x01]/g, '');
    const target = `/auth/login?return=${encodeURIComponent(value).replaceAll('%', next(4) ? '%' : '%25')}`;
    const res = await rawRequest(d.port, Buffer.from(`GET ${target} HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-Proto: https\r\nOrigin: ${clean}\r\nReferer: ${clean}\r\n` +
      `User-Agent: ${clean}\r\nAccept: ${clean}\r\nAccept-Language: ${clean}\r\nCookie: a=${clean.replaceAll(';', '')}\r\nConnection: close\r\n\r\n`, 'latin1'));
    assert.ok([200, 400].includes(res.status), `${res.status}`);
    assert.equal(res.text.match(/HTTP\/1\.1 \d/g).length, 1);
    assert.ok(!res.fields.some(([name]) => name === 'x-evil'));
    for (const [name, content] of res.fields) assert.match(`${name}: ${content}`, /^[\x20-\x7e]+$/);
    const length = Number(res.fields.find(([name]) => name === 'content-length')[1]);
    assert.equal(res.body.length, length);
    assert.ok(!res.body.includes('<script>'));
  }
});
