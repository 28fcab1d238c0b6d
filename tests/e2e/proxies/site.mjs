// SPDX-License-Identifier: Apache-2.0
// A site as an operator builds it: a proxy with TLS, a daemon (or a stub of one) and an application
// that keeps each request as it came. What a proxy is, for these tests:
//
//   name       'caddy'; stands in the name of each test
//   listeners  the daemon's: [{ file: 'http.sock', dialect: 'nginx' }] on Unix sockets in its run folder
//              (and trusted: networks, for proxies that name themselves in X-Forwarded-For; group: whose
//              the socket is, for proxies that give up being root), or [{ tcp: true, dialect: 'forwarded' }]
//   config     further YAML for the daemon
//   start(site)  runs the proxy in the foreground, its state in site.dir, resolves when it listens on
//              127.0.0.1:site.port with the certificate in site.cert and site.key (names site.host);
//              resolves to { stop() }. spawnProxy() below does this for a program
//   logs(site) files that the proxy logs to, besides its standard output and error
//   away       what it answers while the daemon does not, if that is not 503 with Retry-After
//   strict     only 200 passes, of all 2xx
//   http2      it speaks HTTP/2 as well, as the tests run it
//   guards     a Connection field that lists forwarding fields gets 400
//   client     the client's address as it sees it, if that is not 127.0.0.1
//   reads      it reads the node table itself: a session that is known there outlives the daemon
//   lacks      what it cannot do, honestly: a Set of 'optional', 'step-up', 'role'
//
// Each example configuration serves the same places: /auth/ is coatcheck's own, /admin/ asks for
// max_age=300 and role=admin, /public/ for optional=yes, everything else for a session.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { Daemon, Jar, binary, build, freePort, password, root, until } from '../lib.mjs';

export const page = [['Accept', 'text/html'], ['Sec-Fetch-Mode', 'navigate'], ['Sec-Fetch-Dest', 'document']];
export const fetched = [['Accept', '*/*'], ['Sec-Fetch-Mode', 'cors'], ['Sec-Fetch-Dest', 'empty'], ['Sec-Fetch-Site', 'same-origin']];

/** The text of an example with [from, to] put in; each `from` must be there, or the example has changed. */
export function fill(file, pairs) {
  let text = readFileSync(path.join(root, 'examples/proxies', file), 'utf8');
  for (const [from, to] of pairs) {
    assert.ok(text.includes(from), `${file} has no "${from}"`);
    text = text.replaceAll(from, String(to));
  }
  return text;
}

/** The library that a sanitizer wants before all others that are preloaded. */
function sanitizer() {
  const program = readFileSync(binary);
  const name = ['libasan.so', 'libtsan.so'].find((lib) => program.includes(`__${lib.slice(3, 7)}_init`));
  return name ? [spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()] : [];
}

/** A YAML document as an object. */
export function yaml(text) {
  const read = spawnSync('python3', ['-c', 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'], { input: text, encoding: 'utf8' });
  assert.equal(read.status, 0, `python3-yaml: ${read.error?.message ?? read.stderr}`);
  return JSON.parse(read.stdout);
}

/** A program that stays in the foreground until SIGTERM; ready when it accepts connections. */
export async function spawnProxy(site, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: site.dir, ...options,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: site.dir, ...(options.env ?? {}) } });
  let said = '';
  let ended = null;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data));
  const exit = new Promise((resolve) => {
    child.on('error', (error) => resolve((ended = `${error.message}; scripts/setup test installs it`)));
    child.on('exit', (code, signal) => resolve((ended = `ended with ${code ?? signal}`)));
  });
  const running = {
    child,
    said: () => said,
    async stop() {
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), 20000);
      await exit;
      clearTimeout(killer);
    },
  };
  await until(`${command} listens`, () => {
    if (ended !== null) throw new Error(`${command}: ${ended}\n${said}`);
    return accepts(site.port);
  }, 60000).catch(async (error) => {
    if (ended === null) await running.stop();
    throw new Error(`${error.message}\n${said}`);
  });
  return running;
}

const accepts = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => resolve(true) ?? socket.destroy());
  socket.on('error', () => resolve(false));
});

/** The application: keeps what arrives, to the letter, and answers as ?status= and ?cookie= ask. */
class App {
  async start() {
    this.seen = [];
    this.server = http.createServer({ keepAliveTimeout: 60000 }, (req, res) => this.answer(req, res));
    this.port = await freePort();
    await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
  }

  answer(req, res) {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('error', () => {});
    req.on('end', () => {
      const fields = [];
      for (let i = 0; i < req.rawHeaders.length; i += 2) fields.push([req.rawHeaders[i], req.rawHeaders[i + 1]]);
      this.seen.push({ method: req.method, url: req.url, fields, body: Buffer.concat(chunks) });
      const query = new URL(req.url, 'http://app').searchParams;
      res.writeHead(Number(query.get('status') ?? 200), [
        ...['Content-Type', 'text/plain', 'X-App', 'here'],
        ...query.getAll('cookie').flatMap((value) => ['Set-Cookie', value]),
      ]);
      res.end(query.get('body') ?? 'application');
    });
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** In the daemon's place: sends `reply` (bytes), then closes the connection, or keeps it if `stall`. */
class Stub {
  async start(listeners) {
    this.asked = 0;
    this.reply = '';
    this.stall = false;
    this.sockets = new Set();
    this.servers = listeners.map((at) => {
      const server = net.createServer((socket) => this.serve(socket));
      server.listen(at.path ?? { port: at.port, host: '127.0.0.1' });
      return server;
    });
    await Promise.all(this.servers.map((s) => s.listening || new Promise((resolve) => s.once('listening', resolve))));
  }

  serve(socket) {
    let head = '';
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (data) => {
      head += data.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      head = '';
      this.asked += 1;
      socket.write(Buffer.from(this.reply, 'latin1'));
      if (!this.stall) socket.end();
    });
  }

  async stop() {
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(this.servers.map((s) => new Promise((resolve) => s.close(resolve))));
  }
}

export class Site {
  static async start(proxy, { stub = false } = {}) {
    const site = new Site(proxy);
    try {
      await site.prepare();
      if (stub) await (site.stub = new Stub()).start(site.listeners);
      else await site.startDaemon();
      site.running = await proxy.start(site);
    } catch (error) {
      await site.stop().catch(() => {});
      throw error;
    }
    return site;
  }

  constructor(proxy) {
    this.proxy = proxy;
    this.host = 'app.example.com';
    this.origin = `https://${this.host}`;
    this.cookie = '__Host-id';
    this.paths = 0;
  }

  async prepare() {
    this.dir = mkdtempSync(path.join(tmpdir(), `coat-${this.proxy.name.replaceAll(/\W/g, '')}-`));
    this.run = path.join(this.dir, 'run');
    mkdirSync(this.run, { mode: 0o700 });
    this.port = await freePort();
    this.app = new App();
    await this.app.start();
    this.appPort = this.app.port;
    this.listeners = [];
    for (const at of this.proxy.listeners)
      this.listeners.push(at.tcp ? { ...at, port: await freePort() } : { ...at, path: path.join(this.run, at.file) });
    this.certificate();
    this.clockFile = path.join(this.dir, 'clock');
    this.ahead = 0;
    this.setClock();
    /* For whoever judges a session by the time: the daemon, and a proxy with the module. */
    this.clockEnv = { LD_PRELOAD: [...sanitizer(), path.join(build, 'tests/e2e/module/libcoat-test-clock.so')].join(' '), COAT_TEST_CLOCK: this.clockFile };
  }

  certificate() {
    this.cert = path.join(this.dir, 'site.crt');
    this.key = path.join(this.dir, 'site.key');
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${this.host}`, '-addext', `subjectAltName=DNS:${this.host}`, '-keyout', this.key, '-out', this.cert], { encoding: 'utf8' });
    assert.equal(made.status, 0, `openssl: ${made.error?.message ?? made.stderr}`);
    this.ca = readFileSync(this.cert);
  }

  async startDaemon() {
    const listener = this.listeners.map((at) => at.tcp
      ? `  - address: 127.0.0.1:${at.port}\n    dialect: ${at.dialect}\n    trusted: [127.0.0.1/32]\n`
      : `  - address: unix:${at.path}\n    dialect: ${at.dialect}\n${at.trusted ? `    trusted: [${at.trusted}]\n` : ''}${at.group ? `    group: ${at.group}\n` : ''}`).join('');
    this.daemon = await Daemon.start({
      dir: this.dir, plain: false, origin: this.origin, listener, env: this.clockEnv,
      config: `session:\n  rotate-every: 1m\n  idle-timeout: 10m\n  per-user: 0\nthrottle:\n  attempts-per-minute: 8000\n${this.proxy.config ?? ''}`,
    });
  }

  setClock() {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(this.ahead) * 1000n);
    writeFileSync(this.clockFile, bytes, { flag: this.ahead === 0 ? 'w' : 'r+' });
  }

  /** Time passes. */
  pass(seconds) {
    this.ahead += seconds;
    this.setClock();
  }

  /** A session made by the admin interface: { jar, token, handle }. */
  async plant(fields = {}) {
    /* 503: a busy machine's disk has not answered in time. */
    const res = await until('a session', async () => {
      const made = await this.daemon.ask('POST', '/v1/sessions', { user: 'mara', roles: ['admin', 'staff'], methods: ['pwd'], ...fields });
      return made.status === 503 ? null : made;
    });
    assert.equal(res.status, 201, res.body);
    const jar = new Jar();
    jar.take({ cookies: [res.json().set_cookie] });
    return { jar, token: jar.map.get(this.cookie), handle: res.json().handle };
  }

  /** A path that no other test asks for. */
  path(under = '/') {
    this.paths += 1;
    return `${under}r${this.paths}`;
  }

  /** What the application got for this path; the path as it came or its beginning. */
  arrived(target) {
    return this.app.seen.filter((r) => r.url === target || r.url.startsWith(`${target}?`));
  }

  /**
   * One request through the proxy, its fields in the order, spelling and number given. Resolves to
   * { status, fields, headers, cookies, body }; status 0: closed without an answer.
   */
  send(target, { method = 'GET', fields = [], jar, body, chunked = false } = {}) {
    const cookie = jar?.header().cookie;
    const all = [['Host', this.host], ...fields, ...(cookie ? [['Cookie', cookie]] : [])];
    if (body !== undefined && chunked) all.push(['Transfer-Encoding', 'chunked']);
    else if (body !== undefined) all.push(['Content-Length', Buffer.byteLength(body)]);
    if (!all.some(([name]) => name.toLowerCase() === 'connection')) all.push(['Connection', 'close']);
    return new Promise((resolve, reject) => {
      const req = https.request({
        host: '127.0.0.1', port: this.port, servername: this.host, ca: this.ca, agent: false, method, path: target,
        headers: all.flat(), setHost: false, timeout: 60000,
      }, (res) => {
        const chunks = [];
        res.on('data', (chunk) => chunks.push(chunk));
        res.on('error', () => resolve(closed()));
        res.on('end', () => resolve(answer(res, Buffer.concat(chunks))));
      });
      req.on('timeout', () => req.destroy(new Error(`${this.proxy.name}: no answer to ${method} ${target} within a minute`)));
      req.on('upgrade', (res, socket) => socket.destroy() && resolve(answer(res, Buffer.alloc(0))));
      req.on('error', (error) => (['ECONNRESET', 'EPIPE', 'HPE_INVALID_CONSTANT'].includes(error.code) ? resolve(closed()) : reject(error)));
      req.end(body);
    }).then((res) => (jar ? jar.take(res) : res));
  }

  /** The same over HTTP/2; each cookie in a field of its own, as browsers do. */
  send2(target, fields = {}) {
    return new Promise((resolve, reject) => {
      const session = http2.connect(this.origin, { ca: this.ca, createConnection: () => tls.connect({ host: '127.0.0.1', port: this.port, servername: this.host, ca: this.ca, ALPNProtocols: ['h2'] }) });
      session.on('error', reject);
      const stream = session.request({ ':path': target, ...fields });
      let headers;
      stream.on('response', (got) => (headers = got));
      stream.on('error', reject);
      stream.resume();
      stream.on('end', () => session.close(() => resolve({ status: headers[':status'], headers })));
    });
  }

  async post(target, json, { jar, fields = [] } = {}) {
    return this.send(target, { method: 'POST', jar, body: JSON.stringify(json),
      fields: [['Origin', this.origin], ['Content-Type', 'application/json'], ...fields] });
  }

  /** Sign in by JSON; the jar holds the cookies afterwards. */
  async signIn(jar, user = 'mara') {
    const res = await this.post('/auth/login', { user, password }, { jar });
    assert.equal(res.status, 200, res.body);
    return res;
  }

  /** Fill in and send the form of a page of coatcheck's, as a browser does. */
  async submit(target, given, jar) {
    const form = await this.send(target, { jar, fields: page });
    assert.equal(form.status, 200, `${target}: ${form.status}`);
    const action = /<form method="post" action="([^"]+)"/.exec(form.body)[1];
    const values = new URLSearchParams(given);
    for (const [, name, value] of form.body.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g))
      values.set(name, value.replaceAll('&#x2F;', '/').replaceAll('&amp;', '&'));
    return this.send(action, { method: 'POST', jar, body: values.toString(), fields: [
      ['Origin', 'null'], ['Sec-Fetch-Site', 'same-origin'], ...page, ['Content-Type', 'application/x-www-form-urlencoded']] });
  }

  async stop() {
    await this.running?.stop();
    await this.stub?.stop();
    await this.app?.stop();
    await this.daemon?.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function answer(res, bytes) {
  const fields = {};
  for (let i = 0; i < res.rawHeaders.length; i += 2) (fields[res.rawHeaders[i].toLowerCase()] ??= []).push(res.rawHeaders[i + 1]);
  return { status: res.statusCode, headers: res.headers, fields, cookies: fields['set-cookie'] ?? [], body: bytes.toString(), bytes };
}

const closed = () => ({ status: 0, headers: {}, fields: {}, cookies: [], body: '', bytes: Buffer.alloc(0) });
