// SPDX-License-Identifier: Apache-2.0
// What must hold with three instances over one store, whichever it is. A store is a server of the tests' own:
// make(), up(), down(), gone(), config(), and processes(), which can be stopped.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, Jar, freeze, password, run, until } from './lib.mjs';
import { Clock, clockPath } from './module/nginx.mjs';
import { sameKeys } from './redis.mjs';
import { metrics, patience, patient, plant, sanitized, status, storeOps } from './routes.mjs';

/* As in the C tests: so many percent of the full counts, which are those of the requirements. */
const count = (full, least) => Math.max(least, Math.round(full * Number(process.env.COAT_TEST_SCALE ?? 1) / 100));
const ROTATE_MS = 15 * 60 * 1000, REDELIVER_MS = 60 * 1000, GRACE_MS = 10 * 1000;
const FLOCK = 50; /* sessions that are taken through a scenario at a time, since they share its clock */

/** The same choices in every run. */
function choices(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
}

/**
 * A session that all have seen is ended by finish(daemon, session); meanwhile and afterwards all are asked
 * without pause. No check that begins after the acknowledgment is accepted, anywhere.
 */
export async function race(all, n, finish) {
  const here = all[n % all.length];
  const session = { user: `user${n}`, ...(await plant(here, { user: `user${n}` })) };
  for (const d of all) for (let i = 0; i < 2; i++) assert.equal(await patient200(d, session.jar), 200);
  let acknowledged = false, late = 0;
  const asking = all.map(async (d) => {
    for (let after = 0; after < 2;) {
      const is_after = acknowledged;
      const got = await status(d, session.jar.clone());
      if (is_after) {
        after++;
        if (got === 200) late++;
      }
    }
  });
  const res = await patient(() => finish(here, session));
  acknowledged = true;
  await Promise.all(asking);
  assert.ok(res.status === 204 || res.status === 200, `${res.status} ${res.body}`);
  assert.equal(late, 0, `race ${n}: accepted after its end was acknowledged`);
  for (const d of all) assert.equal(await patient200(d, session.jar), 401);
}

/** A check, asked again while the store was too slow for its deadline: 503 is no answer. */
const ask = (d, jar) => patient(() => d.get('/auth/verify', { jar: jar.clone() }));
const patient200 = async (d, jar) => (await ask(d, jar)).status;

const TURNS = 5;

/** What no slowness of a machine excuses. */
class Wrong extends Error {}
const never = (is, what) => {
  if (is) throw new Wrong(what);
};

/** How often the store was too slow so far. Who is live is let in even if what was due could not be written: that shows only here. */
async function troubles(all) {
  let sum = patience.spent;
  for (const d of all) sum += (await metrics(d)).get('coatcheck_store_errors_total');
  return sum;
}

/** A turn of a scenario that counts; played again if the machine was too slow for some answer to be one. */
async function decidedOf(all, turn) {
  for (let i = 1; ; i++) {
    const before = await troubles(all);
    try {
      return await turn(i);
    } catch (error) {
      if (error instanceof Wrong || i === TURNS || await troubles(all) === before) throw error;
    }
  }
}

const end = (d, handle) => d.ask('POST', `/v1/sessions/${handle}/end`);
const endUser = (d, user) => d.ask('POST', `/v1/users/${user}/end-sessions`);
const isCookie = (d, res) => res.cookies.some((c) => c.startsWith(`${d.cookie}=`));

function withCookies(jar, res) {
  const next = jar.clone();
  next.take(res);
  return next;
}

/**
 * options: keeps (what was acknowledged survives a kill of the store), crowd (sessions of a user at most), usable, skip, elsewhere: requirements that
 * another file holds for this store; tests of one store with these instances: halfway(tools), more(tools).
 */
export function scenarios(store, { keeps, crowd = Infinity, usable, skip, elsewhere = [], halfway, more }) {
  const scenario = (name, options, run) => {
    if (!elsewhere.includes(name.split(/[ :]/, 1)[0])) test(name, options, run);
  };
  const only = usable ? {} : { skip };
  const clocked = !usable ? only : existsSync(clockPath) && !sanitized ? {} : { skip: 'no clock to put forward' };
  let clock, all, stopped = [];

  const at = (n) => all[n % all.length];
  const decided = (turn) => decidedOf(all, turn);
  const statuses = async (sessions) => {
    const got = [];
    for (const { jar } of sessions)
      got.push(...await Promise.all(all.map((d) => patient200(d, jar))));
    return got;
  };
  const everywhere = async (sessions, wanted, what) => {
    const got = await statuses(sessions);
    assert.ok(got.every((s) => s === wanted), `${what}: ${got.filter((s) => s !== wanted).length} of ${got.length} are not ${wanted}`);
  };
  const back = async () => {
    for (const d of all) await until('it is back', async () => (await d.ask('GET', '/v1/ready')).status === 200);
  };
  /* Scenarios put the daemons' clock ahead of the server's. */
  const settings = (n) => `${store.config().replace('store:\n', 'store:\n  clock-limit: 0s\n')}session:\n  per-user: ${n}\n`;
  const hold = async () => {
    for (let i = 0; i < 2; i++) { /* the second time also those that it has just started */
      const pids = store.processes();
      const held = await Promise.all(pids.map((pid) => freeze(pid).then(() => true, (error) => {
        if (error.code !== 'ESRCH') throw error; /* it has just ended */
        return false;
      })));
      stopped = pids.filter((_, n) => held[n]);
    }
  };
  const release = () => {
    for (const pid of stopped) process.kill(pid, 'SIGCONT'); /* held, none of them has ended */
    stopped = [];
  };
  /** How many sessions a user may have, from now on. */
  const allow = async (n) => {
    for (const d of all) {
      d.options.config = settings(n);
      writeFileSync(d.file, d.yaml());
      assert.equal((await d.ask('POST', '/v1/reload')).status, 204);
    }
  };
  const flock = async (size, name) => Promise.all(Array.from({ length: size }, (_, i) => plant(at(i), { user: `${name}-${i}` })));
  /** Sessions in flocks, each taken through scene(sessions, name of the flock). */
  const inFlocks = async (sum, name, scene, play = (turn) => turn(1)) => {
    for (let n = 0, done = 0; done < sum; n++, done += FLOCK)
      await play(async (turn) => scene(await flock(Math.min(FLOCK, sum - done), `${name}${n}.${turn}`), `${name}${n}.${turn}`));
  };

  before(async () => {
    if (!usable) return;
    await store.make();
    clock = new Clock(store.dir);
    const env = clocked.skip ? {} : { LD_PRELOAD: clockPath, COAT_TEST_CLOCK: clock.file };
    all = [];
    for (let i = 0; i < 3; i++) {
      const d = new Daemon({ config: settings(0), level: 'info', env });
      all.push(d);
      await d.prepare();
      if (i > 0) sameKeys(all[0], d);
      else if (store.migrates) assert.equal(run(['store', 'migrate', '--config', d.file]).status, 0);
      await d.up();
    }
    await all[0].addUser();
  });
  after(async () => {
    if (!usable) return;
    release();
    for (const d of all ?? []) await d.stop();
    await store.gone();
  });

  scenario('RV-1: three instances: no check that begins after a sign-out was acknowledged is accepted', only, async () => {
    for (let n = 0; n < count(10000, 15); n++)
      await race(all, n, (d, s) => (n % 10 === 9 ? endUser(d, s.user) : n % 25 === 12 ? d.ask('POST', '/v1/end-all') : end(d, s.handle)));
  });

  scenario('LC-10: three instances: 50 sign-ins at once leave exactly 10 sessions, and 40 events', only, async () => {
    await allow(10);
    for (let round = 0; round < count(100, 1); round++) await decided(async (turn) => {
      /* Of more than 100 a second the log has the sum. */
      const reported = () => all.flatMap((d) => d.events('excess_sessions_exceeded'))
        .reduce((sum, e) => sum + (e.reason === 'aggregated' ? e.count : 1), 0);
      const from = reported();
      const made = await Promise.all(Array.from({ length: 50 }, (_, i) => plant(at(i), { user: `crowd${round}-${turn}` })));
      for (const d of all) {
        const now = await Promise.all(made.map(({ jar }) => patient200(d, jar)));
        never(now.filter((s) => s === 200).length > 10, 'more than 10 live');
        assert.equal(now.filter((s) => s === 200).length, 10);
        assert.equal(now.filter((s) => s === 401).length, 40);
      }
      await until('40 events', () => reported() - from >= 40);
      assert.equal(reported() - from, 40);
    });
    await allow(0);
  });

  scenario('LC-11: three instances: a disabled account has no session left; a new password leaves one, renewed', only, async () => {
    const sum = count(1000, 60), other = 'another kettle ramp 94';
    const made = [];
    for (let i = 0; i < sum; i += FLOCK)
      made.push(...await Promise.all(Array.from({ length: Math.min(FLOCK, sum - i) }, (_, k) => plant(at(k)))));
    await everywhere(made.slice(0, 6), 200, 'before');
    assert.equal((await patient(() => all[1].ask('POST', '/v1/accounts/mara/disable'))).status, 204);
    await everywhere(made, 401, 'disabled');
    assert.equal((await patient(() => all[2].signIn(new Jar()))).status, 401);
    assert.equal((await patient(() => all[2].ask('POST', '/v1/accounts/mara/enable'))).status, 204);
    const acting = new Jar();
    assert.equal((await patient(() => all[0].signIn(acting))).status, 200);
    const others = [...await Promise.all(Array.from({ length: 9 }, (_, k) => plant(at(k)))), { jar: acting.clone() }];
    await everywhere(others, 200, 'signed in');
    const csrf = await all[0].csrf(acting);
    const res = await all[0].postJson('/auth/password', { password, new: other, csrf }, { jar: acting });
    assert.equal(res.status, 200, res.body);
    await everywhere(others, 401, 'those of the former password, and the former token');
    await everywhere([{ jar: acting }], 200, 'the acting one');
    assert.equal((await patient(() => all[2].ask('POST', '/v1/accounts/mara/password', { password }))).status, 204);
  });

  const tools = { only, instances: () => all, at, flock, end, endUser, everywhere, statuses, back };
  halfway?.(tools);

  scenario('RV-4: three instances: a user, or everybody, is ended by one operation, and who comes later is not', only, async () => {
    const sum = Math.min(crowd, count(10000, 60));
    await decided(async (turn) => {
      const made = [], user = `crowded${turn}`;
      for (let i = 0; i < sum; i += FLOCK)
        made.push(...await Promise.all(Array.from({ length: Math.min(FLOCK, sum - i) }, (_, k) => plant(at(k), { user }))));
      for (const [op, finish] of [['remove_owner', () => endUser(all[2], user)], ['end_all', () => all[1].ask('POST', '/v1/end-all')]]) {
        /* Not REPLACE: activity of other sessions is folded in whenever that is due. */
        const ending = () => Promise.all(all.map((d) => storeOps(d, ['remove', 'remove_owner', 'end_all'])));
        const before = await ending();
        const stranger = await plant(all[0], { user: 'stranger' });
        assert.equal((await patient(finish)).status, 204);
        const ops = (await ending()).map((n, i) => n - before[i]);
        /* A store of several servers is asked to end everybody on each. */
        assert.equal(ops.reduce((a, b) => a + b), op === 'end_all' ? (store.servers?.length ?? 1) : 1, `${op} of ${made.length} sessions: ${ops}`);
        await everywhere(made, 401, op);
        await everywhere([stranger], op === 'end_all' ? 401 : 200, 'another');
        made.length = 0;
        for (let k = 0; k < 6; k++) made.push(await plant(at(k), { user }));
        await everywhere(made, 200, `signed in after ${op}`);
      }
    });
  });

  scenario('RV-4: three instances: a sign-in that races the end of its user is in or out on all of them', only, async () => {
    for (let n = 0; n < count(10000, 30); n++) {
      const user = `racer${n}`;
      const early = await plant(at(n), { user });
      const [racing, ended] = await Promise.all([
        patient(() => at(n + 1).ask('POST', '/v1/sessions', { user, roles: [] })),
        patient(() => endUser(at(n + 2), user)),
      ]);
      assert.equal(ended.status, 204, ended.body);
      const late = await plant(at(n + 1), { user });
      await everywhere([early], 401, 'before');
      await everywhere([late], 200, 'after');
      if (racing.status === 409) {
        assert.equal(racing.json().error.code, 'revoked_meanwhile');
        continue;
      }
      assert.equal(racing.status, 201, racing.body);
      const jar = new Jar();
      jar.take({ cookies: [racing.json().set_cookie] });
      assert.equal(new Set(await statuses([{ jar }])).size, 1, 'one verdict');
    }
  });

  scenario('RV-4: three instances: a clock that steps back an hour after the end keeps nobody out', clocked, async () => {
    const before = await flock(3, 'stepped');
    for (let i = 0; i < 3; i++) assert.equal((await patient(() => endUser(at(i), `stepped-${i}`))).status, 204);
    clock.set(-3600 * 1000);
    await everywhere(before, 401, 'ended before the step');
    await everywhere(await flock(3, 'stepped'), 200, 'signed in after it');
    clock.set(3600 * 1000);
    await everywhere(before, 401, 'ended, and the clock is right again');
  });

  scenario('LC-5: three instances: of 200 requests when rotation is due one carries the successor, and none fails', clocked, async () => {
    for (let round = 0; round < count(1000, 2); round++) await decided(async (turn) => {
      const { jar } = await plant(at(round), { user: `turn${round}-${turn}` });
      for (const d of all) assert.equal(await patient200(d, jar), 200);
      clock.forward(ROTATE_MS + 1000);
      const got = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(at(i), jar)));
      assert.deepEqual(got.filter((res) => res.status !== 200).map((res) => res.status), []);
      const carrying = got.filter((res) => res.cookies.length > 0);
      never(carrying.length > 1, 'several successors');
      assert.equal(carrying.length, 1, 'one successor');
      const next = withCookies(jar, carrying[0]);
      for (const d of all) {
        const res = await ask(d, next);
        assert.equal(res.status, 200);
        assert.equal(res.cookies.length, 0);
      }
    });
  });

  scenario('LC-6 LC-7: three instances: a lost successor comes again, to one request; a confirmed one ends the former', clocked, async () => {
    await inFlocks(count(1000, 10), 'lost', async (sessions) => {
      for (const d of all) await Promise.all(sessions.map(({ jar }) => ask(d, jar)));
      clock.forward(ROTATE_MS + 1000);
      for (const [i, s] of sessions.entries()) {
        const res = await ask(at(i), s.jar);
        assert.equal(res.status, 200);
        assert.ok(isCookie(all[0], res), 'the successor, which is lost on its way');
        s.next = withCookies(s.jar, res);
        for (const d of all) assert.equal((await ask(d, s.jar)).cookies.length, 0, 'not to others meanwhile');
      }
      clock.forward(REDELIVER_MS + 1000);
      for (const [i, s] of sessions.entries()) {
        const got = await Promise.all(Array.from({ length: 9 }, (_, k) => ask(at(k), s.jar)));
        assert.ok(got.every((res) => res.status === 200), 'nobody is signed out');
        const carrying = got.filter((res) => res.cookies.length > 0);
        never(carrying.length > 1, 'handed out to several');
        assert.equal(carrying.length, 1);
        assert.equal(withCookies(s.jar, carrying[0]).map.get('id'), s.next.map.get('id'), 'the same successor');
        s.confirmed = clock.now();
        assert.equal(await patient200(at(i + 1), s.next), 200);
      }
      clock.forward(GRACE_MS - 3000);
      for (const s of sessions) for (const d of all) {
        const res = await ask(d, s.jar);
        /* The machine may have slept over the rest of the grace: then the answer is another, rightly. */
        if (clock.now() - s.confirmed >= GRACE_MS) continue;
        assert.equal(res.status, 200, 'within its grace');
        assert.equal(res.cookies.length, 0, 'a copy is given nothing');
      }
      clock.forward(GRACE_MS + 1000);
      for (const [i, s] of sessions.entries()) assert.equal(await patient200(at(i + 2), s.jar), 401, 'its grace is over');
      await everywhere(sessions.map((s) => ({ jar: s.next })), 401, 'and the session with it');
    }, decided);
  });

  scenario('LC-9: three instances: no touch, save or rotation under way brings an ended session back', clocked, async () => {
    const below = choices(42);
    await inFlocks(count(1000, 20), 'revived', async (sessions, name) => {
      clock.forward(ROTATE_MS + 1000);
      await Promise.all(sessions.map(async (s, i) => {
        const tokens = [s.jar];
        const checks = Array.from({ length: 6 }, (_, k) => async () => {
          const res = await at(k).get('/auth/verify', { jar: s.jar.clone() });
          if (isCookie(at(k), res)) tokens.push(withCookies(s.jar, res));
          return tokens.length > 1 ? at(k + 1).get('/auth/verify', { jar: tokens.at(-1).clone() }) : res; /* confirms */
        });
        const saves = [1, 2].map((v) => () => at(below(3)).ask('PATCH', `/v1/sessions/${s.handle}/data`, { v }));
        const writes = [...checks, ...saves];
        for (let k = writes.length - 1; k > 0; k--) {
          const other = below(k + 1);
          [writes[k], writes[other]] = [writes[other], writes[k]];
        }
        const first = below(writes.length + 1);
        const under = writes.slice(0, first).map((w) => w());
        const ended = patient(() => (i % 4 === 3 ? endUser(at(below(3)), `${name}-${i}`) : end(at(below(3)), s.handle)));
        under.push(...writes.slice(first).map((w) => w()));
        assert.equal((await ended).status, 204);
        await everywhere(tokens.map((jar) => ({ jar })), 401, 'when it was acknowledged');
        await Promise.all(under);
        await everywhere(tokens.map((jar) => ({ jar })), 401, 'when the last write was over');
      }));
    });
  });

  scenario('SF-1: three instances: without an answer of the store it is 503, never yes for who was ended, and nobody is signed out', only, async () => {
    const live = await flock(3, 'kept'), gone = await flock(3, 'gone');
    for (const [i, s] of gone.entries()) assert.equal((await patient(() => end(at(i), s.handle))).status, 204);
    for (const how of keeps ? ['stopped', 'killed'] : ['stopped']) {
      await everywhere(live, 200, 'before');
      if (how === 'stopped') await hold();
      else await store.down('SIGKILL');
      const asked = { live: 0, unavailable: 0 };
      for (const d of all) await until('503', async () => {
        const res = await d.get('/auth/verify', { jar: live[0].jar });
        assert.ok(res.status === 503 || res.status === 200, `${how}: ${res.status}`);
        assert.equal(res.cookies.length, 0);
        return res.status === 503;
      });
      for (let i = 0; i < count(10000, 30); i++) {
        const [yes, no] = await Promise.all([live[i % 3], gone[i % 3]].map(({ jar }) => at(i).get('/auth/verify', { jar })));
        asked[yes.status === 503 ? 'unavailable' : 'live']++;
        assert.notEqual(no.status, 200, 'an ended one');
        for (const res of [yes, no]) assert.equal(res.cookies.length, 0);
      }
      assert.equal(asked.live, 0, 'all are 503');
      if (how === 'stopped') release();
      else await store.up();
      await back();
      await everywhere(live, 200, `nobody was signed out: ${how}`);
      await everywhere(gone, 401, `who was ended stays ended: ${how}`);
    }
  });

  scenario('SF-4: three instances: an end without the store is 503, heeded at once where it was asked for, and made good', only, async () => {
    for (const how of ['lives', 'dies']) {
      const sessions = await flock(count(100, 3), `out-${how}`), page = await plant(all[0], { user: `page-${how}` });
      const csrf = await all[0].csrf(page.jar);
      const theirs = [await plant(all[0], { user: `theirs-${how}` }), await plant(all[1], { user: `theirs-${how}` })];
      if (keeps) await store.down('SIGKILL');
      else await hold();
      for (const s of sessions) {
        assert.equal((await end(all[0], s.handle)).status, 503);
        assert.notEqual(await status(all[0], s.jar), 200);
      }
      const out = await all[0].postJson('/auth/logout', { csrf }, { jar: page.jar.clone() });
      assert.equal(out.status, 503);
      assert.equal(out.json().error.code, 'sign_out_pending');
      assert.match(out.cookies[0], /Max-Age=0/);
      assert.equal((await endUser(all[0], `theirs-${how}`)).status, 503);
      sessions.push(page, ...theirs);
      for (const s of [page, ...theirs]) assert.equal(await status(all[0], s.jar), 401);
      if (how === 'dies') await all[0].down('SIGKILL');
      if (keeps) await store.up();
      else release();
      if (how === 'dies') await all[0].up();
      for (let i = 0; i < 3; i++)
        for (const s of sessions) assert.notEqual(await status(all[0], s.jar), 200, 'denied where it was ended');
      await back();
      for (const s of sessions) for (const d of all)
        await until('it is replayed', async () => (await status(d, s.jar)) === 401);
      await everywhere(sessions, 401, 'and stays so');
    }
  });

  more?.(tools);
}
