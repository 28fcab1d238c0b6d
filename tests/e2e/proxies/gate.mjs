// SPDX-License-Identifier: Apache-2.0
// What is asked of the proxies for which we wrote the gate ourselves (Lua in HAProxy and Apache), beside
// the scenario of all proxies: answers passed on whole, answers that are none, scripts that fail,
// connections that are kept.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http2 from 'node:http2';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { Jar, until } from '../lib.mjs';
import { identity } from './scenario.mjs';
import { Site, fetched, page } from './site.mjs';

const lines = (...all) => `${all.join('\r\n')}\r\n\r\n`;
const ok = (...fields) => lines('HTTP/1.1 200 OK', ...fields, 'Content-Length: 0', 'Connection: close');

/** Answers of which nothing may be believed. */
const none = {
  'no user': ok(),
  'roles of nobody': ok('X-Auth-Roles: admin'),
  'two users': ok('X-Auth-User: mara', 'X-Auth-User: lee'),
  'a user with a space': ok('X-Auth-User: mara lee'),
  'a user that is empty': ok('X-Auth-User:'),
  'a user with bytes that are not encoded': ok('X-Auth-User: m\xe4ra'),
  'a user with a NUL': ok('X-Auth-User: mara\0'),
  'roles with a tab': ok('X-Auth-User: mara', 'X-Auth-Roles: a\tb'),
  'a field that goes on in the next line': ok('X-Auth-User: mara', ' lee'),
  'two cookies': ok('X-Auth-User: mara', 'Set-Cookie: __Host-id=a', 'Set-Cookie: __Host-id=b'),
  'a cookie with a control byte': ok('X-Auth-User: mara', 'Set-Cookie: __Host-id=a\x01'),
  'no length': lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Connection: close'),
  'two lengths': lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Content-Length: 0', 'Content-Length: 1', 'Connection: close') + 'x',
  'a length that is none': lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Content-Length: 0x0', 'Connection: close'),
  'a body that ends early': lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Content-Length: 9', 'Connection: close') + 'short',
  'a refusal that ends early': lines('HTTP/1.1 302 Found', 'Location: https://app.example.com/auth/login', 'Content-Length: 9', 'Connection: close') + 'short',
  'chunks': lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Transfer-Encoding: chunked', 'Connection: close') + '0\r\n\r\n',
};

const refusal = (status, ...fields) => lines(`HTTP/1.1 ${status} No`, 'X-Request-Id: 0123456789abcdef', 'Cache-Control: no-store', 'Vary: Cookie, Accept',
  "Content-Security-Policy: default-src 'none'; style-src 'self'", 'X-Content-Type-Options: nosniff', 'Content-Type: application/json; charset=utf-8',
  'Content-Length: 18', 'Connection: close, X-Hop', 'Keep-Alive: timeout=5', ...fields) + '{"error":"no way"}';

export function runGate(proxy, scripts) {
  stubbed(proxy);
  real(proxy);
  for (const [what, broken] of Object.entries(scripts))
    test(`FA-6: ${proxy.name}: a script that ${what} lets nobody pass`, async () => {
      const site = await Site.start(broken);
      try {
        const { jar } = await site.plant();
        for (const [under, options] of [['/', { jar }], ['/', { fields: page }], ['/public/', {}], ['/admin/', { jar }]]) {
          const target = site.path(under);
          const res = await site.send(target, { ...options, fields: [...(options.fields ?? []), ['X-Auth-User', 'forged']] });
          assert.ok(res.status >= 400, `${under}: ${res.status}`);
          assert.ok(!/broken|\.lua/.test(res.body.replaceAll('replaced', '')), res.body);
          assert.equal(site.arrived(target).length, 0);
        }
      } finally {
        await site.stop();
      }
    });
}

function stubbed(proxy) {
  let site, started;
  after(() => site?.stop());
  const row = (name, run) => test(name.replace(': ', `: ${proxy.name}: `), async () => {
    await (started ??= Site.start(proxy, { stub: true }).then((it) => (site = it)));
    await run();
  });
  const verdict = async (reply) => {
    site.stub.reply = reply;
    const target = site.path();
    const jar = new Jar();
    jar.map.set(site.cookie, randomBytes(40).toString('base64url'));
    const res = await site.send(target, { jar, fields: [...fetched, ['X-Auth-Roles', 'forged']] });
    return { res, seen: site.arrived(target)[0] };
  };

  row('FA-6: an answer that is not plainly one lets nobody pass and sends nobody away', async () => {
    for (const [what, reply] of Object.entries(none)) {
      const { res, seen } = await verdict(reply);
      assert.equal(seen, undefined, what);
      assert.equal(res.status, 503, what);
      assert.match(res.headers['retry-after'], /^\d+$/, what);
      assert.equal(res.headers.location, undefined, what);
      assert.deepEqual(res.cookies, [], what);
    }
  });

  row('FA-3: what the daemon does not say of a visitor stays empty', async () => {
    const { res, seen } = await verdict(ok('X-Auth-User: mara', 'X-Auth-Other: x'));
    assert.equal(res.status, 200);
    assert.deepEqual(identity(seen), { user: ['mara'], roles: [], methods: [], session: [], time: [], assertion: [] });
    assert.deepEqual(seen.fields.filter(([name]) => /other/i.test(name)), []);
  });

  row('FA-6: a refusal is passed on whole, but for what concerns the connection', async () => {
    for (const [status, field, value] of [[400, 'X-Note', 'a'], [401, 'X-Auth-Login', 'https://app.example.com/auth/login'], [403, 'X-Auth-Login', 'x'],
      [302, 'Location', 'https://app.example.com/auth/login?return=%2F'], [429, 'Retry-After', '9'], [503, 'Retry-After', '7'], [500, 'X-Note', 'b']]) {
      const { res, seen } = await verdict(refusal(status, `${field}: ${value}`, `Set-Cookie: ${site.cookie}=; Path=/; Max-Age=0`));
      assert.equal(seen, undefined);
      assert.equal(res.status, status);
      assert.equal(res.body, '{"error":"no way"}', String(status));
      assert.equal(res.headers[field.toLowerCase()], value);
      assert.deepEqual(res.cookies, [`${site.cookie}=; Path=/; Max-Age=0`]);
      assert.equal(res.headers['x-request-id'], '0123456789abcdef');
      assert.equal(res.headers['cache-control'], 'no-store');
      assert.equal(res.headers.vary.replaceAll(' ', ''), 'Cookie,Accept');
      assert.equal(res.headers['content-security-policy'], "default-src 'none'; style-src 'self'");
      assert.equal(res.headers['content-type'], 'application/json; charset=utf-8');
      assert.ok(!/X-Hop/i.test(res.headers.connection ?? ''));
    }
  });

  row('SF-1: a kept connection that ends just when it is used costs nobody an answer', async () => {
    const { serve } = site.stub;
    site.stub.serve = (socket) => {
      let answered = false;
      socket.on('error', () => {});
      socket.on('data', () => {
        if (answered) socket.destroy();
        else socket.write(lines('HTTP/1.1 200 OK', 'X-Auth-User: mara', 'Content-Length: 0'));
        answered = true;
      });
    };
    try {
      for (let i = 0; i < 40; i++) assert.equal((await site.send(site.path(), { fields: fetched })).status, 200);
    } finally {
      site.stub.serve = serve;
    }
  });

  row('SF-6: what comes after an answer is not the answer to the next question', async () => {
    const { serve } = site.stub;
    const kept = (user) => lines('HTTP/1.1 200 OK', `X-Auth-User: ${user}`, 'Content-Length: 0');
    site.stub.serve = (socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(kept('mara') + kept('lee')));
    };
    try {
      for (let i = 0; i < 40; i++) {
        const target = site.path();
        assert.equal((await site.send(target, { fields: fetched })).status, 200);
        assert.deepEqual(identity(site.arrived(target)[0]).user, ['mara']);
      }
    } finally {
      site.stub.serve = serve;
    }
  });

  row('SF-1: a page that cannot be had now says when, once', async () => {
    site.stub.reply = refusal(503, 'Retry-After: 7');
    const res = await site.send('/auth/login', { fields: page });
    assert.equal(res.status, 503);
    assert.deepEqual(res.fields['retry-after'], ['7']);
  });
}

/** Bytes out on one TLS connection; what comes back once `enough` of it is there. */
function exchange(site, bytes, enough) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: site.port, servername: site.host, ca: site.ca, ALPNProtocols: ['http/1.1'] }, () => socket.write(bytes));
    let text = '';
    const end = () => { socket.destroy(); resolve(text); };
    socket.setTimeout(60000, () => reject(new Error(`${site.proxy.name}: no more than ${JSON.stringify(text)}`)));
    socket.on('data', (data) => { text += data.toString('latin1'); if (enough(text)) end(); });
    socket.on('close', end);
    socket.on('error', reject);
  });
}

function overHttp2(site, requests) {
  return new Promise((resolve, reject) => {
    const client = http2.connect(site.origin, { ca: site.ca, createConnection: () =>
      tls.connect({ host: '127.0.0.1', port: site.port, servername: site.host, ca: site.ca, ALPNProtocols: ['h2'] }) });
    client.on('error', reject);
    Promise.all(requests.map((headers) => new Promise((done, fail) => {
      const stream = client.request(headers);
      let got;
      stream.on('response', (fields) => (got = fields));
      stream.on('error', fail);
      stream.on('close', () => done(got));
      stream.resume();
    }))).then((all) => { client.close(); resolve(all); }, reject);
  });
}

function real(proxy) {
  let site, started;
  after(() => site?.stop());
  const row = (name, run) => test(name.replace(': ', `: ${proxy.name}: `), async () => {
    await (started ??= Site.start(proxy).then((it) => (site = it)));
    await run();
  });
  const head = (method, target, ...fields) => lines(`${method} ${target} HTTP/1.1`, `Host: ${site.host}`, ...fields);

  row('FA-8: what follows a refusal on its connection is read as what it is', async () => {
    const { token } = await site.plant();
    const cookie = `Cookie: ${site.cookie}=${token}`;
    const smuggled = head('GET', '/smuggled', cookie);
    for (const refused of [
      head('POST', site.path(), `Content-Length: ${smuggled.length}`) + smuggled,
      head('POST', site.path(), 'Transfer-Encoding: chunked') + `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
      head('HEAD', site.path()), head('GET', site.path(), 'Range: bytes=0-3'),
    ]) {
      const [target, last] = [site.path(), site.path()];
      const text = await exchange(site, refused + head('GET', target, cookie) + head('GET', last, 'X-Auth-User: forged', 'Connection: close'), () => false);
      assert.deepEqual(text.match(/^HTTP\/1\.1 \d+/gm), ['HTTP/1.1 401', 'HTTP/1.1 200', 'HTTP/1.1 401'], text);
      assert.equal(site.arrived(target).length, 1);
      assert.equal(site.arrived(last).length, 0);
      assert.equal(site.app.seen.filter((r) => r.url.includes('smuggled')).length, 0);
    }
  });

  row('FA-7: over HTTP/2, cookies in many fields: ours do not arrive, the others do', async () => {
    const { token, handle } = await site.plant();
    const targets = [site.path(), site.path(), site.path()];
    const answers = await overHttp2(site, [
      { ':path': targets[0], cookie: ['a=1', `${site.cookie}=${token}`, 'b=2', `${site.cookie}-device=d`] },
      { ':path': targets[1], cookie: ['a=1'], 'x-auth-user': 'forged', 'x_auth_user': 'forged' },
      { ':path': targets[2], cookie: [`${site.cookie}=${token}`], 'x-auth-user': 'forged', 'x.auth.roles': 'forged' },
    ]);
    assert.deepEqual(answers.map((a) => a[':status']), [200, 401, 200]);
    const [seen] = site.arrived(targets[0]);
    const cookies = seen.fields.filter(([name]) => name.toLowerCase() === 'cookie').flatMap(([, value]) => value.split(/; ?/));
    assert.deepEqual(cookies, ['a=1', 'b=2']);
    assert.deepEqual(identity(seen).session, [handle]);
    assert.equal(site.arrived(targets[1]).length, 0);
    assert.deepEqual(identity(site.arrived(targets[2])[0]).user, ['mara']);
    assert.ok(!JSON.stringify(site.arrived(targets[2])).includes('forged'));
  });

  row('FA-7: a cookie of ours that hides behind a comma or a space opens nothing and does not arrive', async () => {
    const { token } = await site.plant();
    for (const cookie of [`a=1, ${site.cookie}=${token}`, `a=1 ${site.cookie}=${token}`, `a="b, ${site.cookie} =${token}"; c=2`, `${site.cookie}-device=x, a=1; b=2 ${site.cookie}=${token}`]) {
      const fields = [['Cookie', cookie]];
      assert.equal((await site.send(site.path(), { fields })).status, 401, cookie);
      const target = site.path('/public/');
      assert.equal((await site.send(target, { fields })).status, 200);
      assert.ok(!JSON.stringify(site.arrived(target)).includes(token), cookie);
      assert.deepEqual(Object.values(identity(site.arrived(target)[0])).flat(), []);
    }
  });

  row('FA-7: blanks and separators without end are no work without end', async () => {
    const { token } = await site.plant();
    const id = `${site.cookie}=${token}`;
    for (const junk of [' '.repeat(6000), `a${' '.repeat(6000)}b`, `${' '.repeat(3000)}a${' '.repeat(3000)}=1`, `a=${' '.repeat(6000)}b`, ';'.repeat(6000), ','.repeat(6000), ` ,`.repeat(3000), `${site.cookie} `.repeat(400)]) {
      const target = site.path();
      assert.equal((await site.send(target, { fields: [['Cookie', `${id};${junk}; z=1`]] })).status, 200, JSON.stringify(junk.slice(0, 8)));
      const got = site.arrived(target)[0].fields.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value);
      assert.ok(got.length === 1 && got[0].endsWith('; z=1') && !got[0].includes(token));
    }
  });

  row('FA-4: the next hop is told to drop no field of ours', async () => {
    const { jar } = await site.plant();
    for (const list of ['close, X-Auth-User', 'X-Auth-User,close,cookie', 'close, x-auth-roles, Upgrade']) {
      const target = site.path();
      await site.send(target, { jar, fields: [['Connection', list], ['Cookie', 'a=1']] });
      for (const seen of site.arrived(target))
        for (const [, value] of seen.fields.filter(([name]) => name.toLowerCase() === 'connection')) assert.doesNotMatch(value, /auth|cookie/i, list);
    }
  });

  row('FA-3: a WebSocket needs a session, and its application learns whose it is', async () => {
    const upgrades = [];
    site.app.server.on('upgrade', (req, socket) => {
      upgrades.push({ fields: Object.entries(req.headers), url: req.url });
      socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello');
    });
    const { token } = await site.plant();
    const asked = (...fields) => head('GET', site.path(), 'Connection: keep-alive, Upgrade, X-Auth-User', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'X-Auth-User: forged', ...fields);
    assert.match(await exchange(site, asked(), (text) => text.includes('}')), /^HTTP\/1\.1 401/);
    assert.equal(upgrades.length, 0);
    const text = await exchange(site, asked(`Cookie: a=1; ${site.cookie}=${token}`), (it) => it.includes('hello'));
    assert.match(text, /^HTTP\/1\.1 101[^]*hello/);
    assert.equal(upgrades.length, 1);
    assert.deepEqual(identity(upgrades[0]).user, ['mara']);
    assert.ok(!JSON.stringify(upgrades).includes(token) && !JSON.stringify(upgrades).includes('forged'));
  });

  row('FA-1: a demand holds in every spelling of its path', async () => {
    const { jar } = await site.plant({ user: 'lee', roles: ['staff'] });
    for (const target of ['/admin/x', '/%61dmin/x', '/adm%69n/x', '//admin/x', '/./admin/x', '/x/../admin/x', '/public/../admin/x', '/%2e/admin/x', '/admin//x', '/admin/./x',
      '/x/%2e%2e/admin/x', '/auth/../admin/x', '/admin%2fx', '/%2fadmin/x', '/\\admin/x', '/x\\..\\admin/x', '/admin/%zz', '/admin/x%', '/admin/%2', '/admin/%00', '/%61dmin/%zz', `${site.origin}/admin/x`, `${site.origin}/%61dmin/x`]) {
      const before = site.app.seen.length;
      const text = await exchange(site, head('GET', target, `Cookie: ${site.cookie}=${jar.map.get(site.cookie)}`, 'Connection: close'), () => false);
      /* What passes, under a name of its own, must not lie there for an application that makes it plain. */
      if (/^HTTP\/1\.1 4\d\d/.test(text)) assert.equal(site.app.seen.length, before, target);
      else assert.doesNotMatch(path.posix.normalize(site.app.seen.at(-1).url.replaceAll('\\', '/').replaceAll(/%[0-9a-f]{2}/gi, decodeURIComponent)), /^\/admin(\/|$)/, target);
    }
  });

  row('SF-1: a new daemon is found at once, however many connections to the former one are kept', async () => {
    const { jar } = await site.plant();
    const many = () => Promise.all(Array.from({ length: 24 }, () => site.send(site.path(), { jar, fields: fetched }))).then((all) => all.map((r) => r.status));
    assert.deepEqual(new Set(await many()), new Set([200]));
    await site.daemon.down();
    await site.daemon.up();
    assert.deepEqual(new Set(await many()), new Set([200]));
    await site.daemon.down('SIGKILL');
    await until('the socket is refused', async () => (await site.send(site.path(), { jar })).status === 503);
    await site.daemon.up();
    assert.deepEqual(new Set(await many()), new Set([200]));
  });
}
