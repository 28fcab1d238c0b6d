// SPDX-License-Identifier: Apache-2.0
// One scenario for all proxies. A file of tests says which proxy it is (site.mjs says what that
// means) and calls runScenario(proxy) and runVerdicts(proxy).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { Jar, password, until } from '../lib.mjs';
import { Site, fetched, page } from './site.mjs';

const parts = ['User', 'Roles', 'Methods', 'Session', 'Time', 'Assertion'];

/** Names that an application may take for X-Auth-User: other letters, other separators. */
function spellings(part) {
  const separators = ['-', '_', '.'];
  const names = separators.flatMap((a) => separators.map((b) => `X${a}Auth${b}${part}`));
  return names.flatMap((name) => [name, name.toLowerCase(), name.toUpperCase()]);
}
const forged = parts.flatMap((part) => spellings(part).map((name) => [name, 'forged']));

/** The variables that CGI and its relatives make of a request: name to values. */
export function cgi(record) {
  const variables = new Map();
  for (const [name, value] of record.fields) {
    const key = `HTTP_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
    variables.set(key, [...(variables.get(key) ?? []), value]);
  }
  return variables;
}

/** Who the application takes the visitor for: every value of every spelling. */
export function identity(record) {
  const variables = cgi(record);
  const of = (part) => variables.get(`HTTP_X_AUTH_${part.toUpperCase()}`) ?? [];
  return Object.fromEntries(parts.map((part) => [part.toLowerCase(), of(part)]));
}

/** 'FA-3: text' with the proxy behind the row, where scripts/requirements does not mind it. */
const named = (proxy, name) => name.replace(/^((?:[A-Z]{2}-\d+[, ]*)+): /, `$1: ${proxy.name}: `);
/** What has failed to start says why once. */
const begin = (start) => start().catch((error) => {
  const { message } = error;
  error.message = 'the site did not start, see the first test';
  throw new Error(message);
});
const values = (record, name) => record.fields.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
const pairs = (lines) => lines.flatMap((line) => line.split(';')).map((pair) => pair.trim()).filter(Boolean);
const loginOf = (res) => res.headers['x-auth-login'];

export function runScenario(proxy) {
  let site, started;
  const start = async () => {
    site = await Site.start(proxy);
    await site.daemon.addUser('mara', ['admin', 'staff']);
    await site.daemon.addUser('lee', ['staff']);
  };
  after(() => site?.stop());

  const has = (what) => !(proxy.lacks ?? new Set()).has(what);
  const row = (name, run, needs) =>
    test(named(proxy, name), { skip: needs && !has(needs) ? `${proxy.name} cannot ask for ${needs}` : false }, async () => {
      await begin(() => (started ??= start()));
      await run();
    });

  /** The one request that arrived for a path. */
  const record = (target) => {
    const got = site.arrived(target);
    assert.equal(got.length, 1, `${target} arrived ${got.length} times`);
    return got[0];
  };
  /** Ask for a path of its own; the answer and what arrived. */
  const ask = async (options = {}, under = '/') => {
    const target = site.path(under);
    const res = await site.send(target, options);
    return { res, seen: site.arrived(target)[0], target };
  };
  const refusedFetch = (res) => {
    assert.equal(res.status, 401);
    assert.equal(res.headers.location, undefined);
    assert.equal(loginOf(res), `${site.origin}/auth/login`);
  };
  const ledTo = (res, where, target) => {
    assert.equal(res.status, 302);
    assert.equal(res.headers.location, `${site.origin}/auth/${where}?return=${encodeURIComponent(target)}`);
  };

  row('FA-6: a page without a session leads to the sign-in page, with the way back', async () => {
    const target = `${site.path()}?year=2026&x=%2F&y=a+b`;
    const res = await site.send(target, { fields: page });
    ledTo(res, 'login', target);
    assert.match(res.headers['cache-control'], /no-store/);
    assert.equal(site.arrived(target).length, 0);
    const old = await ask({ fields: [['Accept', 'text/html,application/xhtml+xml,*/*;q=0.8']] }); /* without Fetch Metadata */
    ledTo(old.res, 'login', old.target);
    const posted = await ask({ fields: page, method: 'POST', body: 'a=1' });
    ledTo(posted.res, 'login', posted.target);
    assert.equal(posted.seen, undefined);
  });

  row('FA-6: a fetch without a session gets 401 with the address of the sign-in page', async () => {
    const html = fetched.map(([name, value]) => [name, name === 'Accept' ? 'text/html' : value]);
    for (const fields of [fetched, html, [['X-Requested-With', 'XMLHttpRequest']], [['Accept', 'application/json']]]) {
      const { res, seen } = await ask({ fields });
      refusedFetch(res);
      if (res.body) assert.match(res.headers['content-type'], fields === html ? /^(text\/html|application\/json)/ : /^application\/json/);
      assert.equal(seen, undefined);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const { res, seen } = await ask({ method, fields: fetched, ...(method === 'OPTIONS' ? {} : { body: 'x=1' }) });
      refusedFetch(res);
      assert.equal(seen, undefined);
    }
  });

  row('LC-2: after its idle time a session is over: 401 for a fetch, the sign-in page for a page', async () => {
    const { jar } = await site.plant();
    assert.equal((await ask({ jar, fields: fetched })).res.status, 200);
    site.pass(601);
    const { res, seen } = await ask({ jar: jar.clone(), fields: fetched });
    refusedFetch(res);
    assert.equal(seen, undefined);
    const again = await ask({ jar: jar.clone(), fields: page });
    ledTo(again.res, 'login', again.target);
  });

  row('RV-1: a session that was ended is refused with the next request', async () => {
    const { jar, handle } = await site.plant();
    assert.equal((await ask({ jar })).res.status, 200);
    assert.equal((await site.daemon.ask('POST', `/v1/sessions/${handle}/end`)).status, 204);
    const { res, seen } = await ask({ jar, fields: fetched });
    refusedFetch(res);
    assert.equal(seen, undefined);
  });

  row('RD-1: a sign-in leads back to what was asked for', async () => {
    const jar = new Jar();
    const target = `${site.path()}?a=1&b=%2Fc`;
    const away = await site.send(target, { jar, fields: page });
    const login = away.headers.location.slice(site.origin.length);
    const done = await site.submit(login, { user: 'mara', password }, jar);
    assert.ok([302, 303].includes(done.status), `${done.status} ${done.body}`);
    const back = new URL(done.headers.location, site.origin);
    assert.equal(`${back.pathname}${back.search}`, new URL(target, site.origin).href.slice(site.origin.length));
    assert.equal((await site.send(`${back.pathname}${back.search}`, { jar, fields: page })).status, 200);
    assert.deepEqual(identity(site.app.seen.at(-1)).user, ['mara']);
  });

  row('FA-3: the application gets the identity of the session', async () => {
    const { jar, handle } = await site.plant({ methods: ['pwd', 'otp'] });
    const who = identity((await ask({ jar })).seen);
    assert.deepEqual(who.user, ['mara']);
    assert.deepEqual(who.roles, ['admin%20staff']);
    assert.deepEqual(who.methods, ['pwd%20otp']);
    assert.deepEqual(who.session, [handle]);
    assert.match(who.time[0], /^\d{10}$/);
  });

  row('FA-5: identity goes upstream in one encoded line', async () => {
    for (const user of ['a\r\nX-Role: admin', 'mara lindqvist', '日本 ü', 'a,b;c="d"', '100%', '{http.request.host}$uri%[src]']) {
      const { jar } = await site.plant({ user });
      const { seen } = await ask({ jar });
      assert.equal(identity(seen).user.length, 1, user);
      assert.match(identity(seen).user[0], /^[\x21-\x7e]+$/);
      assert.equal(decodeURIComponent(identity(seen).user[0]), user);
      assert.deepEqual(values(seen, 'x-role'), []);
    }
  });

  row('FA-3: no identity that a client claims arrives, in any spelling, signed in with all attributes or few', async () => {
    for (const fields of [{}, { roles: [], methods: [] }]) {
      const { jar } = await site.plant(fields);
      for (let i = 0; i < forged.length; i += 40) {
        const { res, seen } = await ask({ jar, fields: forged.slice(i, i + 40) });
        assert.equal(res.status, 200);
        assert.deepEqual(seen.fields.filter(([, value]) => value.includes('forged')), []);
        assert.deepEqual(identity(seen).user, ['mara']);
        assert.deepEqual(identity(seen).roles, fields.roles ? [] : ['admin%20staff']);
      }
    }
  });

  row('FA-3: nor does it where nobody is signed in and need not be', async () => {
    for (const cookie of [[], [['Cookie', `${site.cookie}=${randomBytes(40).toString('base64url')}`]], [['Cookie', `${site.cookie}=x`]]])
      for (let i = 0; i < forged.length; i += 40) {
        const { res, seen } = await ask({ fields: [...cookie, ...forged.slice(i, i + 40)] }, '/public/');
        assert.equal(res.status, 200);
        assert.deepEqual(Object.values(identity(seen)).flat(), []);
        assert.deepEqual(seen.fields.filter(([, value]) => value.includes('forged')), []);
      }
  }, 'optional');

  row('FA-3: who is signed in is known also where nobody need be', async () => {
    const { jar } = await site.plant();
    const { res, seen } = await ask({ jar, fields: [['X-Auth-User', 'forged']] }, '/public/');
    assert.equal(res.status, 200);
    assert.deepEqual(identity(seen).user, ['mara']);
  }, 'optional');

  row('FA-3: a claimed identity opens nothing', async () => {
    const stale = [['Cookie', `${site.cookie}=${randomBytes(40).toString('base64url')}`]];
    for (const fields of [forged.slice(0, 40), [...stale, ...forged.slice(0, 40)], [['X-Auth-User', 'mara'], ['X-Auth-Roles', 'admin']]]) {
      const { res, seen } = await ask({ fields });
      refusedFetch(res);
      assert.equal(seen, undefined);
    }
  });

  row('FA-4: duplicates and names listed in Connection change nothing', async () => {
    const { jar } = await site.plant();
    const tricks = [
      [['X-Auth-User', 'forged'], ['X-Auth-User', 'forged2'], ['x-auth-user', 'forged3']],
      [['Connection', 'close, X-Auth-User'], ['X-Auth-User', 'forged']],
      [['Connection', 'close, X-Auth-User, X-Auth-Roles, X-Auth-Session']],
      [['Connection', 'close, x-auth-user'], ['X_Auth_User', 'forged']],
      [['Connection', 'close, X-Forwarded-Uri, X-Forwarded-Method, X-Forwarded-Proto, X-Forwarded-For, X-Original-URI, X-Original-Method']],
    ];
    for (const fields of tricks) {
      const { res, seen } = await ask({ jar, fields });
      if (proxy.guards && res.status === 400) {
        assert.match(JSON.stringify(fields), /Connection.*X-Forwarded-/);
        assert.equal(seen, undefined);
        continue;
      }
      assert.equal(res.status, 200, JSON.stringify(fields));
      assert.deepEqual(identity(seen).user, ['mara'], JSON.stringify(fields));
      assert.deepEqual(identity(seen).roles, ['admin%20staff'], JSON.stringify(fields));
      assert.ok(!JSON.stringify(seen.fields).includes('forged'), JSON.stringify(fields));
    }
  });

  row('FA-4: nor do they in a request to upgrade, if it passes at all', async () => {
    const { jar } = await site.plant();
    for (const listed of ['Upgrade, X-Auth-User, X-Auth-Roles', 'X-Auth-User, upgrade', 'UPGRADE,x-auth-user']) {
      const { res, seen } = await ask({ jar, fields: [['Connection', listed], ['Upgrade', 'websocket'], ['X-Auth-User', 'forged'], ['Sec-WebSocket-Version', '13'], ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']] });
      assert.equal(res.status === 200, seen !== undefined, `${listed}: ${res.status}`);
      if (!seen) continue;
      assert.deepEqual(identity(seen).user, ['mara'], listed);
      assert.deepEqual(identity(seen).roles, ['admin%20staff'], listed);
    }
    const none = await ask({ fields: [...fetched, ['Connection', 'Upgrade, X-Auth-User'], ['Upgrade', 'websocket'], ['X-Auth-User', 'forged']] });
    assert.equal(none.seen, undefined);
  });

  row('FA-4: Connection: Cookie makes nobody somebody else', async () => {
    const { jar } = await site.plant();
    const connection = [['Connection', 'close, X-Auth-User, Cookie'], ['X-Auth-User', 'forged']];
    const live = await ask({ jar, fields: connection });
    /* A proxy may take the list at its word and drop the cookie: then nobody is signed in. */
    if (live.seen) assert.deepEqual(identity(live.seen).user, ['mara']);
    else assert.equal(live.res.status, 401);
    const none = await ask({ fields: connection });
    refusedFetch(none.res);
    assert.equal(none.seen, undefined);
  });

  if (proxy.http2) row('FA-4: over HTTP/2 nothing is different', async () => {
    const { jar, handle } = await site.plant();
    const target = site.path();
    const away = await site.send2(target, Object.fromEntries(page.map(([name, value]) => [name.toLowerCase(), value])));
    assert.equal(away.headers.location, `${site.origin}/auth/login?return=${encodeURIComponent(target)}`);
    assert.equal(site.arrived(target).length, 0);
    const res = await site.send2(target, { cookie: ['a=1', jar.header().cookie, 'b=2'], 'x-auth-user': 'forged', x_auth_user: 'forged', 'x.auth.user': 'forged', 'x-forwarded-proto': 'http' });
    assert.equal(res.status, 200);
    const seen = record(target);
    assert.deepEqual(identity(seen).user, ['mara']);
    assert.deepEqual(identity(seen).session, [handle]);
    assert.deepEqual(pairs(values(seen, 'cookie')), ['a=1', 'b=2']);
    assert.ok(!JSON.stringify(seen.fields).includes('forged'));
  });

  row('FA-7: the application gets all cookies but those of coatcheck, byte for byte', async () => {
    const { token } = await site.plant();
    const id = `${site.cookie}=${token}`;
    const layouts = [
      [`${id}`, ''], [`${id}; a=1`, 'a=1'], [`a=1; ${id}`, 'a=1'], [`a=1; ${id}; b=2`, 'a=1; b=2'], [`a=1;${id};b=2`, 'a=1;b=2'],
      [`${id}; a="x y"; b=`, 'a="x y"; b='], [`a=b=c; ${id}; d=${site.cookie}`, `a=b=c; d=${site.cookie}`], [`a=%3B%20; ${id}`, 'a=%3B%20'],
      [`${id}; x${site.cookie}=8; ${site.cookie}2=9; id=7`, `x${site.cookie}=8; ${site.cookie}2=9; id=7`],
      [`${site.cookie}-pre=p; ${id}; a=1`, 'a=1'], [`${site.cookie}-device=d.e; ${id}; a=1`, 'a=1'], [`a=1; ${site.cookie}-device=d; b=2; ${site.cookie}-pre=p; ${id}; c=3`, 'a=1; b=2; c=3'],
      [`${site.cookie}-pre=p; ${site.cookie}-device=d; ${id}`, ''], [`${id}; ${site.cookie}-other=5`, `${site.cookie}-other=5`], [`a; ${id}; =b`, 'a; =b'],
      [`a=1; a=2; ${id}; a=3`, 'a=1; a=2; a=3'], [`${id}; a={"k":"v"}`, 'a={"k":"v"}'], [`z=!#$&'()*+-./:<>?@[]^_|~; ${id}`, 'z=!#$&\'()*+-./:<>?@[]^_|~'],
      [`${id}; a=${'x'.repeat(3000)}`, `a=${'x'.repeat(3000)}`], [`A=1; ${id}; a=2`, 'A=1; a=2'],
    ];
    assert.ok(layouts.length >= 20);
    for (const [sent, expected] of layouts) {
      const { res, seen } = await ask({ fields: [['Cookie', sent]] });
      assert.equal(res.status, 200, sent.replace(token, 'TOKEN'));
      assert.ok(!JSON.stringify(seen.fields).includes(token), sent.replace(token, 'TOKEN'));
      assert.deepEqual(pairs(values(seen, 'cookie')), pairs([expected]), sent.replace(token, 'TOKEN'));
      if (expected === '') assert.deepEqual(values(seen, 'cookie'), []);
    }
    /* Two lines, which no browser sends: both count, or nobody is signed in. */
    const { res, seen } = await ask({ fields: [['Cookie', `a=1; ${id}`], ['Cookie', 'b=2']] });
    if (seen) assert.deepEqual(pairs(values(seen, 'cookie')), ['a=1', 'b=2']);
    else assert.equal(res.status, 401);
  });

  row('FA-7: cookies of others are not touched where there is none of ours; of ours twice, none passes', async () => {
    for (const cookie of ['a=1; b=2', 'a=1;b=2', 'id=7; x__Host-id=8; __Host-id2=9', '__Host-identity=1', 'a="__Host-id"'])
      assert.deepEqual(values((await ask({ fields: [['Cookie', cookie]] }, '/public/')).seen, 'cookie'), [cookie]);
    for (const cookie of ['__Host-id=a; __Host-id=b; x=1', '__Host-id=a; x=1; __Host-id=b', '__Host-id-pre=a; __Host-id-pre=b; x=1'])
      assert.ok(!values((await ask({ fields: [['Cookie', cookie]] }, '/public/')).seen, 'cookie').join().includes('__Host-id'), cookie);
  }, 'optional');

  row('FA-7: a script in a page reads no cookies from coatcheck', async () => {
    const { token } = await site.plant();
    const fields = [['Cookie', `other=secret; ${site.cookie}=${token}`], ...fetched, ['X-Auth-Require', 'cookies=yes'], ['X-Forwarded-Uri', '/x'], ['X-Original-URI', '/x'], ['X-Forwarded-Method', 'GET'], ['X-Original-Method', 'GET']];
    for (const target of ['/auth/verify', '/auth/verify?cookies=yes', '/auth/verify?cookies=yes&optional=yes', '/auth/verify/x', '/auth/verify/x?cookies=yes', '/auth/live']) {
      const res = await site.send(target, { fields });
      assert.ok(!`${JSON.stringify(res.fields)}${res.body}`.includes('secret'), target);
    }
  });

  row('LC-1: a rotated cookie reaches the browser beside those of the application, and the former one ends', async () => {
    const { jar, token, handle } = await site.plant();
    assert.deepEqual((await ask({ jar })).res.cookies, []);
    site.pass(61);
    const target = `${site.path()}?status=404&cookie=one%3D1%3B+Path%3D/&cookie=two%3D2%3B+Path%3D/`;
    const res = await site.send(target, { jar });
    assert.equal(res.status, 404);
    assert.equal(res.cookies.length, 3, res.cookies.join(' | ').replaceAll(/__Host-id=[^;]*/g, 'TOKEN'));
    assert.ok(res.cookies.includes('one=1; Path=/') && res.cookies.includes('two=2; Path=/'));
    assert.deepEqual(identity(site.arrived(target.split('?')[0])[0]).session, [handle]);
    assert.deepEqual(values(site.arrived(target.split('?')[0])[0], 'cookie'), []);
    const line = res.cookies.find((c) => c.startsWith(`${site.cookie}=`));
    assert.match(line, /^__Host-id=[\w-]{54}; Path=\/; /);
    assert.deepEqual(line.split('; ').slice(1).sort(), ['HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure']);
    assert.notEqual(jar.map.get(site.cookie), token);
    assert.equal(Buffer.from(jar.map.get(site.cookie), 'base64url').subarray(0, 16).toString('base64url'), handle);
    const successor = new Jar();
    successor.map.set(site.cookie, jar.map.get(site.cookie));
    assert.equal((await ask({ jar: successor })).res.status, 200);
    site.pass(15);
    const former = new Jar();
    former.map.set(site.cookie, token);
    refusedFetch((await ask({ jar: former, fields: fetched })).res);
    await until('the theft is reported', () => site.daemon.events('token_reuse').length > 0);
    refusedFetch((await ask({ jar: successor, fields: fetched })).res);
  });

  row('LC-1: a rotated cookie comes with the answer to a POST as well, and its body arrives', async () => {
    const { jar, token } = await site.plant();
    assert.equal((await ask({ jar })).res.status, 200);
    site.pass(61);
    const { res, seen } = await ask({ jar, method: 'POST', body: 'a=1', fields: [['Content-Type', 'text/plain']] });
    assert.equal(res.status, 200);
    assert.equal(seen.body.toString(), 'a=1');
    assert.notEqual(jar.map.get(site.cookie), token);
    assert.equal((await ask({ jar })).res.status, 200);
  });

  row('RV-1: after sign-out the next request is refused', async () => {
    const jar = new Jar();
    await site.signIn(jar);
    const copy = jar.clone();
    assert.equal((await ask({ jar })).res.status, 200);
    const token = await site.send('/auth/csrf', { jar });
    const res = await site.post('/auth/logout', { csrf: JSON.parse(token.body).csrf }, { jar });
    assert.equal(res.status, 200, res.body);
    assert.equal(jar.map.has(site.cookie), false);
    const { res: refused, seen } = await ask({ jar: copy, fields: fetched });
    refusedFetch(refused);
    assert.equal(seen, undefined);
  });

  row('LC-1: step-up: a page leads to the password and back, a fetch gets 403', async () => {
    const jar = new Jar();
    await site.signIn(jar);
    assert.equal((await ask({ jar }, '/admin/')).res.status, 200);
    site.pass(301);
    assert.equal((await ask({ jar, fields: page })).res.status, 200);
    const data = await ask({ jar, fields: fetched }, '/admin/');
    assert.equal(data.res.status, 403);
    assert.equal(data.res.headers.location, undefined);
    assert.equal(data.seen, undefined);
    const { res, target, seen } = await ask({ jar, fields: page }, '/admin/');
    ledTo(res, 'reauth', target);
    assert.equal(seen, undefined);
    const done = await site.submit(res.headers.location.slice(site.origin.length), { password }, jar);
    assert.equal(new URL(done.headers.location, site.origin).pathname, target);
    assert.equal((await site.send(target, { jar, fields: page })).status, 200);
    assert.deepEqual(identity(record(target)).user, ['mara']);
  }, 'step-up');

  row('FA-6: a role that is missing is 403 without a redirect', async () => {
    const { jar } = await site.plant({ user: 'lee', roles: ['staff'] });
    for (const fields of [page, fetched]) {
      const { res, seen } = await ask({ jar, fields: [...fields, ['X-Auth-Roles', 'admin']] }, '/admin/');
      assert.equal(res.status, 403);
      assert.equal(res.headers.location, undefined);
      assert.equal(seen, undefined);
    }
    assert.equal((await ask({ jar })).res.status, 200);
  }, 'role');

  row('SF-1: while the daemon is away: 503 with Retry-After, no sign-in page, signed in again afterwards', async () => {
    const { jar } = await site.plant();
    assert.equal((await ask({ jar })).res.status, 200);
    const unknown = new Jar();
    unknown.map.set(site.cookie, randomBytes(40).toString('base64url'));
    await site.daemon.down();
    try {
      for (const options of [{ fields: page }, { fields: fetched }, { jar: unknown, fields: page }, { jar, fields: page }, { jar, fields: fetched, method: 'POST', body: 'x' }]) {
        const { res, seen } = await ask(options);
        if (proxy.reads && options.jar === jar) {
          assert.equal(res.status, 200);
          assert.deepEqual(identity(seen).user, ['mara']);
          continue;
        }
        assert.equal(res.status, proxy.away ?? 503);
        if (!proxy.away) assert.match(res.headers['retry-after'], /^\d+$/);
        assert.equal(res.headers.location, undefined);
        assert.deepEqual(res.cookies, []);
        assert.equal(seen, undefined);
      }
      const login = await site.send('/auth/login', { fields: page });
      assert.ok(proxy.away ? login.status >= 500 : login.status === 503 && /^\d+$/.test(login.headers['retry-after']), `${login.status}`);
      assert.deepEqual(login.cookies, []);
    } finally {
      await site.daemon.up();
    }
    assert.equal((await ask({ jar })).res.status, 200);
  });

  row('FA-6: body and method of a request that passes arrive unaltered', async () => {
    const { jar } = await site.plant();
    const large = randomBytes(300000);
    for (const [method, body, chunked] of [['POST', large, false], ['POST', large, true], ['PUT', Buffer.from('a\0b\r\n\r\nGET / HTTP/1.1\r\n'), false], ['PATCH', Buffer.from('{}'), true], ['DELETE', Buffer.alloc(0), false]]) {
      const { res, seen } = await ask({ jar, method, body, chunked, fields: [['Content-Type', 'application/octet-stream']] });
      assert.equal(res.status, 200, method);
      assert.equal(seen.method, method);
      assert.ok(seen.body.equals(body), method);
    }
    const target = site.path();
    const head = await site.send(target, { jar, method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(record(target).method, 'HEAD');
    assert.equal((await ask({ jar, method: 'OPTIONS' })).seen.method, 'OPTIONS');
  });

  row('FA-6: refusals of the application itself are passed on as they are', async () => {
    const { jar } = await site.plant();
    for (const status of [401, 403, 404, 500, 503]) {
      const res = await site.send(`${site.path()}?status=${status}&body=mine`, { jar, fields: page });
      assert.equal(res.status, status);
      assert.equal(res.body, 'mine');
      assert.equal(res.headers['x-app'], 'here');
      assert.equal(res.headers.location, undefined);
    }
  });

  row('FA-1: forwarding headers of a client have no effect', async () => {
    const lies = ['/public/x', '/auth/login'].flatMap((where) => [
      [['X-Forwarded-Uri', where]], [['X-Original-URI', where]], [['X-Original-Url', where], ['X-Rewrite-Url', where]], [['X-Forwarded-Method', 'OPTIONS']], [['X-Original-Method', 'HEAD']],
      [['X-Forwarded-Host', 'evil.example']], [['X-Original-Host', 'evil.example']], [['Forwarded', 'for=192.0.2.9;host=evil.example;proto=https']], [['X-Forwarded-Prefix', where]],
      [['X-Forwarded-Uri', where], ['X-Forwarded-Uri', '/other']], [['X-Original-URI', where], ['X-Original-URI', '/other']], [['X-Original-Method', 'GET'], ['X-Original-Method', 'POST']], [['X-Original-Host', 'a.example'], ['X-Original-Host', 'b.example']], [['X-Forwarded-Proto', 'http']], [['X-Forwarded-Proto', 'http'], ['X-Forwarded-Proto', 'https']], [['X-Forwarded-Port', '80'], ['X-Forwarded-Server', 'evil']],
      [['x_forwarded_uri', where], ['X_Forwarded_Proto', 'http']], [['Connection', 'close, X-Forwarded-Uri, X-Original-URI'], ['X-Forwarded-Uri', where], ['X-Original-URI', where]],
    ]);
    const { jar } = await site.plant();
    for (const fields of lies) {
      const away = await ask({ fields: [...page, ...fields] });
      ledTo(away.res, 'login', away.target);
      assert.equal(away.seen, undefined);
      const { res, seen } = await ask({ jar, fields });
      assert.equal(res.status, 200, JSON.stringify(fields));
      assert.deepEqual(identity(seen).user, ['mara']);
      assert.equal((await site.send('/auth/login', { fields: [...page, ...fields] })).status, 200, JSON.stringify(fields));
    }
    const lee = await site.plant({ user: 'lee', roles: ['staff'] });
    for (const fields of has('role') ? lies : [])
      assert.equal((await ask({ jar: lee.jar, fields }, '/admin/')).res.status, 403, JSON.stringify(fields));
  });

  row('FA-1: the query of a request is no demand of the proxy', async () => {
    for (const query of ['optional=yes', 'role=staff', 'max_age=86400', 'background=yes', 'optional=yes&optional=no', 'assertion=yes', '%', 'a=%00'])
      for (const under of ['/', '/admin/']) {
        const { res, target } = await ask({ fields: fetched }, under);
        const asked = await site.send(`${target}?${query}`, { fields: fetched });
        assert.equal(res.status, 401);
        assert.ok([400, 401].includes(asked.status), `${under}?${query}: ${asked.status}`);
        assert.equal(site.arrived(target).length, 0);
      }
    const lee = await site.plant({ user: 'lee', roles: ['staff'] });
    const plain = site.path();
    for (const query of ['role=owner', 'max_age=1', 'optional=perhaps', 'x=1&x=2'])
      assert.equal((await site.send(`${plain}?${query}`, { jar: lee.jar })).status, 200, query);
    for (const query of has('role') ? ['role=staff', 'max_age=86400&role=staff', 'optional=yes'] : [])
      assert.equal((await site.send(`/admin/x?${query}`, { jar: lee.jar })).status, 403, query);
  });

  row('FA-1: the application is told host, scheme and client by the proxy', async () => {
    const { jar } = await site.plant();
    for (const fields of [[], [['X-Forwarded-Proto', 'http'], ['X-Forwarded-For', '192.0.2.9'], ['X-Forwarded-Host', 'evil.example']]]) {
      const { seen } = await ask({ jar, fields });
      assert.deepEqual(values(seen, 'host'), [site.host]);
      assert.deepEqual(values(seen, 'x-forwarded-proto'), ['https']);
      assert.equal(values(seen, 'x-forwarded-for').join(',').split(',').at(-1).trim(), proxy.client ?? '127.0.0.1');
    }
  });

  row('FA-2: the client is the peer of the proxy, whatever address it claims', async () => {
    for (const fields of [[['X-Forwarded-For', '192.0.2.9']], [['X-Forwarded-For', '192.0.2.9'], ['X-Forwarded-For', '127.0.0.2']], [['X-Real-IP', '192.0.2.9']], [['Forwarded', 'for=192.0.2.9']], [['X-Client-IP', '192.0.2.9'], ['True-Client-IP', '192.0.2.9']]]) {
      const res = await site.post('/auth/login', { user: 'nobody', password: 'not the password' }, { fields });
      assert.equal(res.status, 401);
      const event = await until('the event', () => site.daemon.events('login_failure').find((e) => e.request_id === res.headers['x-request-id']));
      assert.equal(event.client, proxy.client ?? '127.0.0.1', JSON.stringify(fields));
    }
  });

  row('FA-2: nor does it help to claim one where the proxy asks about the request', async () => {
    const { jar } = await site.plant();
    site.pass(301);
    const before = site.daemon.events('step_up_required').length;
    for (const fields of [[], [['X-Forwarded-For', '192.0.2.9']], [['X-Forwarded-For', '192.0.2.9, 127.0.0.3'], ['X-Real-IP', '192.0.2.9']]])
      assert.equal((await ask({ jar, fields: [...fetched, ...fields] }, '/admin/')).res.status, 403);
    const events = await until('the events', () => (site.daemon.events('step_up_required').length >= before + 3 ? site.daemon.events('step_up_required').slice(before) : null));
    for (const event of events) assert.equal(event.client, proxy.client ?? '127.0.0.1');
  }, 'step-up');

  row('FA-1: a path that only looks like an open one opens nothing', async () => {
    const tricks = ['/auth/../secret', '/auth/%2e%2e/secret', '/auth/..%2fsecret', '/auth/..;/secret', '/auth//../secret', '//secret', '/./secret', '/AUTH/secret', '/auth%2f..%2fsecret', '/auth/%252e%252e/secret', '/auth\\..\\secret', '/auth/x/../../secret', '/_coatcheck', '/auth', '/%61uth/../secret'];
    const before = site.app.seen.length;
    for (const target of tricks) {
      const res = await site.send(target, { fields: fetched });
      assert.equal(res.headers['x-app'], undefined, target);
    }
    assert.equal(site.app.seen.length, before);
    /* What an open place lets through must still lie in it when the application has made it plain. */
    for (const target of tricks.map((t) => t.replace('/auth', '/public').replace('%61uth', '%70ublic').replace('AUTH', 'PUBLIC'))) {
      const res = await site.send(target, { fields: fetched });
      if (res.headers['x-app'] === undefined) continue;
      const url = site.app.seen.at(-1).url.replaceAll('\\', '/').replaceAll(/%2f/gi, '/').replaceAll(/%5c/gi, '/').replaceAll(/%2e/gi, '.');
      assert.match(path.posix.normalize(decodeURIComponent(url)), /^\/public(\/|$)/, target);
    }
  });

  row('FA-1: a path that only looks ordinary does not lead round the demands of another place', async () => {
    const lee = await site.plant({ user: 'lee', roles: ['staff'] });
    const tricks = ['/x/../admin/secret', '/x/..%2fadmin/secret', '/x/..%2Fadmin%2Fsecret', '/%61dmin/secret', '//admin/secret', '/admin%2fsecret', '/./admin/secret', '/x/%2e%2e/admin/secret', '/x/.%2E/admin/secret', '/admin//secret', '/x//../admin/secret', '/public/../admin/secret', '/auth/../admin/secret', '/admin/./secret', '/%2fadmin/secret'];
    for (const target of tricks) {
      const hits = site.app.seen.length;
      await site.send(target, { jar: lee.jar.clone(), fields: fetched });
      for (const { url } of site.app.seen.slice(hits))
        assert.ok(!path.posix.normalize(decodeURIComponent(url)).startsWith('/admin/'), `${target} arrived as ${url}`);
    }
  }, 'role');

  row('AU-1: no log of the proxy holds a secret', async () => {
    const { jar, token } = await site.plant();
    await ask({ jar });
    const logs = [site.running.said?.() ?? '', ...(proxy.logs?.(site) ?? []).map((file) => readFileSync(file, 'utf8'))].join('\n');
    assert.ok(!logs.includes(token));
  });
}

const cut = 'HTTP/1.1 200 OK\r\nX-Auth-User: mara\r\n';

/** What a proxy makes of the verdicts of a daemon that may say anything, or nothing (FA-6). */
export function runVerdicts(proxy) {
  let site, started;
  const start = async () => (site = await Site.start(proxy, { stub: true }));
  after(() => site?.stop());
  const row = (name, run) => test(named(proxy, name), run);

  const verdict = async (reply, stall = false) => {
    await begin(() => (started ??= start()));
    site.stub.reply = reply;
    site.stub.stall = stall;
    const [asked, hits] = [site.stub.asked, site.app.seen.length];
    const res = await site.send(site.path(), { jar: jarred(), fields: fetched });
    assert.ok(site.stub.asked > asked, 'the daemon was asked');
    return { res, hits: site.app.seen.length - hits };
  };
  const jarred = () => {
    const jar = new Jar();
    jar.map.set(site.cookie, randomBytes(40).toString('base64url'));
    return jar;
  };
  const plain = (status) => `HTTP/1.1 ${status} Whatever\r\nX-Auth-User: mara\r\nX-Auth-Session: AAAAAAAAAAAAAAAAAAAAAA\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;

  row('FA-6: only 2xx passes, of all statuses from 100 to 599', async () => {
    for (let status = 100; status < 600; status++) {
      const { res, hits } = await verdict(plain(status));
      const pass = proxy.strict ? status === 200 : status >= 200 && status <= 299;
      assert.equal(hits > 0, pass, `${status} -> ${res.status}, ${hits} hits`);
      if (status < 200 || status > 299) assert.ok(res.status < 200 || res.status > 299, `${status} -> ${res.status}`);
      if (status === 401 || status === 403 || status === 503) assert.equal(res.status, status);
      if (pass) assert.deepEqual(identity(site.app.seen.at(-1)).user, ['mara'], `${status}`);
    }
  });

  row('FA-3: every field of identity arrives as coatcheck says it, and no other', async () => {
    const told = { User: 'mara', Roles: 'admin%20staff', Methods: 'pwd', Session: 'AAAAAAAAAAAAAAAAAAAAAA', Time: '1700000000', Assertion: 'eyJ.eyJ.sig' };
    const lines = Object.entries(told).map(([name, value]) => `X-Auth-${name}: ${value}\r\n`).join('');
    const { hits } = await verdict(`HTTP/1.1 200 OK\r\n${lines}X-Auth-Other: x\r\nX-Role: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    assert.equal(hits, 1);
    const seen = site.app.seen.at(-1);
    for (const [name, value] of Object.entries(told))
      if (name !== 'Assertion' || !proxy.reads) assert.deepEqual(identity(seen)[name.toLowerCase()], [value], name);
    assert.deepEqual(values(seen, 'x-role'), []);
  });

  const broken = {
    'closes without an answer': [''],
    'closes within the status line': ['HTTP/1.1 20'],
    'closes within the fields': [cut],
    'sends garbage': ['garbage\r\n\r\n'],
    'sends a status that is none': ['HTTP/1.1 2xx OK\r\n\r\n'],
    'sends binary garbage': ['\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\r\n\r\n'],
    'stalls without an answer': ['', true],
    'stalls within the fields': [cut, true],
  };
  for (const [what, [reply, stall]] of Object.entries(broken))
    row(`FA-6: a daemon that ${what} lets nobody pass and sends nobody away`, async () => {
      const { res, hits } = await verdict(reply, stall);
      assert.equal(hits, 0);
      assert.ok(res.status >= 500, `${res.status}`);
      assert.equal(res.headers.location, undefined);
      assert.deepEqual(res.cookies, []);
    });

  row('SF-1: "cannot tell" stays 503 with Retry-After', async () => {
    const { res, hits } = await verdict('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    assert.equal(hits, 0);
    assert.equal(res.status, 503);
    assert.match(res.headers['retry-after'], /^\d+$/);
  });
}
