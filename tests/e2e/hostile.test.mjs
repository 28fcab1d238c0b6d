// SPDX-License-Identifier: Apache-2.0
// What a careful reader tried: names that are hard to spell, questions that are not meant, sessions
// that meet in one browser, and settings that wait for a restart.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, Jar, password, run, sleep } from './lib.mjs';
import { strangeToken } from './routes.mjs';

let d;
before(async () => {
  d = await Daemon.start({ config: 'throttle:\n  attempts-per-minute: 8000\nsession:\n  per-user: 0\n' });
  await d.addUser();
  await d.addUser('olga', []);
});
after(() => d.stop());

const status = async (jar, query = '') => (await d.get(`/auth/verify${query}`, { jar: jar.clone() })).status;

async function signedIn(user = 'mara') {
  const jar = new Jar();
  assert.equal((await d.signIn(jar, { user })).status, 200);
  return jar;
}

const handleOf = async (jar) => (await d.get('/auth/verify', { jar })).headers['x-auth-session'];

test('data of a session does not pass to another user who signs in over it', async () => {
  const jar = await signedIn();
  const handle = await handleOf(jar);
  assert.equal((await d.ask('PATCH', `/v1/sessions/${handle}/data`, { cart: ['secret of mara'] })).status, 200);
  await d.signIn(jar, { user: 'olga' });
  const other = (await d.ask('GET', `/v1/sessions/${await handleOf(jar)}`)).json();
  assert.equal(other.user, 'olga');
  assert.deepEqual(other.data, {});
});

test('data of a visitor, and of the same user, is kept across a sign-in', async () => {
  const made = await d.ask('POST', '/v1/sessions', { data: { cart: [1] } });
  assert.equal(made.status, 201);
  const jar = new Jar();
  jar.take({ cookies: [made.json().set_cookie] });
  for (let i = 0; i < 2; i++) {
    assert.equal((await d.signIn(jar)).status, 200);
    assert.deepEqual((await d.ask('GET', `/v1/sessions/${await handleOf(jar)}`)).json().data, { cart: [1] });
  }
});

test('LC-11: an account is disabled by either spelling of its name, and its sessions end', async () => {
  const nfc = 'jos\u00e9', nfd = 'jose\u0301';
  await d.addUser(nfd);
  for (const end of [
    () => d.ask('POST', `/v1/users/${encodeURIComponent(nfd)}/end-sessions`),
    () => d.ask('POST', `/v1/accounts/${encodeURIComponent(nfd)}/roles`, { roles: ['staff'] }),
    () => d.ask('POST', `/v1/accounts/${encodeURIComponent(nfd)}/password`, { password }),
    () => d.ask('POST', `/v1/accounts/${encodeURIComponent(nfd)}/disable`),
  ]) {
    const jar = await signedIn(nfc);
    assert.equal(await status(jar), 200);
    assert.equal((await end()).status, 204);
    assert.equal(await status(jar), 401, end.toString());
  }
});

test('LC-11: accounts and users of any valid name can be shown, disabled and ended by path', async () => {
  for (const name of ['..', '.', 'a/b', '../x', 'a%2fb', 'a\\b', 'https://idp.example/users/5', "o'neil", 'a"b', 'a?b', 'a#b', 'AAAAAAAAAAAAAAAAAAAAAA']) {
    const path = name.replaceAll('.', '%2E') === name ? encodeURIComponent(name) : encodeURIComponent(name).replaceAll('.', '%2E');
    await d.addUser(name);
    const jar = await signedIn(name);
    const shown = await d.ask('GET', `/v1/accounts/${path}`);
    assert.equal(shown.status, 200, name);
    assert.equal(shown.json().name, name);
    assert.equal((await d.ask('GET', `/v1/users/${path}/sessions`)).json().sessions.length, 1, name);
    const done = run(['user', 'disable', '--config', d.file, '--', name]);
    assert.equal(done.status, 0, `${name}: ${done.stderr}`);
    assert.equal(await status(jar), 401, name);
    const event = d.events('admin_action').findLast((e) => e.reason === '/v1/accounts/{name}/disable');
    assert.equal(event?.user, name);
  }
  for (const bad of ['/v1/accounts/%00', '/v1/accounts/a%0Ab', '/v1/accounts/%4', '/v1/accounts/../status', '/v1//status'])
    assert.equal((await d.ask('GET', bad)).status, 400, bad);
});

test('verify says yes to no question that it does not understand whole', async () => {
  const jar = await signedIn('olga');
  for (const query of ['?role=', '?role= ', '?role=admin ', '?role=admin  staff', '?rôle=admin', '?roles=admin', '?Role=admin', '?role=admin&x=1', '?optional=', '?optional=false', '?background=perhaps', '?max-age=5', '?max_age=', `?role=${'a'.repeat(7000)}`])
    for (const who of [jar, new Jar()]) assert.equal(await status(who, encodeURI(query)), 400, query);
  assert.equal(await status(jar, '?role=admin'), 403);
  assert.equal(await status(jar, '?optional=no'), 200);
  assert.equal(await status(new Jar(), '?optional=no'), 401);
  assert.equal(await status(new Jar(), '?optional=yes'), 200);
});

test('LC-4: sign-in and sign-out that are refused do not count as activity', async () => {
  const jar = await signedIn();
  const handle = await handleOf(jar);
  const seen = async () => (await d.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
  const first = await seen();
  await sleep(2100);
  assert.equal((await d.post('/auth/logout', { csrf: 'no' }, { jar: jar.clone() })).status, 403);
  assert.equal((await d.post('/auth/login', { csrf: 'no', user: 'mara', password }, { jar: jar.clone() })).status, 403);
  assert.equal(await seen(), first);
  assert.equal(await status(jar), 200);
  assert.ok((await seen()) > first);
});

test('CK-3: a sign-out that cannot tell which session is meant does not claim to have ended it', async () => {
  const one = await signedIn(), two = await signedIn();
  const both = { cookie: `id=${one.map.get('id')}; id=${two.map.get('id')}` };
  const res = await d.postJson('/auth/logout', {}, { headers: both });
  assert.equal(res.status, 400);
  assert.equal(res.json().error.code, 'cookie_ambiguous');
  assert.equal(await status(one), 200);
  assert.equal(await status(two), 200);
});

test('a session without a user ends no session of anybody', async () => {
  const victim = await signedIn();
  const made = (await d.ask('POST', '/v1/sessions', {})).json();
  const jar = new Jar();
  jar.take({ cookies: [made.set_cookie] });
  const renewed = await d.ask('POST', '/v1/renew', { token: jar.map.get('id'), reauthenticated: true });
  assert.equal(renewed.status, 201);
  jar.take({ cookies: [renewed.json().set_cookie] });
  const csrf = await d.csrf(jar);
  const res = await d.postJson(`/auth/sessions/${await handleOf(victim)}/end`, { csrf }, { jar });
  assert.equal(res.status, 404);
  assert.equal(await status(victim), 200);
  for (const path of ['/auth/', '/auth/session', '/auth/sessions', '/auth/reauth', '/auth/password', '/auth/login', '/auth/csrf'])
    assert.ok((await d.get(path, { jar: jar.clone() })).status < 500, path);
  for (const [path, body] of [['/auth/reauth', { password }], ['/auth/password', { password, new: 'another long one 44' }]])
    assert.equal((await d.postJson(path, { csrf, ...body }, { jar: jar.clone() })).status, 401, path);
});

test('UP-5: a setting that waits for a restart stays as it is when the configuration is read again', async () => {
  const own = await Daemon.start();
  try {
    await own.addUser();
    const jar = new Jar();
    await own.signIn(jar);
    const text = readFileSync(own.file, 'utf8');
    writeFileSync(own.file, text.replace('name: id', 'name: other').replace('allow-root: true', 'allow-root: true\n  base-path: /elsewhere'));
    assert.equal((await own.ask('POST', '/v1/reload')).status, 204);
    assert.equal((await own.get('/auth/verify', { jar })).status, 200);
    const res = await own.get('/auth/verify', {});
    assert.equal(res.headers['x-auth-login'], `${own.origin}/auth/login`);
    const fresh = new Jar();
    assert.equal((await own.signIn(fresh)).status, 200);
    assert.ok(fresh.map.has('id'));
    for (let i = 0; i < 2; i++) assert.equal((await own.ask('POST', '/v1/reload')).status, 204);
    assert.equal((await own.get('/auth/verify', { jar })).status, 200);
  } finally {
    await own.stop();
  }
});

test('a name with NUL does not cut the list that an operator sees', async () => {
  assert.equal((await d.ask('POST', '/v1/sessions', { user: 'nul\0name' })).status, 201);
  const done = run(['session', 'list', '--config', d.file, '--json']);
  assert.equal(done.status, 0);
  assert.ok(JSON.parse(done.stdout).some((s) => s.user === 'nul\0name'));
});

test('lists longer than an answer come in pages: 60 devices with long texts', async () => {
  const jar = await signedIn('olga');
  const agent = `Mozilla/5.0 (${'<'.repeat(200)}) Firefox/150.0`;
  for (let i = 0; i < 60; i++)
    assert.equal((await d.ask('POST', '/v1/sessions', { user: 'olga', user_agent: agent, address: '2001:db8::1', data: { text: '\u0001'.repeat(600) } })).status, 201);
  const res = await d.get('/auth/sessions', { jar, headers: { accept: 'text/html' } });
  assert.equal(res.status, 200);
  assert.match(res.body, /after=/);
  const list = run(['session', 'list', '--config', d.file, '--json', '--user', 'olga']);
  assert.equal(list.status, 0, `${list.signal} ${list.stderr}`);
  assert.equal(JSON.parse(list.stdout).filter((s) => s.user_agent === agent).length, 60);
});

test('CO-3: with CORS configured, reading from an origin that is not listed is refused and no activity', async () => {
  const own = await Daemon.start({ config: 'cors:\n  origins: [https://friend.example]\n' });
  try {
    await own.addUser();
    const jar = new Jar();
    await own.signIn(jar);
    const handle = (await own.get('/auth/verify', { jar })).headers['x-auth-session'];
    const seen = async () => (await own.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
    const first = await seen();
    await sleep(2100);
    for (const origin of ['https://evil.example', 'null', 'https://friend.example.evil.example'])
      assert.equal((await own.get('/auth/session', { jar: jar.clone(), headers: { origin } })).status, 403, origin);
    assert.equal(await seen(), first);
    for (const headers of [{}, { origin: own.origin }, { origin: 'https://friend.example' }])
      assert.equal((await own.get('/auth/session', { jar: jar.clone(), headers })).status, 200);
  } finally {
    await own.stop();
  }
});

test('ID-7: unknown cookies from one address keep nobody there from signing in or out', async () => {
  const own = await Daemon.start();
  try {
    await own.addUser();
    for (let i = 0; i < 40; i++) await own.get('/auth/verify', { headers: { cookie: `id=${strangeToken()}` } });
    const jar = new Jar();
    jar.map.set('id', strangeToken());
    assert.equal((await own.get('/auth/verify', { jar })).status, 429);
    assert.equal((await own.get('/auth/login', { jar: jar.clone() })).status, 200);
    assert.equal((await own.postJson('/auth/logout', {}, { jar: jar.clone() })).status, 200);
    assert.equal((await own.signIn(jar)).status, 200);
    assert.equal((await own.get('/auth/verify', { jar })).status, 200);
  } finally {
    await own.stop();
  }
});
