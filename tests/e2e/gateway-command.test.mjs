// SPDX-License-Identifier: Apache-2.0
// `coatcheck gateway`: what an application behind it and its visitors get.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App, Command, certificate, missing, page } from './command.mjs';
import { Jar, freePort, raw, run, until } from './lib.mjs';

const scratch = mkdtempSync(path.join(tmpdir(), 'coat-gw-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const cross = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };

describe('in front of an application', { skip: missing }, () => {
  let app, g;
  const jar = new Jar();
  before(async () => {
    app = await App.start();
    g = await Command.start({
      upstream: app.url,
      args: ['--protect', '/admin:role=admin', '--protect=/admin/danger:role=admin,max-age=1s', '--protect', '/staff:role=staff'],
    });
    g.addUser('mara', ['admin']);
    assert.equal((await g.signIn(jar)).status, 200);
  });
  after(async () => {
    await g?.stop();
    await app?.stop();
  });

  test('the line that says it is ready has the address, the processes and the configuration', () => {
    const { told } = g;
    assert.equal(told.ready, true);
    assert.equal(told.address, g.origin);
    assert.equal(told.upstream, app.url);
    assert.equal(told.pid, g.child.pid);
    assert.equal(told.configuration, g.conf);
    for (const pid of [told.daemon, told.nginx]) assert.doesNotThrow(() => process.kill(pid, 0));
  });

  test('--print shows what runs, without starting anything', () => {
    const res = run(g.args('--print'));
    assert.equal(res.status, 0, res.stderr);
    assert.equal(res.stdout, readFileSync(g.conf, 'utf8'));
    assert.equal(JSON.parse(run(g.args('--print', '--json')).stdout).configuration, res.stdout);
  });

  test('nobody passes without a session: pages are led to the sign-in page, data is told where it is', async () => {
    const hits = app.hits;
    const res = await g.get('/reports?x=1', { headers: page });
    assert.equal(res.status, 302);
    assert.equal(res.headers.location, `${g.origin}/auth/login?return=%2Freports%3Fx%3D1`);
    assert.equal((await g.get('/api')).status, 401);
    assert.equal((await g.get('/auth/login', { headers: page })).status, 200);
    assert.equal(app.hits, hits);
  });

  test('FA-3 FA-7: the application is told who it is, by us alone, and never the cookie', async () => {
    const res = await g.get('/x', {
      jar,
      headers: { cookie: `theme=dark; ${jar.header().cookie}; lang=de`, 'X-Auth-User': 'evil', 'x-auth-roles': 'evil', X_Auth_User: 'evil', 'X-Auth-Assertion': 'evil' },
    });
    const { headers } = res.json();
    assert.equal(headers['x-auth-user'], 'mara');
    assert.equal(headers['x-auth-roles'], 'admin');
    assert.equal(headers.cookie, 'theme=dark; lang=de');
    assert.equal(res.body.includes('evil'), false);
    assert.equal(res.body.includes(jar.map.get('id')), false);
  });

  test('FA-1: address, scheme and host are what the gateway says, whatever a client claims', async () => {
    const claimed = ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-Port', 'X-Forwarded-Prefix', 'X-Forwarded-Server', 'X-Forwarded-Uri', 'X-Forwarded-Method', 'X-Original-URL', 'X-Original-URI', 'X-Original-Host', 'X-Original-Method', 'X-Rewrite-URL', 'X-Real-IP'];
    const res = await g.get('/x', { jar, headers: Object.fromEntries(claimed.map((name) => [name, 'evil'])) });
    const { headers } = res.json();
    assert.equal(res.body.includes('evil'), false);
    assert.equal(headers.host, `localhost:${g.port}`);
    assert.equal(headers['x-forwarded-for'], '127.0.0.1');
    assert.equal(headers['x-real-ip'], '127.0.0.1');
    assert.equal(headers['x-forwarded-proto'], 'http');
    assert.equal(headers['x-forwarded-host'], `localhost:${g.port}`);
    assert.equal(headers.connection, undefined);
    const absolute = await raw(g.port, `GET http://localhost/x HTTP/1.1\r\nHost: evil.example\r\nCookie: ${jar.header().cookie}\r\nConnection: close\r\n\r\n`, 5000);
    assert.match(absolute.text, /^HTTP\/1\.1 200/);
    assert.equal(absolute.text.includes('evil'), false);
  });

  test('another name than ours leads to ours, where people can sign in', async () => {
    for (const host of [`127.0.0.1:${g.port}`, 'evil.example', 'localhost.evil.example']) {
      const res = await g.get('/a?b=c', { headers: { host } });
      assert.equal(res.status, 302);
      assert.equal(res.headers.location, `${g.origin}/a?b=c`);
    }
  });

  test('the path arrives as it came', async () => {
    for (const target of ['/a%2Fb/..%2fc?d=%20e', '/%61', '//x', '/a;b=c'])
      assert.equal((await g.get(target, { jar })).json().url, target);
  });

  test('a WebSocket passes with a session, and not without; no other protocol takes a connection over', async () => {
    const hello = { connection: 'Upgrade', upgrade: 'WebSocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
    assert.equal((await g.upgrade('/ws', hello)).status, 401);
    assert.equal((await g.upgrade('/ws', { ...hello, ...jar.header(), ...cross })).status, 403, 'CS-5: of a foreign page');
    assert.equal(app.upgrade, undefined);
    const { status, socket } = await g.upgrade('/ws', { ...hello, ...jar.header(), origin: g.origin, 'sec-fetch-site': 'same-origin' });
    assert.equal(status, 101);
    assert.equal(app.upgrade['x-auth-user'], 'mara');
    socket.write('ping');
    const [data] = await new Promise((resolve) => socket.once('data', (chunk) => resolve([chunk.toString()])));
    assert.equal(data, 'echo ping');
    socket.destroy();
    const h2c = await g.get('/x', { jar, headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' } });
    assert.equal(h2c.status, 200);
    assert.equal(h2c.json().headers.upgrade, undefined);
  });

  test('events of a stream arrive as they are sent', async () => {
    const text = await new Promise((resolve, reject) => {
      const req = http.get({ host: '127.0.0.1', port: g.port, path: '/stream', headers: { host: `localhost:${g.port}`, accept: 'text/event-stream', ...jar.header() }, agent: false }, (res) => {
        res.once('data', (chunk) => { resolve(chunk.toString()); req.destroy(); });
      });
      req.on('error', reject);
    });
    assert.equal(text, 'data: first\n\n');
  });

  test('an upload larger than all buffers arrives whole, one over --max-body does not', async () => {
    const headers = { origin: g.origin, 'content-type': 'application/octet-stream' };
    const res = await g.get('/upload', { jar, method: 'POST', headers }, Buffer.alloc(5_000_000));
    assert.equal(res.status, 200);
    assert.equal(res.json().size, 5_000_000);
    const hits = app.hits;
    assert.equal((await g.get('/upload', { jar, method: 'POST', headers: { ...headers, 'content-length': '16777217', expect: '100-continue' } })).status, 413);
    assert.equal(app.hits, hits);
  });

  test('CS-5: an unsafe request from a foreign page does not reach the application', async () => {
    const hits = app.hits;
    for (const headers of [cross, { 'sec-fetch-site': 'same-site', origin: g.origin }, { origin: 'null' }])
      assert.equal((await g.get('/x', { jar, method: 'POST', headers }, 'a=b')).status, 403);
    assert.equal(app.hits, hits);
    assert.equal((await g.get('/x', { jar, method: 'POST', headers: { origin: g.origin, 'sec-fetch-site': 'same-origin' } }, 'a=b')).status, 200);
  });

  test('--protect: a role is asked for wherever the path begins so, however it is spelled', async () => {
    for (const target of ['/admin', '/admin/', '/admin/x?y', '/ADMIN', '/admin.json', '/admin;x', '/%61dmin', '//admin', '/x/../admin', '/./admin'])
      assert.equal((await g.get(target, { jar })).status, 200, target);
    for (const target of ['/staff', '/staff/', '/Staff/x', '/staff.json', '/staffing', '/%73taff', '//staff', '/x/../staff', '/./staff', '/x/%2e%2e/staff'])
      assert.equal((await g.get(target, { jar })).status, 403, target);
    assert.equal((await g.get('/x/staff', { jar })).status, 200);
  });

  test('--protect: the longest path counts, and max-age asks for the password again', async () => {
    const late = await until('the sign-in is a second old', async () => {
      const res = await g.get('/admin/danger/x', { jar, headers: page });
      return res.status !== 200 && res;
    });
    assert.equal(late.status, 302);
    assert.match(late.headers.location, /\/auth\/reauth\?/);
    assert.equal((await g.get('/admin/x', { jar })).status, 200);
  });

  test('sign-out holds for the next request', async () => {
    const other = new Jar();
    await g.signIn(other);
    const copy = other.clone();
    const { csrf } = (await g.get('/auth/csrf', { jar: other })).json();
    assert.equal((await g.get('/auth/logout', { jar: other, method: 'POST', headers: { origin: g.origin, 'content-type': 'application/x-www-form-urlencoded' } }, `csrf=${csrf}`)).status, 200);
    assert.equal((await g.get('/', { jar: copy })).status, 401);
  });
});

describe('other ways to start it', { skip: missing }, () => {
  test('--optional and --no-csrf: visitors pass without identity, and the application judges by itself', async () => {
    const app = await App.start();
    const g = await Command.start({ upstream: `${app.url}/`, args: ['--optional', '--no-csrf', '--protect=/mine', '--protect=/authors'] });
    try {
      const res = await g.get('/x', { headers: { 'X-Auth-User': 'evil' } });
      assert.equal(res.status, 200);
      assert.equal(res.json().headers['x-auth-user'], undefined);
      for (const target of ['/mine', '/authors']) assert.equal((await g.get(target)).status, 401);
      assert.equal((await g.get('/x', { method: 'POST', headers: cross }, 'a=b')).status, 200);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('names, headers and CORS are those of the configuration', async () => {
    const app = await App.start();
    const config = 'server:\n  base-path: /door\n  threads: 2\n  allow-root: ROOT\ncookie:\n  name: sid\nidentity:\n  user: X-Who\n  roles: ""\ncors:\n  origins: [https://spa.example]\n';
    const g = await Command.start({ upstream: app.url, config: config.replace('ROOT', process.getuid() === 0) });
    const jar = new Jar();
    try {
      g.addUser();
      const res = await g.get('/door/login', { jar, method: 'POST', headers: { origin: g.origin, 'content-type': 'application/json' } }, JSON.stringify({ user: 'mara', password: 'violet kettle ramp 93' }));
      assert.equal(res.status, 200);
      assert.ok(jar.map.has('sid'));
      const { headers } = (await g.get('/x', { jar })).json();
      assert.equal(headers['x-who'], 'mara');
      assert.equal(headers['x-auth-user'], undefined);
      assert.equal(headers['x-auth-roles'], undefined);
      const spa = await g.get('/x', { jar, headers: { origin: 'https://spa.example' } });
      assert.equal(spa.headers['access-control-allow-origin'], 'https://spa.example');
      const own = await g.get('/door/session', { jar, headers: { origin: 'https://spa.example' } });
      assert.deepEqual(own.fields['access-control-allow-origin'], ['https://spa.example']);
      assert.equal((await g.get('/x', { jar, headers: { origin: 'https://evil.example' } })).status, 403);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('listeners of the configuration stay, those that are missing are added', async () => {
    const app = await App.start();
    const port = await freePort();
    const g = await Command.start({ upstream: app.url, config: `listeners:\n  - address: 127.0.0.1:${port}\n` });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      assert.equal((await g.get('/x', { jar })).status, 200);
      assert.match((await raw(port, 'GET /auth/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 10000)).text, /^HTTP\/1\.1 200 /);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('paths with whatever means something to nginx', async () => {
    const dir = path.join(scratch, 'a"b;} #c\\d e\'');
    mkdirSync(dir);
    chmodSync(scratch, 0o711);
    const app = await App.start();
    const g = await Command.start({ upstream: app.url, dir, args: ['--access-log', path.join(dir, 'log "1"')] });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      assert.equal((await g.get('/x', { jar })).json().headers['x-auth-user'], 'mara');
      assert.ok(existsSync(path.join(dir, 'log "1"')));
      assert.equal(/cannot be used/.test(g.stderr), false, g.stderr);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('FA-10: --assertion hands a signed assertion to the application', async () => {
    const app = await App.start();
    const g = await Command.start({ upstream: app.url, args: ['--assertion', '--assertion.audiences=https://api.example'], config: 'identity:\n  assertion: X-Proof\n' });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      const { headers } = (await g.get('/x', { jar, headers: { 'X-Proof': 'evil' } })).json();
      const claims = JSON.parse(Buffer.from(headers['x-proof'].split('.')[1], 'base64url'));
      assert.equal(claims.sub, 'mara');
      assert.equal(claims.aud, 'https://api.example');
      assert.equal((await g.get('/auth/jwks.json')).json().keys.length > 0, true);
      assert.equal((await g.get('/auth/jwks.json', { headers: { 'X-Proof': 'evil' } })).status, 200);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('an application on a Unix socket', async () => {
    const socket = path.join(scratch, 'app.sock');
    const app = await App.start({ socket });
    const g = await Command.start({ upstream: `http://unix:${socket}`, args: ['--optional', ...(process.getuid() === 0 ? ['--user=root'] : [])] });
    try {
      assert.equal((await g.get('/x')).status, 200);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('an application with TLS is believed by its certificate only', async () => {
    const own = certificate(scratch, 'localhost');
    const app = await App.start({ tls: { cert: own.text, key: own.keyText } });
    const options = { upstream: `https://localhost:${app.port}` };
    const strange = await Command.start({ ...options, args: ['--optional'] });
    try {
      assert.equal((await strange.get('/x')).status, 502);
      assert.match(strange.stderr, /certificate/);
    } finally {
      await strange.stop();
    }
    const other = certificate(scratch, 'other.example');
    for (const [ca, status] of [[own.cert, 200], [other.cert, 502]]) {
      const g = await Command.start({ ...options, args: ['--optional', '--upstream-ca', ca] });
      try {
        assert.equal((await g.get('/x')).status, status);
      } finally {
        await g.stop();
      }
    }
    await app.stop();
  });

  test('an access log has a line for each request, with the user and without secrets', async () => {
    const app = await App.start();
    const log = path.join(scratch, 'access.log');
    const g = await Command.start({ upstream: app.url, args: ['--access-log', log] });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      await g.get('/seen', { jar });
      const text = await until('the line', () => /"GET \/seen HTTP\/1\.1" 200/.test(readFileSync(log, 'utf8')) && readFileSync(log, 'utf8'));
      assert.match(text, /^127\.0\.0\.1 - mara \[[^\]]*\] "GET \/seen HTTP\/1\.1" 200 \d+ "-" "-"$/m);
      assert.equal(text.includes(jar.map.get('id')), false);
    } finally {
      await g.stop();
      await app.stop();
    }
  });
});

describe('TLS', { skip: missing }, () => {
  test('CK-1: with a certificate: https origin, the __Host- cookie, a redirect from http', async () => {
    const app = await App.start();
    const cert = certificate(scratch, 'localhost');
    const plain = await freePort();
    const g = await Command.start({ upstream: app.url, tls: cert.text, args: ['--tls-cert', cert.cert, '--tls-key', cert.key, '--redirect', `127.0.0.1:${plain}`] });
    const jar = new Jar();
    try {
      g.addUser();
      const res = await g.signIn(jar);
      assert.equal(res.status, 200);
      assert.match(res.cookies.find((c) => c.startsWith('__Host-id=')), /; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
      assert.equal((await g.get('/x', { jar })).json().headers['x-forwarded-proto'], 'https');
      const away = await raw(plain, 'GET /a?b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 5000);
      assert.match(away.text, new RegExp(`^HTTP/1\\.1 301 [\\s\\S]*\r\nLocation: ${g.origin}/a\\?b\r\n`));
      /* On localhost others live under the same name, who have no TLS. */
      assert.equal((await g.get('/x', { jar })).headers['strict-transport-security'], undefined);
    } finally {
      await g.stop();
      await app.stop();
    }
  });

  test('a public name: Strict-Transport-Security once, and TLS 1.2 at least', async () => {
    const app = await App.start();
    const cert = certificate(scratch, 'localhost');
    const g = await Command.start({ upstream: app.url, tls: cert.text, args: ['--optional', '--public.origins=https://app.example.com', '--tls-cert', cert.cert, '--tls-key', cert.key] });
    try {
      const headers = { host: 'app.example.com' };
      assert.deepEqual((await g.get('/x', { headers })).fields['strict-transport-security'], ['max-age=31536000']);
      assert.equal((await g.get('/auth/login', { headers })).fields['strict-transport-security'].length, 1);
      assert.equal((await g.get('/x', { headers })).json().headers.host, 'app.example.com');
      assert.match(readFileSync(g.conf, 'utf8'), /ssl_protocols TLSv1\.2 TLSv1\.3;/);
    } finally {
      await g.stop();
      await app.stop();
    }
  });
});

describe('wrong usage', () => {
  const up = ['--upstream', 'http://127.0.0.1:3000'];
  const root = process.getuid() === 0 ? ['--server.allow-root=true'] : [];
  const tls = ['--tls-cert=/c', '--tls-key=/k'];
  const cases = [
    [[], /--upstream is missing.*http:\/\/127\.0\.0\.1:3000/],
    [['--upstream=localhost:3000'], /--upstream localhost:3000: .*http:\/\/127\.0\.0\.1:3000/],
    [['--upstream=ftp://x'], /--upstream/],
    [['--upstream=http://127.0.0.1:3000/app'], /without a path/],
    [['--upstream=http://127.0.0.1:70000'], /--upstream/],
    [['--upstream=https://127.0.0.1'], /by name only/],
    [['--upstream=http://unix:relative'], /--upstream/],
    [[...up, ...up], /given twice/],
    [[...up, '--listen=8080'], /--listen 8080: .*127\.0\.0\.1:8080/],
    [[...up, '--listen=localhost:8080'], /127\.0\.0\.1:8080/],
    [[...up, '--listen=127.0.0.1:0'], /--listen/],
    [[...up, '--listen=0.0.0.0:8080'], /without TLS.*--tls-cert FILE and --tls-key FILE/],
    [[...up, '--listen=[::]:8080'], /without TLS/],
    [[...up, '--listen=127.0.0.1:1', '--listen=127.0.0.1:1'], /twice/],
    [[...up, '--tls-cert=/c'], /--tls-key is missing/],
    [[...up, '--tls-key=/c'], /--tls-cert is missing/],
    [[...up, ...tls], /--public\.origins=https:\/\/app\.example\.com/],
    [[...up, '--redirect=127.0.0.1:80'], /--redirect .*--tls-cert/],
    [[...up, '--protect=admin'], /--protect admin: .*\/admin:role=admin/],
    [[...up, '--protect=/a:role='], /--protect/],
    [[...up, '--protect=/a:max-age=soon'], /--protect/],
    [[...up, '--protect=/a b'], /--protect/],
    [[...up, '--protect=/a', '--protect=/A'], /twice/],
    [[...up, '--protect=/auth/login'], /coatcheck's own pages/],
    [[...up, '--protect=/AUTH'], /coatcheck's own pages/],
    [[...up, '--max-body=many'], /--max-body many: .*16MiB/],
    [[...up, '--upstream-ca=/c'], /https:\/\//],
    [[...up, '--user=nobody-at-all'], process.getuid() === 0 ? /no user nobody-at-all/ : /only root/],
    [[...up, '--nonsense'], /unknown option/],
  ];
  for (const [args, message] of cases)
    test(`${args.join(' ') || 'nothing'}: exit code 2`, () => {
      const res = run(['gateway', ...args, ...root, '--print']);
      assert.equal(res.status, 2, res.stderr);
      assert.match(res.stderr, message);
      assert.equal(res.stdout, '');
    });

  const config = [
    [['--public.origins=https://app.example.com'], /https needs --tls-cert/],
    [['--public.origins=http://app.example.com'], /not on a loopback address/],
    [['--cookie.name=__Host-id'], /cookie\.name|cookie/],
    [['--server.base-path='], /server\.base-path/],
    [['--assertion'], /assertion\.audiences/],
    [['--listeners=fd:http;dialect=nginx'], /fd:http .*unix:\/path/],
    [['--runtime.directory=/run/$x'], /neither "\$"/],
  ];
  for (const [args, message] of config)
    test(`${args.join(' ')}: exit code 3`, () => {
      const res = run(['gateway', ...up, ...args, ...root, '--print']);
      assert.equal(res.status, 3, res.stderr);
      assert.match(res.stderr, message);
      assert.equal(res.stdout, '');
    });
});
