// SPDX-License-Identifier: Apache-2.0
// Where a sign-in leads, and what may stand in a URL.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Jar, password } from './lib.mjs';
import { Proxied, concrete, jarOf, plant, publicRoutes, rawRequest } from './routes.mjs';

let d;
before(async () => {
  d = await Proxied.start({
    config: 'throttle:\n  attempts-per-minute: 8000\n',
    public: '  default-target: /home\n  return-origins: [https://friend.example]\n',
  });
  await d.addUser();
});
after(() => d.stop());

/* As they stand in the query: one decoding is the server's. */
const refused = [
  '//evil.example', '///evil.example', '////evil.example', '/\\evil.example', '\\\\evil.example', '\\/evil.example', '/%5cevil.example', '%5c%5cevil.example',
  '/%2fevil.example', '/%2f%2fevil.example', '%2f%2fevil.example', '/%252fevil.example', '/%255cevil.example', 'https:evil.example', 'https:/evil.example',
  'https://evil.example', 'http://evil.example', 'HTTPS://evil.example', 'https%3a//evil.example', 'javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'javascript%3aalert(1)',
  'java%09script:alert(1)', 'java%0ascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'about:blank', 'blob:x', 'mailto:a@b', 'ftp://evil.example',
  '%09//evil.example', '/%09/evil.example', '%0a/x', '/%0a/evil.example', '/%0d%0aLocation:%20https://evil.example', '/%00', '/a%00b', '%00/x', '/%20/../%0a', '/%7f', '/a%1fb',
  '%20/x', '%20//evil.example', 'evil.example', 'evil', '.', '..', './x', '../x', '/./x', '/../x', '/a/../b', '/a/./b', '/a/..', '/%2e%2e/x', '/%252e%252e/x', '/%2e/x', '/a/%2e%2e',
  '@evil.example', 'user@evil.example', 'https://app.example@evil.example/', 'https://app.example%40evil.example/', 'https://app.example.evil.example/', 'https://app.example:444/',
  'http://app.example/', 'https://APP.example/', 'https://app.example./', 'https://user@app.example/', 'https://friend.example.evil.example/', 'https://friend.example:8443/',
  'http://friend.example/', 'https://notfriend.example/', 'https://friend.examplex/', 'https://friend.example%2eevil.example/', 'https://friend.example\\@evil.example/',
  'https://friend.example%5c@evil.example', 'https:///evil.example', 'https://', 'https:', ':', '?', '?x', '%23x', '/a%23b', '/x%5cy', '/a\\b', '%ef%bc%8f%ef%bc%8fevil.example', '/%ef%bc%8fevil.example',
  'https://evil%e3%80%82example', '/%c3%a9', '/%ff', '/%c0%af/evil.example', '%c0%af%c0%afevil.example', '/%', '/%zz', '/%1', '/%%32%66', '/a%25', '/a%25zz', '/%25', '/%250a',
  '/%250d%250aX:%20y', '/%2500', '/%255c', '%5cx', 'x:/y', 'http:////evil.example', 'https://evil.example%2f@app.example/', 'https://[::1]/', 'https://127.0.0.1/', 'https://0x7f.1/',
  'https://2130706433/', 'https://localhost/', '//app.example', '//app.example/', '//friend.example/', '///', '//', '/\\', '/\\/', '/\t', `/${'a'.repeat(8000)}`, `/${'%42'.repeat(3000)}`,
  `https://${'a'.repeat(3000)}/`, '/%e2%80%a8', '/%e2%80%8b', '/%c2%85', '/%c2%a0', '+/x', '/a%0bb', '/a%0cb', '/a%08b', '/a%1bb', '/a/%2e%2e%2fb', '/a/%2e./b', '/a/.%2e/b', 'https://friend.example/../x',
];
const accepted = [
  ['/', '/'], ['/x', '/x'], ['/x/y?z=1&w=2', '/x/y?z=1&w=2'], ['/x%3Fy=1', '/x?y=1'], ['/a//b', '/a//b'], ['/@x', '/@x'], ['/a:b', '/a:b'], ['/%2541', '/%41'],
  ['/a?u=%2F%2Fevil.example', '/a?u=//evil.example'], ['https://friend.example/deep?x=1', 'https://friend.example/deep?x=1'], ['https://app.example/own', /^(https:\/\/app\.example)?\/own$/],
];

async function lead(jar, value) {
  const query = value.replaceAll('#', '%23').replaceAll('&', '%26').replaceAll('\t', '%09');
  const res = await d.get(`/auth/login?return=${query}`, { jar });
  if (res.status !== 302) return res.status;
  return res.headers.location;
}

test('RD-1: whatever is not plainly ours leads to the default target', async () => {
  assert.ok(refused.length >= 120, `${refused.length}`);
  const { jar } = await plant(d);
  for (const value of refused) {
    const got = await lead(jar, value);
    /* broken escapes and NUL make the whole query malformed: no redirect at all */
    assert.ok(got === '/home' || got === 400 || got === 414, `${value.slice(0, 100)} -> ${got}`);
  }
  for (const [value, expected] of accepted) {
    const got = await lead(jar, value);
    if (expected instanceof RegExp) assert.match(got, expected);
    else assert.equal(got, expected, value);
  }
});

test('RD-1: the check is made when the target is used: a form or JSON cannot carry a bad one in', async () => {
  for (const value of ['//evil.example', 'https://evil.example', '/\\evil.example', 'javascript:alert(1)']) {
    const jar = new Jar();
    const csrf = /name="csrf" value="([^"]+)"/.exec((await d.get('/auth/login', { jar })).body)[1];
    const res = await d.post('/auth/login', { csrf, user: 'mara', password, return: value }, { jar });
    assert.equal(res.status, 303);
    assert.equal(res.headers.location, '/home');
    const json = await d.postJson('/auth/login', { user: 'mara', password, return: value });
    assert.equal(json.json().return_to, '/home');
    const page = await d.get(`/auth/login?return=${encodeURIComponent(value)}`);
    assert.ok(!page.body.includes(value));
  }
});

test('RD-2: one Location, nothing from Host, 303 after a POST', async () => {
  const jar = new Jar();
  const csrf = /name="csrf" value="([^"]+)"/.exec((await d.get('/auth/login', { jar })).body)[1];
  const body = new URLSearchParams({ csrf, user: 'mara', password, return: '/a b?c="d"' }).toString();
  const res = await rawRequest(d.port, `POST /auth/login HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nOrigin: ${d.origin}\r\n` +
    `Cookie: ${jar.header().cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  assert.equal(res.status, 303);
  assert.deepEqual(res.fields.filter(([name]) => name === 'location').map(([, v]) => v), ['/a%20b?c=%22d%22']);
  assert.equal(res.text.match(/HTTP\/1\.1/g).length, 1);
  assert.equal(res.body, '');
  const away = await d.get('/auth/sessions', { headers: { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
  assert.equal(away.status, 302);
  assert.ok(away.headers.location.startsWith('https://app.example/auth/login?return='), away.headers.location);
  const verify = await d.get('/auth/verify', { headers: { 'x-forwarded-host': 'evil.example', 'x-forwarded-uri': '/x?y=1', 'x-forwarded-method': 'GET', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
  assert.equal(verify.status, 302);
  assert.equal(verify.headers.location, 'https://app.example/auth/login?return=%2Fx%3Fy%3D1');
});

test('RD-2: fuzzed targets and hosts never break the head of an answer', async () => {
  const pieces = ['%0d%0a', '%00', '\\', '//', '%', 'é', '"', '<x>', ' ', '#', '@', '..', '%25', 'https:', ';', '%e2%80%a8'];
  let seed = 7;
  const next = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const { jar } = await plant(d);
  for (let i = 0; i < 150; i++) {
    const value = Array.from({ length: 1 + next(6) }, () => pieces[next(pieces.length)]).join('x').replaceAll(' ', '+').replaceAll('#', '%23');
    const res = await rawRequest(d.port, Buffer.from(`GET /auth/login?return=/${value} HTTP/1.1\r\nHost: ${next(2) ? 'app.example' : 'evil.example'}\r\n` +
      `X-Forwarded-Proto: https\r\nCookie: ${jar.header().cookie}\r\nConnection: close\r\n\r\n`, 'utf8'));
    assert.ok([302, 400].includes(res.status), `${value}: ${res.status}`);
    assert.equal(res.text.match(/HTTP\/1\.1 /g).length, 1, value);
    const locations = res.fields.filter(([name]) => name === 'location');
    assert.equal(locations.length, res.status === 302 ? 1 : 0);
    for (const [, to] of locations) assert.match(to, /^\/[\x21-\x7e]*$/);
  }
});

test('RD-3: no secret in any URL; no referrer from any route', async () => {
  const { jar, token } = await plant(d);
  const csrf = await d.csrf(jar);
  const secrets = [token, csrf, password, encodeURIComponent(password), password.replaceAll(' ', '+')];
  const check = (res, what) => {
    assert.equal(res.headers['referrer-policy'], 'no-referrer', what);
    const urls = [res.headers.location ?? '', res.headers['x-auth-login'] ?? '', res.headers['x-auth-redirect'] ?? '', ...[...res.body.matchAll(/(?:href|src|action)="([^"]*)"/g)].map((m) => m[1])];
    for (const url of urls) {
      for (const secret of secrets) assert.ok(!url.includes(secret), `${what}: ${url}`);
      assert.doesNotMatch(url, /csrf=|password=[^1]|token=/i, what);
    }
    for (const form of res.body.matchAll(/<form[^>]*>/g)) assert.match(form[0], /method="post"/i, what);
  };
  for (const route of publicRoutes())
    for (const accept of ['text/html', 'application/json'])
      for (const visitor of [jar.clone(), undefined, jarOf(d, token)]) {
        const headers = { accept, origin: d.origin, ...(route.method === 'POST' ? { 'content-type': 'application/x-www-form-urlencoded' } : {}) };
        if (/logout/.test(route.path) && visitor) continue;
        const body = route.method === 'POST' ? new URLSearchParams({ user: 'mara', password, csrf, new: 'short', return: '/x' }).toString() : undefined;
        check(await d.get(concrete(route.path), { jar: visitor, method: route.method, headers }, body), `${route.method} ${route.path}`);
      }
});
