// SPDX-License-Identifier: Apache-2.0
// Stock nginx in front of a daemon and of an application, for browsers: examples/proxies/
// nginx-auth-request.conf without TLS, which is fine on loopback.
import http from 'node:http';
import path from 'node:path';
import { Daemon, freePort, request } from './lib.mjs';
import { startNginx } from './proxies/nginx.mjs';
import { fill } from './proxies/site.mjs';

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
    const conf = fill('nginx-auth-request.conf', [
      ['listen 443 ssl', `listen 127.0.0.1:${this.port}`],
      ['server_name app.example.com;\n', 'absolute_redirect off;\n'],
      ['    ssl_certificate /etc/ssl/app.example.com.crt;\n', ''],
      ['    ssl_certificate_key /etc/ssl/app.example.com.key;\n', ''],
      ['    ssl_protocols TLSv1.2 TLSv1.3;\n', ''],
      ['__Host-id', 'id'],
      ['/run/coatcheck/http.sock', path.join(this.daemon.dir, 'run/http.sock')],
      ['127.0.0.1:3000', `127.0.0.1:${this.app.address().port}`],
    ]);
    this.nginx = await startNginx({ dir: this.daemon.dir, port: this.port }, conf);
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
    await this.nginx?.stop();
    this.app.closeAllConnections?.();
    await new Promise((resolve) => this.app.close(resolve));
    await this.daemon.stop();
  }
}
