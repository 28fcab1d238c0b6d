// SPDX-License-Identifier: Apache-2.0
// Signed assertions of a real daemon (FA-10): asked for in every dialect, verified by examples/api, behind stock nginx
// and behind the nginx module. What the verifier refuses is in verifier.test.mjs.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Verifier } from '../../examples/api/assertion.mjs';
import { Daemon, Jar, build, freePort, password, request, root, until } from './lib.mjs';
import { metrics, plant } from './routes.mjs';

const orders = 'orders-api', stock = 'https://api.example/stock';
const config = `assertion:\n  audiences: [${orders}, "${stock}"]\n`;

const trusted = '    dialect: forwarded\n    trusted: [127.0.0.1/32]\n';
/** What a proxy says of the request it asks about. */
const named = { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/api/orders', 'x-forwarded-host': 'localhost' };

/** A proxy's question; query with its "?". */
const question = (d, jar, query = '?assertion=yes', headers = named) => d.get(`/auth/verify${query}`, { jar, headers });

/** Its parts, without a check. */
function read(assertion) {
  const [header, claims] = assertion.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  return { header, claims };
}

const verifierOf = (d, audience = orders, options = {}) =>
  new Verifier({ issuer: d.origin, audience, jwks: `http://127.0.0.1:${d.port}/auth/jwks.json`, ...options });

const kids = async (d) => (await d.get('/auth/jwks.json')).json().keys.map((key) => key.kid);

async function pathCounts(d) {
  const all = await metrics(d);
  return { table: all.get('coatcheck_verify_path_total{path="table"}'), engine: all.get('coatcheck_verify_path_total{path="engine"}') };
}

describe('the daemon', () => {
  let d;
  before(async () => {
    d = await Daemon.start({ config, listener: trusted });
  });
  after(() => d.stop());

  const ask = (jar, audience = 'yes') => question(d, jar, `?assertion=${encodeURIComponent(audience)}`);

  test('FA-10: from the store and from the table: the assertion says who it is', async () => {
    const { jar, json } = await plant(d, { roles: ['clerk', 'staff'], methods: ['pwd', 'otp'] });
    const verifier = verifierOf(d);
    const before = await pathCounts(d);
    for (let i = 0; i < 2; i += 1) {
      const asked = Math.floor(Date.now() / 1000);
      const res = await ask(jar);
      assert.equal(res.status, 200);
      const who = await verifier.verify(res.headers['x-auth-assertion']);
      assert.deepEqual(who.roles, ['clerk', 'staff']);
      assert.deepEqual(who.methods, ['pwd', 'otp']);
      assert.equal(who.user, 'mara');
      const { header, claims } = read(res.headers['x-auth-assertion']);
      assert.deepEqual(Object.keys(header), ['alg', 'typ', 'kid']);
      assert.deepEqual([header.alg, header.typ], ['EdDSA', 'coatcheck+jwt']);
      assert.deepEqual(Object.keys(claims), ['iss', 'aud', 'sub', 'iat', 'exp', 'auth_time', 'amr', 'roles', 'sid']);
      assert.deepEqual([claims.iss, claims.aud], [d.origin, orders]);
      assert.equal(claims.auth_time, Math.floor(json.authenticated_ms / 1000));
      assert.equal(claims.exp - claims.iat, 60);
      assert.ok(claims.iat >= asked && claims.iat <= Date.now() / 1000);
      assert.equal(res.headers['x-auth-assertion-lifetime'], undefined);
    }
    const now = await pathCounts(d);
    assert.deepEqual([now.engine - before.engine, now.table - before.table], [1, 1]);
  });

  test('FA-10: one audience, the one that was asked for', async () => {
    const { jar } = await plant(d);
    for (const [asked, audience] of [['yes', orders], [orders, orders], [stock, stock]]) {
      const text = (await ask(jar, asked)).headers['x-auth-assertion'];
      assert.equal(read(text).claims.aud, audience);
      assert.equal((await verifierOf(d, audience).verify(text)).user, 'mara');
      const other = audience === orders ? stock : orders;
      await assert.rejects(verifierOf(d, other).verify(text), { code: 'audience' });
    }
    const other = new Verifier({ issuer: 'https://other.example', audience: orders, jwks: `http://127.0.0.1:${d.port}/auth/jwks.json` });
    await assert.rejects(other.verify((await ask(jar)).headers['x-auth-assertion']), { code: 'issuer' });
  });

  test('FA-10: a question for another audience is malformed, whoever asks', async () => {
    const { jar } = await plant(d);
    for (const query of ['other-api', 'ORDERS-API', 'yes%20', 'on', '', 'orders-api,x', `${orders}&assertion=yes`])
      for (const who of [jar, undefined]) {
        const res = await question(d, who, `?assertion=${query}`);
        assert.equal(res.status, 400, query);
        assert.equal(res.headers['x-auth-assertion'], undefined);
        assert.equal(res.headers['x-auth-user'], undefined);
      }
  });

  test('FA-10: no assertion unless it was asked for, and none with a refusal', async () => {
    const { jar } = await plant(d);
    const cases = [[200, '', jar], [200, '?assertion=no', jar], [401, '?assertion=yes'], [200, '?assertion=yes&optional=yes'],
      [403, '?assertion=yes&role=owner', jar], [400, '?assertion=yes&role=', jar]];
    for (const [status, query, who] of cases) {
      const res = await question(d, who, query);
      assert.equal(res.status, status, query);
      assert.equal(res.headers['x-auth-assertion'], undefined, query);
    }
    const anonymous = await plant(d, { user: undefined, roles: [] });
    const res = await ask(anonymous.jar);
    assert.equal(res.status, 200);
    assert.equal(res.headers['x-auth-assertion'], undefined);
  });

  test('FA-10: no browser gets one: it is for a trusted proxy, about a request that it names', async () => {
    const { jar } = await plant(d);
    for (const headers of [{}, { 'x-forwarded-method': 'GET' }, { 'x-forwarded-host': 'localhost' }, { 'x-original-uri': '/api' }, { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' }])
      for (const who of [jar, undefined]) {
        const res = await question(d, who, '?assertion=yes', headers);
        assert.equal(res.status, 400, JSON.stringify(headers));
        assert.equal(res.headers['x-auth-assertion'], undefined);
        assert.equal(res.json().error.code, 'assertion_for_proxies_only');
      }
    assert.equal((await question(d, jar, '', {})).status, 200);
  });

  test('FA-10: whatever a user is called, the claims are one spelling of that', async () => {
    const verifier = verifierOf(d);
    for (const user of ['Zoë Ångström', '🎫', 'a"b\\c', '","aud":"other', "o'neill <x>&y", '\u0001\u001f\u007f', 'tab\tnew\nline', '\u2028\u2029\ufeff', '%2e.', 'x'.repeat(255)]) {
      const { jar } = await plant(d, { user });
      assert.equal((await verifier.verify((await ask(jar)).headers['x-auth-assertion'])).user, user);
      assert.equal((await verifier.verify((await ask(jar)).headers['x-auth-assertion'])).user, user);
    }
  });

  test('FA-10: no secret in it: not the cookie, not the handle; sid is what the audit log shows', async () => {
    const { jar, token, handle } = await plant(d, { user: 'audited' });
    const text = (await ask(jar)).headers['x-auth-assertion'];
    const { claims } = read(text);
    const plain = JSON.stringify(claims) + text;
    const bytes = Buffer.from(token, 'base64url');
    for (const [from, to] of [[0, 16], [0, 8], [8, 16], [16, 32], [24, 32], [32, 40]]) {
      const part = bytes.subarray(from, to);
      for (const spelling of [part.toString('hex'), part.toString('base64url').slice(0, -1), part.toString('base64').replace(/=*$/, '').slice(0, -1)])
        assert.ok(!plain.includes(spelling), `${from} to ${to}`);
    }
    assert.ok(!plain.includes(handle) && !plain.includes(token));
    const created = await until('the audit event', () => d.events('session_created').find((event) => event.user === 'audited'));
    assert.equal(claims.sid, created.session);
    assert.equal((await d.ask('GET', `/v1/sessions/${claims.sid}`)).status, 404);
  });

  test('FA-10: an assertion is no cookie and no cookie value', async () => {
    const { jar } = await plant(d);
    const text = (await ask(jar)).headers['x-auth-assertion'];
    const as = new Jar();
    as.map.set(d.cookie, text);
    assert.equal((await d.get('/auth/verify', { jar: as })).status, 401);
    assert.equal((await d.get('/auth/verify', { headers: { 'x-auth-assertion': text, authorization: `Bearer ${text}` } })).status, 401);
  });

  test('FA-10: the keys are public: the same for everybody, kept for five minutes, no cookie read or set', async () => {
    const { jar } = await plant(d);
    const bare = await d.get('/auth/jwks.json');
    for (const res of [bare, await d.get('/auth/jwks.json', { jar }), await d.get('/auth/jwks.json', { headers: { cookie: 'id=x; id=y', origin: 'https://evil.example' } })]) {
      assert.equal(res.status, 200);
      assert.equal(res.headers['content-type'], 'application/jwk-set+json; charset=utf-8');
      assert.equal(res.headers['cache-control'], 'public, max-age=300');
      assert.equal(res.headers.vary, undefined);
      assert.deepEqual(res.cookies, []);
      assert.equal(res.body, bare.body);
    }
    const { keys } = bare.json();
    assert.equal(keys.length, 1);
    for (const jwk of keys) {
      assert.deepEqual(Object.keys(jwk).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
      const required = JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: jwk.x });
      assert.equal(jwk.kid, createHash('sha256').update(required).digest('base64url'));
    }
    const head = await d.get('/auth/jwks.json', { method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', String(bare.body.length)]);
    assert.equal((await d.get('/auth/jwks.json', { method: 'POST' })).status, 405);
  });

  test('FA-10: a forgery with a key of its own is refused by the verifier', async () => {
    const { jar } = await plant(d);
    const [header, claims] = (await ask(jar)).headers['x-auth-assertion'].split('.');
    const mine = generateKeyPairSync('ed25519').privateKey;
    const forged = `${header}.${claims}.${sign(null, Buffer.from(`${header}.${claims}`), mine).toString('base64url')}`;
    await assert.rejects(verifierOf(d).verify(forged), { code: 'signature' });
  });

  test('FA-10 UP-2: keys rotate: the newest signs at once, the former stays until the next rotation', async () => {
    const { jar } = await plant(d);
    const verifier = verifierOf(d);
    const signedBy = (res) => read(res.headers['x-auth-assertion']).header.kid;
    const old = await ask(jar);
    await verifier.verify(old.headers['x-auth-assertion']);
    const [first] = await kids(d);
    assert.equal(signedBy(old), first);
    assert.equal((await d.ask('POST', '/v1/keys/rotate')).status, 200);
    const [second, former] = await kids(d);
    assert.equal(former, first);
    assert.notEqual(second, first);
    const fresh = await ask(jar);
    assert.equal(signedBy(fresh), second);
    assert.equal((await verifier.verify(fresh.headers['x-auth-assertion'])).user, 'mara');
    assert.equal((await verifier.verify(old.headers['x-auth-assertion'])).user, 'mara');
    await d.ask('POST', '/v1/keys/rotate');
    assert.deepEqual((await kids(d)).slice(1), [second]);
    await assert.rejects(verifierOf(d).verify(old.headers['x-auth-assertion']), { code: 'unknown_key' });
  });

  test('FA-10: kid and sid are the same after a restart', async () => {
    const { jar } = await plant(d);
    const before = [await kids(d), read((await ask(jar)).headers['x-auth-assertion']).claims.sid];
    await d.down();
    await d.up();
    assert.deepEqual([await kids(d), read((await ask(jar)).headers['x-auth-assertion']).claims.sid], before);
  });

  test('FA-10: a reload takes an audience away, changes issuer and lifetime, turns all of it off', async () => {
    const { jar } = await plant(d);
    const text = readFileSync(d.file, 'utf8');
    const reload = async (change) => {
      writeFileSync(d.file, change(text));
      const res = await d.ask('POST', '/v1/reload');
      assert.equal(res.status, 204, res.body);
    };
    await reload((t) => t.replace(config, `assertion:\n  audiences: ["${stock}"]\n  issuer: https://id.example\n  lifetime: 10s\n`));
    assert.equal((await ask(jar, orders)).status, 400);
    const { claims } = read((await ask(jar)).headers['x-auth-assertion']);
    assert.deepEqual([claims.iss, claims.aud, claims.exp - claims.iat], ['https://id.example', stock, 10]);
    await reload((t) => t.replace(config, ''));
    for (const audience of ['yes', orders, stock]) assert.equal((await ask(jar, audience)).status, 400);
    assert.equal((await d.get('/auth/verify', { jar })).status, 200);
    assert.equal((await d.get('/auth/jwks.json')).status, 404);
    await reload((t) => t);
    assert.equal((await ask(jar, orders)).status, 200);
  });
});

describe('dialects', () => {
  const fields = {
    nginx: { 'x-original-method': 'GET', 'x-original-uri': '/a' },
    forwarded: { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/a', 'x-forwarded-host': 'app.example' },
    module: { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/a', 'x-forwarded-host': 'app.example' },
    envoy: {},
  };
  const port = {};
  let d, jar;
  before(async () => {
    let listener = '';
    for (const name of Object.keys(fields)) {
      port[name] = await freePort();
      listener += `  - address: 127.0.0.1:${port[name]}\n    dialect: ${name}\n    trusted: [127.0.0.1/32]\n`;
    }
    d = await Daemon.start({ plain: false, origin: 'https://app.example', listener, config: `${config}identity:\n  assertion: X-Who\nsession:\n  idle-timeout: 1m\n` });
    ({ jar } = await plant(d));
  });
  after(() => d.stop());

  const ask = (name, query, target = '/auth/verify', who = jar) =>
    request({ host: '127.0.0.1', port: port[name], path: `${target}${query}`, headers: { host: 'app.example', 'x-forwarded-proto': 'https', ...fields[name], ...who.header() } });

  for (const name of ['nginx', 'forwarded'])
    test(`FA-10: ${name}: the field has the configured name`, async () => {
      const res = await ask(name, `?assertion=${orders}`);
      assert.equal(res.status, 200);
      assert.equal(read(res.headers['x-who']).claims.aud, orders);
      assert.equal(res.headers['x-auth-assertion'], undefined);
      assert.equal(res.headers['x-auth-assertion-lifetime'], undefined);
    });

  test('FA-10: module: the field has a name of its own, and how long it may be kept', async () => {
    const res = await ask('module', '?assertion=yes');
    assert.equal(res.status, 200);
    assert.equal(res.headers['x-who'], undefined);
    const { claims } = read(res.headers['x-auth-assertion']);
    const lifetime = Number(res.headers['x-auth-assertion-lifetime']);
    assert.ok(lifetime >= 1 && lifetime <= claims.exp - claims.iat);
    assert.equal((await ask('module', '?assertion=other')).status, 400);
    /* It leaves out what is too long to lead back to. */
    const unnamed = await request({ host: '127.0.0.1', port: port.module, path: '/auth/verify?assertion=yes', headers: { host: 'coatcheck', 'x-forwarded-proto': 'https', ...jar.header() } });
    assert.equal(read(unnamed.headers['x-auth-assertion']).claims.aud, orders);
    assert.equal((await ask('module', '')).headers['x-auth-assertion-lifetime'], undefined);
  });

  test('FA-10: a listener that believes no proxy signs nothing', async () => {
    const res = await d.get(`/auth/verify?assertion=${orders}`, { jar, headers: { ...named, 'x-forwarded-proto': 'https' } });
    assert.equal(res.status, 400);
    assert.equal(res.headers['x-who'] ?? res.headers['x-auth-assertion'], undefined);
  });

  test('FA-10: envoy: parameters are those of the request itself, so they ask for nothing', async () => {
    const res = await ask('envoy', '?assertion=yes', '/auth/verify/a');
    assert.equal(res.status, 200);
    assert.equal(res.headers['x-who'] ?? res.headers['x-auth-assertion'], undefined);
  });

  test('FA-10: an assertion does not outlive its session', async () => {
    const idle = await plant(d);
    const life = async () => {
      const { claims } = read((await ask('nginx', '?assertion=yes&background=yes', '/auth/verify', idle.jar)).headers['x-who']);
      return claims.exp - claims.iat;
    };
    assert.ok((await life()) <= 60);
    await until('the session has less than a minute left', async () => (await life()) < 60, 60000);
  });
});

/* ---- the API behind a gateway ---- */

const nginxBinary = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(existsSync);
const module = path.join(build, 'nginx/ngx_http_coatcheck_module.so');

/** The nginx module in place of auth_request: what examples/api/README.md shows. */
function withModule(text) {
  const head = `load_module ${module};\n`;
  const http = 'http {\n    coatcheck_table @RUN@/table;\n    coatcheck_daemon unix:@RUN@/gate.sock;\n    coatcheck_cookie id;\n';
  const api = `location /api/ {\n            coatcheck on;\n            coatcheck_assertion ${orders};\n            proxy_pass http://api;\n` +
    '            proxy_http_version 1.1;\n            proxy_set_header Connection "";\n        }';
  const from = text.indexOf('        # The question about a request'), to = text.indexOf('        location @unavailable');
  assert.ok(from > 0 && to > from, 'examples/api/nginx.conf has changed');
  return head + (text.slice(0, from) + `        ${api}\n\n` + text.slice(to)).replace('http {\n', http);
}

class Stack {
  static async start(change = (text) => text) {
    const stack = new Stack();
    stack.port = await freePort();
    stack.origin = `http://localhost:${stack.port}`;
    const d = (stack.daemon = new Daemon({ origin: stack.origin, config }));
    d.options.listener = `${trusted}  - address: unix:${d.dir}/run/http.sock\n    dialect: nginx\n  - address: unix:${d.dir}/run/gate.sock\n    dialect: module\n`;
    await d.prepare();
    await d.up();
    await d.addUser('mara', ['clerk']);
    await d.addUser('noor', []);
    await stack.startApi();
    await stack.startNginx(change);
    return stack;
  }

  async startApi() {
    this.api = spawn(process.execPath, [path.join(root, 'examples/api/server.mjs')], {
      env: { PATH: process.env.PATH, PORT: '0', ISSUER: this.origin, AUDIENCE: orders, JWKS: `http://127.0.0.1:${this.port}/auth/jwks.json` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.apiLog = '';
    this.api.stderr.on('data', (data) => (this.apiLog += data));
    this.apiEnded = new Promise((resolve) => this.api.on('exit', resolve));
    this.apiPort = await until('the API listens', () => /"listening":(\d+)/.exec(this.apiLog)?.[1], 60000);
  }

  async startNginx(change) {
    const tmp = path.join(this.daemon.dir, 'nginx');
    mkdirSync(tmp, { mode: 0o700 });
    const conf = change(readFileSync(path.join(root, 'examples/api/nginx.conf'), 'utf8'))
      .replace(/^@USER@/m, process.getuid() === 0 ? 'user root root;' : '')
      .replaceAll('@PORT@', this.port).replaceAll('@API@', this.apiPort)
      .replaceAll('@RUN@', path.join(this.daemon.dir, 'run')).replaceAll('@TMP@', tmp);
    writeFileSync(path.join(tmp, 'nginx.conf'), conf);
    this.nginx = spawn(nginxBinary, ['-p', tmp, '-c', path.join(tmp, 'nginx.conf'), '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.nginxErrors = '';
    this.nginx.stderr.on('data', (data) => (this.nginxErrors += data));
    this.nginxEnded = new Promise((resolve) => this.nginx.on('exit', resolve));
    await until('nginx answers', () => this.get('/auth/login').then((res) => res.status === 200, () => false), 60000)
      .catch((error) => { throw new Error(`${error.message}: ${this.nginxErrors}`); });
  }

  get(target, { jar, headers = {}, method = 'GET', port = this.port } = {}, body) {
    return request({ host: '127.0.0.1', port, method, path: target, headers: { host: `localhost:${this.port}`, ...(jar?.header() ?? {}), ...headers } }, body)
      .then((res) => (jar ? jar.take(res) : res));
  }

  async signIn(user = 'mara') {
    const jar = new Jar();
    const res = await this.get('/auth/login', { jar, method: 'POST', headers: { origin: this.origin, 'content-type': 'application/json' } }, JSON.stringify({ user, password }));
    assert.equal(res.status, 200, res.body);
    return jar;
  }

  async stop() {
    this.nginx?.kill('SIGTERM');
    this.api?.kill('SIGTERM');
    await Promise.all([this.nginxEnded, this.apiEnded]);
    await this.daemon.stop();
  }
}

const gateways = { auth_request: [undefined, false], 'the nginx module': [withModule, existsSync(module) ? false : 'the module was not built'] };

for (const [name, [change, skip]] of Object.entries(gateways))
  describe(`the API behind ${name}`, { skip }, () => {
    let stack;
    before(async () => {
      stack = await Stack.start(change);
    });
    after(() => stack?.stop());

    test('FA-10: it knows who asks and what they may', async () => {
      const mara = await stack.signIn(), noor = await stack.signIn('noor');
      const me = (await stack.get('/api/me', { jar: mara })).json();
      assert.deepEqual([me.user, me.roles, me.methods], ['mara', ['clerk'], ['pwd']]);
      assert.deepEqual((await stack.get('/api/orders', { jar: noor })).json().map((order) => order.user), ['noor']);
      assert.equal((await stack.get('/api/orders/all', { jar: noor })).status, 403);
      assert.equal((await stack.get('/api/orders/all', { jar: mara })).json().length, 2);
      assert.equal((await stack.get('/api/nothing', { jar: mara })).status, 404);
    });

    test('FA-10: nobody signed in does not get there', async () => {
      for (const headers of [{}, { 'x-auth-assertion': 'a.b.c' }, { 'x-auth-user': 'mara' }])
        assert.equal((await stack.get('/api/me', { headers })).status, 401);
      /* The API logs what it refuses, in order: of these, nothing. */
      await stack.get('/api/marker', { jar: await stack.signIn() });
      await until('the log', () => /"status":404[^]*"status":404/.test(stack.apiLog));
      assert.doesNotMatch(stack.apiLog, /"status":401/);
    });

    test('FA-10: a script of a page cannot have one', async () => {
      const mara = await stack.signIn();
      const names = { 'x-original-uri': '/api/me', 'x-forwarded-uri': '/api/me', 'x-original-method': 'GET', 'x-forwarded-method': 'GET' };
      for (const headers of [{}, names])
        for (const target of ['/auth/verify?assertion=yes', `/auth/verify?assertion=${orders}`, '/_coatcheck_orders'])
          assert.equal((await stack.get(target, { jar: mara, headers })).headers['x-auth-assertion'], undefined, target);
    });

    test('FA-10: what a client sends in its place is replaced', async () => {
      const mara = await stack.signIn(), noor = await stack.signIn('noor');
      const stolen = (await question(stack.daemon, mara)).headers['x-auth-assertion'];
      for (const spelling of ['x-auth-assertion', 'X-Auth-Assertion', 'X_Auth_Assertion'])
        assert.equal((await stack.get('/api/me', { jar: noor, headers: { [spelling]: stolen } })).json().user, 'noor');
    });

    test('FA-10: past the gateway there is nothing to be had', async () => {
      const mara = await stack.signIn();
      const port = stack.apiPort;
      const good = (await question(stack.daemon, mara)).headers['x-auth-assertion'];
      const other = (await question(stack.daemon, mara, `?assertion=${encodeURIComponent(stock)}`)).headers['x-auth-assertion'];
      assert.equal((await stack.get('/api/me', { port, headers: { 'x-auth-assertion': good } })).status, 200);
      const at = good.lastIndexOf('.') + 1;
      const changed = good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1);
      const wrong = [undefined, '', 'x', other, changed, `${good}, ${good}`, [good, good]];
      for (const value of wrong) {
        const headers = value === undefined ? { 'x-auth-user': 'mara', ...mara.header() } : { 'x-auth-assertion': value };
        const res = await stack.get('/api/me', { port, headers });
        assert.equal(res.status, 401, String(value));
        assert.equal(res.json().error.code, 'not_signed_in');
      }
    });

    test('what the API is sent is judged: who, type, size, content, whose it is', async () => {
      const mara = await stack.signIn(), noor = await stack.signIn('noor');
      const post = (jar, body, { target = '/api/orders', type = 'application/json' } = {}) =>
        stack.get(target, { jar, method: 'POST', headers: { origin: stack.origin, 'content-type': type } }, body);
      const items = async (jar) => (await stack.get('/api/orders', { jar })).json().map((order) => order.item);
      assert.equal((await post(undefined, '{"item":"hat"}')).status, 401);
      const res = await post(mara, '{"item":" hat "}', { type: 'application/json; charset=utf-8' });
      assert.equal(res.status, 200);
      const { id } = res.json().find((order) => order.item === 'hat');
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', '']) assert.equal((await post(mara, '{"item":"x"}', { type })).status, 415, type);
      for (const body of ['', '{', 'null', '7', '[]', '{}', '{"item":7}', '{"item":" "}', `{"item":"${'x'.repeat(61)}"}`]) assert.equal((await post(mara, body)).status, 400, body);
      assert.equal((await post(mara, JSON.stringify({ item: 'x', more: 'x'.repeat(2000) }))).status, 413);
      const cancel = { target: '/api/orders/cancel' };
      for (const body of [`{"id":${id}}`, '{"id":"1"}', '{}']) assert.equal((await post(noor, body, cancel)).status, 404, body);
      assert.deepEqual([await items(mara), await items(noor)], [['umbrella', 'hat'], ['scarf']]);
      assert.equal((await post(mara, `{"id":${id}}`, cancel)).status, 200);
      assert.deepEqual(await items(mara), ['umbrella']);
      for (let n = 1; n < 50; n += 1) assert.equal((await post(noor, '{"item":"button"}')).status, 200);
      assert.equal((await post(noor, '{"item":"button"}')).status, 409);
      assert.equal((await items(noor)).length, 50);
    });

    test('FA-10 UP-2: keys rotate under load, and nobody is refused', async () => {
      const jars = await Promise.all(['mara', 'noor', 'mara', 'noor'].map((user) => stack.signIn(user)));
      const done = jars.map(() => 0);
      const bad = [];
      let goOn = true;
      const load = jars.map(async (jar, i) => {
        while (goOn) {
          const res = await stack.get('/api/me', { jar });
          if (res.status !== 200) bad.push(`${res.status} ${res.body}`);
          done[i] += 1;
        }
      });
      const more = (count) => {
        const goal = done.map((n) => n + count);
        return until('requests', () => done.every((n, i) => n >= goal[i]), 120000);
      };
      try {
        await more(10);
        const [first] = await kids(stack.daemon);
        assert.equal((await stack.daemon.ask('POST', '/v1/keys/rotate')).status, 200);
        assert.notEqual((await kids(stack.daemon))[0], first);
        await more(40);
      } finally {
        goOn = false;
        await Promise.all(load);
      }
      assert.deepEqual(bad, []);
      /* Fresh sessions, whose assertions nobody has kept, are signed with the new key. */
      const fresh = await stack.signIn();
      assert.equal((await stack.get('/api/me', { jar: fresh })).status, 200);
      assert.equal(stack.apiLog.includes('"status":503'), false);
    });

    test('SF-1 FA-10: the daemon is away: "cannot tell", or the API goes on with the keys it has', async () => {
      const jar = await stack.signIn();
      const good = (await question(stack.daemon, jar)).headers['x-auth-assertion'];
      await stack.daemon.down();
      assert.equal((await stack.get('/api/me', { port: stack.apiPort, headers: { 'x-auth-assertion': good } })).status, 200);
      assert.equal((await stack.get('/api/me', { jar })).status, 503);
      await stack.daemon.up();
      await until('it is back', async () => (await stack.get('/api/me', { jar })).status === 200);
    });
  });

test('FA-10 UP-2: several rotations under load, each seen before the next: 0 refusals', async () => {
  const d = await Daemon.start({ config: `${config}store:\n  url: "memory:"\n`, listener: trusted });
  try {
    const verifier = verifierOf(d, orders, { refetchMs: 0 });
    const seen = ['', '', '', ''];
    const bad = [];
    let goOn = true, done = 0;
    const load = seen.map(async (_, i) => {
      while (goOn) {
        // A cookie is good for one rotation; and each worker has a user, or one would evict another's session.
        const { jar } = await plant(d, { user: `user-${i}` });
        const res = await question(d, jar);
        assert.equal(res.status, 200, res.body);
        const text = res.headers['x-auth-assertion'];
        await verifier.verify(text);
        done += 1;
        seen[i] = read(text).header.kid;
      }
    }).map((worker) => worker.catch((error) => bad.push(String(error))));
    try {
      for (let round = 0; round < 8; round += 1) {
        const before = (await kids(d))[0];
        assert.equal((await d.ask('POST', '/v1/keys/rotate')).status, 200);
        const [newest, former] = await kids(d);
        assert.equal(former, before);
        await until('all have seen the new key', () => bad.length > 0 || seen.every((kid) => kid === newest), 120000);
      }
    } finally {
      goOn = false;
      await Promise.all(load);
    }
    assert.deepEqual(bad, []);
    assert.ok(done >= 8 * seen.length);
  } finally {
    await d.stop();
  }
});
