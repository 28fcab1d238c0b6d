// SPDX-License-Identifier: Apache-2.0
// The nginx module for long: requests of many people, reloads and clients that go away at any moment, all at once.
// Few of each here; COAT_TEST_SCALE is the percentage of the full counts (scripts/stress).
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { sleep, until } from './lib.mjs';
import { Gate, missing, sanitized } from './module/nginx.mjs';
import { Wire, text } from './module/wire.mjs';
import { plant, strangeToken } from './routes.mjs';

const count = (full, least) => Math.max(least, Math.round(full * Number(process.env.COAT_TEST_SCALE ?? 0) / 100));
const REQUESTS = count(1e7, 2000), RELOADS = count(1000, 3), PEOPLE = 20, LANES = 4, ABORTERS = 3;
const KEPT = 32; /* COAT_NGX_KEEPALIVE */
const cookieOf = (session) => `__Host-id=${session.token}`;

/** The same numbers in every run, from 0 to n - 1. */
const random = (seed) => (n) => Math.floor(((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32) * n);

describe('a long day', { skip: missing }, () => {
  test('HD-11 SF-12: requests, reloads and aborts at every phase: no wrong verdict, and nothing is left behind', { timeout: 24 * 3600 * 1000 }, async () => {
    const g = await Gate.start({
      workers: 2,
      server: (s) => `
        keepalive_requests 300;
        location / { add_header X-User $coatcheck_user always; root ${s.dir}; }
        location /role { coatcheck_require role=nobody; root ${s.dir}; }
        location /app { proxy_pass ${s.upstream}; }`,
      before: (s) => writeFileSync(path.join(s.dir, 'file'), 'file'),
    });
    try {
      const people = await Promise.all(Array.from({ length: PEOPLE }, (_, i) => plant(g.daemon, { user: `u${i}`, roles: [] })));
      const got = { requests: 0, aborts: 0, wrong: [] };
      let done = false;
      const judge = (want, user, status, told) => {
        got.requests += 1;
        if (status !== want || (want === 200 && told !== user)) got.wrong.push(`${want} for ${user}: ${status} ${told}`);
      };

      /* Thirty at a time on one connection. nginx may end one between two requests: then the rest was not asked. */
      const lane = async (number) => {
        for (let turn = number; !done; turn += LANES) {
          const n = turn % PEOPLE, s = people[n], wire = await Wire.open(g.port);
          wire.socket.on('error', () => {});
          const three = text('GET', '/file', { Cookie: `a=1; ${cookieOf(s)}; b=2`, 'X-Auth-User': 'evil' }) + text('GET', '/file', {}) + text('GET', '/role', { Cookie: cookieOf(s) });
          for (let burst = 0; burst < 8 && !done && !wire.closed; burst++) {
            wire.send(three.repeat(10));
            for (let i = 0; i < 30; i++) {
              const res = await wire.response();
              if (!res) break;
              judge([200, 401, 403][i % 3], `u${n}`, res.status, res.one('x-user'));
            }
          }
          wire.close();
        }
      };
      const visitor = async () => {
        for (let turn = 0; !done; turn++) {
          const n = turn % PEOPLE, res = await g.get('/app', { jar: people[n].jar, headers: { 'x-auth-user': 'evil' } });
          judge(200, `u${n}`, res.status, res.status === 200 && res.json().headers['x-auth-user']);
        }
      };
      g.app.on('/app/hang', () => {});
      const aborter = async (seed) => {
        const below = random(seed);
        while (!done) {
          const cookie = cookieOf(people[below(PEOPLE)]), part = { 'Content-Length': '100000' };
          const all = [
            text('GET', '/file', { Cookie: cookie }), text('GET', '/file', { Cookie: `__Host-id=${strangeToken()}` }), text('GET', '/file', { Accept: 'text/html' }), text('GET', '/role', { Cookie: cookie }).repeat(5), text('GET', '/app/hang', { Cookie: cookie }),
            text('POST', '/app', { ...part, Cookie: cookie }, 'part'), text('POST', '/app', { ...part, Cookie: `__Host-id=${strangeToken()}` }, 'part'), `${text('GET', '/app', { Cookie: cookie })}GET /app HTTP/1.1\r\nCook`,
          ];
          const bytes = all[below(all.length)], wire = await Wire.open(g.port);
          wire.socket.on('error', () => {});
          wire.send(below(3) ? bytes : bytes.slice(0, below(bytes.length)));
          await sleep([0, 0, 1, 3, 8, 60][below(6)]);
          if (below(2)) wire.socket.resetAndDestroy();
          else wire.close();
          got.aborts += 1;
        }
      };

      const master = g.nginx.child.pid;
      const state = (pid) => ({ memory: g.nginx.memory(pid), descriptors: g.nginx.descriptors(pid).length });
      const settled = async () => {
        await until('one generation', () => g.nginx.everybody().length === 2, 60000);
        return state(master);
      };
      const fresh = Math.max(...g.nginx.workers().map((pid) => g.nginx.descriptors(pid).length));
      let first;
      const all = [...Array.from({ length: LANES }, (_, i) => lane(i)), visitor(), ...Array.from({ length: ABORTERS }, (_, i) => aborter(i + 1))];
      const failed = Promise.all(all).then(() => new Promise(() => {})); /* whatever goes wrong ends the test */
      for (let n = 1; n <= RELOADS; n++) {
        await Promise.race([failed, until('requests', () => got.requests >= (n * REQUESTS) / (RELOADS + 1), 600000)]);
        await g.nginx.reload();
        if (n === 2) first = await settled();
      }
      await Promise.race([failed, until('all requests', () => got.requests >= REQUESTS, 600000)]);
      done = true;
      await Promise.all(all);

      assert.deepEqual([...new Set(got.wrong)], []);
      assert.ok(got.aborts > RELOADS, String(got.aborts));
      for (const socket of g.app.sockets) socket.destroy();
      const last = await settled();
      assert.ok(last.descriptors <= first.descriptors, `master: ${JSON.stringify([first, last])}`);
      if (!sanitized) assert.ok(last.memory <= first.memory + 1024, `master: ${JSON.stringify([first, last])}`);
      for (const pid of g.nginx.workers())
        await until('all is closed but what is kept to the daemon', () => g.nginx.descriptors(pid).length <= fresh + KEPT, 60000);
    } finally {
      await g.stop();
    }
  });
});
