// SPDX-License-Identifier: Apache-2.0
// Caddy, as examples/proxies/Caddyfile has it.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill, spawnProxy } from './site.mjs';

const caddy = {
  name: 'caddy',
  http2: true,
  listeners: [{ file: 'http.sock', dialect: 'forwarded' }],
  start(site) {
    const text = fill('Caddyfile', [
      ['app.example.com {', `app.example.com {\n\tbind 127.0.0.1\n\ttls ${site.cert} ${site.key}\n\tlog\n`],
      ['unix//run/coatcheck/http.sock', `unix/${site.listeners[0].path}`],
      ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
    ]);
    const file = path.join(site.dir, 'Caddyfile');
    writeFileSync(file, `{\n\tadmin off\n\tauto_https disable_redirects\n\thttps_port ${site.port}\n\tservers {\n\t\tprotocols h1 h2\n\t}\n\tstorage file_system ${site.dir}/caddy\n}\n${text}`);
    return spawnProxy(site, 'caddy', ['run', '--config', file, '--adapter', 'caddyfile'], { env: { XDG_CONFIG_HOME: site.dir, XDG_DATA_HOME: site.dir } });
  },
};

runScenario(caddy);
runVerdicts(caddy);
