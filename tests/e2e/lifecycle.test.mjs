// SPDX-License-Identifier: Apache-2.0
// Sessions begin, change hands with their privileges, are listed and ended.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, Jar, password, until } from './lib.mjs';
import { jarOf, plant, status, strangeToken } from './routes.mjs';

let d;
before(async () => {
  d = await Daemon.start({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
  await d.addUser();
});
after(() => d.stop());

const handleOf = (token) => Buffer.from(token, 'base64url').subarray(0, 16).toString('base64url');
const cookieOf = (res) => res.json().set_cookie.split('; ')[0].slice('id='.length);

async function replaced(before, afterwards) {
  assert.notEqual(afterwards, before);
  assert.equal(await status(d, jarOf(d, before)), 401);
  assert.equal((await d.ask('GET', `/v1/sessions/${handleOf(before)}`)).status, 404);
}

test('LC-1: each of five events gives a new token and kills the former one at once', async () => {
  const jar = new Jar();
  await d.signIn(jar);
  const planted = jar.map.get('id');

  await d.signIn(jar); /* authentication */
  const second = jar.map.get('id');
  await replaced(planted, second);

  const confirmed = await d.postJson('/auth/reauth', { password, csrf: await d.csrf(jar) }, { jar });
  assert.equal(confirmed.status, 200); /* re-authentication */
  const third = jar.map.get('id');
  await replaced(second, third);

  const stepped = await d.ask('POST', '/v1/renew', { token: third, reauthenticated: true, methods: ['pwd', 'otp'] });
  assert.equal(stepped.status, 201, stepped.body); /* step-up by the application */
  const fourth = cookieOf(stepped);
  await replaced(third, fourth);

  const roles = await d.ask('POST', '/v1/renew', { token: fourth, roles: ['admin', 'auditor'] });
  assert.equal(roles.status, 201); /* role change */
  const fifth = cookieOf(roles);
  await replaced(fourth, fifth);
  jar.map.set('id', fifth);
  assert.equal(decodeURIComponent((await d.get('/auth/verify', { jar })).headers['x-auth-roles']), 'admin auditor');

  const other = 'another kettle ramp 94';
  const changed = await d.postJson('/auth/password', { password, new: other, csrf: await d.csrf(jar) }, { jar });
  assert.equal(changed.status, 200, changed.body);
  const sixth = jar.map.get('id');
  await replaced(fifth, sixth);
  assert.equal(await status(d, jar), 200);
  await d.ask('POST', '/v1/accounts/mara/password', { password });
  assert.equal(await status(d, jar), 401);
});

test('LC-1: a role change of the account ends the sessions that carry the former roles', async () => {
  const { jar } = await plant(d);
  assert.equal(await status(d, jar), 200);
  assert.equal((await d.ask('POST', '/v1/accounts/mara/roles', { roles: ['reader'] })).status, 204);
  assert.equal(await status(d, jar), 401);
  await d.ask('POST', '/v1/accounts/mara/roles', { roles: ['admin'] });
});

test('LC-4: what is no activity leaves the last use alone', async () => {
  const { jar, handle } = await plant(d);
  const csrf = await d.csrf(jar);
  const seen = async () => (await d.ask('GET', `/v1/sessions/${handle}`)).json().seen_ms;
  await sleep(1100);
  const before = await seen();
  await sleep(1100);
  await d.get('/auth/sessions', { jar, method: 'OPTIONS', headers: { origin: 'https://other.example', 'access-control-request-method': 'POST' } });
  assert.equal((await d.post('/auth/logout-all', { csrf: 'wrong' }, { jar })).status, 403);
  assert.equal((await d.post('/auth/logout-all', { csrf }, { jar, headers: { origin: 'https://other.example' } })).status, 403);
  assert.equal((await d.get('/auth/verify?background=yes', { jar })).status, 200);
  assert.equal((await d.ask('POST', '/v1/check', { token: jar.map.get('id'), background: true })).status, 200);
  assert.equal(await seen(), before);
  assert.equal(await status(d, jar), 200);
  assert.ok(await seen() > before);
});

test('LC-8: sign-out without a session, or with a stale one, is answered alike', async () => {
  for (const jar of [new Jar(), jarOf(d, strangeToken()), jarOf(d, 'X')]) {
    const res = await d.post('/auth/logout', {}, { jar });
    assert.equal(res.status, 200);
    assert.equal(res.headers['clear-site-data'], '"cache", "storage"');
  }
});

test('LC-12: my devices offers to sign out everywhere where that is more than here', async () => {
  const mine = await plant(d, { user: 'ways' });
  const page = async (target) => {
    const res = await d.get(target, { jar: mine.jar, headers: { accept: 'text/html' } });
    assert.equal(res.status, 200);
    return { all: /action="[^"]*\/logout-all"/.test(res.body), ends: res.body.match(/\/end"/g)?.length ?? 0 };
  };
  assert.deepEqual(await page('/auth/sessions'), { all: false, ends: 0 });
  const other = await plant(d, { user: 'ways' });
  assert.deepEqual(await page('/auth/sessions'), { all: true, ends: 1 });
  assert.deepEqual(await page(`/auth/sessions?after=${other.handle}`), { all: true, ends: 0 }); // of a later page nobody knows
  await d.ask('POST', `/v1/sessions/${other.handle}/end`);
  assert.deepEqual(await page('/auth/sessions'), { all: false, ends: 0 });
});

test('LC-10: 50 sessions at once leave exactly 10, and every other one is reported', async () => {
  const made = await Promise.all(Array.from({ length: 50 }, () => plant(d, { user: 'crowd' })));
  const got = await Promise.all(made.map(({ jar }) => status(d, jar)));
  assert.equal(got.filter((s) => s === 200).length, 10);
  assert.equal(got.filter((s) => s === 401).length, 40);
  assert.equal((await d.ask('GET', '/v1/users/crowd/sessions')).json().sessions.length, 10);
  await until('40 events', () => d.events('excess_sessions_exceeded').length >= 40);
  await sleep(100);
  assert.equal(d.events('excess_sessions_exceeded').length, 40);
});

test('LC-10: limit-policy deny refuses the eleventh', async () => {
  const strict = await Daemon.start({ config: 'session:\n  limit-policy: deny\n  per-user: 2\n' });
  try {
    await strict.addUser();
    const first = await plant(strict);
    await plant(strict);
    assert.equal((await strict.ask('POST', '/v1/sessions', { user: 'mara' })).status, 409);
    const res = await strict.signIn(new Jar());
    assert.equal(res.status, 403);
    assert.equal(res.json().error.code, 'too_many_sessions');
    assert.equal(res.cookies.length, 0);
    assert.equal(await status(strict, first.jar), 200);
  } finally {
    await strict.stop();
  }
});

test('LC-11: disabling or deleting an account ends its sessions; nobody signs in', async () => {
  for (const [method, target] of [['POST', '/v1/accounts/lee/disable'], ['DELETE', '/v1/accounts/lee']]) {
    if (method === 'POST') await d.addUser('lee');
    else assert.equal((await d.ask('POST', '/v1/accounts/lee/enable')).status, 204);
    const made = await Promise.all(Array.from({ length: 8 }, () => plant(d, { user: 'lee' })));
    assert.equal((await d.ask(method, target)).status, 204);
    for (const { jar } of made) assert.equal(await status(d, jar), 401);
    assert.equal((await d.signIn(new Jar(), { user: 'lee' })).status, 401);
  }
});

test('LC-11: a password change ends all other sessions, or keeps them if asked', async () => {
  const other = 'another kettle ramp 94';
  for (const keep of [false, true]) {
    const jar = new Jar();
    await d.signIn(jar, { secret: password });
    const others = [await plant(d), await plant(d)];
    const res = await d.postJson('/auth/password', { password, new: other, keep_others: keep, csrf: await d.csrf(jar) }, { jar });
    assert.equal(res.status, 200, res.body);
    assert.equal(await status(d, jar), 200);
    for (const o of others) assert.equal(await status(d, o.jar), keep ? 200 : 401);
    await d.ask('POST', '/v1/accounts/mara/password', { password });
  }
});

test('LC-12: own sessions are listed with allowed fields only, and can be ended', async () => {
  const jar = new Jar();
  await d.ask('POST', '/v1/users/mara/end-sessions');
  await d.signIn(jar, { headers: { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0' } });
  const second = await plant(d);
  const foreign = await plant(d, { user: 'lou' });
  const res = await d.get('/auth/sessions', { jar });
  assert.equal(res.status, 200, res.body);
  const { sessions, user } = res.json();
  assert.equal(user, 'mara');
  assert.equal(sessions.length, 2);
  const allowed = ['handle', 'agent', 'address', 'current', 'created_iso', 'created_text', 'last_iso', 'last_text', 'ends_iso', 'ends_text'];
  for (const s of sessions) assert.deepEqual(Object.keys(s).sort(), [...allowed].sort());
  const mine = sessions.find((s) => s.current);
  assert.equal(mine.address, '127.0.0.1');
  assert.match(mine.agent, /^Firefox/);
  assert.doesNotMatch(mine.agent, /128|Gecko/);
  for (const secret of [jar.map.get('id'), second.token, foreign.handle, 'lou']) assert.ok(!res.body.includes(secret));
  const csrf = await d.csrf(jar);
  const end = (handle) => d.post(`/auth/sessions/${handle}/end`, { csrf }, { jar });
  assert.equal((await end(foreign.handle)).status, 404);
  assert.equal(await status(d, foreign.jar), 200);
  assert.equal((await end('nonsense')).status, 404);
  assert.equal((await end(second.handle)).status, 200);
  assert.equal(await status(d, second.jar), 401);
  assert.equal((await end(mine.handle)).status, 200);
  assert.ok(!jar.map.has('id'));
});

test('LC-12: a stale authentication asks for a step-up', async () => {
  const anonymous = await plant(d, { user: undefined, roles: [] });
  for (const target of ['/auth/sessions', '/auth/password']) {
    const res = await d.get(target, { jar: anonymous.jar });
    assert.equal(res.status, 403);
    assert.equal(res.json().error.code, 'step_up_required');
  }
  const { jar } = await plant(d);
  assert.equal((await d.get('/auth/verify?max_age=60', { jar })).status, 200);
  await sleep(1100);
  const res = await d.get('/auth/verify?max_age=1', { jar });
  assert.equal(res.status, 403);
  assert.equal(res.json().error.code, 'step_up_required');
  assert.equal(await status(d, jar), 200);
});

test('LC-12: the list goes on page by page', async () => {
  const many = await Daemon.start({ config: 'session:\n  per-user: 0\n' });
  try {
    const { jar, handle } = await plant(many);
    const all = new Set([handle]);
    for (const s of await Promise.all(Array.from({ length: 120 }, () => plant(many)))) all.add(s.handle);
    const seen = [];
    for (let after = ''; ;) {
      const page = (await many.get(`/auth/sessions${after}`, { jar })).json();
      assert.ok(page.sessions.length <= 50);
      seen.push(...page.sessions.map((s) => s.handle));
      if (!page.more) break;
      after = `?after=${page.more}`;
    }
    assert.equal(seen.length, 121);
    assert.deepEqual(new Set(seen), all);
  } finally {
    await many.stop();
  }
});

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';
const newer = firefox.replaceAll('128', '129');
const chrome = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36';

for (const [policy, expected] of [['report', 200], ['step-up', 403], ['end', 401]])
  test(`LC-13: another browser from another address under policy ${policy} -> ${expected}`, async () => {
    const one = await Daemon.start({ listener: '    dialect: forwarded\n    trusted: [127.0.0.1/32]\n', config: `session:\n  context-policy: ${policy}\n` });
    try {
      await one.addUser();
      const jar = new Jar();
      const from = (address, agent) => ({ 'x-forwarded-for': address, 'user-agent': agent, 'accept-language': 'de' });
      await one.signIn(jar, { headers: from('192.0.2.1', firefox) });
      const verify = (address, agent) => one.get('/auth/verify', { jar: jar.clone(), headers: from(address, agent) });
      assert.equal((await verify('192.0.2.1', newer)).status, 200);
      await sleep(50);
      assert.equal(one.events('session_context_changed').length, 0);
      assert.equal((await verify('198.51.100.7', firefox)).status, 200);
      await one.event('session_context_changed');
      const res = await verify('203.0.113.9', chrome);
      assert.equal(res.status, expected);
      if (expected === 403) assert.equal(res.json().error.code, 'step_up_required');
      assert.equal((await verify('198.51.100.7', firefox)).status, expected === 401 ? 401 : 200);
    } finally {
      await one.stop();
    }
  });
