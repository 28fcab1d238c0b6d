// SPDX-License-Identifier: Apache-2.0
// nginx with the module, as examples/proxies/nginx-module.conf has it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build, root } from '../lib.mjs';
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
  start(site) {
    const pages = path.join(site.dir, 'pages.conf');
    const text = readFileSync(path.join(root, 'packaging/nginx/pages.conf'), 'utf8');
    assert.ok(text.includes('/run/coatcheck/http.sock'));
    writeFileSync(pages, text.replaceAll('/run/coatcheck/http.sock', site.listeners[0].path));
    const conf = fill('nginx-module.conf', [
      ['listen 443 ssl', `listen 127.0.0.1:${site.port} ssl http2`],
      ['/etc/ssl/app.example.com.crt', site.cert],
      ['/etc/ssl/app.example.com.key', site.key],
      ['/usr/share/coatcheck/nginx/pages.conf', pages],
      ['unix:/run/coatcheck/gate.sock;', `unix:${site.listeners[1].path};`],
      ['coatcheck_table /run/coatcheck/table', `coatcheck_table ${path.join(site.run, 'table')}`],
      ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
    ]);
    return startNginx(site, conf, { modules: `load_module ${path.join(build, 'nginx/ngx_http_coatcheck_module.so')};\n`, env: { ...site.clockEnv, ...quiet } });
  },
};

runScenario(nginx);
runVerdicts(nginx);
