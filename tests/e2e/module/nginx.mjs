// SPDX-License-Identifier: Apache-2.0
// Stock nginx with the module, in a folder of its own; a daemon and an application beside it.
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Daemon, build, freePort, request, until } from '../lib.mjs';
import { App } from './app.mjs';
import { H2, Wire } from './wire.mjs';

/* COAT_NGINX: another one, of the version that the module was built for (NGINX_SRC). */
export const nginxBinary = [process.env.COAT_NGINX, '/usr/sbin/nginx', '/usr/bin/nginx'].find((name) => name && existsSync(name));
export const modulePath = path.join(build, 'nginx/ngx_http_coatcheck_module.so');
export const clockPath = path.join(build, 'tests/e2e/module/libcoat-test-clock.so');

/** Why the tests of the module cannot run here; false if they can. */
export const missing = !existsSync(modulePath)
  ? `the nginx module was not built (${path.relative(build, modulePath)} is not in the build folder)`
  : !nginxBinary ? 'there is no nginx' : false;

/** Built with -fsanitize=address: stock nginx needs its library before all others. */
export const sanitized = !missing && readFileSync(modulePath).includes('__asan_init');

const library = (name) => spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();

/* Leaks are not looked for: nginx frees nothing on purpose when it ends, and memory of workers has its own test. */
const sanitizers = () => ({
  ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=0:exitcode=99:handle_segv=0:allow_user_segv_handler=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=0',
});

/** What has to be loaded before all else, for nginx and for the daemon. */
const preloaded = (clock) => [sanitized && library('libasan.so'), clock && clockPath].filter(Boolean);

function environment(clock) {
  const preload = preloaded(clock);
  return {
    PATH: process.env.PATH,
    MALLOC_PERTURB_: '165', /* what was freed is not what it was */
    ...(preload.length ? { LD_PRELOAD: preload.join(' ') } : {}),
    ...(sanitized ? sanitizers() : {}),
    ...(clock ? { COAT_TEST_CLOCK: clock.file } : {}),
  };
}

/** Wall time of nginx and daemon, to be put forward. */
export class Clock {
  constructor(dir) {
    this.file = path.join(dir, 'clock');
    this.passed = 0;
    this.wrong = 0;
    this.write();
  }
  write() {
    const bytes = Buffer.alloc(16);
    bytes.writeBigInt64LE(BigInt(this.passed));
    bytes.writeBigInt64LE(BigInt(this.wrong), 8);
    writeFileSync(this.file, bytes, { flag: existsSync(this.file) ? 'r+' : 'w' });
  }
  /** Time passes, for the wall clock and the one that goes on while a machine sleeps; every process sees it at its next look. */
  forward(ms) {
    this.passed += ms;
    this.write();
  }
  /** The wall clock is set, forward or back; nothing else is. */
  set(ms) {
    this.wrong += ms;
    this.write();
  }
  now() {
    return Date.now() + this.passed;
  }
}

/** What stands around every configuration. text: the inside of http { }. */
export function configuration(dir, text, { workers = 1, level = 'info', main = '', connections = 1024 } = {}) {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `    ${n}_temp_path ${dir}/${n};\n`).join('');
  return `load_module ${modulePath};\n` +
    `${process.getuid() === 0 ? 'user root root;\n' : ''}` +
    `worker_processes ${workers};\ndaemon off;\nerror_log ${dir}/error.log ${level};\npid ${dir}/nginx.pid;\n${main}\n` +
    `events {\n    worker_connections ${connections};\n}\n` +
    /* Pools so small that nearly everything is an allocation of its own, whose ends a sanitizer knows. */
    `http {\n${sanitized ? '    request_pool_size 256;\n    connection_pool_size 256;\n' : ''}${temp}    access_log off;\n    server_tokens off;\n${text}\n}\n`;
}

/** nginx -t with this inside http { }: {status, message}. */
export function check(dir, text, options) {
  const file = path.join(dir, `check-${Math.random().toString(36).slice(2)}.conf`);
  writeFileSync(file, configuration(dir, text, options));
  const res = spawnSync(nginxBinary, ['-t', '-p', dir, '-c', file, '-e', 'stderr'], { encoding: 'utf8', env: environment() });
  rmSync(file);
  return { status: res.status, message: res.stderr };
}

const children = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
};
const title = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

/** What no error log may hold: crashes, reports of sanitizers, connections that were never closed. */
const bad = /\[(alert|emerg)\]|AddressSanitizer|runtime error:|UndefinedBehaviorSanitizer|LeakSanitizer/;

export class Nginx {
  /** text: the inside of http { }, without `listen` it is of no use. options: as configuration(), clock, dir */
  static async start(dir, text, options = {}) {
    const nginx = new Nginx();
    Object.assign(nginx, { dir, options, stderr: '', allowed: [] });
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    nginx.file = path.join(dir, 'nginx.conf');
    nginx.log = path.join(dir, 'error.log');
    nginx.write(text);
    options.started?.(nginx);
    nginx.child = spawn(nginxBinary, ['-p', dir, '-c', nginx.file], { stdio: ['ignore', 'ignore', 'pipe'], env: environment(options.clock) });
    nginx.child.stderr.on('data', (data) => (nginx.stderr += data));
    nginx.ended = new Promise((resolve) => nginx.child.on('exit', (code, signal) => resolve((nginx.end = { code, signal }))));
    await until('nginx has its workers', () => {
      if (nginx.end) throw new Error(`nginx ended: ${JSON.stringify(nginx.end)} ${nginx.stderr}${nginx.errors()}`);
      return nginx.workers().length === (options.workers ?? 1);
    }, 30000);
    if (sanitized && !readFileSync(`/proc/${nginx.workers()[0]}/maps`, 'utf8').includes('libasan')) throw new Error('the sanitizer is not loaded');
    return nginx;
  }

  write(text, options = this.options) {
    this.text = text;
    writeFileSync(this.file, configuration(this.dir, text, options));
  }

  errors() {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
  }

  /** Workers that take connections. */
  workers() {
    return children(this.child.pid).filter((pid) => /^nginx: worker process\0/.test(title(pid)) || title(pid) === 'nginx: worker process');
  }

  /** All children, those included that are shutting down. */
  everybody() {
    return children(this.child.pid);
  }

  /** A new generation of workers with this configuration. drained: wait until the former one is gone */
  async reload({ text = this.text, drained = false, options = this.options } = {}) {
    const before = new Set(this.everybody());
    this.write(text, options);
    this.child.kill('SIGHUP');
    await until('new workers', () => this.workers().filter((pid) => !before.has(pid)).length === (options.workers ?? 1) &&
      this.workers().every((pid) => !before.has(pid)), 60000);
    if (drained) await until('the former workers have ended', () => this.everybody().every((pid) => !before.has(pid)), 60000);
  }

  /** End one worker hard; another one takes its place. */
  async kill(pid, signal = 'SIGKILL') {
    this.allowed.push(/exited on signal|sem_|shared memory zone .* was locked/);
    process.kill(pid, signal);
    await until('another worker', () => !this.everybody().includes(pid) && this.workers().length === (this.options.workers ?? 1), 30000);
  }

  descriptors(pid) {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return 'gone';
      }
    }).filter((name) => name !== 'gone');
  }

  /** Memory that is its own, in KiB. */
  memory(pid) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Private_Dirty: *(\d+)/m.exec(text)[1]);
  }

  /** Lines of the error log that should not be there. */
  bad() {
    return `${this.errors()}\n${this.stderr}`.split('\n').filter((line) => bad.test(line) && !this.allowed.some((ok) => ok.test(line)));
  }

  async stop() {
    if (!this.child) return;
    if (!this.end) this.child.kill('SIGQUIT');
    const timer = setTimeout(() => {
      appendFileSync(this.log, '[alert] nginx did not end within a minute of SIGQUIT\n');
      this.child.kill('SIGKILL');
    }, 60000);
    await this.ended;
    clearTimeout(timer);
    const lines = this.bad();
    if (lines.length) throw new Error(`nginx: ${lines.join('\n')}${sanitized ? `\n${this.errors().slice(-8000)}` : ''}`);
    if (this.end.code !== 0) throw new Error(`nginx ended: ${JSON.stringify(this.end)} ${this.stderr}`);
  }
}

/** Cookies are secure, and nginx says that clients came by https. */
class GateDaemon extends Daemon {
  constructor(options) {
    super({ plain: false, origin: 'https://app.example', level: 'info', ...options });
    const run = path.join(this.dir, 'run');
    this.options.listener = `  - address: unix:${run}/http.sock\n    dialect: nginx\n  - address: unix:${run}/gate.sock\n    dialect: module\n` +
      (options.listener ?? '');
  }
}

/**
 * All of it. Options: daemon (of Daemon; false: none), http(g) and server(g): text of the
 * configuration, workers, level, clock: true for one that can be put forward, tls.
 */
export class Gate {
  static async start(options = {}) {
    const g = new Gate();
    g.options = options;
    g.dir = mkdtempSync(path.join(tmpdir(), 'coat-gate-'));
    try {
      await g.begin(options);
    } catch (error) {
      await g.stop().catch(() => {}); /* no process is left that would keep the tests from ending */
      throw error;
    }
    return g;
  }

  async begin(options) {
    const g = this;
    g.port = await freePort();
    g.app = await App.start();
    g.clock = options.clock ? new Clock(g.dir) : undefined;
    if (options.daemon !== false) await g.startDaemon(options.daemon ?? {});
    else mkdirSync(path.join(g.dir, 'run'));
    await options.before?.(g);
    g.nginx = await Nginx.start(path.join(g.dir, 'nginx'), g.text(), { ...options, clock: g.clock, started: (nginx) => (g.nginx = nginx) });
    await until('nginx listens', () => Wire.open(g.port).then((wire) => wire.close() ?? true, () => false), 30000);
    g.app.hits = 0;
    g.app.seen.length = 0;
  }

  async startDaemon(options) {
    const daemon = (this.daemon = new GateDaemon({ ...options, dir: this.dir }));
    if (this.clock) daemon.options.env = { LD_PRELOAD: preloaded(this.clock).join(' '), COAT_TEST_CLOCK: this.clock.file, ...(options.env ?? {}) };
    await daemon.prepare();
    options.prepared?.(daemon);
    await daemon.up();
    this.cookie = daemon.cookie;
  }

  get run() {
    return path.join(this.dir, 'run');
  }
  get gate() {
    return path.join(this.run, 'gate.sock');
  }
  get table() {
    return path.join(this.run, 'table');
  }
  get upstream() {
    return `http://127.0.0.1:${this.app.port}`;
  }

  /** The inside of http { }. */
  text({ http: more = this.options.http, server = this.options.server } = {}) {
    const inside = server ? server(this) : `location / { proxy_pass ${this.upstream}; }`;
    return `    coatcheck_table ${this.table};\n    coatcheck_daemon unix:${this.gate};\n` +
      (this.options.proto === false ? '' : '    coatcheck_proto https;\n') +
      `    server_name_in_redirect off;\n    port_in_redirect off;\n    absolute_redirect off;\n${more ? more(this) : ''}\n` +
      `    server {\n        listen 127.0.0.1:${this.port}${this.options.listen ?? ''};\n        server_name app.example;\n` +
      `        location = /nothing { coatcheck off; return 204; }\n        coatcheck on;\n${inside}\n    }`;
  }

  /** One request over HTTP/1.1; as lib.mjs request(). */
  get(target, { jar, headers = {}, method = 'GET', agent = false } = {}, body) {
    return request(
      { host: '127.0.0.1', port: this.port, method, path: target, agent, headers: { host: 'app.example', ...(jar?.header() ?? {}), ...headers } },
      body,
    ).then((res) => (jar ? jar.take(res) : res));
  }

  /** A connection over HTTP/2; the configuration must have listen: ' http2'. */
  h2() {
    return H2.open(this.port);
  }

  /** One connection to each worker, kept alive: [{pid, get}]. The configuration must tell $pid in X-Worker. */
  async lanes() {
    const want = new Set(this.nginx.workers());
    const lanes = new Map();
    for (let i = 0; lanes.size < want.size && i < 2000; i++) {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      const res = await this.get('/nothing', { agent });
      const pid = Number(res.headers['x-worker']);
      if (want.has(pid) && !lanes.has(pid)) lanes.set(pid, { pid, agent, get: (target, options = {}, body) => this.get(target, { agent, ...options }, body) });
      else agent.destroy();
    }
    if (lanes.size !== want.size) throw new Error(`only ${lanes.size} of ${want.size} workers answered`);
    return [...lanes.values()];
  }

  async stop() {
    try {
      await this.nginx?.stop();
    } finally {
      await this.app?.stop();
      await this.daemon?.stop();
      rmSync(this.dir, { recursive: true, force: true });
    }
  }
}
