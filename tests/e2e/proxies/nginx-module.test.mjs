// SPDX-License-Identifier: Apache-2.0
// nginx with the module, as examples/proxies/nginx-module.conf has it.
import path from 'node:path';
import { build } from '../lib.mjs';
import { startNginx } from './nginx.mjs';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill } from './site.mjs';

/* nginx frees nothing when it ends: with a sanitizer in the module, leaks are not what is looked for here. */
const quiet = process.env.ASAN_OPTIONS ? { ASAN_OPTIONS: 'detect_leaks=0' } : {};

const nginx = {
  name: 'nginx module',
  strict: true,
  reads: true,
  listeners: [{ file: 'http.sock', dialect: 'nginx' }, { file: 'gate.sock', dialect: 'module' }],
  http2: true,
  logs: (site) => [path.join(site.dir, 'nginx/access.log')],
  start: (site) => startNginx(site, fill('nginx-module.conf', [
    ['listen 443 ssl', `listen 127.0.0.1:${site.port} ssl http2`],
    ['/etc/ssl/app.example.com.crt', site.cert],
    ['/etc/ssl/app.example.com.key', site.key],
    ['/run/coatcheck/http.sock', site.listeners[0].path],
    ['/run/coatcheck/gate.sock', site.listeners[1].path],
    ['/run/coatcheck/table', path.join(site.run, 'table')],
    ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
  ]), { modules: `load_module ${path.join(build, 'nginx/ngx_http_coatcheck_module.so')};\n`, env: { ...site.clockEnv, ...quiet } }),
};

runScenario(nginx);
runVerdicts(nginx);
