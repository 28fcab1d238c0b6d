// SPDX-License-Identifier: Apache-2.0
// Three instances over a Redis Cluster, whose slots move and whose primary changes in the middle of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { race, scenarios } from './instances.mjs';
import { until } from './lib.mjs';
import { Cluster, only, usable } from './redis.mjs';
import { patient, status, storeOps } from './routes.mjs';

const cluster = new Cluster();
const loads = (d) => storeOps(d, ['load']);

scenarios(cluster, {
  keeps: true,
  usable,
  skip: only.skip,
  elsewhere: ['LC-10', 'LC-11'],
  halfway({ only: able, instances, at, flock, end, endUser, everywhere, back }) {
    test('RV-1: three instances: all read from their tables', able, async () => {
      const all = instances();
      const [session] = await flock(1, 'kept');
      for (const d of all) await until('a check is answered from the table', async () => {
        const before = await loads(d);
        assert.equal((await patient(() => d.get('/auth/verify', { jar: session.jar.clone() }))).status, 200);
        return (await loads(d)) === before;
      });
    });

    test('RV-2 SF-5: three instances: while slots move and a replica takes over nobody is signed out, and who was ended is refused', able, async () => {
      const all = instances();
      const live = await flock(6, 'staying'), gone = await flock(6, 'leaving');
      await everywhere([...live, ...gone], 200, 'before');
      let done = false, late = 0;
      const ended = new Set();
      const asking = all.map(async (d) => {
        for (let i = 0; !done || i % 6 !== 0; i++) {
          const was = ended.has(i % 6);
          const [yes, no] = await Promise.all([live[i % 6], gone[i % 6]].map(({ jar }) => status(d, jar.clone())));
          assert.ok(yes === 200 || yes === 503, `live: ${yes}`);
          if (was && no === 200) late++;
        }
      });
      const moves = [() => cluster.takeOver(), () => cluster.move(10000, 1, 2), () => cluster.move(10000, 2, 1)];
      for (const [i, s] of gone.entries()) {
        const moving = moves[i % 3]();
        assert.equal((await patient(() => (i % 2 === 0 ? end(at(i), s.handle) : endUser(at(i), `leaving-${i}`)))).status, 204);
        ended.add(i);
        await moving;
      }
      await back();
      done = true;
      await Promise.all(asking);
      assert.equal(late, 0, 'an ended one');
      await everywhere(live, 200, 'nobody was signed out');
      await everywhere(gone, 401, 'who was ended stays ended');
      for (let n = 0; n < 5; n++) await race(all, n, (d, s) => (n % 2 === 0 ? end(d, s.handle) : endUser(d, s.user)));
    });
  },
});
