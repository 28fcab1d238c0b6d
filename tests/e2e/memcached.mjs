// SPDX-License-Identifier: Apache-2.0
// A memcached of the tests' own.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { build, until } from './lib.mjs';

export const modules = path.join(build, 'src/store');
export const usable = existsSync(path.join(modules, 'store-memcached.so')) &&
  spawnSync('memcached', ['-V']).status === 0;
export const only = usable ? {} : { skip: 'no memcached, or built without OpenSSL' };

export class Memcached {
  constructor(dir, name) {
    this.socket = path.join(dir, name);
  }

  async up() {
    this.child = spawn('memcached', ['-u', 'root', '-s', this.socket, '-t', '1'], { stdio: 'ignore' });
    await until('memcached answers', () => this.ask('version').then((text) => text.startsWith('VERSION'), () => false));
  }

  ask(line) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.socket, () => socket.write(`${line}\r\n`));
      socket.on('data', (data) => { socket.destroy(); resolve(data.toString()); });
      socket.on('error', reject);
    });
  }

  down() {
    return new Promise((resolve) => {
      if (!this.child) return resolve();
      this.child.on('exit', resolve);
      this.child.kill('SIGKILL');
      this.child = null;
      rmSync(this.socket, { force: true });
    });
  }
}
