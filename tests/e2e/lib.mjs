// SPDX-License-Identifier: Apache-2.0
// What the end-to-end tests share: a real daemon in a folder of its own, its admin socket, an HTTP
// client that sends exact bytes, a cookie jar, and names for tests that hold requirements.
import { spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { accessSync, constants, mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/* In memory: how long a disk takes to sync when the machine is busy is no matter of these tests, and an
 * operation that takes longer than its deadline would be refused, rightly. */
if (!process.env.TMPDIR) {
  try {
    accessSync('/dev/shm', constants.W_OK);
    process.env.TMPDIR = '/dev/shm';
  } catch { /* then on the disk */ }
}

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const build = process.env.COAT_BUILD ?? path.join(root, 'build');
export const binary = path.join(build, 'src/cli/coatcheck');
export const password = 'violet kettle ramp 93';
export { sleep };

let nextPort = 20000 + Math.floor(Math.random() * 12000);

/**
 * A port that nobody listens on, below those that the kernel gives to connections. The UDP port of
 * the same number is held until this process ends: so the files of tests that run side by side
 * never get each other's.
 */
export async function freePort() {
  for (;;) {
    const port = nextPort;
    nextPort = nextPort < 31999 ? nextPort + 1 : 20000;
    const hold = dgram.createSocket('udp4');
    const held = await new Promise((resolve) => {
      hold.once('error', () => resolve(false));
      hold.bind({ address: '127.0.0.1', port, exclusive: true }, () => resolve(true));
    });
    if (!held) continue;
    hold.unref();
    const server = net.createServer();
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
    hold.close();
  }
}

export async function until(what, probe, ms = 15000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timeout: ${what}`);
    await sleep(20);
  }
}

/**
 * Stops a process; resolves when each of its threads is stopped. One that runs on another processor goes on
 * for a moment, and on a busy machine that has been long enough to answer one more request.
 */
export async function freeze(pid) {
  const still = (file) => {
    try {
      return /^ [TZX] /.test(readFileSync(file, 'utf8').replace(/^.*\)/s, ''));
    } catch { /* it has just ended */
      return true;
    }
  };
  process.kill(pid, 'SIGSTOP');
  const threads = `/proc/${pid}/task`;
  await until(`${pid} is stopped`, () => !existsSync(threads) || readdirSync(threads).every((t) => still(`${threads}/${t}/stat`)));
}

/** One request; resolves to {status, headers (lower case, arrays for repeated), body, json()}. */
export function request(options, body) {
  return new Promise((resolve, reject) => {
    const { request: start } = options.protocol === 'https:' ? https : http;
    const req = start({ agent: false, ...options }, (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const fields = {};
        for (let i = 0; i < res.rawHeaders.length; i += 2)
          (fields[res.rawHeaders[i].toLowerCase()] ??= []).push(res.rawHeaders[i + 1]);
        resolve({
          status: res.statusCode,
          headers: res.headers,
          fields,
          cookies: fields['set-cookie'] ?? [],
          body: text,
          json: () => JSON.parse(text),
        });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** Exact bytes out, all bytes back until the other side closes or nothing comes for a while. */
export function raw(port, bytes, quietMs = 500) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = typeof port === 'string' ? net.connect(port) : net.connect(port, '127.0.0.1');
    const finish = (closed) => {
      socket.destroy();
      resolve({ text: Buffer.concat(chunks).toString('latin1'), closed });
    };
    socket.setTimeout(quietMs, () => finish(false));
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => finish(true));
    socket.on('error', (error) => (error.code === 'ECONNRESET' ? finish(true) : reject(error)));
  });
}

/** Cookies of one visitor, as far as these tests need them: name to value. */
export class Jar {
  constructor() {
    this.map = new Map();
  }
  take(res) {
    for (const line of res.cookies) {
      const [pair, ...attributes] = line.split('; ');
      const at = pair.indexOf('=');
      const gone = attributes.some((a) => a === 'Max-Age=0');
      if (gone) this.map.delete(pair.slice(0, at));
      else this.map.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return res;
  }
  header() {
    const text = [...this.map].map(([name, value]) => `${name}=${value}`).join('; ');
    return text ? { cookie: text } : {};
  }
  clone() {
    const jar = new Jar();
    jar.map = new Map(this.map);
    return jar;
  }
}

/**
 * A daemon. Options: config (YAML text appended), yaml(self) for the whole file, env, flags,
 * listener (YAML lines of further listeners), plain: cookies without TLS (default true).
 */
export class Daemon {
  static async start(options = {}) {
    const daemon = new this(options);
    await daemon.prepare();
    await daemon.up();
    return daemon;
  }

  constructor(options) {
    this.options = options;
    this.dir = options.dir ?? mkdtempSync(path.join(tmpdir(), 'coat-e2e-'));
    this.keep = options.dir !== undefined;
    this.exited = null;
    this.stderr = '';
  }

  async prepare() {
    const { options, dir } = this;
    this.port = options.port ?? (await freePort());
    this.origin = options.origin ?? `http://localhost:${this.port}`;
    this.cookie = options.plain === false ? '__Host-id' : 'id';
    for (const name of ['data', 'run']) mkdirSync(path.join(dir, name), { recursive: true, mode: 0o700 });
    this.admin = path.join(dir, 'run/admin.sock');
    this.log = path.join(dir, 'log');
    this.file = path.join(dir, 'coatcheck.yaml');
    writeFileSync(this.file, this.yaml());
  }

  yaml() {
    const { options } = this;
    if (options.yaml) return options.yaml(this);
    const plain = options.plain === false
      ? ''
      : 'cookie:\n  name: id\n  secure: false\n  allow-plaintext: true\n';
    return `data:\n  directory: ${this.dir}/data\nruntime:\n  directory: ${this.dir}/run\n` +
      `listeners:\n  - address: 127.0.0.1:${this.port}\n${options.listener ?? ''}` +
      `server:\n  allow-root: true\n  threads: ${options.threads ?? 2}\n` +
      `public:\n  origins: [${this.origin}${(options.origins ?? []).map((o) => `, ${o}`).join('')}]\n${options.public ?? ''}` +
      `${plain}log:\n  target: file:${this.log}\n  format: json\n  level: ${options.level ?? 'debug'}\n${options.config ?? ''}`;
  }

  async up() {
    this.exited = null;
    this.child = spawn(binary, ['serve', '--config', this.file, ...(this.options.flags ?? [])], {
      env: { PATH: process.env.PATH, ...(this.options.env ?? {}), ...sanitizerEnv() },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr.on('data', (data) => (this.stderr += data));
    this.child.on('exit', (code, signal) => (this.exited = { code, signal }));
    await until('the daemon answers', async () => {
      if (this.exited) throw new Error(`daemon ended: ${JSON.stringify(this.exited)} ${this.stderr}`);
      return (await this.ask('GET', '/v1/ready').catch(() => null))?.status === 200;
    });
  }

  /** A request to the admin socket. */
  ask(method, target, json, headers = {}) {
    const body = json === undefined ? undefined : JSON.stringify(json);
    return request(
      {
        socketPath: this.admin,
        method,
        path: target,
        headers: {
          host: 'localhost',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      body,
    );
  }

  /** A request to the public listener. */
  get(target, { jar, headers = {}, method = 'GET' } = {}, body) {
    return request(
      {
        host: '127.0.0.1',
        port: this.port,
        method,
        path: target,
        headers: { host: new URL(this.origin).host, ...(jar?.header() ?? {}), ...headers },
      },
      body,
    ).then((res) => (jar ? jar.take(res) : res));
  }

  post(target, fields, { jar, headers = {} } = {}) {
    return this.get(
      target,
      {
        jar,
        method: 'POST',
        headers: {
          origin: this.origin,
          'content-type': 'application/x-www-form-urlencoded',
          ...headers,
        },
      },
      typeof fields === 'string' ? fields : new URLSearchParams(fields).toString(),
    );
  }

  postJson(target, json, { jar, headers = {} } = {}) {
    return this.get(
      target,
      {
        jar,
        method: 'POST',
        headers: { origin: this.origin, 'content-type': 'application/json', ...headers },
      },
      JSON.stringify(json),
    );
  }

  async addUser(name = 'mara', roles = ['admin'], secret = password) {
    const res = await this.ask('POST', '/v1/accounts', { name, password: secret, roles });
    if (res.status !== 201) throw new Error(`no account: ${res.body}`);
  }

  /** Sign in by JSON; the jar holds the cookies afterwards. */
  async signIn(jar, { user = 'mara', secret = password, remember = false, headers = {} } = {}) {
    return this.postJson('/auth/login', { user, password: secret, remember }, { jar, headers });
  }

  async csrf(jar) {
    const res = await this.get('/auth/csrf', { jar });
    return res.status === 200 ? res.json().csrf : '';
  }

  /** Audit events in the log so far, of one type. */
  events(type) {
    if (!existsSync(this.log)) return [];
    return readFileSync(this.log, 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l))
      .filter((event) => event.event !== undefined && (type === undefined || event.event === type));
  }

  event(type) {
    return until(`event ${type}`, () => this.events(type)[0]);
  }

  signal(name) {
    this.child.kill(name);
  }

  async down(signal = 'SIGTERM') {
    if (this.child && !this.exited) {
      this.child.kill(signal);
      await until('the daemon ends', () => this.exited, 20000);
      if (signal === 'SIGTERM' && this.exited.code !== 0)
        throw new Error(`daemon ended with ${JSON.stringify(this.exited)}: ${this.stderr}`);
    }
    return this.exited;
  }

  async stop() {
    const ended = await this.down();
    if (!this.keep) rmSync(this.dir, { recursive: true, force: true });
    if (ended && ended.code !== 0) throw new Error(`daemon ended with ${JSON.stringify(ended)}: ${this.stderr}`);
  }
}

function sanitizerEnv() {
  const names = ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'];
  return Object.fromEntries(names.filter((n) => process.env[n]).map((n) => [n, process.env[n]]));
}

/** Run the program to its end. */
export function run(args, options = {}) {
  return spawnSync(binary, args, { encoding: 'utf8', ...options });
}

/** Process ids of a server and of those it has started. */
export function family(pid) {
  let children = '';
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch { /* it has just ended */ }
  return [pid, ...children.split(' ').filter(Boolean).map(Number)];
}
