// SPDX-License-Identifier: Apache-2.0
// `coatcheck gateway` as a service: start, reload, parts that die, stop, and who its processes are.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App, Command, certificate, listens, missing, module, processes } from './command.mjs';
import { Jar, binary, freePort, run, until } from './lib.mjs';

const scratch = mkdtempSync(path.join(tmpdir(), 'coat-gw-'));
const root = process.getuid() === 0;
let app;
before(async () => (app = await App.start()));
after(async () => {
  await app.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const here = (g) => processes({ groups: [g.told?.daemon, g.told?.nginx], dir: g.dir });
/** Nothing of it is left: no process, no socket, none of nginx's files. */
async function isGone(g) {
  assert.deepEqual(here(g), []);
  assert.equal(await listens(g.port), false);
  assert.deepEqual(readdirSync(g.run).filter((name) => !name.startsWith('table')), []);
}

describe('as a service', { skip: missing }, () => {
  test('SIGTERM and SIGINT stop all of it, in order, and leave nothing behind', async () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      const g = await Command.start({ upstream: app.url });
      assert.ok(here(g).length >= 3);
      const mode = (name) => statSync(path.join(g.run, name)).mode & 0o777;
      assert.equal(mode('gateway'), 0o700);
      assert.equal(mode('gateway/nginx.conf'), 0o600);
      assert.deepEqual(await g.down(signal), { code: 0, signal: null });
      await isGone(g);
      await g.stop();
    }
  });

  test('what is under way when it stops is finished', async () => {
    const slow = net.createServer((socket) => {
      socket.once('data', () => {
        g.child.kill('SIGTERM');
        until('nginx listens no more', async () => !(await listens(g.port))).then(() =>
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone'));
      });
    });
    await new Promise((resolve) => slow.listen(0, '127.0.0.1', resolve));
    const g = await Command.start({ upstream: `http://127.0.0.1:${slow.address().port}`, args: ['--optional'] });
    const res = await g.get('/x');
    assert.equal(res.status, 200);
    assert.equal(res.body, 'done');
    assert.deepEqual(await g.ended, { code: 0, signal: null });
    await isGone(g);
    await g.stop();
    slow.close();
  });

  test('an open WebSocket holds a stop up for server.drain-timeout at most; a second signal does not wait', async () => {
    for (const [drain, again] of [['1s', false], ['600s', true]]) {
      const config = `server:\n  drain-timeout: ${drain}\n  allow-root: ${root}\n`;
      const g = await Command.start({ upstream: app.url, args: ['--optional'], config });
      const { status, socket } = await g.upgrade('/ws', { connection: 'Upgrade', upgrade: 'websocket' });
      assert.equal(status, 101);
      socket.on('error', () => {});
      g.child.kill('SIGTERM');
      await until('nginx listens no more', async () => !(await listens(g.port)));
      if (again) g.child.kill('SIGTERM');
      assert.deepEqual(await g.ended, { code: 0, signal: null });
      await isGone(g);
      socket.destroy();
      await g.stop();
    }
  });

  test('killed with SIGKILL, it takes its processes along', async () => {
    const g = await Command.start({ upstream: app.url });
    assert.ok(here(g).length >= 3);
    await g.down('SIGKILL');
    await until('nothing is left', () => here(g).length === 0, 30000);
    /* What it could not remove is not in the way of the next one. */
    g.up();
    await g.ready();
    assert.equal((await g.get('/auth/login')).status, 200);
    await g.stop();
  });

  test('SF-12: a daemon that dies is started again, and its sessions are there', async () => {
    const g = await Command.start({ upstream: app.url });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      for (let i = 0; i < 2; i++) {
        const before = await g.daemon();
        g.stderr = '';
        process.kill(before, 'SIGKILL');
        await g.said(/the daemon ended \(signal 9\) and is started again/);
        await until('another daemon answers', async () => ![0, before].includes(await g.daemon()), 60000);
        const res = await g.get('/auth/session', { jar });
        assert.equal(res.status, 200, `${res.status} ${g.stderr}`);
        assert.equal((await g.get('/x', { jar })).json().headers['x-auth-user'], 'mara');
      }
    } finally {
      await g.stop();
    }
  });

  test('a daemon that is started again has read its file again, and nginx agrees with it', async () => {
    const g = await Command.start({ upstream: app.url });
    const jar = new Jar();
    try {
      g.addUser();
      g.configure(`identity:\n  user: X-Who\ncookie:\n  name: coat\n`);
      process.kill(g.told.daemon, 'SIGKILL');
      /* The gateway has said by a flag what the cookie is called, so that stays. */
      await until('the new name', async () => {
        const res = await g.signIn(jar).catch(() => null);
        return res?.status === 200 && (await g.get('/x', { jar })).json().headers['x-who'] === 'mara';
      }, 60000);
      assert.ok(jar.map.has('id'));
    } finally {
      await g.stop();
    }
  });

  test('SF-12: an nginx that dies is started again, and its workers are not left over', async () => {
    const g = await Command.start({ upstream: app.url });
    try {
      process.kill(g.told.nginx, 'SIGKILL');
      await g.said(/nginx ended \(signal 9\) and is started again/);
      await until('the former workers have gone', () => processes({ groups: [g.told.nginx] }).length === 0, 30000);
      await until('it answers again', () => g.get('/auth/login').then((res) => res.status === 200, () => false), 60000);
    } finally {
      await g.stop();
    }
  });

  for (const signal of ['SIGKILL', 'SIGSEGV'])
    test(`SF-12: a worker of nginx that gets ${signal} takes its connections along; nobody is signed out, and nothing else starts again`, async () => {
      const g = await Command.start({ upstream: app.url });
      const jar = new Jar();
      const workers = () => processes({ groups: [g.told.nginx] }).filter((pid) => pid !== g.told.nginx);
      try {
        g.addUser();
        await g.signIn(jar);
        const before = { daemon: await g.daemon(), count: workers().length };
        const sockets = await Promise.all(Array.from({ length: 6 }, () => g.upgrade('/ws', { connection: 'Upgrade', upgrade: 'websocket', ...jar.header() }).then(({ socket }) => socket)));
        for (const socket of sockets) socket.on('error', () => {}).on('close', () => (socket.gone = true)).on('data', () => (socket.heard = true));
        let done = false, cut = 0, good = 0;
        const odd = new Set();
        const ask = async () => {
          while (!done) {
            const res = await g.get('/x', { jar }).catch(() => null);
            if (!res) cut += 1;
            else if (res.status === 200 && res.json().headers['x-auth-user'] === 'mara') good += 1;
            else odd.add(res.status);
          }
        };
        const visitors = [ask(), ask()];
        const [dies] = workers();
        await until('they are served', () => good > 10);
        process.kill(dies, signal);
        await until('another worker', () => !workers().includes(dies) && workers().length === before.count, 30000);
        const then = good;
        await until('they are served again', () => good > then + 10);
        done = true;
        await Promise.all(visitors);
        /* One on each connection that it had: those under way, and those that a client had kept. */
        assert.ok(cut <= 2 * visitors.length, `${cut} requests were cut off`);
        assert.deepEqual([...odd], []);
        for (const socket of sockets) if (!socket.gone) socket.write('still');
        await until('all others are there', () => sockets.every((socket) => socket.gone || socket.heard));
        for (const socket of sockets) socket.destroy();
        assert.equal(await g.daemon(), before.daemon);
        assert.ok(processes({ groups: [g.told.nginx] }).includes(g.told.nginx), 'the same nginx');
        assert.equal(/started again/.test(g.stderr), false, g.stderr);
      } finally {
        await g.stop();
      }
    });

  test('UP-3: a reload follows the file; one with a mistake in it changes nothing', async () => {
    const g = await Command.start({ upstream: app.url });
    const jar = new Jar();
    const broken = mkdtempSync(path.join(scratch, 'pages-'));
    writeFileSync(path.join(broken, 'login.html'), '{{#x}}');
    const name = async () => Object.keys((await g.get('/x', { jar })).json().headers).filter((n) => ['x-auth-user', 'x-who'].includes(n)).join();
    const reload = async (config, answer) => {
      g.configure(config);
      g.stderr = '';
      g.child.kill('SIGHUP');
      await g.said(answer);
    };
    try {
      g.addUser();
      await g.signIn(jar);
      assert.equal(await name(), 'x-auth-user');
      await reload('identity:\n  user: X-Who\n', /^coatcheck: reloaded$/m);
      await until('the new name', async () => (await name()) === 'x-who');
      const running = readFileSync(g.conf, 'utf8');
      await reload('nonsense: 1\n', /coatcheck\.yaml:\d+:\d+:.*nonsense[\s\S]*reload refused/);
      await reload('identity:\n  user: "X_Who"\n', /nginx does not accept its configuration[\s\S]*X_Who[\s\S]*reload refused/);
      await reload(`pages:\n  templates: ${broken}\n`, /reload: .*login\.html[\s\S]*reload refused/);
      assert.equal(readFileSync(g.conf, 'utf8'), running);
      assert.equal(existsSync(`${g.conf}.new`), false);
      assert.equal(await name(), 'x-who');
      await reload('', /^coatcheck: reloaded$/m);
      await until('the old name', async () => (await name()) === 'x-auth-user');
      await reload('public:\n  origins: [http://localhost:1]\n', /public\.origins: .*coatcheck\.yaml:\d+:\d+ counts at its next start[\s\S]*: reloaded/);
    } finally {
      await g.stop();
    }
  });

  test('UP-3: no request is lost while it reloads', async () => {
    const g = await Command.start({ upstream: app.url });
    const jar = new Jar();
    try {
      g.addUser();
      await g.signIn(jar);
      let done = false, bad = 0, good = 0;
      const ask = async () => {
        while (!done) (await g.get('/x', { jar }).catch(() => ({}))).status === 200 ? (good += 1) : (bad += 1);
      };
      const { socket } = await g.upgrade('/ws', { connection: 'Upgrade', upgrade: 'websocket', ...jar.header() });
      const visitors = [ask(), ask()];
      for (let i = 0; i < 5; i++) {
        g.stderr = '';
        g.child.kill('SIGHUP');
        await g.said(/^coatcheck: reloaded$/m);
      }
      done = true;
      await Promise.all(visitors);
      assert.equal(bad, 0);
      assert.ok(good > 0);
      /* Nor is what was open before. */
      socket.write('still');
      assert.equal(await new Promise((resolve) => socket.once('data', (data) => resolve(data.toString()))), 'echo still');
      socket.destroy();
    } finally {
      await g.stop();
    }
  });

  test('UP-3: what is under way when it reloads is finished: an answer, an upload, a stream', async () => {
    const held = {};
    const server = http.createServer((req, res) => {
      let size = 0;
      held[req.url] = res;
      if (req.url === '/stream') res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
      req.on('data', (chunk) => (size += chunk.length));
      req.on('end', () => req.url === '/upload' && res.end(String(size)));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const g = await Command.start({ upstream: `http://127.0.0.1:${server.address().port}`, args: ['--optional', '--no-csrf'] });
    const open = (method, target, headers = {}) => {
      const out = { text: '', ended: false };
      out.req = http.request({ host: '127.0.0.1', port: g.port, method, path: target, agent: false, headers: { host: `localhost:${g.port}`, ...headers } }, (res) => {
        out.status = res.statusCode;
        res.on('data', (data) => (out.text += data));
        for (const name of ['end', 'error']) res.on(name, () => (out.ended = name));
      });
      out.req.on('error', (error) => (out.ended = error.code));
      return out;
    };
    try {
      const answer = open('GET', '/answer'), stream = open('GET', '/stream'), upload = open('POST', '/upload', { 'content-length': 200000 });
      for (const out of [answer, stream]) out.req.end();
      await new Promise((resolve) => upload.req.write(Buffer.alloc(100000), resolve));
      await until('they are under way', () => held['/answer'] && stream.text);
      const former = processes({ groups: [g.told.nginx] }).filter((pid) => pid !== g.told.nginx);
      g.child.kill('SIGHUP');
      await g.said(/^coatcheck: reloaded$/m);
      const workers = () => processes({ groups: [g.told.nginx] }).filter((pid) => pid !== g.told.nginx);
      await until('other workers', () => workers().filter((pid) => !former.includes(pid)).length === former.length, 30000);
      assert.equal((await g.get('/auth/login')).status, 200);
      upload.req.end(Buffer.alloc(100000));
      held['/answer'].end('whole');
      held['/stream'].write('data: second\n\n');
      await until('they are finished', () => answer.ended && upload.ended && /second/.test(stream.text));
      assert.deepEqual([answer.status, answer.text, answer.ended], [200, 'whole', 'end']);
      assert.deepEqual([upload.status, upload.text, upload.ended], [200, '200000', 'end']);
      assert.equal(stream.ended, false);
      held['/stream'].end();
      await until('the stream ends when the application ends it', () => stream.ended === 'end');
      await until('the former workers have ended', () => !workers().some((pid) => former.includes(pid)), 30000);
    } finally {
      await g.stop();
      server.closeAllConnections();
      server.close();
    }
  });

  test('a certificate is read again by a reload; a broken one is refused and the former one stays', async () => {
    const cert = certificate(scratch, 'localhost');
    const args = ['--optional', '--tls-cert', cert.cert, '--tls-key', cert.key];
    const g = await Command.start({ upstream: app.url, tls: cert.text, args });
    try {
      assert.equal((await g.get('/x')).status, 200);
      writeFileSync(cert.cert, 'broken');
      g.child.kill('SIGHUP');
      await g.said(/nginx does not accept its configuration[\s\S]*localhost\.pem[\s\S]*reload refused/);
      assert.equal((await g.get('/x')).status, 200);
      const next = certificate(scratch, 'localhost');
      g.child.kill('SIGHUP');
      await g.said(/^coatcheck: reloaded$/m);
      await until('the new certificate', () => g.get('/x', { ca: next.text }).then((res) => res.status === 200, () => false));
    } finally {
      await g.stop();
    }
  });

  test('a port in use: a message that says so, and nothing is left running', async () => {
    const port = await freePort();
    const other = net.createServer();
    await new Promise((resolve) => other.listen(port, '127.0.0.1', resolve));
    const g = new Command({ upstream: app.url, port });
    await g.prepare();
    g.up();
    assert.equal((await g.ended).code, 3);
    assert.match(g.stderr, new RegExp(`127\\.0\\.0\\.1:${port} is in use`));
    assert.deepEqual(here(g), []);
    assert.deepEqual(readdirSync(g.run), []);
    other.close();
    rmSync(g.dir, { recursive: true });
  });

  test('what nginx refuses is shown before anything starts', async () => {
    const g = new Command({ upstream: app.url, args: ['--module=/etc/passwd'] });
    await g.prepare();
    g.up();
    assert.equal((await g.ended).code, 3);
    assert.match(g.stderr, /nginx does not accept its configuration[\s\S]*\/etc\/passwd/);
    assert.deepEqual(here(g), []);
    assert.deepEqual(readdirSync(g.run), []);
    rmSync(g.dir, { recursive: true });
  });

  test('a daemon that cannot start: its message, its exit code, and no nginx', async () => {
    const g = new Command({ upstream: app.url });
    await g.prepare();
    chmodSync(path.join(g.dir, 'data'), 0o777);
    g.up();
    assert.equal((await g.ended).code, 3);
    assert.match(g.stderr, /data.*0777[\s\S]*the daemon could not start \(exit code 3\)/);
    assert.deepEqual(here(g), []);
    assert.deepEqual(readdirSync(g.run), []);
    rmSync(g.dir, { recursive: true });
  });

  test('two of them do not share a runtime directory', async () => {
    const g = await Command.start({ upstream: app.url });
    const other = new Command({ upstream: app.url, dir: g.dir });
    try {
      other.port = await freePort();
      other.up();
      assert.equal((await other.ended).code, 3);
      assert.match(other.stderr, /another gateway runs in/);
      assert.equal((await g.get('/auth/login')).status, 200);
    } finally {
      await g.stop();
    }
  });

  test('it does not take another daemon for its own', async () => {
    const g = await Command.start({ upstream: app.url });
    const other = new Command({ upstream: app.url, args: [`--admin.socket=${g.admin}`] });
    try {
      await other.prepare();
      other.up();
      assert.equal((await other.ended).code, 3);
      assert.match(other.stderr, /admin\.sock[\s\S]*the daemon could not start/);
      assert.equal((await g.get('/auth/login')).status, 200);
    } finally {
      await g.stop();
      rmSync(other.dir, { recursive: true });
    }
  });

  test('what is missing is named, with the way to get it', async () => {
    const none = { env: { PATH: '/nonexistent' } };
    const g = new Command({ upstream: app.url });
    await g.prepare();
    const cases = [
      [['--nginx=/nonexistent/nginx'], /\/nonexistent\/nginx: .*apt-get install nginx.*--nginx=FILE/],
      [['--module=/nonexistent/module.so'], /\/nonexistent\/module\.so: .*--module=FILE/],
      [['--nginx=/bin/false'], /-V fails/],
    ];
    for (const [args, message] of cases) {
      const res = run(g.args(...args), none);
      assert.equal(res.status, 3);
      assert.match(res.stderr, message);
      assert.equal(run(g.args(...args, '--print'), none).status, 0);
    }
    rmSync(g.dir, { recursive: true });
  });

  /* nginx writes its title over its environment: so it is looked at before. */
  test('it tells the service manager, and its children do not; the daemon\'s settings are for the daemon alone', async () => {
    const nginx = path.join(scratch, 'nginx-with-a-list'), list = path.join(scratch, 'environment');
    writeFileSync(nginx, `#!/bin/sh\nenv >>${list}\nexec ${run2('sh', ['-c', 'PATH=$PATH:/usr/sbin; command -v nginx'])} "$@"\n`, { mode: 0o755 });
    const g = new Command({ upstream: app.url, args: ['--nginx', nginx], env: { NOTIFY_SOCKET: '/nonexistent/notify', NGINX: '7;', COATCHECK_LOG_LEVEL: 'info', KEPT: 'x' } });
    await g.prepare();
    try {
      g.up();
      await g.ready();
      const told = /NOTIFY_SOCKET|NGINX=7/, seen = readFileSync(list, 'utf8');
      assert.equal(told.test(seen), false);
      assert.equal(/COATCHECK_/.test(seen), false);
      assert.match(seen, /^KEPT=x$/m);
      if (root) { // else the daemon shows nothing of itself
        const env = readFileSync(`/proc/${g.told.daemon}/environ`, 'utf8');
        assert.equal(told.test(env), false);
        assert.match(env, /COATCHECK_LOG_LEVEL=info/);
      }
    } finally {
      await g.stop();
    }
  });
});

describe('started as root', { skip: missing || !root && 'only root can become other users' }, () => {
  const status = (pid, field) => readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))[1];

  test('HD-7: daemon and workers are two users, neither of them root; nobody but root may write nginx\'s files', async () => {
    const uid = Number(run2('id', ['-u', 'daemon'])), gid = Number(run2('id', ['-g', 'daemon']));
    const www = run2('id', ['-u', 'www-data']);
    const g = new Command({ upstream: app.url, args: ['--module', module], config: 'server:\n  user: daemon\n  threads: 2\n' });
    await g.prepare();
    g.binary = path.join(g.dir, 'coatcheck'); // the build folder may be root's alone
    copyFileSync(binary, g.binary);
    chmodSync(g.binary, 0o755);
    for (const name of ['data', 'run']) chownSync(path.join(g.dir, name), uid, gid);
    const log = path.join(g.dir, 'log');
    writeFileSync(log, '');
    chownSync(log, uid, gid);
    g.up();
    await g.ready();
    const jar = new Jar();
    try {
      assert.equal(Number(status(g.told.daemon, 'Uid')), uid);
      assert.equal(status(g.told.daemon, 'CapEff'), '0000000000000000');
      /* nginx listens before it has workers, and these begin as root. */
      const workers = await until('workers, as another user', () => {
        const all = processes({ groups: [g.told.nginx] }).filter((pid) => pid !== g.told.nginx);
        return all.length > 0 && all.every((pid) => status(pid, 'Uid') === www) && all;
      });
      for (const pid of workers) assert.equal(Number(status(pid, 'Gid')), gid);
      assert.equal(g.told.configuration, path.join(g.dir, 'run-gateway/nginx.conf'));
      const dir = statSync(path.join(g.dir, 'run-gateway'));
      assert.equal(dir.uid, 0);
      assert.equal(dir.mode & 0o777, 0o700);
      const res = run(['user', 'add', 'mara', '--password-stdin', '--config', g.file], { input: 'violet kettle ramp 93' });
      assert.equal(res.status, 0, res.stderr);
      await g.signIn(jar);
      assert.equal((await g.get('/x', { jar })).json().headers['x-auth-user'], 'mara');
      /* The table is read by the workers themselves. */
      assert.equal(statSync(path.join(g.run, 'table')).gid, gid);
      assert.equal(/cannot be used/.test(g.stderr), false, g.stderr);
      /* Also a daemon that has given up root ends with the gateway. */
      await g.down('SIGKILL');
      await until('nothing is left', () => processes({ groups: [g.told.daemon, g.told.nginx] }).length === 0, 30000);
    } finally {
      await g.down('SIGKILL');
      rmSync(g.dir, { recursive: true });
    }
  });

  test('without server.user it does not start; workers that could not reach the sockets are noticed', async () => {
    const g = new Command({ upstream: app.url, config: 'server:\n  threads: 2\n' });
    await g.prepare();
    g.up();
    assert.equal((await g.ended).code, 3);
    assert.match(g.stderr, /--server\.user=coatcheck/);
    g.configure();
    chmodSync(g.dir, 0o700);
    g.up();
    assert.equal((await g.ended).code, 3);
    assert.match(g.stderr, /www-data, who cannot enter .*--user/);
    assert.deepEqual(readdirSync(g.run), []);
    rmSync(g.dir, { recursive: true });
  });

  test('a socket that the configuration keeps from the workers is refused by name', async () => {
    const g = new Command({ upstream: app.url, args: ['--listeners=unix:{runtime.directory}/own.sock;dialect=module'] });
    await g.prepare();
    const res = run(g.args());
    assert.equal(res.status, 3);
    assert.match(res.stderr, /own\.sock.*www-data.*add group: www-data/);
    rmSync(g.dir, { recursive: true });
  });
});

function run2(name, args) {
  const res = spawnSync(name, args, { encoding: 'utf8' });
  return res.stdout.trim();
}
