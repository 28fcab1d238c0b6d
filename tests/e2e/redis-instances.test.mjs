// SPDX-License-Identifier: Apache-2.0
// Three instances over one real Redis; what their node tables serve, and outages, are in shared.test.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarios } from './instances.mjs';
import { until } from './lib.mjs';
import { Redis, only, usable } from './redis.mjs';

const redis = new Redis();

scenarios(redis, {
  keeps: true,
  usable,
  skip: only.skip,
  elsewhere: ['RV-1', 'SF-1', 'SF-4'],
  more({ only: able, instances, at, flock, endUser, everywhere }) {
    test('SF-7: three instances: an eviction policy that may drop revocations is reported, and those ended stay so', able, async () => {
      const [d] = instances();
      await redis.ask('CONFIG SET maxmemory-policy allkeys-lru');
      await d.down();
      const from = d.stderr.length;
      await d.up();
      assert.match(d.stderr.slice(from) + (await d.ask('GET', '/v1/status')).json().store.notice, /allkeys-lru|evict/i);
      const live = await flock(6, 'dropped'), gone = await flock(6, 'ended');
      for (let i = 0; i < 6; i++) assert.equal((await endUser(at(i), `ended-${i}`)).status, 204);
      await everywhere(gone, 401, 'ended');
      const used = Number(/used_memory:(\d+)/.exec(await redis.ask('INFO memory'))[1]);
      await redis.ask(`CONFIG SET maxmemory ${used + 200000}`);
      /* Nobody asks for the sessions meanwhile, which would keep them from being the eldest. */
      let n = 0;
      await until('all are dropped', async () => {
        await redis.ask(`EVAL "for i = 1, 200 do redis.call('SET', 'junk' .. ARGV[1] .. ':' .. i, string.rep('x', 1000)) end" 0 ${n++}`);
        return !(await redis.ask('KEYS coat:{*}:s:*')).includes(':s:');
      }, 60000);
      await everywhere(live, 401, 'dropped');
      await everywhere(gone, 401, 'who was ended stays ended');
      assert.ok(Number(/evicted_keys:(\d+)/.exec(await redis.ask('INFO stats'))[1]) > 0);
      await redis.ask('CONFIG SET maxmemory 0');
      await everywhere(await flock(3, 'later'), 200, 'signed in again');
    });
  },
});
