// SPDX-License-Identifier: Apache-2.0
// HAProxy, as examples/proxies/haproxy/ has it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { freePort, root } from '../lib.mjs';
import { runGate } from './gate.mjs';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill, spawnProxy } from './site.mjs';

const gate = path.join(root, 'examples/proxies/haproxy/coatcheck.lua');

const haproxy = (script = gate) => ({
  name: 'haproxy',
  strict: true,
  http2: true,
  listeners: [{ file: 'http.sock', dialect: 'forwarded' }],
  async start(site) {
    const pem = path.join(site.dir, 'site.pem');
    writeFileSync(pem, readFileSync(site.cert, 'utf8') + readFileSync(site.key, 'utf8'));
    const file = path.join(site.dir, 'haproxy.cfg');
    writeFileSync(file, fill('haproxy/haproxy.cfg', [
      ['bind :443 ', `bind 127.0.0.1:${site.port} `],
      ['bind :80\n', `bind 127.0.0.1:${await freePort()}\n`],
      ['/etc/haproxy/app.example.com.pem', pem],
      ['/etc/haproxy/coatcheck.lua', script],
      ['unix@/run/coatcheck/http.sock', `unix@${site.listeners[0].path}`],
      ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
      ['log /dev/log local0', 'log stdout format raw local0'],
    ]));
    return spawnProxy(site, 'haproxy', ['-db', '-f', file]);
  },
});

/** A script in the place of ours that says what `body` says. */
function scripted(body) {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'coat-haproxy-lua-')), 'gate.lua');
  writeFileSync(file, `core.register_action("coatcheck", {"http-req"}, function(txn, verify) ${body} end, 1)`);
  after(() => rmSync(path.dirname(file), { recursive: true }));
  return haproxy(file);
}

runScenario(haproxy());
runVerdicts(haproxy());
runGate(haproxy(), {
  'raises an error': scripted('error("broken")'),
  'returns at once': scripted('return'),
});
