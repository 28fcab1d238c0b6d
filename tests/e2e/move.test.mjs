// SPDX-License-Identifier: Apache-2.0
// Moving from store to store under load: real servers, daemons that serve meanwhile, visitors who come again
// and again. Nobody is signed out; what is ended on either side stays so.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Daemon, Jar, binary, run, sleep, until } from './lib.mjs';
import { Memcached, usable as haveMemcached } from './memcached.mjs';
import { Server, usable as havePostgresql } from './postgresql.mjs';
import { Redis, sameKeys, usable as haveRedis } from './redis.mjs';
import { build } from './lib.mjs';
import { plant, status } from './routes.mjs';

const FAILED = 1, USAGE = 2, CONFIG = 3;
const modules = path.join(build, 'src/store');
const usable = haveRedis && havePostgresql && haveMemcached;
const only = usable ? {} : { skip: 'a server of redis, postgresql or memcached is missing' };
const redis = new Redis(), server = new Server(), cache = new Memcached(redis.dir, 'memcached');
const config = (url, accounts) => `store:\n  url: "${url}"\n  modules: ${modules}\n${accounts ? `accounts:\n  url: "${accounts}"\n` : ''}`;

/** A command beside the visitors: not waited for in a way that would keep them from coming. */
function command(args) {
  return new Promise((resolve) => {
    const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const res = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => (res.stdout += data));
    child.stderr.on('data', (data) => (res.stderr += data));
    child.on('close', (code) => resolve({ ...res, code }));
  });
}

/** Visitors. Each knows whether it is signed in; an answer that is not 503 must agree. */
class Visitors {
  constructor(daemons) {
    Object.assign(this, { daemons, all: [], asked: 0, wrong: [], going: true });
  }
  up() {
    return this.daemons.filter((d) => d.child && !d.exited);
  }
  any() {
    const up = this.up();
    return up[Math.floor(Math.random() * up.length)];
  }
  async sign(n, d = this.any()) {
    for (let i = 0; i < n; i++) {
      const user = `user${this.all.length % 23}`; /* fewer sessions each than a user may have */
      const { jar, handle } = await plant(d, { user });
      this.all.push({ jar, handle, user, live: true });
    }
  }
  async ask(v, d) {
    const was = v.live, turn = v.turn;
    if (v.ending) return; /* either is true until somebody was told */
    const got = await status(d, v.jar).catch(() => 0);
    if (got === 0 || got === 503 || v.live !== was || v.turn !== turn) return;
    this.asked++;
    if (got !== (was ? 200 : 401)) this.wrong.push(`${got} for ${was ? 'a live' : 'an ended'} session, ${d.options.config}`);
  }
  /** Ended, as far as anybody was told: what is refused meanwhile is neither. */
  async end(v, d = this.any()) {
    v.turn = (v.turn ?? 0) + 1;
    v.ending = true;
    const res = await until('an end is acknowledged', () => d.ask('POST', `/v1/sessions/${v.handle}/end`).then((r) => r.status === 204, () => false));
    v.live = !res;
    v.ending = false;
  }
  load() {
    const one = async () => {
      while (this.going) {
        const d = this.any();
        const v = this.all[Math.floor(Math.random() * this.all.length)];
        if (d && v) await this.ask(v, d);
        else await sleep(10);
      }
    };
    this.loops = [one(), one(), one()];
  }
  async settle(what) {
    for (const d of this.up()) for (const v of this.all) {
      const got = await until('an answer', async () => (await status(d, v.jar).catch(() => 503)) !== 503 && status(d, v.jar));
      assert.equal(got, v.live ? 200 : 401, `${what}: ${v.handle}`);
    }
    assert.deepEqual(this.wrong, [], what);
  }
}

let a, b, crowd;
before(async () => {
  if (!usable) return;
  await redis.up();
  await cache.up();
  await server.make();
  a = await Daemon.start({ config: config('memory:') });
  await a.addUser();
  crowd = new Visitors([a]);
  await crowd.sign(30);
  crowd.load();
});
after(async () => {
  if (crowd) crowd.going = false;
  await Promise.all(crowd?.loops ?? []);
  try {
    for (const d of [a, b]) await d?.stop();
  } finally {
    await redis.gone();
    await cache.down();
    await server.down();
    rmSync(server.dir, { recursive: true, force: true });
  }
});

function use(d, text) {
  d.options.config = text;
  writeFileSync(d.file, d.yaml());
}

const copy = (d, ...args) => command(['store', 'copy', '--config', d.file, ...args]);

/** One move of all that serve, as docs/stores.md describes it. */
async function move(to, { accounts, args = [] } = {}) {
  const serving = crowd.up();
  const from = serving[0].options.config;
  const changing = (async () => {
    for (let i = 0; i < 4; i++) {
      await crowd.sign(2);
      await crowd.end(crowd.all.find((v) => v.live));
    }
  })();
  const res = await copy(a, `--to=${to}`, '--json', ...args);
  assert.equal(res.code, 0, res.stderr);
  const lines = res.stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(lines.at(-1).state, 'in_step', res.stdout);
  assert.ok(lines.at(-1).sessions >= 20 && lines.at(-1).unreadable === 0, res.stdout);
  await changing;
  // In step: what happens from now on is copied, too, without anybody asking for it.
  await crowd.sign(3);
  const ended = crowd.all.findLast((v) => v.live);
  await crowd.end(ended);
  const user = crowd.all.filter((v) => v.user === 'user3' && v.live);
  for (const v of user) Object.assign(v, { turn: (v.turn ?? 0) + 1, ending: true });
  assert.equal((await crowd.any().ask('POST', '/v1/users/user3/end-sessions')).status, 204);
  for (const v of user) Object.assign(v, { live: false, ending: false });
  // Not before the operator has said so: a restart changes nothing.
  for (const d of serving) use(d, config(to, accounts));
  const down = serving.map((d) => d.down().catch((error) => error));
  await Promise.all(down);
  for (const d of serving) await d.up();
  await crowd.settle(`moved to ${to}`);
  // The former store is not taken for one to be used.
  writeFileSync(`${a.file}.former`, a.yaml().replace(config(to, accounts), from));
  if (!from.includes('memory:')) {
    const refused = run(['serve', '--config', `${a.file}.former`], { timeout: 20000 });
    assert.equal(refused.status, CONFIG, refused.stderr);
    assert.match(refused.stderr, /moved: set store\.url/);
  }
  // And what is ended in the new one is ended.
  await crowd.end(crowd.all.find((v) => v.live));
  await crowd.settle(`ended in ${to}`);
}

test('what cannot be copied is refused: exit codes and reasons', only, async () => {
  assert.equal((await copy(a)).code, USAGE);
  for (const [to, code, said] of [['memory:', FAILED, /same store/], ['rabbit://x', FAILED, /no known kind/],
    [`postgresql+unix:${server.dir}`, FAILED, /coatcheck store migrate/], [`memcached+unix:${cache.socket}`, FAILED, /accounts\.url/]]) {
    const res = await copy(a, `--to=${to}`);
    assert.equal(res.code, code, `${to}: ${res.stdout} ${res.stderr}`);
    assert.match(res.stderr, said);
  }
  const other = await copy(a, '--to=lmdb:/nonexistent/x', '--from=lmdb:/nonexistent/y');
  assert.equal(other.code, FAILED);
  assert.match(other.stderr, /another store than that of --from/);
  assert.deepEqual(crowd.wrong, []);
});

test('UP-4: from memory to LMDB under load: nobody is signed out, what was ended stays ended', only, () => move(`lmdb:${a.dir}/data/store`));

test('a copy that is not finished is not used, and a daemon that is stopped meanwhile changes nothing', only, async () => {
  const to = `lmdb:${a.dir}/data/other`, before = a.options.config;
  assert.equal((await copy(a, `--to=${to}`)).code, 0);
  const busy = await copy(a, `--to=redis+unix:${redis.socket}`);
  assert.equal(busy.code, FAILED);
  assert.match(busy.stderr, /goes on already/);
  await a.down();
  use(a, config(to));
  const refused = run(['serve', '--config', a.file], { timeout: 20000 });
  assert.equal(refused.status, CONFIG);
  assert.match(refused.stderr, /not complete/);
  use(a, before);
  await a.up();
  await crowd.settle('the former store');
});

test('UP-4: a copy is given up: while it goes on, and what a former one has left', only, async () => {
  const to = `lmdb:${a.dir}/data/other`;
  const cancel = (target, ...args) => copy(a, '--cancel', `--to=${target}`, ...args);
  const left = await cancel(to, '--json'); /* of the test before */
  assert.equal(left.code, 0, left.stderr);
  assert.equal(JSON.parse(left.stdout.trim().split('\n').at(-1)).state, 'cancelled');
  const none = await cancel(to);
  assert.equal(none.code, FAILED);
  assert.match(none.stderr, /nothing is being copied/);
  assert.equal((await copy(a, `--to=${to}`)).code, 0);
  const other = await cancel(`lmdb:${a.dir}/data/third`);
  assert.equal(other.code, FAILED);
  assert.match(other.stderr, /goes on already/);
  const res = await cancel(to);
  assert.equal(res.code, 0, res.stderr);
  assert.match(res.stdout, /in use as before/);
  await crowd.sign(2);
  await crowd.settle('given up');
  /* The daemon that ends moves nothing, though the configuration names the target; which is empty, and may be used. */
  const before = a.options.config;
  use(a, config(to));
  await a.down();
  const fresh = run(['session', 'list', '--config', a.file, '--json'], { timeout: 20000 });
  assert.equal(fresh.status, 0, fresh.stderr);
  assert.doesNotMatch(fresh.stdout, /handle/);
  use(a, before);
  assert.match(run(['store', 'copy', '--cancel', '--config', a.file, `--to=${to}`]).stderr, /nothing is being copied/);
  await a.up();
  await crowd.settle('the store that was in use all the time');
});

test('UP-4: without a daemon the command moves all at once, and only once', only, async () => {
  const from = `lmdb:${a.dir}/data/store`, to = `lmdb:${a.dir}/data/other`;
  await a.down();
  const res = run(['store', 'copy', '--config', a.file, `--to=${to}`, '--json']);
  assert.equal(res.status, 0, res.stderr);
  assert.equal(JSON.parse(res.stdout.trim().split('\n').at(-1)).state, 'moved');
  use(a, config(to));
  await a.up();
  await crowd.settle('moved by the command');
  const gone = crowd.all.find((v) => v.live);
  await crowd.end(gone);
  await a.down();
  const again = run(['store', 'copy', '--config', a.file, `--from=${from}`, `--to=${to}`]);
  assert.equal(again.status, CONFIG, again.stdout);
  assert.match(again.stderr, /finished already/);
  await a.up();
  assert.equal(await status(a, gone.jar), 401);
});

test('UP-4: from LMDB to Redis under load', only, () => move(`redis+unix:${redis.socket}`));

test('UP-4: from Redis to PostgreSQL under load, with two machines', only, async () => {
  b = new Daemon({ config: a.options.config });
  await b.prepare();
  sameKeys(a, b);
  await b.up();
  crowd.daemons.push(b);
  const to = `postgresql+unix:${server.dir}`;
  const res = run(['store', 'migrate', '--config', a.file, `--url=${to}`]);
  assert.equal(res.status, 0, res.stderr);
  await move(to);
});

test('UP-4: from PostgreSQL to memcached; a machine that was forgotten stops by itself', only, async () => {
  const to = `memcached+unix:${cache.socket}`, accounts = `postgresql+unix:${server.dir}`;
  crowd.daemons = [a];
  await move(to, { accounts, args: ['--sessions-only'] });
  await until('the other one has stopped', () => b.exited);
  assert.equal(b.exited.code, FAILED);
  assert.equal((await a.signIn(new Jar())).status, 200, 'accounts are where they were');
  assert.ok(crowd.asked > 500, `${crowd.asked}`);
  b = null;
});

test('a memcached that does not list its keys is refused, with what would be right', only, async () => {
  assert.match(await cache.ask('lru_crawler disable'), /^OK/);
  await until('its thread has ended', async () => /lru crawler disabled/.test(await cache.ask('lru_crawler metadump hash')));
  const res = await copy(a, '--sessions-only', `--to=lmdb:${a.dir}/data/again`);
  assert.equal(res.code, FAILED, res.stdout);
  assert.match(res.stderr, /does not say what it holds.*LRU crawler is off.*lru_crawler enable/s);
  assert.match(await cache.ask('lru_crawler enable'), /^OK/);
  await crowd.settle('refused');
});

test('UP-4: from memcached to Redis under load, with two machines', only, async () => {
  b = new Daemon({ config: a.options.config });
  await b.prepare();
  sameKeys(a, b);
  await b.up();
  crowd.daemons = [a, b];
  await move(`redis+unix:${redis.socket}?prefix=second`, { accounts: `postgresql+unix:${server.dir}`, args: ['--sessions-only'] });
});

test('UP-4: without a daemon the command moves into memcached and out of it', only, async () => {
  const accounts = `postgresql+unix:${server.dir}`, from = `redis+unix:${redis.socket}?prefix=second`, to = `lmdb:${a.dir}/data/last`;
  const between = `memcached+unix:${cache.socket}?prefix=between`;
  crowd.daemons = [a];
  await b.stop();
  b = null;
  await a.down();
  for (const [one, other] of [[from, between], [between, to]]) {
    const res = run(['store', 'copy', '--config', a.file, '--sessions-only', `--from=${one}`, `--to=${other}`, '--json'], { timeout: 60000 });
    assert.equal(res.status, 0, res.stderr);
    const last = JSON.parse(res.stdout.trim().split('\n').at(-1));
    assert.equal(last.state, 'moved');
    assert.ok(last.sessions >= 20, res.stdout);
  }
  const again = run(['store', 'copy', '--config', a.file, '--sessions-only', `--from=${between}`, `--to=${to}`], { timeout: 60000 });
  assert.equal(again.status, CONFIG, again.stdout);
  assert.match(again.stderr, /finished already/);
  use(a, config(to, accounts));
  await a.up();
  await crowd.settle('moved twice by the command');
});

test('UP-4: accounts are moved by themselves, while no daemon runs', only, async () => {
  const sessions = `lmdb:${a.dir}/data/last`, from = `postgresql+unix:${server.dir}`, to = `lmdb:${a.dir}/data/accounts`;
  const refused = await copy(a, '--accounts', `--to=${to}`);
  assert.equal(refused.code, FAILED);
  assert.match(refused.stderr, /Stop the daemons/);
  assert.equal((await copy(a, '--accounts', '--sessions-only', `--to=${to}`)).code, USAGE);
  crowd.going = false;
  await Promise.all(crowd.loops);
  await a.down();
  const res = run(['store', 'copy', '--accounts', '--config', a.file, `--to=${to}`]);
  assert.equal(res.status, 0, res.stderr);
  assert.match(res.stdout, /1 accounts.*accounts\.url: lmdb:/s);
  const former = run(['serve', '--config', a.file], { timeout: 20000 });
  assert.equal(former.status, CONFIG);
  assert.match(former.stderr, /set accounts\.url to lmdb:/);
  use(a, config(sessions, to));
  await a.up();
  assert.equal((await a.signIn(new Jar())).status, 200, 'accounts are where they were put');
  await crowd.settle('sessions are where they were');
  use(a, config(sessions, from));
});
