// SPDX-License-Identifier: Apache-2.0
// Stock nginx in front of a daemon and of an application that shows what arrives: the recipe of
// examples/gateway/nginx.conf, filled in as scripts/run does.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Daemon, freePort, request, root, until } from './lib.mjs';

const nginxBinary = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(existsSync);

export class Gateway {
  static async start(options = {}) {
    const gateway = new Gateway();
    gateway.port = await freePort();
    gateway.origin = `http://localhost:${gateway.port}`;
    await gateway.startApp();
    gateway.daemon = new Daemon({
      ...options,
      origin: gateway.origin,
      listener: undefined,
      yaml: undefined,
    });
    gateway.daemon.options.listener = `  - address: unix:${gateway.daemon.dir}/run/http.sock\n    dialect: nginx\n`;
    await gateway.daemon.prepare();
    await gateway.daemon.up();
    await gateway.startNginx();
    return gateway;
  }

  /** The application: answers with the request as it arrived. */
  async startApp() {
    this.hits = 0;
    this.app = http.createServer((req, res) => {
      this.hits += 1;
      const html = (req.headers.accept ?? '').includes('text/html');
      const user = decodeURIComponent(req.headers['x-auth-user'] ?? '');
      const body = html
        ? `<!doctype html><html lang="en"><title>App</title><h1>Hello, <span id="user">${user}</span></h1>` +
          `<p id="path">${req.url.replace(/[<&]/g, '')}</p><p><a href="/auth/">My account</a> <a href="/auth/sessions">My devices</a></p></html>`
        : JSON.stringify({ user, headers: req.headers, url: req.url, method: req.method });
      res.writeHead(200, { 'content-type': html ? 'text/html; charset=utf-8' : 'application/json' });
      res.end(body);
    });
    await new Promise((resolve) => this.app.listen(0, '127.0.0.1', resolve));
  }

  async startNginx() {
    const tmp = path.join(this.daemon.dir, 'nginx');
    mkdirSync(tmp, { recursive: true, mode: 0o700 });
    const user = process.getuid() === 0 ? 'user root root;' : '';
    const conf = readFileSync(path.join(root, 'examples/gateway/nginx.conf'), 'utf8')
      .replace(/^@USER@/m, user)
      .replaceAll('@PORT@', this.port)
      .replaceAll('@APP@', this.app.address().port)
      .replaceAll('@RUN@', path.join(this.daemon.dir, 'run'))
      .replaceAll('@TMP@', tmp);
    const file = path.join(tmp, 'nginx.conf');
    writeFileSync(file, conf);
    this.nginx = spawn(nginxBinary, ['-p', tmp, '-c', file, '-e', 'stderr'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.nginxErrors = '';
    this.nginx.stderr.on('data', (data) => (this.nginxErrors += data));
    this.nginxEnded = new Promise((resolve) => this.nginx.on('exit', resolve));
    await until('nginx answers', () => this.get('/auth/login').then((res) => res.status === 200, () => false))
      .catch((error) => { throw new Error(`${error.message}: ${this.nginxErrors}`); });
  }

  get(target, { jar, headers = {}, method = 'GET' } = {}, body) {
    return request(
      {
        host: '127.0.0.1',
        port: this.port,
        method,
        path: target,
        headers: { host: `localhost:${this.port}`, ...(jar?.header() ?? {}), ...headers },
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
      new URLSearchParams(fields).toString(),
    );
  }

  signIn(jar, user, password) {
    return this.get(
      '/auth/login',
      { jar, method: 'POST', headers: { origin: this.origin, 'content-type': 'application/json' } },
      JSON.stringify({ user, password }),
    );
  }

  async stop() {
    this.nginx?.kill('SIGTERM');
    await this.nginxEnded;
    this.app.closeAllConnections?.();
    await new Promise((resolve) => this.app.close(resolve));
    await this.daemon.stop();
  }
}
