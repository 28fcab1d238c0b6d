// SPDX-License-Identifier: Apache-2.0
// What stops the start: configurations that contradict themselves, files that others may touch.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Daemon, binary, root, run } from './lib.mjs';
import { plant, Proxied } from './routes.mjs';

/** Try to serve; resolves to {code, stderr, listened}: was there ever a socket? */
async function serve(daemon, flags = []) {
  const child = spawn(binary, ['serve', '--config', daemon.file, ...flags], { env: { PATH: process.env.PATH }, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data) => (stderr += data));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
  const code = await ended;
  clearTimeout(timer);
  // Not by its port: another test's daemon may have got that one by now.
  return { code, stderr, listened: existsSync(daemon.admin) };
}

async function idle(options = {}) {
  const daemon = new Proxied(options);
  await daemon.prepare();
  return daemon;
}

const badCookies = [
  ['__Host- with domain', ['--cookie.domain=example.com', '--cookie.share-domain=true'], /cookie\./],
  ['__Host- with another path', ['--cookie.path=/app'], /cookie\.path/],
  ['__Host- without secure', ['--cookie.secure=false', '--cookie.allow-plaintext=true'], /cookie\./],
  ['__Secure- without secure', ['--cookie.name=__Secure-id', '--cookie.secure=false', '--cookie.allow-plaintext=true'], /cookie\./],
  ['prefix in lower case', ['--cookie.name=__host-id'], /cookie\.name/],
  ['prefix in upper case', ['--cookie.name=__HOST-id'], /cookie\.name/],
  ['secure prefix in lower case', ['--cookie.name=__secure-id'], /cookie\.name/],
  ['prefix alone', ['--cookie.name=__Host-'], /cookie\.name/],
  ['none without secure', ['--cookie.name=id', '--cookie.same-site=none', '--cookie.secure=false', '--cookie.allow-plaintext=true'], /cookie\./],
  ['partitioned without secure', ['--cookie.name=id', '--cookie.partitioned=true', '--cookie.secure=false', '--cookie.allow-plaintext=true'], /cookie\./],
  ['domain without the switch', ['--cookie.name=id', '--cookie.domain=example.com'], /cookie\./],
  ['domain of one label', ['--cookie.name=id', '--cookie.domain=com', '--cookie.share-domain=true'], /cookie\.domain/],
  ['domain that is an address', ['--cookie.name=id', '--cookie.domain=192.0.2.1', '--cookie.share-domain=true'], /cookie\.domain/],
  ['domain with a scheme', ['--cookie.name=id', '--cookie.domain=https://example.com', '--cookie.share-domain=true'], /cookie\.domain/],
  ['space in the name', ['--cookie.name=my id'], /cookie\.name/], ['semicolon in the name', ['--cookie.name=i;d'], /cookie\.name/],
  ['equals in the name', ['--cookie.name=i=d'], /cookie\.name/], ['empty name', ['--cookie.name='], /cookie\.name/],
  ['quote in the name', ['--cookie.name=i"d'], /cookie\.name/], ['semicolon in the path', ['--cookie.name=id', '--cookie.path=/a;Domain=x'], /cookie\.path/],
  ['path without slash', ['--cookie.name=id', '--cookie.path=app'], /cookie\.path/], ['plain without the override', ['--cookie.name=id', '--cookie.secure=false'], /cookie\./],
  ['unknown same-site', ['--cookie.same-site=maybe'], /cookie\.same-site/], ['too long a name', [`--cookie.name=${'n'.repeat(240)}`], /cookie\.name/],
];

test('CK-2: a cookie that contradicts itself stops the start before any socket is open', async () => {
  assert.ok(badCookies.length >= 14);
  const daemon = await idle();
  for (const [what, flags, key] of badCookies) {
    const res = await serve(daemon, flags);
    assert.equal(res.code, 3, `${what}: ${res.stderr}`);
    assert.match(res.stderr, key, what);
    assert.ok(!res.listened, what);
  }
  daemon.keep = false;
  await daemon.stop();
});

test('LC-3: a profile caps the timeouts; a written reason lifts caps, but not that of aal3', async () => {
  const check = (...flags) => run(['config', 'check', ...flags]).status;
  const rows = [['aal1', '30d', null, null], ['aal2', '24h', '25h', '1h'], ['aal3', '12h', '13h', '15m']];
  for (const [profile, cap, above, idleCap] of rows) {
    const at = [`--session.profile=${profile}`, `--session.absolute-timeout=${cap}`, '--session.remember=false'];
    assert.equal(check(...at), 0, profile);
    if (idleCap) assert.equal(check(...at, `--session.idle-timeout=${idleCap}`), 0);
    if (idleCap) assert.equal(check(...at, '--session.idle-timeout=90m'), 3);
    if (!above) continue;
    const over = [`--session.profile=${profile}`, `--session.absolute-timeout=${above}`];
    assert.equal(check(...over), 3);
    assert.equal(check(...over, '--session.profile-deviation=night shifts'), profile === 'aal3' ? 3 : 0);
  }
  const d = await Proxied.start({ flags: ['--session.absolute-timeout=25h', '--session.profile-deviation=night shifts'] });
  assert.equal((await d.event('server_start')).reason, 'night shifts');
  await d.stop();
});

test('ST-2: one key for two purposes is refused', async () => {
  const d = await Daemon.start();
  await d.down();
  const keys = readFileSync(path.join(d.dir, 'data/keys'), 'utf8');
  const values = [...new Set(keys.match(/[0-9a-f]{64}|[A-Za-z0-9_+/-]{43}=?/g))];
  assert.ok(values.length >= 1);
  writeFileSync(path.join(d.dir, 'data/pepper'), `${Buffer.from(values[0], values[0].length === 64 ? 'hex' : 'base64').toString('hex')}\n`, { mode: 0o600 });
  const res = await serve(d, [`--data.pepper-file=${d.dir}/data/pepper`]);
  assert.equal(res.code, 3, res.stderr);
  assert.match(res.stderr, /pepper/);
  assert.ok(!res.stderr.includes(values[0]));
  d.keep = false;
  await d.stop().catch(() => {});
});

test('ST-4: files and directories that others may read, own or redirect stop the start, with their path', async () => {
  const root = process.getuid() === 0;
  const setups = [
    ['data directory 0755', (d) => chmodSync(`${d.dir}/data`, 0o755), /data/], ['data directory 0770', (d) => chmodSync(`${d.dir}/data`, 0o770), /data/],
    ['data directory 0701', (d) => chmodSync(`${d.dir}/data`, 0o701), /data/],
    ['runtime directory 0777', (d) => chmodSync(`${d.dir}/run`, 0o777), /run/], ['runtime directory 0755', (d) => chmodSync(`${d.dir}/run`, 0o755), /run/],
    ['key file 0644', (d) => chmodSync(`${d.dir}/data/keys`, 0o644), /keys/], ['key file 0640', (d) => chmodSync(`${d.dir}/data/keys`, 0o640), /keys/],
    ['key file 0660', (d) => chmodSync(`${d.dir}/data/keys`, 0o660), /keys/],
    ['key file is a link', (d) => { renameSync(`${d.dir}/data/keys`, `${d.dir}/data/k2`); symlinkSync('k2', `${d.dir}/data/keys`); }, /keys/],
    ['data directory is a link', (d) => { renameSync(`${d.dir}/data`, `${d.dir}/elsewhere`); symlinkSync('elsewhere', `${d.dir}/data`); }, /data/],
    ['store directory 0755', (d) => chmodSync(`${d.dir}/data/store`, 0o755), /store/],
    ['store file 0644', (d) => chmodSync(`${d.dir}/data/store/data.mdb`, 0o644), /store/],
    ['key file is empty', (d) => writeFileSync(`${d.dir}/data/keys`, ''), /keys/], ['key file is a directory', (d) => { renameSync(`${d.dir}/data/keys`, `${d.dir}/data/k2`); mkdirSync(`${d.dir}/data/keys`, { mode: 0o700 }); }, /keys/],
    ...(root ? [['foreign key file', (d) => chownSync(`${d.dir}/data/keys`, 65534, 65534), /keys/], ['foreign data directory', (d) => chownSync(`${d.dir}/data`, 65534, 65534), /data/],
      ['foreign runtime directory', (d) => chownSync(`${d.dir}/run`, 65534, 65534), /run/]] : []),
  ];
  assert.ok(setups.length >= 12);
  for (const [what, spoil, named] of setups) {
    const d = await Daemon.start();
    await d.down();
    spoil(d);
    const res = await serve(d);
    assert.equal(res.code, 3, `${what}: code ${res.code} ${res.stderr}`);
    assert.match(res.stderr, named, what);
    assert.ok(!res.listened, what);
    d.keep = false;
    await d.stop().catch(() => {});
  }
});

test('ST-4: what the daemon makes is 0600 in 0700; no secret is in arguments or environment', async () => {
  const d = await Daemon.start();
  const walk = (dir) => readdirSync(dir, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? [path.join(dir, e.name), ...walk(path.join(dir, e.name))] : [path.join(dir, e.name)]));
  for (const name of [`${d.dir}/data`, `${d.dir}/run`, ...walk(`${d.dir}/data`), ...walk(`${d.dir}/run`)]) {
    const st = statSync(name);
    assert.equal(st.mode & 0o077, 0, `${name} ${(st.mode & 0o777).toString(8)}`);
    assert.equal(st.uid, process.getuid());
  }
  const { token } = await plant(d);
  const secrets = [token, ...readFileSync(`${d.dir}/data/keys`, 'utf8').match(/[0-9a-f]{64}|[A-Za-z0-9_+/-]{43}/g)];
  for (const file of ['cmdline', 'environ']) {
    const text = readFileSync(`/proc/${d.child.pid}/${file}`, 'latin1');
    for (const secret of secrets) assert.ok(!text.includes(secret), file);
  }
  await d.stop();
});

test('ST-4: a group of readers gets the node table, and nothing else', { skip: process.getuid() !== 0 }, async () => {
  const d = await Daemon.start({ config: 'table:\n  group: nogroup\n' });
  const table = statSync(`${d.dir}/run/table`);
  assert.equal(table.mode & 0o777, 0o640);
  assert.equal(table.gid, 65534);
  assert.equal(statSync(`${d.dir}/run`).mode & 0o777, 0o710);
  assert.equal(statSync(d.admin).mode & 0o777, 0o600);
  await d.stop();
});

test('UP-5: the manual, the dump of the program and its defaults agree; unknown and repeated keys are errors', async () => {
  const shown = JSON.parse(run(['config', 'show', '--json'], { env: { PATH: process.env.PATH } }).stdout);
  const manual = new Map([...readFileSync(path.join(root, 'docs/configuration.md'), 'utf8').matchAll(/^\| `([a-z-]+(?:\.[a-z-]+)?)` \| (?:`([^`]*)`|empty) \|/gm)]
    .filter(([, key]) => !['address', 'dialect', 'trusted', 'mode', 'group'].includes(key)).map(([, key, value]) => [key, value ?? '']));
  assert.deepEqual(new Set(Object.keys(shown)), new Set(manual.keys()));
  const seconds = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  const plain = (text) => { /* 60s is 1m */
    const number = /^(\d+)(ms|[smhd]|[KMG]iB)$/.exec(text);
    return number ? Number(number[1]) * seconds[number[2]] : text;
  };
  const fill = (text) => text.replace('{data.directory}', '/var/lib/coatcheck').replace('{runtime.directory}', '/run/coatcheck');
  for (const [key, { value, from }] of Object.entries(shown)) {
    assert.equal(plain(value), plain(fill(manual.get(key))), key);
    assert.equal(from, 'default', key);
  }
  const d = await idle();
  for (const [text, what] of [['sesion:\n  idle-timeout: 5m\n', /sesion/], ['session:\n  idle-timout: 5m\n', /idle-timout/], ['session:\n  idle-timeout: 5m\n  idle-timeout: 6m\n', /idle-timeout/], ['log:\n  level: info\n', /log/]]) {
    copyFileSync(d.file, `${d.file}.bad`);
    writeFileSync(`${d.file}.bad`, readFileSync(d.file, 'utf8') + text);
    const res = run(['config', 'check', '--config', `${d.file}.bad`]);
    assert.equal(res.status, 3);
    assert.match(res.stderr, /coatcheck\.yaml\.bad:\d+:\d+: /);
    assert.match(res.stderr, what);
  }
  assert.equal(run(['config', 'check', '--session.idle-timout=5m']).status, 2);
  assert.equal(run(['config', 'check'], { env: { PATH: process.env.PATH, COATCHECK_SESSION_IDLE_TIMOUT: '5m' } }).status, 3);
  d.keep = false;
  await d.stop();
});
