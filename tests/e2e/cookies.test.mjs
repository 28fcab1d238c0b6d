// SPDX-License-Identifier: Apache-2.0
// Cookies as they go over the wire.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, Jar, password, run } from './lib.mjs';
import { Proxied, jarOf, plant, publicRoutes, concrete, rawRequest, status } from './routes.mjs';

const throttle = 'throttle:\n  attempts-per-minute: 8000\n';
let tls, plain;
before(async () => {
  tls = await Proxied.start({ config: throttle });
  plain = await Daemon.start({ config: throttle });
  await tls.addUser();
  await plain.addUser();
});
after(async () => {
  await tls.stop();
  await plain.stop();
});

const tokenRe = '[A-Za-z0-9_-]{54}';
const ofName = (res, name) => res.cookies.filter((line) => line.startsWith(`${name}=`));

test('CK-1: the default cookie, byte for byte', async () => {
  const res = await tls.signIn(new Jar());
  assert.equal(res.status, 200);
  const [line, ...more] = ofName(res, '__Host-id');
  assert.equal(more.length, 0);
  assert.match(line, new RegExp(`^__Host-id=${tokenRe}; Path=/; Secure; HttpOnly; SameSite=Lax$`));
});

test('CK-1: SameSite=Strict by configuration, on every cookie', async () => {
  const d = await Proxied.start({ config: 'cookie:\n  same-site: strict\n' });
  try {
    await d.addUser();
    const res = await d.signIn(new Jar());
    assert.match(ofName(res, '__Host-id')[0], new RegExp(`^__Host-id=${tokenRe}; Path=/; Secure; HttpOnly; SameSite=Strict$`));
    for (const line of [...res.cookies, ...(await d.get('/auth/login')).cookies]) {
      assert.match(line, /; SameSite=Strict(;|$)/);
      assert.match(line, /; Secure; HttpOnly/);
      assert.doesNotMatch(line, /Domain/i);
    }
  } finally {
    await d.stop();
  }
});

async function rawVerify(d, ...cookieLines) {
  const lines = cookieLines.map((line) => `Cookie: ${line}\r\n`).join('');
  const res = await rawRequest(d.port, `GET /auth/verify HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n${lines}\r\n`);
  return res.status;
}

test('CK-3: a __Host- cookie that comes twice is refused and reported; names keep their case', async () => {
  const { token } = await plant(tls);
  const other = (await plant(tls)).token;
  const seen = tls.events('cookie_ambiguous').length;
  assert.equal(await rawVerify(tls, `__Host-id=${token}`), 200);
  const bad = [
    [`__Host-id=${token}; __Host-id=X`], [`__Host-id=X; __Host-id=${token}`],
    [`__Host-id=${token}`, '__Host-id=X'], ['__Host-id=X', `__Host-id=${token}`],
    [`__Host-id=${token}; __Host-id=${token}`], [`__Host-id=${token}; __Host-id=${other}`],
    [`a="x; __Host-id=${other}"; __Host-id=${token}`],
  ];
  for (const lines of bad) assert.equal(await rawVerify(tls, ...lines), 401, JSON.stringify(lines));
  for (const name of ['__host-id', '__HOST-ID', '__Host-ID']) assert.equal(await rawVerify(tls, `${name}=${token}`), 401);
  assert.equal(await rawVerify(tls, 'theme=dark', `__Host-id=${token}; a=b`), 200);
  assert.equal(tls.events('cookie_ambiguous').length - seen, bad.length);
});

test('CK-3: under a name without prefix a lingering cookie does no harm, two live ones do', async () => {
  const live = (await plant(plain)).token;
  const gone = await plant(plain);
  await plain.ask('POST', `/v1/sessions/${gone.handle}/end`);
  for (const stale of [gone.token, 'X', live.slice(0, -1)]) {
    assert.equal(await status(plain, jarOf(plain, stale, live)), 200);
    assert.equal(await status(plain, jarOf(plain, live, stale)), 200);
  }
  const other = (await plant(plain)).token;
  assert.equal(await status(plain, jarOf(plain, live, other)), 401);
  assert.equal(await status(plain, jarOf(plain, live)), 200);
});

function checkLines(res, what) {
  const names = res.cookies.map((line) => line.slice(0, line.indexOf('=')));
  assert.equal(new Set(names).size, names.length, `${what}: ${names}`);
  for (const line of res.cookies) {
    assert.ok(line.split('; ')[0].length <= 4096 && line.length <= 256, `${what}: ${line.length}`);
    for (const attribute of line.split('; ').slice(1)) assert.ok(attribute.length <= 1024);
  }
}

test('CK-5: no answer sets a cookie twice: sign-in over a session, step-up, password, sign-out', async () => {
  const jar = new Jar();
  checkLines(await tls.signIn(jar), 'sign-in');
  checkLines(await tls.signIn(jar, { remember: true }), 'sign-in over a session');
  const page = await tls.get('/auth/login', {});
  checkLines(page, 'page');
  checkLines(await tls.postJson('/auth/reauth', { password, csrf: await tls.csrf(jar) }, { jar }), 'step-up');
  const other = 'another kettle ramp 94';
  checkLines(await tls.postJson('/auth/password', { password, new: other, csrf: await tls.csrf(jar) }, { jar }), 'password');
  checkLines(await tls.postJson('/auth/password', { password: other, new: password, csrf: await tls.csrf(jar) }, { jar }), 'password');
  checkLines(await tls.post('/auth/logout', { csrf: await tls.csrf(jar) }, { jar }), 'sign-out');
});

test('CK-5: the longest cookie name fits, a longer one is refused at the start', async () => {
  const check = (n) => run(['config', 'check', `--cookie.name=${'n'.repeat(n)}`]).status;
  let longest = 1;
  while (longest < 400 && check(longest + 1) === 0) longest++;
  assert.ok(longest >= 32 && longest < 256, `${longest}`);
  assert.equal(check(longest + 1), 3);
  const d = await Proxied.start({ config: `cookie:\n  name: ${'n'.repeat(longest)}\n` }).catch((error) => error);
  if (d instanceof Error) {
    assert.match(d.message, /cookie\.name/); /* the pre-session's and device's names are longer still */
    return;
  }
  try {
    await d.addUser();
    checkLines(await d.signIn(new Jar(), { remember: true }), 'longest name');
  } finally {
    await d.stop();
  }
});

test('CK-7: not persistent by default; remembered for what is left of the absolute lifetime', async () => {
  const [line] = ofName(await plain.signIn(new Jar()), 'id');
  assert.doesNotMatch(line, /Max-Age|Expires/);
  const jar = new Jar();
  const res = await plain.signIn(jar, { remember: true });
  const age = Number(/; Max-Age=(\d+)/.exec(ofName(res, 'id')[0])[1]);
  const session = (await plain.get('/auth/session', { jar })).json();
  assert.ok(age <= 24 * 3600 && age >= 24 * 3600 - 2, `${age}`);
  assert.equal(session.remember, true);
  const token = jar.map.get('id');
  await plain.ask('POST', `/v1/sessions/${Buffer.from(token, 'base64url').subarray(0, 16).toString('base64url')}/end`);
  assert.equal(await status(plain, jarOf(plain, token)), 401);
});

test('CK-6: deletion repeats the attributes, with Max-Age=0 and a past date', async () => {
  const jar = new Jar();
  await tls.signIn(jar);
  const res = await tls.post('/auth/logout', { csrf: await tls.csrf(jar) }, { jar });
  assert.deepEqual(ofName(res, '__Host-id'), ['__Host-id=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT']);
  assert.ok(!jar.map.has('__Host-id'));
});

test('CK-8: what sets or depends on a session must not be stored', async () => {
  const { jar } = await plant(tls);
  for (const route of publicRoutes()) {
    if (route.flags.includes('STATIC')) continue;
    for (const visitor of [jar.clone(), new Jar()]) {
      const res = await tls.get(concrete(route.path), { jar: visitor, method: route.method, headers: { origin: tls.origin } });
      assert.equal(res.headers['cache-control'], 'no-store', `${route.method} ${route.path}`);
    }
  }
});

test('CK-8: no cookie without TLS', async () => {
  const body = JSON.stringify({ user: 'mara', password });
  const headers = { origin: tls.origin, 'content-type': 'application/json' };
  for (const proto of ['http', undefined]) {
    const res = await Daemon.prototype.get.call(tls, '/auth/login',
      { method: 'POST', headers: { ...headers, ...(proto ? { 'x-forwarded-proto': proto } : {}) } }, body);
    assert.equal(res.status, 403);
    assert.equal(res.json().error.code, 'https_required');
    assert.equal(res.cookies.length, 0);
    const page = await Daemon.prototype.get.call(tls, '/auth/login', { headers: proto ? { 'x-forwarded-proto': proto } : {} });
    assert.equal(page.status, 403);
    assert.equal(page.cookies.length, 0);
  }
  await tls.event('https_required');
});

test('CK-8: the plaintext override is refused on a non-loopback address and with other origins', () => {
  const base = ['config', 'check', '--cookie.name=id', '--cookie.secure=false', '--cookie.allow-plaintext=true'];
  assert.equal(run([...base, '--listeners=127.0.0.1:8080', '--public.origins=http://localhost']).status, 0);
  for (const more of [['--listeners=0.0.0.0:8080', '--public.origins=http://localhost'],
    ['--listeners=192.0.2.1:8080', '--public.origins=http://localhost'], ['--listeners=[::]:8080', '--public.origins=http://localhost'],
    ['--listeners=127.0.0.1:8080', '--public.origins=http://app.example']]) {
    const res = run([...base, ...more]);
    assert.equal(res.status, 3, more.join(' '));
  }
});
