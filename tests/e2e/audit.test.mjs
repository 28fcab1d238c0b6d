// SPDX-License-Identifier: Apache-2.0
// The audit stream of a running daemon: what is in it, once, in which form, and when it is blocked.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, Jar, password, sleep, until } from './lib.mjs';
import { jarOf, plant, rawRequest, status, strangeToken, trusted } from './routes.mjs';

const other = 'another kettle ramp 94';
let d;
before(async () => {
  d = await Daemon.start({
    listener: trusted,
    config: 'throttle:\n  attempts-per-minute: 8000\n  failures-unknown: 2\n  failures-known: 20\nsession:\n  per-user: 3\ncors:\n  origins: [https://spa.example]\n',
  });
  await d.addUser();
  await until('its event', () => d.events('account_created').length === 1);
});
after(() => d.stop());

let address = 1;
const from = () => ({ 'x-forwarded-for': `198.51.100.${address++}` });
const counts = () => d.events().reduce((sum, e) => ({ ...sum, [e.event]: (sum[e.event] ?? 0) + 1 }), {});

/** Exactly these events come of it, and no others. */
async function causes(expected, act) {
  const had = counts();
  await act();
  const diff = () => Object.fromEntries(Object.entries(counts()).map(([k, n]) => [k, n - (had[k] ?? 0)]).filter(([, n]) => n !== 0));
  const same = () => JSON.stringify(Object.entries(diff()).sort()) === JSON.stringify(Object.entries(expected).sort());
  await until('events', same, 1500).catch(() => {});
  await sleep(60);
  assert.deepEqual(diff(), expected);
}

const signedIn = async () => {
  const jar = new Jar();
  await d.signIn(jar);
  return jar;
};
const fail = (user, secret = 'not the password', headers = from()) => d.signIn(new Jar(), { user, secret, headers });
const account = (name) => d.ask('POST', '/v1/accounts', { name, password });

const scenarios = {
  'nothing for what is ordinary': [{}, async () => { for (const t of ['/auth/login', '/auth/verify', '/auth/session', '/auth/nothing']) await d.get(t); await d.get('/auth/login', { jar: jarOf(d, 'X') }); }],
  'sign-in': [{ login_success: 1, session_created: 1 }, signedIn],
  'sign-in over a session': [{ login_success: 2, session_created: 2, session_logged_out: 1 }, async () => { const jar = await signedIn(); await d.signIn(jar); }],
  'wrong password': [{ login_failure: 1 }, () => fail('mara')],
  'success after failures': [{ login_success: 1, login_success_after_failures: 1, session_created: 1 }, signedIn],
  'unknown user': [{ login_failure: 1 }, () => fail('nobody-here')],
  'locked': [{ admin_action: 1, account_created: 1, login_failure: 3, login_locked: 1 }, async () => { await account('locks'); for (let i = 0; i < 3; i++) await fail('locks'); }],
  'throttled by network': [{ login_failure: 10, login_throttled: 1 }, async () => { const where = from(); for (let i = 0; i < 12; i++) await fail(`spray${i}`, 'x y z', where); }],
  'sign-out': [{ admin_action: 1, session_created: 1, session_logged_out: 1 }, async () => { const { jar } = await plant(d, { user: 'out' }); await d.post('/auth/logout', { csrf: await d.csrf(jar) }, { jar }); }],
  'revoked by an administrator': [{ admin_action: 2, session_created: 1, session_revoked: 1 }, async () => { const s = await plant(d, { user: 'rev' }); await d.ask('POST', `/v1/sessions/${s.handle}/end`); }],
  'all of a user': [{ admin_action: 2, session_created: 1, session_revoked: 1 }, async () => { await plant(d, { user: 'rev' }); await d.ask('POST', '/v1/users/rev/end-sessions'); }],
  'use after the end': [{ admin_action: 2, session_created: 1, session_revoked: 1, session_use_after_expire: 1 },
    async () => { const s = await plant(d, { user: 'late' }); await d.ask('POST', `/v1/sessions/${s.handle}/end`); await status(d, s.jar); }],
  'renewed': [{ admin_action: 2, session_created: 1, session_renewed: 1 }, async () => { const s = await plant(d, { user: 'ren' }); await d.ask('POST', '/v1/renew', { token: s.token }); }],
  'too many sessions': [{ admin_action: 4, session_created: 4, excess_sessions_exceeded: 1 }, async () => { for (let i = 0; i < 4; i++) await plant(d, { user: 'many' }); }],
  'unknown token': [{ session_unknown_token: 1 }, () => d.get('/auth/verify', { jar: jarOf(d, strangeToken()), headers: from() })],
  'guesses': [{ session_unknown_token: 19, token_guessing: 1 }, async () => { const headers = from(); for (let i = 0; i < 25; i++) await d.get('/auth/verify', { jar: jarOf(d, strangeToken()), headers }); }],
  'context changed': [{ admin_action: 1, session_created: 1, session_context_changed: 1 }, async () => {
    const s = await plant(d, { user: 'ctx', address: '192.0.2.1', user_agent: 'Mozilla/5.0 Firefox/128.0' });
    await d.get('/auth/verify', { jar: s.jar, headers: { 'x-forwarded-for': '198.51.100.250', 'user-agent': 'Mozilla/5.0 Firefox/128.0' } });
  }],
  'wrong channel': [{ admin_action: 1, session_created: 1, token_wrong_channel: 1 }, async () => { const s = await plant(d, { user: 'chan' }); await d.get('/auth/verify', { headers: { authorization: `Bearer ${s.token}` } }); }],
  'ambiguous cookie': [{ admin_action: 2, session_created: 2, cookie_ambiguous: 1 }, async () => { const a = await plant(d, { user: 'amb' }); const b = await plant(d, { user: 'amb' }); await d.get('/auth/verify', { jar: jarOf(d, a.token, b.token) }); }],
  'foreign origin': [{ csrf_refused: 1 }, () => d.post('/auth/logout', {}, { headers: { 'sec-fetch-site': 'cross-site' } })],
  'CSRF token missing': [{ admin_action: 1, session_created: 1, csrf_refused: 1 }, async () => { const s = await plant(d, { user: 'csrf' }); await d.post('/auth/logout', {}, { jar: s.jar }); }],
  'form of sign-in forged': [{ csrf_refused: 1 }, () => d.post('/auth/login', { user: 'mara', password })],
  'CORS': [{ cors_refused: 1 }, () => d.get('/auth/logout', { method: 'POST', headers: { origin: 'https://evil.example' } })],
  'preflight': [{ cors_refused: 1 }, () => d.get('/auth/logout', { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } })],
  'header trust': [{ header_trust_refused: 1 }, () => d.get('/auth/verify', { headers: { 'x-forwarded-uri': '/a', 'x-original-uri': '/b' } })],
  'step-up asked for': [{ admin_action: 1, session_created: 1, step_up_required: 1 }, async () => { const s = await plant(d, { user: undefined }); await d.get('/auth/sessions', { jar: s.jar }); }],
  'step-up failed': [{ login_success: 1, session_created: 1, step_up_failure: 1 }, () => d.ask('POST', '/v1/users/mara/end-sessions'), async () => { const jar = await signedIn(); await d.postJson('/auth/reauth', { password: 'not the password', csrf: await d.csrf(jar) }, { jar }); }],
  'step-up done': [{ login_success: 1, session_created: 1, step_up_success: 1, session_renewed: 1 }, () => d.ask('POST', '/v1/users/mara/end-sessions'), async () => { const jar = await signedIn(); await d.postJson('/auth/reauth', { password, csrf: await d.csrf(jar) }, { jar }); }],
  'account added': [{ admin_action: 1, account_created: 1 }, () => account('life')],
  'roles': [{ admin_action: 1, account_changed: 1, session_revoked: 1 }, () => d.ask('POST', '/v1/accounts/life/roles', { roles: ['x'] })],
  'password set': [{ admin_action: 1, password_changed: 1 }, () => d.ask('POST', '/v1/accounts/life/password', { password: other, keep_sessions: true })],
  'disabled': [{ admin_action: 1, account_disabled: 1, session_revoked: 1 }, () => d.ask('POST', '/v1/accounts/life/disable')],
  'enabled': [{ admin_action: 1, account_changed: 1 }, () => d.ask('POST', '/v1/accounts/life/enable')],
  'deleted': [{ admin_action: 1, account_changed: 1, session_revoked: 1 }, () => d.ask('DELETE', '/v1/accounts/life')],
  'keys': [{ admin_action: 1, key_changed: 1 }, () => d.ask('POST', '/v1/keys/rotate')],
  'reload': [{ admin_action: 1, config_changed: 1 }, () => d.ask('POST', '/v1/reload')],
  'reload by signal': [{ config_changed: 1 }, () => d.signal('SIGHUP')],
};

for (const [what, [expected, first, second]] of Object.entries(scenarios))
  test(`AU-3: exactly once: ${what}`, async () => {
    if (second) await first();
    await sleep(second ? 80 : 0);
    await causes(expected, second ?? first);
  });

test('AU-3: configuration that does not load, plain http, start, stop, crash', async () => {
  const good = readFileSync(d.file, 'utf8');
  writeFileSync(d.file, `${good}\nnonsense: 1\n`);
  await causes({ config_changed: 1 }, () => d.signal('SIGHUP'));
  assert.equal(d.events('config_changed').at(-1).outcome, 'failure');
  writeFileSync(d.file, good);
  const one = await Daemon.start({ plain: false, origin: 'https://app.example', listener: trusted });
  await one.get('/auth/login');
  await one.event('https_required');
  await one.down();
  await one.up();
  await until('the second start is logged', () => one.events('server_start').length === 2);
  await one.down('SIGKILL');
  await one.up();
  await one.down();
  const order = one.events().map((e) => e.event).filter((e) => e.startsWith('server_'));
  assert.deepEqual(order, ['server_start', 'server_stop', 'server_start', 'server_start', 'server_crash', 'server_stop']);
  assert.equal(one.events('https_required').length, 1);
  await one.stop();
});

test('AU-2: every event has every field, and they say what is true', async () => {
  const events = d.events();
  assert.ok(events.length > 100);
  const names = ['ts', 'level', 'event', 'outcome', 'reason', 'user', 'client', 'session', 'request_id', 'instance'];
  for (const event of events) {
    assert.deepEqual(Object.keys(event).filter((k) => k !== 'count'), names, JSON.stringify(event));
    assert.match(event.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(['success', 'failure'].includes(event.outcome));
    if (event.session !== null) assert.match(event.session, /^[0-9a-f]{16,}$/);
    if (event.request_id !== null) assert.match(event.request_id, /^[0-9a-f]{16}$/);
    assert.ok(event.instance.length > 0);
  }
  const with_ = (type) => events.filter((e) => e.event === type);
  for (const type of ['login_success', 'login_failure', 'csrf_refused', 'step_up_success', 'session_logged_out', 'session_context_changed', 'token_wrong_channel'])
    for (const event of with_(type)) assert.ok(event.client !== null && event.request_id !== null, JSON.stringify(event));
  for (const type of ['login_failure', 'csrf_refused', 'cors_refused', 'session_unknown_token', 'token_guessing', 'step_up_failure', 'session_use_after_expire'])
    for (const event of with_(type)) assert.equal(event.outcome, 'failure', JSON.stringify(event));
  for (const type of ['login_success', 'session_created', 'step_up_success', 'session_logged_out', 'admin_action'])
    for (const event of with_(type)) assert.equal(event.outcome, 'success', JSON.stringify(event));
});

test('AU-2: the digest follows one session, tells deployments apart, and addresses nothing', async () => {
  const s = await plant(d, { user: 'digest' });
  await d.post('/auth/logout-all', {}, { jar: s.jar });
  await d.get('/auth/verify', { jar: jarOf(d, s.token), headers: { 'x-forwarded-for': '203.0.113.200' } });
  await d.ask('POST', `/v1/sessions/${s.handle}/end`);
  await sleep(60);
  const mine = d.events().filter((e) => e.user === 'digest' && e.session !== null);
  assert.ok(mine.length >= 3);
  assert.equal(new Set(mine.map((e) => e.session)).size, 1);
  const raw = Buffer.from(s.handle, 'base64url').toString('hex');
  assert.ok(!raw.includes(mine[0].session));
  assert.equal((await d.ask('GET', `/v1/sessions/${mine[0].session}`)).status, 404);
});

test('AU-4: hostile bytes stay within one line and can be read back', async () => {
  const lines = () => readFileSync(d.log, 'utf8').split('\n').filter(Boolean);
  const names = ['a\r\nb', 'a\n{"event":"login_success"}', '\u2028\u2029', '\x1b[31mred', '"quoted"', '\\', '\x7f\x80', 'é日本🙂', '\t', 'a\0b', "'", '{}', '%0a', '\u202e', '\ufeff', 'x'.repeat(128), '<script>', '\x85', '\ud7ff', '=', ',', 'a b'];
  const had = d.events('login_failure').length;
  for (const name of names) await d.signIn(new Jar(), { user: name, secret: 'not the password', headers: from() });
  await until('events', () => d.events('login_failure').length === had + names.length);
  assert.deepEqual(d.events('login_failure').slice(had).map((e) => e.user), names);
  for (let i = 0; i < 60; i++) {
    const evil = Buffer.from([0x22, 0x5c, 0x80 + i, 0xff, 0xe2, 0x80, 0xa8, 0x09]).toString('latin1');
    await rawRequest(d.port, Buffer.from(`POST /auth/logout?x=${i % 2 ? '%0a%22' : 'x'} HTTP/1.1\r\nHost: localhost\r\nOrigin: ${evil}\r\nUser-Agent: ${evil}\r\nCookie: id=${evil}\r\nX-Forwarded-For: 203.0.113.${i}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, 'latin1'));
  }
  await sleep(80);
  for (const line of lines()) {
    assert.ok(line.length <= 8192);
    assert.doesNotThrow(() => JSON.parse(line), line.slice(0, 200));
    assert.doesNotMatch(line, /[\x00-\x1f\x7f\u2028\u2029]/);
  }
});

test('AU-5: a full disk stops administrators, not visitors', async () => {
  const one = await Daemon.start();
  await one.addUser();
  const { jar, handle } = await plant(one);
  await one.down();
  writeFileSync(one.file, `${readFileSync(one.file, 'utf8')}audit:\n  target: file:/dev/full\n`);
  await one.up();
  assert.equal(await status(one, jar), 200);
  for (const [target, body] of [['/v1/sessions', { user: 'mara' }], [`/v1/sessions/${handle}/end`, undefined], ['/v1/users/mara/end-sessions', undefined], ['/v1/accounts/mara/disable', undefined], ['/v1/end-all', undefined]]) {
    const res = await one.ask('POST', target, body);
    assert.equal(res.status, 503, target);
    assert.equal(res.json().error.code, 'audit_not_writable');
  }
  const begun = Date.now();
  for (let i = 0; i < 200; i++) assert.equal(await status(one, jar), 200);
  assert.ok(Date.now() - begun < 5000);
  assert.equal((await one.ask('GET', '/v1/status')).json().audit_writable, false);
  assert.equal((await one.ask('GET', '/v1/sessions')).status, 200);
  assert.equal((await one.signIn(new Jar())).status, 200);
  assert.equal((await one.post('/auth/logout', { csrf: await one.csrf(jar) }, { jar })).status, 200);
  await one.stop();
});

test('AU-7: four kinds of dead token look the same, to the byte', async () => {
  const ended = await plant(d, { user: 'dead' });
  const revoked = await plant(d, { user: 'dead' });
  await d.ask('POST', `/v1/sessions/${ended.handle}/end`);
  await d.ask('POST', '/v1/users/dead/end-sessions');
  for (const target of ['/auth/verify', '/auth/session', '/auth/csrf', '/auth/sessions'])
    for (const accept of ['application/json', 'text/html']) {
      const answers = [];
      for (const token of [ended.token, revoked.token, strangeToken(), 'malformed', '']) {
        const res = await rawRequest(d.port, `GET ${target} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nSec-Fetch-Mode: cors\r\nX-Forwarded-For: 203.0.113.${100 + address++ % 100}\r\nCookie: id=${token}\r\nConnection: close\r\n\r\n`);
        assert.equal(res.status, 401);
        answers.push(res.text.replace(/^Date: .*$/m, '').replace(/[0-9a-f]{16}/g, 'ID'));
      }
      assert.equal(new Set(answers).size, 1, answers.join('\n---\n'));
    }
});

test('AU-7: errors carry a code and a request id, and nothing of the inside', async () => {
  const { jar } = await plant(d, { user: 'err' });
  const paths = ['/auth/nothing', '/auth/verify?max_age=x', '/auth/session', '/auth/%zz', '/auth/login?return=%00', '/auth/sessions?after=x', '/auth/assets/../keys', '/auth/sessions/x/end'];
  let seen = 0;
  for (const target of paths)
    for (const method of ['GET', 'POST', 'DELETE', 'PUT'])
      for (const visitor of [undefined, jar.clone()]) {
        const res = await d.get(target, { jar: visitor, method, headers: { origin: d.origin, 'x-forwarded-for': '203.0.113.44' } });
        if (res.status < 400) continue;
        seen++;
        const json = res.json();
        assert.deepEqual(Object.keys(json), ['error', 'request_id']);
        assert.deepEqual(Object.keys(json.error), ['code', 'message']);
        assert.match(json.error.code, /^[a-z0-9_]+$/);
        assert.doesNotMatch(res.body, /lmdb|mdb|sql|\/tmp|\/var|src\/|\.c:|0\.1\.0|coat|stack|errno|malloc/i);
      }
  assert.ok(seen >= 40, `${seen}`);
});
