// SPDX-License-Identifier: Apache-2.0
// Three instances over two real memcached servers; they share the accounts in a Redis.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarios } from './instances.mjs';
import { until } from './lib.mjs';
import { Memcached, modules, only, usable } from './memcached.mjs';
import { Redis, usable as accounts } from './redis.mjs';

const JUNK_BYTES = 400, JUNK_AT_ONCE = 2000;
/* A small server that drops whatever is eldest, and takes items of very different sizes for alike. */
const SMALL = ['-m', '4', '-f', '8', '-o', 'no_modern'];

class Pair {
  constructor() {
    this.accounts = new Redis();
    this.dir = this.accounts.dir;
    this.servers = ['one', 'two'].map((name) => new Memcached(this.dir, name));
  }

  async make() {
    await this.accounts.make();
    await this.up();
  }

  async up() {
    for (const server of this.servers) await server.up();
  }

  async down() {
    for (const server of this.servers) await server.down();
  }

  async gone() {
    await this.down();
    await this.accounts.gone();
  }

  processes() {
    return this.servers.map((server) => server.child.pid);
  }

  config() {
    return `store:\n  url: memcached+unix:${this.servers.map((s) => s.socket).join(',')}\n  modules: ${modules}\n` +
      `accounts:\n  url: redis+unix:${this.accounts.socket}\n`;
  }
}

const pair = new Pair();

scenarios(pair, {
  keeps: false,
  crowd: 1500, /* all of a user's are one item, and those have 1 MiB */
  usable: usable && accounts,
  skip: only.skip ?? 'no redis-server for the accounts',
  more({ only: able, instances, at, flock, end, everywhere, statuses, back }) {
    test('SF-7: three instances: a server that is restarted has its users sign in again, and no others', able, async () => {
      const made = await flock(12, 'shared-out'), gone = made.splice(0, 4);
      for (const [i, s] of gone.entries()) assert.equal((await end(at(i), s.handle)).status, 204);
      await pair.servers[0].down();
      await pair.servers[0].up();
      await back();
      let kept = 0;
      for (const s of made) {
        const [first, ...others] = await statuses([s]);
        assert.ok([200, 401].includes(first) && others.every((o) => o === first), 'one verdict everywhere');
        if (first === 200) kept++;
      }
      assert.ok(kept > 0 && kept < made.length, `${kept} of ${made.length} were on the other server`);
      await everywhere(gone, 401, 'who was ended stays ended');
      await everywhere(await flock(6, 'again'), 200, 'signed in again');
    });

    test('SF-7: three instances: what a full server drops means to sign in again, for whoever was ended too', able, async () => {
      for (const server of pair.servers) {
        await server.down();
        server.args = SMALL;
        await server.up();
      }
      await back();
      const live = await flock(6, 'dropped'), gone = await flock(6, 'ended');
      for (const [i, s] of gone.entries()) assert.equal((await end(at(i), s.handle)).status, 204);
      const value = 'x'.repeat(JUNK_BYTES);
      const stat = async (server, name) => Number(new RegExp(`STAT ${name} (\\d+)`).exec(await server.ask('stats'))[1]);
      let n = 0;
      for (const server of pair.servers)
        /* Nobody asks for the sessions meanwhile, which would keep them from being the eldest. */
        await until('more was dropped than there is room for', async () => {
          await server.tell(Array.from({ length: JUNK_AT_ONCE }, () => `ms junk${n++} ${JUNK_BYTES} q\r\n${value}\r\n`).join(''));
          return (await stat(server, 'evictions')) > 3 * (await stat(server, 'curr_items'));
        }, 60000);
      await everywhere(live, 401, 'dropped');
      await everywhere(gone, 401, 'who was ended stays ended');
      for (const d of instances()) assert.equal((await d.ask('GET', '/v1/ready')).status, 200);
      await everywhere(await flock(3, 'later'), 200, 'signed in again');
    });
  },
});
