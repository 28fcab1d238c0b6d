// SPDX-License-Identifier: Apache-2.0
// A redis-server of the tests' own; daemons of one installation.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, until } from './lib.mjs';

const modules = path.join(build, 'src/store');
export const usable = existsSync(path.join(modules, 'store-redis.so')) &&
  spawnSync('redis-server', ['--version']).status === 0;
export const only = usable ? {} : { skip: 'no redis-server, or built without hiredis' };

export class Redis {
  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-redis-'));
    this.socket = path.join(this.dir, 's');
  }

  async up() {
    this.child = spawn('redis-server', ['--port', '0', '--unixsocket', this.socket, '--dir', this.dir,
      '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--notify-keyspace-events', 'Egxe'], { stdio: 'ignore' });
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

/** The second machine has the keys of the first: one installation. */
export function sameKeys(from, to) {
  copyFileSync(path.join(from.dir, 'data/keys'), path.join(to.dir, 'data/keys'));
  chmodSync(path.join(to.dir, 'data/keys'), 0o600);
}
