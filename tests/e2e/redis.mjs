// SPDX-License-Identifier: Apache-2.0
// A redis-server of the tests' own; daemons of one installation.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, freePort, until } from './lib.mjs';

const modules = path.join(build, 'src/store');
export const usable = existsSync(path.join(modules, 'store-redis.so')) &&
  spawnSync('redis-server', ['--version']).status === 0;
export const only = usable ? {} : { skip: 'no redis-server, or built without hiredis' };

export class Redis {
  /** more: arguments, the last of which count */
  constructor(...more) {
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-redis-'));
    this.socket = path.join(this.dir, 's');
    this.args = ['--port', '0', '--unixsocket', this.socket, '--dir', this.dir, '--save', '', '--appendonly', 'yes',
      '--appendfsync', 'always', '--notify-keyspace-events', 'Egxe', ...more];
  }

  async up() {
    this.child = spawn('redis-server', this.args, { stdio: 'ignore' });
    await until('redis answers', () => new Promise((resolve) => {
      const socket = net.connect(this.socket, () => socket.write('PING\r\n'));
      socket.on('data', (data) => { socket.destroy(); resolve(data.toString().startsWith('+PONG')); });
      socket.on('error', () => resolve(false));
    }));
  }

  make() {
    return this.up();
  }

  processes() {
    return [this.child.pid];
  }

  /** One inline command. @return the first bytes of what it answers */
  ask(command) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.socket, () => socket.write(`${command}\r\n`));
      socket.on('data', (data) => { socket.destroy(); resolve(data.toString()); });
      socket.on('error', reject);
    });
  }

  async gone() {
    await this.down();
    rmSync(this.dir, { recursive: true, force: true });
  }

  down(signal = 'SIGKILL') {
    return new Promise((resolve) => {
      if (!this.child) return resolve();
      this.child.on('exit', resolve);
      this.child.kill(signal);
      this.child = null;
      rmSync(this.socket, { force: true });
    });
  }

  config() {
    return `store:\n  url: redis+unix:${this.socket}\n  modules: ${modules}\n`;
  }
}

/** Is a session there, by its handle? */
export async function has(server, handle) {
  const bytes = Buffer.from(handle, 'base64url'), [serial, owner] = [bytes.subarray(0, 8), bytes.subarray(8)].map((b) => b.toString('hex'));
  return (await server.ask(`EXISTS coat:{${owner}}:s:${serial}`)).startsWith(':1');
}

const NAME = 'mymaster', SECRET = 's3same';
/* As in tests/store/sentinel_fixture.h: a failover takes a second or two, and a busy machine makes none. */
const PATIENT_MS = 60000, HASTY_MS = 300;
const PACE = 'SENTINEL DEBUG info-period 100 ping-period 100 ask-period 100 publish-period 200 election-timeout 1000 ' +
  'tilt-trigger 60000 slave-reconf-timeout 1000 min-link-reconnect-period 200';

/** A primary, its replica, and three sentinels. */
export class Sentinels {
  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-sentinels-'));
  }

  async make() {
    this.ports = await Promise.all(Array.from({ length: 2 }, freePort));
    this.nodes = this.ports.map((port) => new Redis('--port', port, '--bind', '127.0.0.1', '--masteruser', 'replica',
      '--masterauth', SECRET, '--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'));
    [this.primary, this.replica] = this.nodes;
    for (const node of this.nodes) {
      await node.up();
      await node.ask(`ACL SETUSER replica on >${SECRET} ~* &* +@all`);
    }
    await this.replica.ask(`REPLICAOF 127.0.0.1 ${this.ports[0]}`);
    await this.replicated();
    this.sentinels = await Promise.all(Array.from({ length: 3 }, () => this.sentinel()));
    for (const s of this.sentinels)
      await until('a sentinel knows all', async () => (await Promise.all([s.field('num-slaves'), s.field('num-other-sentinels')])).join() === '1,2');
  }

  async sentinel() {
    const s = new Redis();
    s.port = await freePort();
    const file = path.join(s.dir, 'conf');
    writeFileSync(file, `bind 127.0.0.1\nport ${s.port}\nunixsocket ${s.socket}\ndir ${s.dir}\n` +
      `sentinel monitor ${NAME} 127.0.0.1 ${this.ports[0]} 2\nsentinel down-after-milliseconds ${NAME} ${PATIENT_MS}\n` +
      `sentinel failover-timeout ${NAME} 3000\n`);
    s.args = [file, '--sentinel'];
    s.field = async (name) => new RegExp(`${name}\r\n\\$\\d+\r\n(.*)\r\n`).exec(await s.ask(`SENTINEL MASTER ${NAME}`))?.[1];
    await s.up();
    await s.ask(PACE);
    return s;
  }

  /** The replica has all that its primary has. */
  replicated() {
    return until('the replica has it', async () => (await this.primary.ask('WAIT 1 100')).startsWith(':1'));
  }

  /** From now on the replica hears nothing. */
  async separate() {
    await this.primary.ask('ACL SETUSER replica off');
    await this.primary.ask('CLIENT KILL USER replica');
  }

  async patience(ms) {
    for (const s of this.sentinels) await s.ask(`SENTINEL SET ${NAME} down-after-milliseconds ${ms}`);
  }

  /** The primary dies, and its replica is promoted. */
  async fail() {
    await this.patience(HASTY_MS);
    await this.primary.down();
    for (const s of this.sentinels)
      await until('the replica is promoted', async () => (await s.field('port')) === String(this.ports[1]), 60000);
    [this.primary, this.replica] = [this.replica, this.primary];
    await this.patience(PATIENT_MS);
  }

  processes() {
    return this.nodes.filter((node) => node.child).map((node) => node.child.pid);
  }

  async gone() {
    for (const server of [...(this.sentinels ?? []), ...(this.nodes ?? [])]) await server.gone();
    rmSync(this.dir, { recursive: true, force: true });
  }

  config() {
    return `store:\n  url: redis+sentinel://${this.sentinels.map((s) => `127.0.0.1:${s.port}`).join(',')}/${NAME}\n  modules: ${modules}\n`;
  }
}

const SLOTS = 16384, PRIMARIES = 3;

/** Three primaries of a Redis Cluster, the first one with a replica. */
export class Cluster {
  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-cluster-'));
  }

  async make() {
    this.ports = await Promise.all(Array.from({ length: 2 * (PRIMARIES + 1) }, freePort));
    this.buses = this.ports.splice(PRIMARIES + 1);
    this.nodes = this.ports.map((port, i) => new Redis('--port', port, '--bind', '127.0.0.1', '--cluster-enabled', 'yes',
      '--cluster-port', this.buses[i], '--cluster-node-timeout', '2000', '--cluster-replica-validity-factor', '0',
      '--cluster-require-full-coverage', 'no', '--cluster-allow-replica-migration', 'no', '--repl-diskless-sync-delay', '0'));
    for (const node of this.nodes) await node.up();
    this.ids = await Promise.all(this.nodes.map(async (node) => (await node.ask('CLUSTER MYID')).split('\r\n')[1]));
    for (const [i, node] of this.nodes.entries()) {
      await node.ask(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`);
      if (i < PRIMARIES)
        await node.ask(`CLUSTER ADDSLOTSRANGE ${Math.floor(i * SLOTS / PRIMARIES)} ${Math.floor((i + 1) * SLOTS / PRIMARIES) - 1}`);
      for (const other of this.nodes.slice(0, i)) await other.ask(`CLUSTER MEET 127.0.0.1 ${this.ports[i]} ${this.buses[i]}`);
    }
    for (const node of this.nodes) await this.says(node, 'CLUSTER INFO', `cluster_known_nodes:${PRIMARIES + 1}`);
    await this.says(this.nodes[PRIMARIES], `CLUSTER REPLICATE ${this.ids[0]}`, '+OK');
    await this.serves();
  }

  says(node, question, answer) {
    return until(`${question}: ${answer}`, async () => (await node.ask(question).catch(() => '')).includes(answer), 60000);
  }

  async serves() {
    for (const node of this.nodes) await this.says(node, 'CLUSTER INFO', 'cluster_state:ok');
    await until('the replica follows', async () => (await Promise.all([0, PRIMARIES].map((i) => this.nodes[i].ask('INFO replication'))))
      .some((info) => info.includes('master_link_status:up')), 60000);
  }

  /** The first primary and its replica change places, by the replica's word alone. */
  async takeOver() {
    const pair = [0, PRIMARIES];
    const infos = await Promise.all(pair.map((i) => this.nodes[i].ask('INFO replication')));
    const [to, from] = infos[0].includes('role:slave') ? pair : pair.reverse();
    await this.says(this.nodes[to], 'CLUSTER FAILOVER TAKEOVER', '+OK');
    await this.says(this.nodes[from], 'INFO replication', 'role:slave');
    await this.serves();
  }

  /** A slot of the second or third primary goes to the other one, with its keys. */
  async move(slot, from, to) {
    await this.says(this.nodes[to], `CLUSTER SETSLOT ${slot} IMPORTING ${this.ids[from]}`, '+OK');
    await this.says(this.nodes[from], `CLUSTER SETSLOT ${slot} MIGRATING ${this.ids[to]}`, '+OK');
    for (;;) {
      const keys = (await this.nodes[from].ask(`CLUSTER GETKEYSINSLOT ${slot} 20`)).split('\r\n').filter((k) => /^coat/.test(k));
      if (keys.length === 0) break;
      await this.nodes[from].ask(`MIGRATE 127.0.0.1 ${this.ports[to]} "" 0 5000 KEYS ${keys.join(' ')}`);
    }
    for (const i of [to, from]) await this.says(this.nodes[i], `CLUSTER SETSLOT ${slot} NODE ${this.ids[to]}`, '+OK');
  }

  async down(signal) {
    await Promise.all(this.nodes.map((node) => node.down(signal)));
  }

  async up() {
    await Promise.all(this.nodes.map((node) => node.up()));
    await this.serves();
  }

  processes() {
    return this.nodes.filter((node) => node.child).map((node) => node.child.pid);
  }

  async gone() {
    for (const node of this.nodes ?? []) await node.gone();
    rmSync(this.dir, { recursive: true, force: true });
  }

  config() {
    return `store:\n  url: redis+cluster://${this.ports.map((port) => `127.0.0.1:${port}`).join(',')}\n  modules: ${modules}\n`;
  }
}

/** The second machine has the keys of the first: one installation. */
export function sameKeys(from, to) {
  copyFileSync(path.join(from.dir, 'data/keys'), path.join(to.dir, 'data/keys'));
  chmodSync(path.join(to.dir, 'data/keys'), 0o600);
}
