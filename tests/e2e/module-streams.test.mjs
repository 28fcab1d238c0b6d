// SPDX-License-Identifier: Apache-2.0
// The nginx module behind a proxy that puts requests of many browsers on one HTTP/2 connection: what it keeps with a
// connection must never reach across from one stream to another.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from './lib.mjs';
import { Gate, missing } from './module/nginx.mjs';
import { patient, plant, strangeToken } from './routes.mjs';

const PEOPLE = 8, ROTATE_MS = 15 * 60000 + 1000;
const agents = ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15', 'curl/8.0', undefined];
const languages = ['de-CH, en;q=0.5', 'fr', undefined];
const forged = { 'x-auth-user': 'evil', 'x-auth-session': 'evil', 'x-auth-roles': 'evil' };

/** The same mixture in every run. */
function shuffled(list, seed) {
  const out = [...list];
  for (let i = out.length - 1, x = seed; i > 0; i--) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    const k = x % (i + 1);
    [out[i], out[k]] = [out[k], out[i]];
  }
  return out;
}

describe('many browsers on one HTTP/2 connection', { skip: missing }, () => {
  let g, h2, people;
  before(async () => {
    g = await Gate.start({
      listen: ' http2',
      clock: true,
      http: () => 'add_header X-Source $coatcheck_source always; set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; http2_max_concurrent_streams 256; keepalive_requests 1000000;',
      before: (s) => {
        mkdirSync(path.join(s.dir, 'files'));
        writeFileSync(path.join(s.dir, 'files/page.html'), '<!--#include virtual="/part/1" --> <!--#include virtual="/part/2" -->');
      },
      server: (s) => `
        location / { proxy_pass ${s.upstream}; }
        location /staff { coatcheck_require role=staff; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /page { ssi on; alias ${s.dir}/files/page.html; default_type text/html; }
        location /mirrored { mirror /mirror; proxy_pass ${s.upstream}; }
        location = /mirror { internal; coatcheck off; proxy_pass ${s.upstream}; }`,
    });
    h2 = await g.h2();
  });
  after(async () => {
    h2.close();
    await g.stop();
  });
  beforeEach(async () => {
    people = await Promise.all(Array.from({ length: PEOPLE }, async (_, i) => {
      const person = { user: `u${i}`, role: i % 2 ? 'staff' : 'guest', says: { 'x-real-ip': `192.0.${i}.7` } };
      if (agents[i % agents.length]) person.says['user-agent'] = agents[i % agents.length];
      if (languages[i % languages.length]) person.says['accept-language'] = languages[i % languages.length];
      const s = await plant(g.daemon, { user: person.user, roles: [person.role], user_agent: person.says['user-agent'], language: person.says['accept-language']?.slice(0, 2), address: person.says['x-real-ip'] });
      return Object.assign(person, { token: s.token, handle: s.handle });
    }));
    await Promise.all(people.map((person) => until('it is in the table', async () => (await ask(person, '/x')).headers['x-source'] === 'table')));
    g.app.seen.length = 0;
  });

  const ask = (person, target, { token = person.token, says = person.says, method = 'GET', more = {} } = {}, body) =>
    h2.request(method, target, { ...says, ...forged, ...more, cookie: ['theme=dark', `${g.cookie}=${token}`] }, body);
  /** Several streams of everybody, at once and mixed: [[person, response]...]. */
  const both = (list, target, { times = 2, seed = 1, ...options } = {}) =>
    Promise.all(shuffled(Array.from({ length: times }, () => list).flat(), seed).map((person) => ask(person, target, options).then((res) => [person, res])));
  /** The application was told of this person, and of nobody else. */
  function told(seen, person) {
    assert.deepEqual([seen.headers['x-auth-user'], seen.headers['x-auth-session'], seen.headers['x-auth-roles']], [person.user, person.handle, person.role]);
    for (const other of people) assert.equal(seen.head.includes(other.token), false);
    assert.equal(seen.head.includes('evil'), false);
  }
  const changes = () => g.daemon.events('session_context_changed').length;

  test('FA-3 LC-13: each stream has its own identity, and each session the browser that it had', async () => {
    const before = changes();
    for (let seed = 1; seed <= 5; seed++)
      for (const [person, res] of await both(people, '/x', { times: 12, seed })) {
        assert.equal(res.status, 200);
        assert.equal(res.headers['x-source'], 'table', 'nothing has changed for anybody');
        told(res.json(), person);
      }
    for (const [person, res] of await both(people, '/staff', { times: 4 })) {
      assert.equal(res.status, person.role === 'staff' ? 200 : 403);
      if (res.status === 200) told(res.json(), person);
    }
    assert.equal(changes(), before);
  });

  test('LC-13: a cookie with what another browser on the connection says of itself is put to the daemon; the others are not', async () => {
    const [mine, theirs] = [people[0], people[1]];
    const before = changes();
    const got = await Promise.all(shuffled(Array.from({ length: 24 }, (_, i) => i), 7).map((i) =>
      i === 0 ? ask(mine, '/x', { says: theirs.says }) : ask(people[1 + (i % (PEOPLE - 1))], '/x')));
    const asked = got.filter((res) => res.headers['x-source'] === 'daemon');
    assert.deepEqual(asked.map((res) => res.json().headers['x-auth-user']), [mine.user]);
    assert.deepEqual([...new Set(got.map((res) => res.status))], [200]);
    await until('the event', () => changes() === before + 1);
    for (const [person, res] of await both(people.slice(1), '/x')) {
      assert.equal(res.headers['x-source'], 'table');
      told(res.json(), person);
    }
    assert.equal((await ask(mine, '/x')).headers['x-source'], 'daemon', 'and the way back');
  });

  test('nobody, forged tokens and halves of two tokens stay out among those who are let in', async () => {
    const strangers = [undefined, strangeToken(), people[0].token.slice(0, 22) + people[1].token.slice(22), people[1].token.slice(0, 22) + people[0].token.slice(22)];
    for (let seed = 1; seed <= 3; seed++) {
      const all = await Promise.all(shuffled(Array.from({ length: 96 }, (_, i) => i), seed).map((i) => {
        const person = people[i % PEOPLE], token = strangers[(i >> 3) % 4];
        if (i % 3) return ask(person, '/optional').then((res) => [person, res]);
        return (token ? ask(person, '/optional', { token }) : h2.request('GET', '/optional', { ...person.says, ...forged })).then((res) => [undefined, res]);
      }));
      for (const [person, res] of all) {
        if (person) told(res.json(), person);
        else if (res.status === 200) assert.equal(/"x-auth-user"|evil/.test(res.body), false, res.body);
        else assert.ok([401, 429].includes(res.status), String(res.status));
      }
    }
  });

  test('LC-5: a rotation in the middle gives each its own successor, once', async () => {
    const old = people.map((person) => person.token);
    const before = g.daemon.events('token_reuse').length;
    g.clock.forward(ROTATE_MS);
    const all = await both(people, '/x', { times: 10, seed: 3 });
    for (const [person, res] of all) {
      assert.equal(res.status, 200);
      told(res.json(), person);
      for (const line of res.cookies) {
        const token = new RegExp(`^${g.cookie}=([\\w-]{54});`).exec(line)[1];
        assert.equal(token.slice(0, 21), person.handle.slice(0, 21), 'of its own session');
        assert.equal(person.next, undefined, 'one successor');
        person.next = token;
      }
    }
    for (const person of people) assert.notEqual(person.next, undefined, person.user);
    /* Former and new ones beside each other, as of a browser with requests under way. */
    const mixed = await Promise.all(shuffled(people.flatMap((person, i) => [[person, person.next], [person, old[i]], [person, person.next]]), 5)
      .map(([person, token]) => ask(person, '/x', { token }).then((res) => [person, res])));
    for (const [person, res] of mixed) {
      assert.equal(res.status, 200);
      told(res.json(), person);
      assert.deepEqual(res.cookies, []);
    }
    assert.equal(g.daemon.events('token_reuse').length, before);
  });

  test('RV-1: one signs out while the streams of the others go on', async () => {
    const [gone, ...rest] = people;
    const held = [];
    g.app.on('/held', (req, res) => void held.push(res));
    const waiting = Promise.all(people.flatMap((person) => [ask(person, '/held'), ask(person, '/held', { method: 'POST' }, Buffer.alloc(30000))]));
    await until('they are under way', () => held.length === 2 * PEOPLE);
    await patient(() => g.daemon.ask('POST', `/v1/sessions/${gone.handle}/end`));
    for (const [person, res] of await both(people, '/x', { times: 8, seed: 9 })) {
      assert.equal(res.status, person === gone ? 401 : 200);
      if (person !== gone) told(res.json(), person);
    }
    for (const res of held) res.end('held');
    for (const res of await waiting) assert.deepEqual([res.status, res.body], [200, 'held']);
    assert.equal((await ask(gone, '/x', { says: rest[0].says })).status, 401);
    assert.equal((await ask(gone, '/x', { token: rest[0].token.slice(0, 22) + gone.token.slice(22) })).status, 401);
    /* The same browser as somebody else, on the same connection. */
    const again = await plant(g.daemon, { user: 'u0-again', roles: ['guest'] });
    for (let i = 0; i < 2; i++) assert.equal((await ask(gone, '/x', { token: again.token })).json().headers['x-auth-user'], 'u0-again');
    for (const [person, res] of await both(rest, '/x')) told(res.json(), person);
  });

  test('FA-3: parts of a page and its mirror are asked for as the page was', async () => {
    for (const [person, res] of await both(people, '/page', { times: 5, seed: 11 })) {
      assert.equal(res.status, 200);
      const parts = res.body.split('} {').length;
      assert.equal(parts, 2, res.body);
      assert.deepEqual([...new Set([...res.body.matchAll(/"x-auth-user":"(\w+)"/g)].map((m) => m[1]))], [person.user]);
      for (const other of people) assert.equal(res.body.includes(other.token), false);
    }
    g.app.seen.length = 0;
    const all = await Promise.all(shuffled(people, 13).map((person) => ask(person, '/mirrored', { more: { 'x-page': person.user } })));
    assert.deepEqual([...new Set(all.map((res) => res.status))], [200]);
    await until('all mirrors', () => g.app.seen.filter((seen) => seen.url === '/mirror').length === PEOPLE);
    for (const seen of g.app.seen) told(seen, people.find((person) => person.user === seen.headers['x-page']));
  });
});
