// SPDX-License-Identifier: Apache-2.0
// Three instances over a Redis that sentinels name, which dies in the middle of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { race, scenarios } from './instances.mjs';
import { Daemon } from './lib.mjs';
import { Sentinels, has, only, sameKeys, usable } from './redis.mjs';
import { patient, status } from './routes.mjs';

const sentinels = new Sentinels();

scenarios(sentinels, {
  keeps: true,
  usable,
  skip: only.skip,
  elsewhere: ['RV-1', 'SF-1', 'SF-4'],
  halfway({ only: able, instances, at, flock, end, endUser, everywhere, back }) {
    test('RV-5 SF-5: three instances: a failover signs nobody out, and who was ended just before stays ended', able, async () => {
      const all = instances();
      const live = await flock(6, 'lasting'), gone = await flock(6, 'going');
      await everywhere([...live, ...gone], 200, 'before');
      await sentinels.replicated();
      await sentinels.separate();
      for (const [i, s] of gone.entries())
        assert.equal((await patient(() => (i % 2 === 0 ? end(at(i), s.handle) : endUser(at(i), `going-${i}`)))).status, 204);
      /* By name at least; a whole user is ended by a number. */
      const named = gone.filter((s, i) => i % 2 === 0);
      for (const { handle } of named) assert.deepEqual([await has(sentinels.primary, handle), await has(sentinels.replica, handle)], [false, true]);
      let promoted = false, late = 0;
      const asking = all.map(async (d) => {
        for (let i = 0; !promoted || i % 6 !== 0; i++) {
          const [yes, no] = await Promise.all([live[i % 6], gone[i % 6]].map(({ jar }) => status(d, jar.clone())));
          assert.ok(yes === 200 || yes === 503, `live: ${yes}`);
          if (no === 200) late++;
        }
      });
      await sentinels.fail();
      await back();
      promoted = true;
      await Promise.all(asking);
      assert.equal(late, 0, 'an ended one');
      await everywhere(live, 200, 'nobody was signed out');
      await everywhere(gone, 401, 'who was ended stays ended');
      /* The promoted server had all of them, and has been told: so does somebody see it who was not there. */
      const later = new Daemon({ config: sentinels.config() });
      await later.prepare();
      sameKeys(all[0], later);
      await later.up();
      for (const { handle } of named) assert.equal(await has(sentinels.primary, handle), false);
      for (const { jar } of live) assert.equal((await patient(() => later.get('/auth/verify', { jar: jar.clone() }))).status, 200);
      for (const { jar } of gone) assert.equal((await patient(() => later.get('/auth/verify', { jar: jar.clone() }))).status, 401);
      await later.stop();
      for (let n = 0; n < 5; n++) await race(all, n, (d, s) => (n % 2 === 0 ? end(d, s.handle) : endUser(d, s.user)));
    });
  },
});
