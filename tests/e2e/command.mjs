// SPDX-License-Identifier: Apache-2.0
// `coatcheck gateway` in front of an application that shows what arrives.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { binary, build, freePort, password, request, run, until } from './lib.mjs';

export const nginx = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(existsSync);
export const module = path.join(build, 'nginx/ngx_http_coatcheck_module.so');
/** A reason to skip, or false. */
export const missing = nginx && existsSync(module) ? false : 'nginx, or nginx-dev at build time, is not installed';
export const page = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

/** The application: answers with the request as it arrived; /stream and WebSockets stay open. */
export class App {
  static async start({ tls, socket } = {}) {
    const app = new App();
    app.hits = 0;
    const answer = (req, res) => {
      app.hits += 1;
      let size = 0;
      req.on('data', (chunk) => (size += chunk.length));
      if (req.url.startsWith('/stream')) {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write('data: first\n\n');
        return;
      }
      req.on('end', () => {
        res.writeHead(200, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ headers: req.headers, raw: req.rawHeaders, url: req.url, method: req.method, size }));
      });
    };
    app.server = tls ? https.createServer(tls, answer) : http.createServer(answer);
    app.server.on('upgrade', (req, socket_) => {
      app.upgrade = req.headers;
      socket_.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket_.on('data', (data) => socket_.write(`echo ${data}`));
      socket_.on('error', () => {});
      socket_.on('end', () => socket_.end());
    });
    await new Promise((resolve) => app.server.listen(...(socket ? [socket] : [0, '127.0.0.1']), resolve));
    app.server.unref(); // a test that fails before it stops it must end
    app.port = app.server.address().port;
    app.url = `http://127.0.0.1:${app.port}`;
    return app;
  }

  async stop() {
    this.server.closeAllConnections?.();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/**
 * The command. Options: upstream, args (further flags), config (YAML text), plain: false for TLS,
 * dir to use again, user: who nginx's workers are.
 */
export class Command {
  static async start(options = {}) {
    const command = new this(options);
    await command.prepare();
    command.up();
    try {
      await command.ready();
    } catch (error) {
      await command.down('SIGKILL');
      throw error;
    }
    return command;
  }

  constructor(options) {
    this.options = options;
    this.dir = options.dir ?? mkdtempSync(path.join(tmpdir(), 'coat-gw-'));
    chmodSync(this.dir, 0o711); // nginx's workers are another user
    this.binary = binary;
    this.file = path.join(this.dir, 'coatcheck.yaml');
    this.run = path.join(this.dir, 'run');
    this.conf = path.join(this.run, 'gateway/nginx.conf');
    this.admin = path.join(this.run, 'admin.sock');
  }

  async prepare() {
    for (const name of ['data', 'run']) mkdirSync(path.join(this.dir, name), { recursive: true, mode: 0o700 });
    this.port = this.options.port ?? (await freePort());
    this.origin = `${this.options.tls ? 'https' : 'http'}://localhost:${this.port}`;
    this.configure(this.options.config);
  }

  configure(text = '') {
    const asRoot = process.getuid() === 0 && !/^server:/m.test(text) ? 'server:\n  allow-root: true\n  threads: 2\n' : '';
    const [data, run_, log] = [`${this.dir}/data`, this.run, `file:${this.dir}/log`].map((value) => JSON.stringify(value));
    writeFileSync(this.file, `data:\n  directory: ${data}\nruntime:\n  directory: ${run_}\nlog:\n  target: ${log}\n${asRoot}${text}`);
  }

  args(...more) {
    return ['gateway', '--config', this.file, '--upstream', this.options.upstream, '--listen', `127.0.0.1:${this.port}`, ...(this.options.args ?? []), ...more];
  }

  up() {
    this.exited = null;
    this.stdout = '';
    this.stderr = '';
    this.child = spawn(this.binary, this.args('--json'), { env: { ...process.env, ...(this.options.env ?? {}) }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (data) => (this.stdout += data));
    this.child.stderr.on('data', (data) => (this.stderr += data));
    this.ended = new Promise((resolve) => this.child.on('close', (code, signal) => resolve((this.exited = { code, signal }))));
  }

  /** The line that says it is ready. */
  async ready() {
    const line = await until('the gateway is ready', () => {
      if (this.exited) throw new Error(`gateway ended: ${JSON.stringify(this.exited)} ${this.stderr}`);
      return this.stdout.includes('\n') && this.stdout.split('\n')[0];
    }, 60000);
    return (this.told = JSON.parse(line));
  }

  /** What it has said on standard error, as soon as that matches. */
  said(pattern, ms = 60000) {
    return until(`it says ${pattern}`, () => this.stderr.match(pattern), ms).catch((error) => {
      throw new Error(`${error.message}: ${this.stderr}`);
    });
  }

  addUser(name = 'mara', roles = ['admin']) {
    const res = run(['user', 'add', name, ...roles.map((role) => `--role=${role}`), '--password-stdin', '--config', this.file], { input: password });
    if (res.status !== 0) throw new Error(res.stderr);
  }

  /** Id of the daemon's process, 0 while there is none. */
  async daemon() {
    const res = await request({ socketPath: this.admin, path: '/v1/status', headers: { host: 'localhost' } }).catch(() => null);
    return res?.status === 200 ? res.json().pid : 0;
  }

  get(target, { jar, headers = {}, method = 'GET', ca } = {}, body) {
    return request(
      {
        ...(this.options.tls ? { protocol: 'https:', ca: ca ?? this.options.tls, servername: 'localhost' } : {}),
        host: '127.0.0.1',
        port: this.port,
        method,
        path: target,
        headers: { host: `localhost:${this.port}`, ...(jar?.header() ?? {}), ...headers },
      },
      body,
    ).then((res) => (jar ? jar.take(res) : res));
  }

  signIn(jar, user = 'mara') {
    return this.get('/auth/login', { jar, method: 'POST', headers: { origin: this.origin, 'content-type': 'application/json' } }, JSON.stringify({ user, password }));
  }

  /** An upgraded connection: {status, socket}; the socket is open only after 101. */
  upgrade(target, headers) {
    return new Promise((resolve, reject) => {
      const req = http.request({ host: '127.0.0.1', port: this.port, path: target, headers: { host: `localhost:${this.port}`, ...headers }, agent: false });
      req.on('upgrade', (res, socket) => resolve({ status: res.statusCode, socket }));
      req.on('response', (res) => {
        res.resume();
        res.on('end', () => resolve({ status: res.statusCode }));
      });
      req.on('error', reject);
      req.end();
    });
  }

  async down(signal = 'SIGTERM') {
    if (!this.exited) this.child.kill(signal);
    return this.ended;
  }

  async stop() {
    const ended = await this.down();
    rmSync(this.dir, { recursive: true, force: true });
    if (ended.code !== 0) throw new Error(`gateway ended with ${JSON.stringify(ended)}: ${this.stderr}`);
  }
}

/** Ids of processes whose process group is one of these, or whose command line names dir. */
export function processes({ groups = [], dir }) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return false;
      return groups.includes(Number(group)) || (dir && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dir));
    } catch {
      return false; // it has just ended
    }
  }).map(Number);
}

/** Does anybody listen there? */
export function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  });
}

/** A certificate for localhost that signs itself. */
export function certificate(dir, name = 'localhost') {
  const cert = path.join(dir, `${name}.pem`), key = path.join(dir, `${name}.key`);
  const res = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', cert], { encoding: 'utf8' });
  if (res.status !== 0) throw new Error(res.stderr);
  return { cert, key, text: readFileSync(cert, 'utf8'), keyText: readFileSync(key, 'utf8') };
}
