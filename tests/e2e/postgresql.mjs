// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server of the tests' own, with a database for daemons.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build, family, until } from './lib.mjs';

const modules = path.join(build, 'src/store');
const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').map(Number).filter((n) => n >= 14) : [];
export const bin = versions.length ? `/usr/lib/postgresql/${Math.max(...versions)}/bin/` : '';
export const usable = existsSync(path.join(modules, 'store-postgresql.so')) &&
  spawnSync(`${bin}postgres`, ['--version']).status === 0;
export const only = usable ? {} : { skip: 'no PostgreSQL server, or built without libpq' };

// The server does not run as root.
const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

export class Server {
  constructor() {
    this.migrates = true;
    this.dir = mkdtempSync(path.join(tmpdir(), 'coat-pg-'));
    if (nobody.uid) chownSync(this.dir, nobody.uid, nobody.gid);
    // Readable for the daemon's own user, should it have one.
    chmodSync(this.dir, 0o755);
  }

  /** A cluster with the daemons' role and database, running. */
  async make() {
    execFileSync(`${bin}initdb`, ['--no-sync', '-E', 'UTF8', '--locale=C', '-A', 'trust', '-U', 'postgres', '-D', `${this.dir}/d`],
      { stdio: 'ignore', cwd: this.dir, ...nobody });
    await this.up('postgres');
    this.sql('CREATE ROLE coatcheck LOGIN', 'postgres');
    this.sql('CREATE DATABASE coatcheck OWNER coatcheck', 'postgres');
  }

  sql(text, db = 'coatcheck') {
    return execFileSync(`${bin}psql`, ['-qAtX', '-h', this.dir, '-U', 'postgres', '-d', db, '-c', text],
      { encoding: 'utf8', cwd: this.dir, stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  }

  async up(db = 'coatcheck') {
    // The machine does not fail here, only processes do: what they have written stays.
    this.child = spawn(`${bin}postgres`, ['-D', `${this.dir}/d`, '-k', this.dir, '-c', 'listen_addresses=', '-c', 'fsync=off'],
      { stdio: 'ignore', cwd: this.dir, ...nobody });
    await until('postgres answers', async () => {
      try { return this.sql('SELECT 1', db) === '1'; } catch { return false; }
    });
  }

  async down(signal = 'SIGINT') {
    if (!this.child) return;
    // Killed, it leaves processes that serve a connection: they would go on answering for a moment.
    const all = signal === 'SIGKILL' ? this.processes() : [];
    await new Promise((resolve) => {
      this.child.on('exit', resolve);
      this.child.kill(signal);
      for (const pid of all) try { process.kill(pid, signal); } catch { /* gone by itself */ }
      this.child = null;
    });
  }

  /** Of the server, and of those that serve a connection each. */
  processes() {
    return family(this.child.pid);
  }

  async gone() {
    await this.down();
    rmSync(this.dir, { recursive: true, force: true });
  }

  config() {
    return `store:\n  url: postgresql+unix:${this.dir}\n  modules: ${modules}\n`;
  }
}
