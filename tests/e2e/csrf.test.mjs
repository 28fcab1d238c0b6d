// SPDX-License-Identifier: Apache-2.0
// Who may change something: CSRF tokens, origins, fetch metadata, body types.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Jar, password } from './lib.mjs';
import { Proxied, concrete, jarOf, plant, publicRoutes, status, storeOps, stored } from './routes.mjs';
import { refusedOrigins } from './vectors.mjs';

const ours = 'https://app.example';
let d;
before(async () => {
  d = await Proxied.start({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
  await d.addUser();
});
after(() => d.stop());

/** A change that harms nobody: 404 once it has passed the checks, 403 before. */
const nothing = '/auth/sessions/AAAAAAAAAAAAAAAAAAAAAA/end';
const PASSED = 404;
function attempt(jar, { csrf, headers = {}, body, target = nothing, method = 'POST' } = {}) {
  const given = { ...(csrf === undefined ? {} : { 'x-csrf-token': csrf }), ...headers };
  return d.get(target, { jar: jar.clone(), method, headers: given }, body).then((res) => res.status);
}

const unsafe = publicRoutes().filter((r) => r.method === 'POST' && !r.flags.includes('VERIFY'));

test('CS-1: every unsafe route refuses whatever is not fully valid, and changes nothing', async () => {
  assert.ok(unsafe.length >= 6, 'the table of routes was not understood');
  const { jar, handle } = await plant(d);
  await plant(d);
  const csrf = await d.csrf(jar);
  const before = await stored(d);
  const bad = csrf.slice(0, 30) + (csrf[30] === 'A' ? 'B' : 'A') + csrf.slice(31);
  const cases = {
    'no token': [{ origin: ours }, undefined],
    'bad token': [{ origin: ours }, bad],
    'foreign origin': [{ origin: 'https://evil.example' }, csrf],
    'foreign origin, no token': [{ origin: 'https://evil.example' }, undefined],
    'none of them': [{}, undefined],
  };
  for (const route of unsafe)
    for (const [what, [headers, token]] of Object.entries(cases))
      for (const type of ['application/x-www-form-urlencoded', 'application/json']) {
        /* sign-in by JSON needs the origin alone; without any it is a script's, not a browser's */
        if (route.path === '/login' && type.endsWith('json') && what !== 'foreign origin' && what !== 'foreign origin, no token') continue;
        const fields = { user: 'mara', password, new: 'another kettle ramp 94', ...(token ? { csrf: token } : {}) };
        const body = type.endsWith('json') ? JSON.stringify(fields) : new URLSearchParams(fields).toString();
        const res = await d.get(concrete(route.path, handle), { jar: jar.clone(), method: 'POST', headers: { ...headers, 'content-type': type } }, body);
        assert.equal(res.status, 403, `POST ${route.path}, ${type}, ${what}: ${res.body.slice(0, 200)}`);
        assert.ok(!res.cookies.some((c) => c.startsWith('__Host-id=')), `${route.path} ${what}`);
      }
  assert.equal(await stored(d), before);
  assert.equal(await status(d, jar), 200);
});

test('CS-1: other unsafe methods are answered 405 on every route', async () => {
  const { jar } = await plant(d);
  for (const route of publicRoutes())
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      if (route.path === '/verify/*') continue;
      const res = await d.get(concrete(route.path), { jar: jar.clone(), method, headers: { origin: ours } });
      assert.equal(res.status, 405, `${method} ${route.path}`);
      assert.ok(res.headers.allow.length > 0);
    }
  assert.equal(await status(d, jar), 200);
});

test('CS-2: a token is valid for its session only, in header, form or JSON, any number of times', async () => {
  const a = await plant(d);
  const b = await plant(d);
  const csrf = await d.csrf(a.jar);
  const headers = { origin: ours };
  const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' };
  const json = { ...headers, 'content-type': 'application/json' };
  assert.equal(await attempt(a.jar, { csrf, headers }), PASSED);
  assert.equal(await attempt(a.jar, { headers: form, body: `csrf=${csrf}` }), PASSED);
  assert.equal(await attempt(a.jar, { headers: json, body: JSON.stringify({ csrf }) }), PASSED);
  assert.equal(await attempt(a.jar, { csrf, headers: form, body: `csrf=${csrf}` }), PASSED);
  for (let i = 0; i < 100; i++) assert.equal(await attempt(a.jar, { csrf, headers }), PASSED);

  const other = await d.csrf(b.jar);
  assert.equal(await attempt(b.jar, { csrf, headers }), 403, 'of another session');
  assert.equal(await attempt(a.jar, { csrf: other, headers: form, body: `csrf=${csrf}` }), 403, 'two that differ');
  assert.equal(await attempt(a.jar, { csrf, headers: json, body: JSON.stringify({ csrf: other }) }), 403, 'two that differ');
  assert.equal(await attempt(a.jar, { headers, target: `${nothing}?csrf=${csrf}` }), 403, 'in the query');
  assert.equal(await attempt(a.jar, { headers: { ...headers, cookie: `${a.jar.header().cookie}; csrf=${csrf}` } }), 403, 'in a cookie');
  assert.equal(await attempt(a.jar, { headers: { ...headers, 'x-csrf-token': [csrf, csrf] } }), 403, 'twice');
  for (let i = 0; i < csrf.length; i += 3) {
    const flipped = csrf.slice(0, i) + (csrf[i] === 'A' ? 'B' : 'A') + csrf.slice(i + 1);
    assert.equal(await attempt(a.jar, { csrf: flipped, headers }), 403, `position ${i}`);
  }
});

test('CS-2: it dies with the events of LC-1, and the one of the sign-in page with the sign-in', async () => {
  const jar = new Jar();
  const page = await d.get('/auth/login', { jar });
  const early = /name="csrf" value="([^"]+)"/.exec(page.body)[1];
  const res = await d.post('/auth/login', { csrf: early, user: 'mara', password }, { jar, headers: { 'sec-fetch-site': 'same-origin' } });
  assert.equal(res.status, 303);
  const headers = { origin: ours };
  assert.equal(await attempt(jar, { csrf: early, headers }), 403);
  const csrf = await d.csrf(jar);
  assert.equal(await attempt(jar, { csrf, headers }), PASSED);
  assert.equal((await d.postJson('/auth/reauth', { password, csrf }, { jar })).status, 200);
  assert.equal(await attempt(jar, { csrf, headers }), 403);
  assert.equal(await attempt(jar, { csrf: await d.csrf(jar), headers }), PASSED);
});

test('CS-3: each delivery is masked anew and never compressed', async () => {
  const { jar } = await plant(d);
  const seen = new Set();
  for (let i = 0; i < 100; i++) {
    const res = await d.get('/auth/csrf', { jar, headers: { 'accept-encoding': 'gzip, br' } });
    assert.equal(res.headers['content-encoding'], undefined);
    seen.add(res.json().csrf);
  }
  assert.equal(seen.size, 100);
  for (const csrf of seen) assert.equal(await attempt(jar, { csrf, headers: { origin: ours } }), PASSED);
});

test('CS-4: an Origin counts only if it is exactly ours', async () => {
  assert.ok(refusedOrigins.length >= 40);
  const { jar } = await plant(d);
  const csrf = await d.csrf(jar);
  for (const origin of refusedOrigins)
    assert.equal(await attempt(jar, { csrf, headers: { origin: Buffer.from(origin).toString('latin1') } }), 403, origin);
  assert.equal(await attempt(jar, { csrf, headers: { origin: ours } }), PASSED);
  assert.equal(await attempt(jar, { csrf, headers: { origin: [ours, ours] } }), 403, 'twice');
});

test('CS-4: without Origin the Referer decides; Host and X-Forwarded-Host never do', async () => {
  const { jar } = await plant(d);
  const csrf = await d.csrf(jar);
  const json = { 'content-type': 'application/json' };
  const cases = [
    [{ referer: `${ours}/page?x=1` }, PASSED], [{ referer: 'https://evil.example/https://app.example/' }, 403],
    [{ referer: 'https://app.example.evil.example/' }, 403], [{ referer: 'http://app.example/' }, 403],
    [{ origin: 'null', referer: `${ours}/` }, 403], [{ origin: 'null', referer: `${ours}/`, 'sec-fetch-site': 'same-origin' }, PASSED],
    [{ origin: 'https://evil.example', referer: `${ours}/` }, 403], [{}, 403], [{ 'content-type': 'application/x-www-form-urlencoded' }, 403],
    [json, PASSED], [{ ...json, 'sec-fetch-mode': 'cors' }, 403], [{ ...json, origin: 'null' }, PASSED],
    [{ origin: 'https://evil.example', host: 'evil.example' }, 403],
    [{ origin: 'https://evil.example', 'x-forwarded-host': 'evil.example' }, 403], [{ origin: ours, host: 'evil.example' }, PASSED],
  ];
  for (const [headers, expected] of cases) {
    const body = headers['content-type']?.endsWith('json') ? '{}' : undefined;
    assert.equal(await attempt(jar, { csrf, headers, body }), expected, JSON.stringify(headers));
  }
});

test('CS-5: fetch metadata: foreign and sibling sites are refused, unknown values fall back', async () => {
  const { jar } = await plant(d);
  const csrf = await d.csrf(jar);
  const verdicts = { 'same-origin': PASSED, none: PASSED, 'same-site': 403, 'cross-site': 403, garbage: PASSED, 'Cross-Site': PASSED };
  for (const [site, expected] of Object.entries(verdicts))
    for (const mode of ['navigate', 'cors', 'no-cors', 'same-origin', undefined]) {
      const headers = { origin: ours, 'sec-fetch-site': site, ...(mode ? { 'sec-fetch-mode': mode } : {}) };
      assert.equal(await attempt(jar, { csrf, headers }), expected, `${site} ${mode}`);
      assert.equal(await attempt(jar, { csrf, headers: { ...headers, origin: 'https://evil.example' } }), 403);
      const safe = await d.get('/auth/csrf', { jar, headers });
      assert.equal(safe.status, 200);
      assert.match(safe.headers.vary, /Sec-Fetch-Site/);
    }
  assert.equal(await attempt(jar, { csrf, headers: { 'sec-fetch-site': 'same-origin' } }), PASSED);
  assert.equal(await attempt(jar, { csrf, headers: { origin: ours, 'sec-fetch-site': ['same-origin', 'cross-site'] } }), 403);
  const sibling = await Proxied.start({ config: 'csrf:\n  allow-same-site: true\n', origins: ['https://sibling.example'] });
  try {
    const own = await plant(sibling);
    const token = await sibling.csrf(own.jar);
    const send = (headers) => sibling.get(nothing, { jar: own.jar.clone(), method: 'POST', headers: { 'x-csrf-token': token, ...headers } }).then((r) => r.status);
    assert.equal(await send({ origin: 'https://sibling.example', 'sec-fetch-site': 'same-site' }), PASSED);
    assert.equal(await send({ origin: 'https://other.example', 'sec-fetch-site': 'same-site' }), 403);
    assert.equal(await send({ origin: ours, 'sec-fetch-site': 'cross-site' }), 403);
  } finally {
    await sibling.stop();
  }
});

test('CS-6: the sign-in form cannot be forged, costs no store write, and its cookie is no session', async () => {
  const before = await stored(d);
  const writes = await storeOps(d, ['insert', 'replace', 'remove']);
  const attacks = [{ origin: 'https://evil.example' }, { origin: 'null', 'sec-fetch-site': 'cross-site' }, { origin: ours, 'sec-fetch-site': 'cross-site' }, { origin: ours }];
  for (const headers of attacks) {
    const res = await d.post('/auth/login', { user: 'mara', password }, { headers });
    assert.equal(res.status, 403, JSON.stringify(headers));
    assert.ok(!res.cookies.some((c) => c.startsWith('__Host-id=')));
  }
  const jar = new Jar();
  for (let i = 0; i < 200; i++) {
    const res = await d.get('/auth/login', i % 2 ? { jar } : {});
    assert.match(res.cookies[0] ?? '__Host-id-pre=', /^__Host-id-pre=/);
  }
  const pre = jar.map.get('__Host-id-pre');
  const age = /Max-Age=(\d+)/.exec((await d.get('/auth/login')).cookies[0])[1];
  assert.ok(Number(age) <= 600);
  assert.equal(await stored(d), before);
  assert.equal(await storeOps(d, ['insert', 'replace', 'remove']), writes);
  assert.equal(await status(d, jarOf(d, pre)), 401);
  const csrf = /name="csrf" value="([^"]+)"/.exec((await d.get('/auth/login', { jar })).body)[1];
  assert.equal((await d.post('/auth/login', { user: 'mara', password, csrf }, {})).status, 403, 'without the pre-session');
  assert.equal((await d.post('/auth/login', { user: 'mara', password, csrf }, { jar })).status, 303);
  assert.equal(await status(d, jarOf(d, pre)), 401);
});

test('CS-7: other body types are refused, safe methods change nothing, no method is overridden', async () => {
  const { jar } = await plant(d);
  const before = await stored(d);
  for (const type of ['text/plain', 'multipart/form-data; boundary=x', 'application/xml', 'application/jsonx', undefined])
    for (const route of unsafe) {
      const headers = { origin: ours, ...(type ? { 'content-type': type } : {}) };
      const res = await d.get(concrete(route.path), { jar: jar.clone(), method: 'POST', headers }, '{"user":"mara"}');
      assert.equal(res.status, 415, `${route.path} ${type}`);
    }
  for (const route of publicRoutes())
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const override = { 'x-http-method-override': 'POST', 'x-method-override': 'POST', 'x-http-method': 'DELETE' };
      await d.get(`${concrete(route.path)}?_method=POST`, { jar: jar.clone(), method, headers: { origin: ours, ...override } });
    }
  assert.equal((await d.get('/auth/logout', { jar, headers: { 'x-http-method-override': 'POST' } })).status, 405);
  assert.equal(await stored(d), before);
  assert.equal(await status(d, jar), 200);
});
