// SPDX-License-Identifier: Apache-2.0
// Every command, with a daemon and without one.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, binary, password, root, run, until } from './lib.mjs';
import { metrics, plant, status } from './routes.mjs';

const OK = 0, FAILED = 1, USAGE = 2, CONFIG = 3, NO_DAEMON = 4;
const other = 'another kettle ramp 94';
let d;
before(async () => {
  d = await Daemon.start({ config: 'throttle:\n  attempts-per-minute: 8000\n' });
});
after(() => d.stop());

const cli = (args, input) => run([...args, '--config', d.file], { input: input ?? '', timeout: 20000 });

/** Run, check the exit code, give what was printed; no password is ever in arguments or output. */
function expect(code, args, input) {
  const res = cli(args, input);
  assert.equal(res.status, code, `${args.join(' ')}: ${res.status} ${res.stdout} ${res.stderr}`);
  for (const secret of [password, other]) assert.ok(!(res.stdout + res.stderr).includes(secret));
  if (code !== OK) assert.ok(res.stderr.length > 0 || code === NO_DAEMON, args.join(' '));
  return res.stdout;
}
const json = (args, input) => JSON.parse(expect(OK, [...args, '--json'], input));

const commands = [...readFileSync(path.join(root, 'src/cli/commands.c'), 'utf8').matchAll(/^ {4}\{"([a-z -]+)", "([^"]*)",/gm)].map(([, name, operands]) => ({ name, operands }));

test('every command has help; the overview names them all', () => {
  assert.ok(commands.length >= 20);
  for (const args of [['--help'], ['-h'], ['help']]) {
    const res = run(args);
    assert.equal(res.status, OK);
    for (const { name } of commands) assert.ok(res.stdout.includes(`  ${name} `), name);
  }
  for (const { name, operands } of commands)
    for (const args of [[...name.split(' '), '--help'], [...name.split(' '), '-h'], ['help', ...name.split(' ')]]) {
      const res = run(args);
      assert.equal(res.status, OK, args.join(' '));
      assert.ok(res.stdout.startsWith(`Usage: coatcheck ${name}${operands ? ` ${operands}` : ''} `), res.stdout);
      assert.equal(res.stderr, '');
    }
});

test('wrong usage is 2, a wrong configuration 3, and both say what is wrong', () => {
  for (const args of [[], ['nonsense'], ['user'], ['user', 'nonsense'], ['user', 'add'], ['user', 'show', 'a', 'b'], ['user', 'list', '--nonsense'], ['user', 'roles', 'a', '--role'], ['session', 'end'], ['user', 'add', 'a', '--password=x']]) {
    const res = run(args);
    assert.equal(res.status, USAGE, args.join(' '));
    assert.ok(res.stderr.length > 0);
  }
  assert.equal(run(['config', 'check', '--config', '/nonexistent/file']).status, CONFIG);
  for (const { name, operands } of commands) {
    if (['version', 'completion'].includes(name)) continue;
    const file = name === 'user import' ? d.file : 'x';
    const res = run([...name.split(' '), ...(operands ? [file] : []), ...(name === 'session end-all' ? ['--yes'] : []), ...(/add|passwd/.test(name) ? ['--password-stdin'] : []), ...(name === 'gateway' ? ['--upstream=http://127.0.0.1:1'] : []), '--session.idle-timeout=never'], { input: `${password}\n` });
    assert.equal(res.status, CONFIG, `${name}: ${res.stderr}`);
    assert.match(res.stderr, /session\.idle-timeout/);
  }
});

test('config check looks at what the daemon would refuse later: templates, derived cookie names', () => {
  const dir = path.join(d.dir, 'pages');
  mkdirSync(dir);
  writeFileSync(path.join(dir, 'login.html'), 'fine\n{{#x}}\n');
  assert.match(cli(['config', 'check', `--pages.templates=${dir}`]).stderr, /login\.html:2: a section is not closed/);
  expect(CONFIG, ['config', 'check', `--pages.templates=${dir}`]);
  expect(CONFIG, ['config', 'check', `--cookie.name=${'a'.repeat(60)}`]);
});

test('version, config, completion', () => {
  assert.match(run(['version']).stdout, /^coatcheck \d+\.\d+\.\d+\n$/);
  assert.equal(run(['--version']).status, OK);
  assert.match(JSON.parse(run(['version', '--json']).stdout).version, /^\d/);
  assert.match(expect(OK, ['config', 'check']), /fine/);
  assert.deepEqual(json(['config', 'check']), { ok: true });
  assert.equal(json(['config', 'show'])['server.threads'].value, '2');
  assert.ok(json(['config', 'show'])['server.threads'].from.includes('coatcheck.yaml'));
  assert.match(expect(OK, ['config', 'show']), /threads/);
  const script = run(['completion']).stdout;
  const parsed = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' });
  assert.equal(parsed.status, 0, parsed.stderr);
  const complete = (...words) => spawnSync('bash', ['-c', `${script}\nCOMP_WORDS=(coatcheck ${words.map((w) => `'${w}'`).join(' ')}); COMP_CWORD=${words.length}; _coatcheck; printf '%s\\n' "\${COMPREPLY[@]}"`], { encoding: 'utf8' }).stdout.trim().split('\n');
  assert.deepEqual(complete('sta'), ['status']);
  assert.ok(complete('user', '').includes('import'));
  assert.ok(complete('user', 'add', '--').includes('--password-stdin'));
});

/** The same things happen whether the daemon runs or not. */
async function accounts(code = OK) {
  expect(OK, ['user', 'add', 'ann', '--role=admin', '--role', 'reader', '--password-stdin'], `${password}\n`);
  expect(FAILED, ['user', 'add', 'ann', '--password-stdin'], `${password}\n`);
  expect(FAILED, ['user', 'add', 'short', '--password-stdin'], 'short\n');
  expect(USAGE, ['user', 'add', 'none', '--password-stdin'], '');
  assert.match(expect(OK, ['user', 'list']), /ann +admin[ ,]+reader/);
  const [listed] = json(['user', 'list']);
  assert.equal(listed.name, 'ann');
  assert.deepEqual(json(['user', 'show', 'ann']).roles, ['admin', 'reader']);
  assert.equal(json(['user', 'show', 'ann']).hash, 'argon2id');
  assert.match(expect(OK, ['user', 'show', 'ann']), /argon2id/);
  expect(FAILED, ['user', 'show', 'nobody']);
  expect(OK, ['user', 'roles', 'ann', '--role=x']);
  assert.deepEqual(json(['user', 'show', 'ann']).roles, ['x']);
  expect(OK, ['user', 'passwd', 'ann', '--password-stdin', '--keep-sessions'], `${other}\n`);
  expect(OK, ['user', 'disable', 'ann']);
  assert.equal(json(['user', 'show', 'ann']).disabled, true);
  expect(OK, ['user', 'enable', 'ann']);
  assert.deepEqual(json(['user', 'disable', 'ann']), { done: true });
  expect(OK, ['user', 'enable', 'ann']);
  for (const name of ['disable', 'enable', 'delete', 'roles']) expect(FAILED, ['user', name, 'nobody']);
  expect(FAILED, ['user', 'passwd', 'nobody', '--password-stdin'], `${password}\n`);
  assert.equal(JSON.parse(expect(code, ['status', '--json'])).store.accounts, 1);
  expect(code, ['status']);
  expect(OK, ['user', 'delete', 'ann']);
  assert.deepEqual(json(['user', 'list']), []);
}

test('accounts with a daemon', () => accounts());

test('sessions with a daemon', async () => {
  const a = await plant(d, { user: 'ann' });
  const b = await plant(d, { user: 'ann' });
  const c = await plant(d, { user: 'bob' });
  assert.match(expect(OK, ['session', 'list']), new RegExp(a.handle));
  assert.equal(json(['session', 'list', '--user=ann']).length, 2);
  assert.equal(json(['session', 'show', a.handle]).user, 'ann');
  assert.match(expect(OK, ['session', 'show', a.handle]), /ann/);
  expect(FAILED, ['session', 'show', 'A'.repeat(22)]);
  expect(OK, ['session', 'end', a.handle]);
  assert.equal(await status(d, a.jar), 401);
  assert.equal(await status(d, b.jar), 200);
  expect(OK, ['session', 'end-all', '--user=ann']);
  assert.equal(await status(d, b.jar), 401);
  assert.equal(await status(d, c.jar), 200);
  expect(USAGE, ['session', 'end-all']);
  assert.equal(await status(d, c.jar), 200);
  expect(OK, ['session', 'end-all', '--yes']);
  assert.equal(await status(d, c.jar), 401);
});

test('keys rotate and reload change the running daemon, and nobody is signed out', async () => {
  const s = await plant(d);
  assert.equal(json(['keys', 'rotate']).keys.length, 2);
  assert.equal(await status(d, s.jar), 200, 'the former key stays valid');
  expect(OK, ['reload']);
  const good = readFileSync(d.file, 'utf8');
  const flags = ['reload', '--config', `${d.file}.copy`];
  writeFileSync(`${d.file}.copy`, good);
  writeFileSync(d.file, `${good}nonsense: 1\n`);
  const res = run(flags);
  assert.equal(res.status, FAILED, res.stderr);
  assert.match(res.stderr, /nonsense/);
  writeFileSync(d.file, good);
  assert.equal(await status(d, s.jar), 200);
});

test('LG-2: imported hashes sign in once, then they are Argon2id', async () => {
  const file = path.join(d.dir, 'htpasswd');
  const lines = ['# a comment', ''];
  const made = spawnSync('htpasswd', ['-nbBC', '5', 'bea', password], { encoding: 'utf8' });
  if (made.status === 0) lines.push(made.stdout.trim());
  lines.push('broken', 'md:$1$x$y');
  const sha = spawnSync('openssl', ['passwd', '-6', '-salt', 'abcdefgh', password], { encoding: 'utf8' });
  if (sha.status === 0) lines.push(`cid:${sha.stdout.trim()}:further:fields`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  const dry = json(['user', 'list']);
  const tried = cli(['user', 'import', file, '--dry-run']);
  assert.equal(tried.status, FAILED, 'two lines are not good');
  assert.match(tried.stderr, /:\d+: /);
  assert.deepEqual(json(['user', 'list']), dry);
  const names = [made.status === 0 && 'bea', sha.status === 0 && 'cid'].filter(Boolean);
  const res = cli(['user', 'import', file, '--role=reader', '--json']);
  assert.deepEqual(JSON.parse(res.stdout), { added: names.length, existing: 0, refused: 2 });
  assert.equal(JSON.parse(cli(['user', 'import', '-', '--json'], lines.filter((l) => l.startsWith('bea')).join('\n')).stdout).existing, names.includes('bea') ? 1 : 0);
  for (const name of names) {
    assert.notEqual(json(['user', 'show', name]).hash, 'argon2id');
    const before = (await metrics(d)).get('coatcheck_rehashes_total');
    assert.equal((await d.signIn(new Jar(), { user: name, secret: 'not the password' })).status, 401);
    assert.equal((await d.signIn(new Jar(), { user: name })).status, 200, name);
    assert.equal((await metrics(d)).get('coatcheck_rehashes_total'), before + 1);
    assert.equal(json(['user', 'show', name]).hash, 'argon2id');
    assert.deepEqual(json(['user', 'show', name]).roles, ['reader']);
    assert.equal((await d.signIn(new Jar(), { user: name })).status, 200);
    expect(OK, ['user', 'delete', name]);
  }
  assert.equal(d.events('password_rehashed').length, names.length);
});

test('a password is never an argument: the process list shows none while one is set', async () => {
  const child = spawn(binary, ['user', 'add', 'quiet', '--password-stdin', '--config', d.file], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.write(password);
  const seen = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${child.pid}/${name}`, 'latin1')).join('');
  assert.ok(!seen.includes(password));
  child.stdin.end('\n');
  const code = await new Promise((resolve) => child.on('exit', resolve));
  assert.equal(code, OK);
  expect(OK, ['user', 'delete', 'quiet']);
});

test('without a daemon the same commands work on the store itself', async () => {
  const s = await plant(d, { user: 'zoe' });
  const t = await plant(d, { user: 'zoe' });
  await d.down();
  await accounts(NO_DAEMON);
  assert.equal(json(['session', 'list']).length >= 2, true);
  expect(OK, ['session', 'end', s.handle]);
  expect(OK, ['user', 'add', 'later', '--password-stdin'], `${password}\n`);
  assert.equal(json(['keys', 'rotate']).keys.length, 2);
  await d.up();
  assert.equal(await status(d, s.jar), 401);
  assert.equal(await status(d, t.jar), 200, 'the former key stays valid');
  assert.equal((await d.signIn(new Jar(), { user: 'later' })).status, 200);
});

test('a daemon that does not answer is 4', async () => {
  await d.down();
  const before = readFileSync(d.file, 'utf8');
  writeFileSync(d.file, before.replace(`directory: ${d.dir}/data`, `directory: ${d.dir}/file/data`));
  writeFileSync(path.join(d.dir, 'file'), '');
  for (const args of [['status'], ['user', 'list'], ['session', 'list'], ['keys', 'rotate'], ['reload']]) {
    const res = cli(args);
    assert.equal(res.status, NO_DAEMON, `${args}: ${res.stdout}${res.stderr}`);
    assert.match(res.stderr, /no daemon answers/);
  }
  writeFileSync(d.file, before);
  await d.up();
  await until('ready', async () => (await d.ask('GET', '/v1/ready')).status === 200);
});
