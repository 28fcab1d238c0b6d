// SPDX-License-Identifier: Apache-2.0
// Apache httpd, as examples/proxies/apache/ has it, with the modules and the worker model of Debian.
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { runGate } from './gate.mjs';
import { identity, runScenario, runVerdicts } from './scenario.mjs';
import { Site, fill, spawnProxy } from './site.mjs';

const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_host', 'access_compat', 'alias', 'dir', 'env', 'filter', 'deflate', 'mime', 'negotiation',
  'autoindex', 'reqtimeout', 'setenvif', 'status', 'socache_shmcb', 'ssl', 'http2', 'proxy', 'proxy_http', 'headers', 'lua'];

/* Apache's workers are never root. */
const root = process.getuid() === 0;

/* What an operator may have beside the recipe, and what must not stand in the place of our answers. */
const errors = [401, 403, 429, 500, 503].map((status) => `ErrorDocument ${status} "replaced"\n`).join('') +
  'ProxyErrorOverride on 409 410\nErrorDocument 410 /errors/410\nErrorDocument 409 /admin/errors\n' +
  Object.entries({ unnamed: 'Members', misnamed: 'coatcheck verify', spaced: 'coatcheck /auth/verify ?role=admin' })
    .map(([where, name]) => `<Location "/${where}/">\nAuthName "${name}"\n</Location>\n`).join('') +
  '<Location "/any/">\nSatisfy any\n</Location>\n<Location "/inner/">\nLuaInherit none\n</Location>\n';

function admit(site) {
  const group = Number(/^www-data:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))[1]);
  chmodSync(site.dir, 0o711);
  for (const [file, mode] of [[site.run, 0o710], [site.listeners[0].path, 0o660]]) {
    chownSync(file, 0, group);
    chmodSync(file, mode);
  }
}

const apache = (script) => ({
  name: 'apache',
  strict: true,
  http2: true,
  listeners: [{ file: 'http.sock', dialect: 'forwarded', group: root ? 'www-data' : undefined }],
  logs: (site) => ['error.log', 'access.log'].map((name) => path.join(site.dir, 'apache', name)),
  start(site) {
    const dir = path.join(site.dir, 'apache');
    mkdirSync(dir, { mode: 0o755 });
    if (root) admit(site);
    const gate = path.join(dir, 'coatcheck.lua');
    writeFileSync(gate, script ?? fill('apache/coatcheck.lua', [['/run/coatcheck/http.sock', site.listeners[0].path]]));
    const vhost = fill('apache/coatcheck.conf', [
      ['<VirtualHost *:443>', `<VirtualHost 127.0.0.1:${site.port}>`],
      ['/etc/ssl/app.example.com.crt', site.cert],
      ['/etc/ssl/app.example.com.key', site.key],
      ['/etc/apache2/coatcheck.lua', gate],
      ['/run/coatcheck/http.sock', site.listeners[0].path],
      ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
      ['</VirtualHost>', `${errors}</VirtualHost>`],
    ]);
    const file = path.join(dir, 'apache2.conf');
    writeFileSync(path.join(dir, 'mime.types'), '');
    writeFileSync(file, [
      'ServerRoot /usr/lib/apache2', 'ServerName localhost', `DefaultRuntimeDir ${dir}`, `PidFile ${dir}/pid`, `Listen 127.0.0.1:${site.port}`,
      ...modules.map((name) => `LoadModule ${name}_module modules/mod_${name}.so`),
      ...(root ? ['User www-data', 'Group www-data'] : []),
      `TypesConfig ${dir}/mime.types`, `ErrorLog ${dir}/error.log`, 'LogLevel info', `CustomLog ${dir}/access.log "%h %l %u %t \\"%r\\" %>s %b"`,
      'StartServers 2', 'ThreadsPerChild 8', 'MaxRequestWorkers 32', vhost,
    ].join('\n'));
    return spawnProxy(site, 'apache2', ['-f', file, '-DFOREGROUND']);
  },
});

runScenario(apache());
runVerdicts(apache());

let site;
after(() => site?.stop());

test('FA-3: apache: an error page behind the gate is the same visitor\'s, without asking twice; one with other demands is refused', async () => {
  site = await Site.start(apache());
  const { jar, token, handle } = await site.plant();
  const res = await site.send(`${site.path()}?status=410`, { jar });
  assert.equal(res.status, 410);
  const [seen] = site.arrived('/errors/410');
  assert.deepEqual(identity(seen).session, [handle]);
  assert.ok(!JSON.stringify(seen).includes(token));
  const other = await site.send(`${site.path()}?status=409`, { jar });
  assert.ok(other.status >= 400, String(other.status));
  assert.equal(site.arrived('/admin/errors').length, 0);
  assert.equal((await site.send(`${site.path()}?status=410`, { fields: [['X-Auth-User', 'forged']] })).status, 401);
  assert.equal(site.arrived('/errors/410').length, 1);
});

test('FA-3: apache: a place whose AuthName asks for nothing, or for nonsense, is closed', async () => {
  const { jar } = await site.plant();
  for (const where of ['/unnamed/', '/misnamed/', '/spaced/']) {
    const target = site.path(where);
    assert.equal((await site.send(target, { jar })).status, 503, where);
    assert.equal(site.arrived(target).length, 0);
  }
});

test('FA-11: apache: TRACE is not answered', async () => {
  const { jar, token } = await site.plant();
  const res = await site.send(site.path(), { method: 'TRACE', jar });
  assert.equal(res.status, 405);
  assert.ok(!res.body.includes(token));
});

test('FA-6: apache: neither "Satisfy any" nor "LuaInherit none" gets past the guard', async () => {
  for (const target of [site.path('/any/'), site.path('/inner/')]) {
    assert.ok((await site.send(target, { fields: [['X-Auth-User', 'forged']] })).status >= 400);
    assert.equal(site.arrived(target).length, 0);
  }
});

runGate(apache(), {
  'raises an error': apache('function check(r) error("broken") end'),
  'returns nothing': apache('function check(r) end'),
  'returns DECLINED': apache('function check(r) return apache2.DECLINED end'),
  'returns OK': apache('function check(r) return apache2.OK end'),
  'has no such function': apache('-- nothing'),
  'is not Lua': apache('function check(r'),
  'needs what is not there': apache('require("socket.none")'),
});
