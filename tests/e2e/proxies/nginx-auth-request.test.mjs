// SPDX-License-Identifier: Apache-2.0
// Stock nginx with auth_request, as examples/proxies/nginx-auth-request.conf has it.
import path from 'node:path';
import { startNginx } from './nginx.mjs';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill } from './site.mjs';

const nginx = {
  name: 'nginx auth_request',
  http2: true,
  logs: (site) => [path.join(site.dir, 'nginx/access.log')],
  listeners: [{ file: 'http.sock', dialect: 'nginx' }],
  start: (site) => startNginx(site, fill('nginx-auth-request.conf', [
    ['listen 443 ssl', `listen 127.0.0.1:${site.port} ssl http2`],
    ['/etc/ssl/app.example.com.crt', site.cert],
    ['/etc/ssl/app.example.com.key', site.key],
    ['/run/coatcheck/http.sock', site.listeners[0].path],
    ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
  ])),
};

runScenario(nginx);
runVerdicts(nginx);
