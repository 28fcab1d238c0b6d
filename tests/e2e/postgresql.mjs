// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server of the tests' own.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, until } from './lib.mjs';

export const modules = path.join(build, 'src/store');
const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').map(Number).filter((n) => n >= 14) : [];
export const bin = versions.length ? `/usr/lib/postgresql/${Math.max(...versions)}/bin/` : '';
export const usable = existsSync(path.join(modules, 'store-postgresql.so')) &&
  spawnSync(`${bin}postgres`, ['--version']).status === 0;
export const only = usable ? {} : { skip: 'no PostgreSQL server, or built without libpq' };

// The server does not run as root.
export const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

export class Server {
  constructor() {
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-pg-'));
    if (nobody.uid) chownSync(this.dir, nobody.uid, nobody.gid);
    // Readable for the daemon's own user, should it have one.
    chmodSync(this.dir, 0o755);
  }

  make() {
    execFileSync(`${bin}initdb`, ['--no-sync', '-E', 'UTF8', '--locale=C', '-A', 'trust', '-U', 'postgres', '-D', `${this.dir}/d`],
      { stdio: 'ignore', cwd: this.dir, ...nobody });
  }

  sql(text, db = 'coatcheck') {
    return execFileSync(`${bin}psql`, ['-qAtX', '-h', this.dir, '-U', 'postgres', '-d', db, '-c', text],
      { encoding: 'utf8', cwd: this.dir, stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  }

  async up(db = 'coatcheck') {
    this.child = spawn(`${bin}postgres`, ['-D', `${this.dir}/d`, '-k', this.dir, '-c', 'listen_addresses='],
      { stdio: 'ignore', cwd: this.dir, ...nobody });
    await until('postgres answers', async () => {
      try { return this.sql('SELECT 1', db) === '1'; } catch { return false; }
    });
  }

  down(signal = 'SIGINT') {
    return new Promise((resolve) => {
      if (!this.child) return resolve();
      this.child.on('exit', resolve);
      this.child.kill(signal);
      this.child = null;
    });
  }

  config() {
    return `store:\n  url: postgresql+unix:${this.dir}\n  modules: ${modules}\n`;
  }
}
