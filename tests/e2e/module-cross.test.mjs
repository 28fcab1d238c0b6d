// SPDX-License-Identifier: Apache-2.0
// Requests of other origins at the nginx module: coatcheck_csrf and coatcheck_cors protect any
// application, before a session is looked at.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePort, request, until } from './lib.mjs';
import { Gate, missing } from './module/nginx.mjs';
import { once, text } from './module/wire.mjs';
import { plant, strangeToken } from './routes.mjs';
import { refusedOrigins, strangers } from './vectors.mjs';

const ours = 'https://app.example';
const sibling = 'https://www.app.example';
const friend = 'https://spa.example';
const evil = 'https://evil.example';
const corsFields = (res) => Object.keys(res.headers).filter((name) => name.startsWith('access-control-'));
const varies = (res) => (res.fields?.vary ?? res.headers.vary ?? []).join(', ');

describe('coatcheck_csrf', { skip: missing }, () => {
  let g, live;
  before(async () => {
    g = await Gate.start({
      server: (s) => `
        coatcheck_origins ${ours} ${sibling};
        coatcheck_csrf on;
        location / { proxy_pass ${s.upstream}; }
        location /sibling { coatcheck_csrf same-site; proxy_pass ${s.upstream}; }
        location /unchecked { coatcheck_csrf off; proxy_pass ${s.upstream}; }
        location /public { coatcheck off; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /both { coatcheck_cors ${friend}; coatcheck_cors_methods GET POST PUT; proxy_pass ${s.upstream}; }
        location /moved { error_page 404 = /public/moved; proxy_intercept_errors on; proxy_pass ${s.upstream}; }
        location /friends { coatcheck_cors ${friend}; error_page 404 = /rest; proxy_intercept_errors on; proxy_pass ${s.upstream}; }
        location /any { satisfy any; allow all; proxy_pass ${s.upstream}; }
        location /any-page { satisfy any; allow all; error_page 403 /refused-page; proxy_pass ${s.upstream}; }
        location = /refused-page { coatcheck off; coatcheck_csrf off; internal; root ${s.dir}; }
        location /paged { error_page 403 /refused-page-for-members; proxy_pass ${s.upstream}; }
        location = /refused-page-for-members { coatcheck_csrf off; internal; alias ${s.dir}/refused-page; }
        location /any-cors { satisfy any; allow all; coatcheck_cors ${friend}; proxy_pass ${s.upstream}; }
        location /rewritten { rewrite ^ /target last; }
      `,
    });
    for (const name of ['/moved', '/friends'])
      g.app.on(name, (req, res) => {
        res.writeHead(404);
        res.end();
      });
    writeFileSync(path.join(g.dir, 'refused-page'), 'refused page');
    live = await plant(g.daemon);
  });
  after(() => g.stop());

  /** 'passed' if the application was reached, else the status. */
  async function attempt(method, fields, { target = '/x', body = '', session = live } = {}) {
    const hits = g.app.hits;
    const list = Object.entries(fields).flatMap(([n, v]) => (v === undefined ? [] : (Array.isArray(v) ? v : [v]).map((one) => [n, one])));
    if (session) list.push(['Cookie', `__Host-id=${session.token}`]);
    const res = await once(g.port, text(method, target, [...list, ['Connection', 'close']], body), { head: method === 'HEAD' });
    attempt.last = res;
    if (g.app.hits > hits) {
      assert.equal(res.status, 200);
      return 'passed';
    }
    assert.equal(res.cookies.length, 0);
    return res.status;
  }

  /** docs/http-policy.md, "Who may change something", as a reference. */
  function verdict({ Origin, Referer, 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': mode, 'Content-Type': type }, { sameSite = false, own = [ours, sibling] } = {}) {
    if ([Origin, Referer, site, mode].some(Array.isArray)) return 403;
    if (site === 'cross-site' || (site === 'same-site' && !sameSite)) return 403;
    if (Origin !== undefined && Origin !== 'null') return own.includes(Origin) ? 'passed' : 403;
    if (Referer !== undefined) return own.some((o) => Referer.startsWith(`${o}/`)) && (Origin !== 'null' || site === 'same-origin') ? 'passed' : 403;
    if (site === 'same-origin') return 'passed';
    return type === 'application/json' && site === undefined && mode === undefined ? 'passed' : 403;
  }

  /* First: of more than a hundred in a second the log has only a sum (AU-5). */
  test('AU-3: each refusal is one event in the log of the daemon, and the answer comes without it too', async () => {
    for (const [type, method, target] of [['csrf_refused', 'POST', '/x'], ['cors_refused', 'GET', '/both']]) {
      assert.equal(await attempt(method, { Origin: evil }, { target }), 403);
      const id = attempt.last.json().request_id; // others may still be on their way into the log
      const events = () => g.daemon.events().filter((event) => event.request_id === id);
      await until(`the event ${type}`, () => events().length > 0);
      assert.deepEqual(events().map((event) => event.event), [type]);
    }
    await g.daemon.down();
    for (const [method, target] of [['POST', '/x'], ['GET', '/both'], ['POST', '/public']]) {
      assert.equal(await attempt(method, { Origin: evil }, { target }), 403);
      assert.equal(attempt.last.json().error.code, 'origin_refused');
    }
    await g.daemon.up();
  });

  test('CS-5: the whole table of Sec-Fetch-Site, modes, methods and origins', async () => {
    const sites = ['same-origin', 'none', 'same-site', 'cross-site', 'garbage', 'Cross-Site', '', undefined];
    for (const target of ['/x', '/sibling'])
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'])
        for (const site of sites)
          for (const [origin, mode] of [[ours, 'cors'], [sibling, 'navigate'], [evil, 'no-cors'], [undefined, undefined], ['null', 'same-origin'], [ours, undefined]]) {
            const fields = { Origin: origin, 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': mode };
            const want = verdict({ ...fields, 'Sec-Fetch-Site': site }, { sameSite: target === '/sibling' });
            assert.equal(await attempt(method, fields, { target }), want, `${method} ${target} ${JSON.stringify(fields)}`);
            assert.match(varies(attempt.last), /Sec-Fetch-Site/i, `${method} ${JSON.stringify(fields)}`);
          }
  });

  test('CS-5: safe methods pass whoever asks, and reach the application with identity', async () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
      for (const site of ['same-origin', 'none', 'same-site', 'cross-site', 'garbage', undefined])
        for (const origin of [ours, evil, 'null', undefined])
          assert.equal(await attempt(method, { Origin: origin, 'Sec-Fetch-Site': site }), 'passed', `${method} ${site} ${origin}`);
  });

  test('CS-5: a WebSocket is no safe thing: its handshake comes from one of ours, or from a program that is no browser', async () => {
    const handshake = { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
    for (const target of ['/x', '/sibling'])
      for (const site of ['same-origin', 'same-site', 'cross-site', undefined])
        for (const origin of [ours, sibling, evil, 'null', undefined]) {
          const fields = { Origin: origin, 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': site && 'websocket' };
          const want = origin || site ? verdict(fields, { sameSite: target === '/sibling' }) : 'passed';
          assert.equal(await attempt('GET', { ...handshake, ...fields }, { target }), want, `${target} ${JSON.stringify(fields)}`);
        }
    assert.equal(await attempt('GET', { ...handshake, Origin: evil }, { target: '/unchecked' }), 'passed');
    assert.equal(await attempt('GET', { ...handshake, Origin: friend }, { target: '/both' }), 'passed', 'CORS lets it read');
    assert.equal(await attempt('GET', { ...handshake, Origin: evil }, { target: '/both' }), 403);
  });

  test('CS-4: an Origin counts only if it is exactly one of ours', async () => {
    assert.ok(refusedOrigins.length >= 40);
    for (const origin of refusedOrigins)
      for (const site of [undefined, 'same-origin'])
        if (origin !== 'null' || site === undefined)
          assert.equal(await attempt('POST', { Origin: Buffer.from(origin).toString('latin1'), 'Sec-Fetch-Site': site }), 403, `${origin} ${site}`);
    assert.equal(await attempt('POST', { Origin: ours }), 'passed');
    assert.equal(await attempt('POST', { Origin: sibling }), 'passed');
    for (const twice of [[ours, ours], [ours, evil], [evil, ours]]) assert.equal(await attempt('POST', { Origin: twice }), 403, twice.join());
  });

  test('CS-4: without Origin the Referer decides; Host and X-Forwarded-Host never do', async () => {
    const json = { 'Content-Type': 'application/json' };
    const cases = [
      { Referer: `${ours}/page?x=1` }, { Referer: `${evil}/${ours}/` }, { Referer: `${ours}.evil.example/` }, { Referer: 'http://app.example/' }, { Referer: ours.replace('//', '//x@') + '/' },
      { Origin: 'null', Referer: `${ours}/` }, { Origin: 'null', Referer: `${ours}/`, 'Sec-Fetch-Site': 'same-origin' }, { Origin: evil, Referer: `${ours}/` }, {}, { 'Content-Type': 'application/x-www-form-urlencoded' },
      { 'Content-Type': 'text/plain' }, { 'Content-Type': 'multipart/form-data; boundary=x' }, json, { ...json, 'Sec-Fetch-Mode': 'cors' }, { ...json, Origin: 'null' }, { ...json, Origin: evil }, { Referer: [`${ours}/`, `${evil}/`] }, { Referer: '' },
    ];
    for (const fields of cases) assert.equal(await attempt('POST', fields, { body: '{}' }), verdict(fields), JSON.stringify(fields));
    for (const lie of [{ Host: 'evil.example' }, { 'X-Forwarded-Host': 'evil.example' }, { Forwarded: 'host=evil.example' }, { 'X-Original-Host': 'evil.example' }]) {
      assert.equal(await attempt('POST', { Origin: evil, ...lie }), 403, JSON.stringify(lie));
      assert.equal(await attempt('POST', { Origin: ours, ...lie }), 'passed', JSON.stringify(lie));
    }
  });

  test('CS-5: a field that comes twice is refused, in either order', async () => {
    for (const [a, b] of [['same-origin', 'cross-site'], ['cross-site', 'same-origin'], ['same-origin', 'same-origin']])
      assert.equal(await attempt('POST', { Origin: ours, 'Sec-Fetch-Site': [a, b] }), 403);
    assert.equal(await attempt('POST', { Origin: ours, 'Sec-Fetch-Mode': ['cors', 'navigate'] }), 403);
  });

  test('CS-7: no header makes another method of a request', async () => {
    for (const name of ['X-HTTP-Method-Override', 'X-Method-Override', 'X-HTTP-Method']) {
      assert.equal(await attempt('POST', { Origin: evil, [name]: 'GET' }), 403);
      assert.equal(await attempt('GET', { Origin: evil, [name]: 'POST' }), 'passed');
    }
  });

  test('a refusal comes before the question of who it is, and is plain about nothing', async () => {
    for (const session of [live, null, { token: strangeToken() }, { token: 'x' }])
      for (const target of ['/x', '/public', '/optional', '/sibling']) {
        assert.equal(await attempt('POST', { Origin: evil }, { session, target }), 403, target);
        const res = attempt.last;
        assert.equal(res.json().error.code, 'origin_refused');
        assert.match(res.one('cache-control'), /no-store/);
        assert.equal(res.one('x-content-type-options'), 'nosniff');
        assert.match(res.one('content-type'), /^application\/json; ?charset=utf-8$/);
      }
    assert.equal(await attempt('POST', { Origin: evil, Accept: 'text/html', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Sec-Fetch-Site': 'cross-site' }), 403);
    assert.equal(await attempt('POST', { Origin: evil }, { target: '/unchecked' }), 'passed');
    assert.equal(await attempt('POST', { Origin: ours }, { session: null }), 401);
    assert.equal(await attempt('POST', { Origin: ours }, { session: null, target: '/public' }), 'passed');
    assert.equal(await attempt('POST', { Origin: ours }, { session: null, target: '/optional' }), 'passed');
  });

  test('FA-11: what the module says in its own words carries the fields of the daemon\'s answers', async () => {
    const navigation = { Accept: 'text/html', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Sec-Fetch-Site': 'cross-site' };
    const look = (type) => {
      const res = attempt.last;
      assert.match(res.one('content-type'), type);
      assert.equal(res.headers['content-length'][0], String(Buffer.byteLength(res.body)));
      for (const directive of ["default-src 'none'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"]) assert.ok(res.one('content-security-policy').includes(directive), directive);
      for (const [name, value] of [['x-content-type-options', 'nosniff'], ['cross-origin-resource-policy', 'same-origin'], ['referrer-policy', 'no-referrer'], ['cache-control', 'no-store']]) assert.equal(res.one(name), value);
      assert.deepEqual(res.headers['strict-transport-security'], ['max-age=31536000; includeSubDomains']);
      assert.doesNotMatch(JSON.stringify(res.headers), /\/\d+\.\d+/, 'a version');
    };
    const refused = async (want, more = {}) => {
      assert.equal(await attempt('POST', { Origin: evil, ...more }), want);
      look(/^application\/json; charset=utf-8$/);
      assert.equal(await attempt('POST', { Origin: evil, ...navigation, ...more }), want);
      look(/^text\/html; charset=utf-8$/);
    };
    await refused(403);
    await g.daemon.down();
    await refused(403);
    await refused(503, { Origin: ours, Cookie: '__Host-id=x', 'Sec-Fetch-Site': 'same-origin' });
    await g.daemon.up();
  });

  test('a request that moves inside nginx is judged by where it came from, at each place', async () => {
    assert.equal(await attempt('POST', { Origin: evil }, { target: '/moved' }), 403);
    assert.equal(await attempt('POST', { Origin: evil }, { target: '/rewritten' }), 403);
    assert.equal(await attempt('POST', { Origin: ours }, { target: '/rewritten' }), 'passed');
    g.app.seen.length = 0;
    for (const origin of [friend, ours]) await attempt('POST', { Origin: origin }, { target: '/friends' }).catch(() => {});
    assert.deepEqual(g.app.seen.map((seen) => seen.url), ['/friends', '/friends', '/rest'], 'who may do it in the first place may not in the second');
  });

  test('CS-5, CO-3: with satisfy any, whoever else lets people in does not let other origins in', async () => {
    for (const session of [live, null]) {
      assert.equal(await attempt('POST', { Origin: evil }, { target: '/any', session }), 403);
      assert.equal(await attempt('POST', { Origin: ours, 'Sec-Fetch-Site': 'cross-site' }, { target: '/any', session }), 403);
      assert.equal(await attempt('GET', { Origin: evil }, { target: '/any-cors', session }), 403);
      assert.equal(await attempt('POST', { Origin: evil }, { target: '/any-page', session }), 403);
      assert.equal(await attempt('POST', { Origin: ours }, { target: '/any', session }), 'passed');
    }
  });

  test('the page for a refusal is a question of its own: whoever is signed in gets it', async () => {
    for (const session of [await plant(g.daemon), live]) {
      assert.equal(await attempt('POST', { Origin: evil }, { target: '/paged', session }), 403);
      assert.equal(attempt.last.body, 'refused page');
    }
    assert.equal(await attempt('POST', { Origin: evil }, { target: '/paged', session: null }), 401);
  });

  test('a refused body is not taken for the next request', async () => {
    const hits = g.app.hits;
    const inner = `GET /smuggled HTTP/1.1\r\nHost: app.example\r\nCookie: __Host-id=${live.token}\r\n\r\n`;
    const res = await once(g.port, text('POST', '/x', { Origin: evil, Cookie: `__Host-id=${live.token}` }, inner));
    assert.equal(res.status, 403);
    assert.equal(g.app.hits, hits);
  });

  test('with both: an origin that CORS allows may do what CORS allows it, no other may', async () => {
    const target = '/both';
    assert.equal(await attempt('POST', { Origin: friend, 'Sec-Fetch-Site': 'cross-site' }, { target }), 'passed');
    assert.equal(attempt.last.one('access-control-allow-origin'), friend);
    assert.equal(await attempt('PUT', { Origin: friend, 'Sec-Fetch-Site': 'cross-site' }, { target }), 'passed');
    assert.equal(await attempt('DELETE', { Origin: friend, 'Sec-Fetch-Site': 'cross-site' }, { target }), 403);
    assert.deepEqual(Object.keys(attempt.last.headers).filter((n) => n.startsWith('access-control')), []);
    assert.equal(await attempt('POST', { Origin: friend, 'Sec-Fetch-Site': 'cross-site' }), 403, 'elsewhere');
    assert.equal(await attempt('POST', { Origin: evil, 'Sec-Fetch-Site': 'cross-site' }, { target }), 403);
    assert.equal(await attempt('POST', { Origin: ours, 'Sec-Fetch-Site': 'same-origin' }, { target }), 'passed');
    assert.equal(await attempt('POST', { Origin: ours, 'Sec-Fetch-Site': 'cross-site' }, { target }), 403);
    assert.equal(await attempt('POST', { Origin: [friend, ours] }, { target }), 403);
    assert.equal(await attempt('POST', {}, { target }), 403);
  });
});

describe('coatcheck_cors', { skip: missing }, () => {
  let g, live, front;
  before(async () => {
    front = await freePort();
    g = await Gate.start({
      http: (s) => `proxy_cache_path ${s.dir}/cache keys_zone=c:1m;
        server {
          listen 127.0.0.1:${front};
          location / { proxy_cache c; proxy_cache_valid any 10m; proxy_ignore_headers Cache-Control Expires; proxy_pass http://127.0.0.1:${s.port}; proxy_set_header Host app.example; add_header X-Cache $upstream_cache_status always; }
        }`,
      server: (s) => `
        coatcheck_origins ${ours};
        coatcheck_cors ${friend} http://localhost:5173;
        coatcheck_cors_methods GET POST DELETE;
        coatcheck_cors_headers content-type x-csrf-token x-trace;
        coatcheck_cors_expose x-total x-request-id;
        coatcheck_cors_max_age 5m;
        location / { proxy_pass ${s.upstream}; }
        location /none { coatcheck_cors off; proxy_pass ${s.upstream}; }
        location /public { coatcheck off; proxy_pass ${s.upstream}; }
        location /optional { coatcheck optional; proxy_pass ${s.upstream}; }
        location /returned { coatcheck off; return 418 text; }
        location /file { coatcheck off; root ${s.dir}; }
        location /forbidden { deny all; }
        location /gone { coatcheck off; proxy_pass http://127.0.0.1:1; }
        location /pages { coatcheck off; error_page 404 /other; root ${s.dir}; }
        location /other { coatcheck off; coatcheck_cors off; return 200 other; }
        location /large { client_max_body_size 10; proxy_pass ${s.upstream}; }
        location /role { coatcheck_require role=nobody-has-it; proxy_pass ${s.upstream}; }
        location /defaults { coatcheck_cors http://localhost:3000; proxy_pass ${s.upstream}; }
        location /theirs { proxy_pass ${s.upstream}; }
        location /no-methods { coatcheck_cors_methods off; proxy_pass ${s.upstream}; }
        location /no-fields { coatcheck_cors_headers off; coatcheck_cors_expose off; proxy_pass ${s.upstream}; }
      `,
    });
    live = await plant(g.daemon);
    for (const status of [200, 204, 301, 304, 400, 404, 500, 503])
      g.app.on(`/status/${status}`, (req, res) => {
        res.writeHead(status, status === 301 ? { location: '/x' } : {});
        res.end();
      });
    g.app.on('/theirs', (req, res) => {
      res.writeHead(200, { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true', 'access-control-allow-methods': '*', vary: 'Accept-Encoding' });
      res.end('theirs');
    });
    g.app.on('/public/cached', (req, res) => {
      res.writeHead(200, { 'cache-control': 'public, max-age=600' });
      res.end('cached');
    });
  });
  after(() => g.stop());

  const get = (target, origin, options = {}) => g.get(target, { jar: live.jar, ...options, headers: { ...(origin === undefined ? {} : { origin }), ...(options.headers ?? {}) } });

  test('CO-1: without coatcheck_cors no Access-Control field comes from us, whatever is asked', async () => {
    for (const origin of [undefined, ours, friend, 'null', evil])
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const res = await get('/none', origin, { method, headers: { 'access-control-request-method': 'POST' } });
        assert.equal(res.status, 200);
        assert.deepEqual(corsFields(res), [], `${method} ${origin}`);
      }
  });

  test('CO-1: only an exact match is granted, and only by name', async () => {
    assert.ok(strangers.length >= 45);
    for (const origin of strangers)
      for (const [target, method] of [['/x', 'GET'], ['/public', 'POST']]) {
        const hits = g.app.hits;
        const res = await get(target, origin, { method });
        assert.equal(res.status, 403, origin);
        assert.deepEqual(corsFields(res), [], origin);
        assert.equal(g.app.hits, hits, origin);
      }
    for (const origin of [friend, 'http://localhost:5173'])
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
        const res = await get('/x', origin, { method });
        assert.equal(res.status, 200);
        assert.deepEqual(res.fields['access-control-allow-origin'], [origin]);
        assert.deepEqual(res.fields['access-control-allow-credentials'], ['true']);
        assert.deepEqual(res.fields['access-control-expose-headers'], ['x-total, x-request-id']);
        assert.equal(corsFields(res).length, 3);
      }
    for (const origin of [undefined, ours]) assert.deepEqual(corsFields(await get('/x', origin)), []);
    const twice = await get('/x', [friend, friend]);
    assert.equal(twice.status, 403);
    assert.deepEqual(corsFields(twice), []);
    const refused = await get('/x', friend, { method: 'PUT' });
    assert.equal(refused.status, 403);
    assert.deepEqual(corsFields(refused), []);
  });

  test('CO-1: what the application says about CORS by itself does not count where we decide', async () => {
    for (const origin of [undefined, ours, friend]) {
      const res = await get('/theirs', origin);
      assert.equal(res.status, 200);
      assert.notEqual(res.headers['access-control-allow-origin'], '*');
      assert.equal(corsFields(res).length, origin === friend ? 3 : 0);
      assert.match(varies(res), /Accept-Encoding/);
      assert.match(varies(res), /Origin/);
    }
  });

  test('CO-2: every answer of such a route varies by Origin, errors included', async () => {
    const targets = ['/x', '/public', '/optional', '/returned', '/file/missing', '/forbidden', '/gone', '/pages/missing', '/role', ...[200, 204, 301, 304, 400, 404, 500, 503].map((s) => `/status/${s}`)];
    for (const target of targets)
      for (const origin of [undefined, ours, friend, evil])
        for (const jar of [live.jar, undefined]) {
          const res = await get(target, origin, { jar });
          assert.match(varies(res), /(^|, )Origin(,|$)/, `${target} ${origin} ${res.status}`);
          if (origin === friend && !['/forbidden', '/returned', '/other', '/pages/missing'].includes(target)) {
            if (res.status !== 403 || target === '/role') assert.equal(res.headers['access-control-allow-origin'], friend, `${target} ${res.status}`);
          } else if (origin !== friend) assert.deepEqual(corsFields(res), [], `${target} ${origin}`);
        }
    const large = await get('/large', friend, { method: 'POST', headers: { 'content-length': '20' } });
    assert.equal(large.status, 413);
    assert.match(varies(large), /Origin/);
  });

  test('CO-2: a shared cache in front never serves one origin\'s grant to another', async () => {
    const via = (origin) => request({ host: '127.0.0.1', port: front, path: '/public/cached', headers: origin ? { origin } : {} });
    for (let round = 0; round < 2; round++) {
      for (const origin of [friend, 'http://localhost:5173', undefined, ours]) {
        const res = await via(origin);
        assert.equal(res.status, 200, `${origin}`);
        assert.equal(res.headers['access-control-allow-origin'], origin === ours ? undefined : origin, `${origin}`);
      }
      const refused = await via(evil);
      assert.equal(refused.status, 403);
      assert.deepEqual(corsFields(refused), []);
    }
    assert.equal((await via(friend)).headers['x-cache'], 'HIT');
  });

  test('CO-3: a preflight is answered by us alone: no session, no daemon, no application', async () => {
    const seen = async () => (await g.daemon.ask('GET', `/v1/sessions/${live.handle}`)).json().seen_ms;
    const hits = g.app.hits;
    const before = await seen();
    const good = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-trace' };
    await g.daemon.down();
    try {
      for (const target of ['/x', '/public', '/optional', '/role', '/theirs'])
        for (const jar of [live.jar, undefined]) {
          const res = await get(target, friend, { jar, method: 'OPTIONS', headers: good });
          assert.equal(res.status, 204, target);
          assert.equal(res.body, '');
          assert.deepEqual(res.fields['access-control-allow-origin'], [friend]);
          assert.deepEqual(res.fields['access-control-allow-credentials'], ['true']);
          assert.deepEqual(res.fields['access-control-allow-methods'], ['GET, POST, DELETE']);
          assert.deepEqual(res.fields['access-control-allow-headers'], ['content-type, x-csrf-token, x-trace']);
          assert.deepEqual(res.fields['access-control-max-age'], ['300']);
          assert.match(varies(res), /Origin/);
          assert.equal(res.cookies.length, 0);
        }
      const bad = [[evil, good], ['null', good], [friend, { ...good, 'access-control-request-method': 'PUT' }], [friend, { ...good, 'access-control-request-headers': 'x-other' }], [friend, { ...good, 'access-control-request-headers': 'content-type, x-other' }],
        [friend, { ...good, 'access-control-request-method': 'post' }], [friend, { ...good, 'access-control-request-method': ['POST', 'GET'] }], [[friend, friend], good], [friend, { ...good, 'access-control-request-headers': '*' }]];
      for (const [origin, headers] of bad) {
        const res = await get('/x', origin, { method: 'OPTIONS', headers });
        assert.equal(res.status, 403, JSON.stringify([origin, headers]));
        assert.deepEqual(corsFields(res), []);
        assert.equal(res.cookies.length, 0);
        assert.match(varies(res), /Origin/);
      }
    } finally {
      await g.daemon.up();
    }
    assert.equal(g.app.hits, hits);
    assert.equal(await seen(), before);
  });

  test('CO-3: the defaults allow GET and POST, two fields, ten minutes; other places have their own list', async () => {
    const origin = 'http://localhost:3000';
    const res = await get('/defaults', origin, { method: 'OPTIONS', headers: { 'access-control-request-method': 'DELETE' } });
    assert.equal(res.status, 204, 'methods are inherited');
    assert.equal((await get('/defaults', friend)).status, 403);
    assert.equal((await get('/x', origin)).status, 403);
  });

  test('CO-3: a list that is off allows nothing, not what is allowed by default', async () => {
    const preflight = (target, headers) => get(target, friend, { method: 'OPTIONS', headers }).then((res) => res.status);
    for (const method of ['GET', 'POST', 'HEAD']) {
      assert.equal((await get('/no-methods', friend, { method })).status, 403, method);
      assert.equal(await preflight('/no-methods', { 'access-control-request-method': method }), 403, method);
    }
    assert.equal(await preflight('/no-fields', { 'access-control-request-method': 'POST' }), 204);
    for (const name of ['content-type', 'x-csrf-token'])
      assert.equal(await preflight('/no-fields', { 'access-control-request-method': 'POST', 'access-control-request-headers': name }), 403, name);
    assert.deepEqual(corsFields(await get('/no-fields', friend)).sort(), ['access-control-allow-credentials', 'access-control-allow-origin']);
  });

  test('CO-3: what a refused origin asks for does nothing, though its cookie is good', async () => {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT', 'OPTIONS', 'HEAD'])
      for (const target of ['/x', '/public', '/optional', '/role']) {
        const hits = g.app.hits;
        const res = await get(target, evil, { method });
        assert.equal(res.status, 403, `${method} ${target}`);
        assert.deepEqual(corsFields(res), []);
        assert.equal(g.app.hits, hits);
      }
  });

  test('CO-2: 401 and 403 of the daemon can be read by an allowed origin', async () => {
    for (const [target, jar, status] of [['/x', undefined, 401], ['/role', live.jar, 403]]) {
      const res = await get(target, friend, { jar });
      assert.equal(res.status, status);
      assert.equal(res.headers['access-control-allow-origin'], friend);
      assert.equal(res.headers['access-control-allow-credentials'], 'true');
      assert.equal(res.json().error.code, status === 401 ? 'not_signed_in' : 'role_required');
    }
  });
});

describe('other origins over HTTP/2', { skip: missing }, () => {
  test('CS-4, CO-1: the same verdicts', async () => {
    const g = await Gate.start({
      listen: ' http2',
      server: (s) => `coatcheck_origins ${ours}; coatcheck_csrf on; location / { proxy_pass ${s.upstream}; } location /cors { coatcheck_cors ${friend}; proxy_pass ${s.upstream}; }`,
    });
    const client = await g.h2();
    try {
      const { jar } = await plant(g.daemon);
      const ask = async (method, target, headers) => (await client.request(method, target, { ...jar.header(), ...headers })).headers;
      const status = async (...args) => (await ask(...args))[':status'];
      assert.equal(await status('POST', '/x', { origin: ours }), 200);
      assert.equal(await status('POST', '/x', { origin: evil }), 403);
      assert.equal(await status('POST', '/x', { origin: [ours, evil] }), 403);
      assert.equal(await status('POST', '/x', { origin: ours, 'sec-fetch-site': 'cross-site' }), 403);
      assert.equal(await status('POST', '/x', {}), 403);
      assert.equal(await status('GET', '/x', { origin: evil }), 200);
      const granted = await ask('GET', '/cors', { origin: friend });
      assert.equal(granted['access-control-allow-origin'], friend);
      assert.equal(await status('GET', '/cors', { origin: evil }), 403);
      const preflight = await ask('OPTIONS', '/cors', { origin: friend, 'access-control-request-method': 'POST' });
      assert.equal(preflight[':status'], 204);
      assert.equal(preflight['access-control-allow-methods'], 'GET, POST');
      assert.equal(preflight['access-control-max-age'], '600');
    } finally {
      client.close();
      await g.stop();
    }
  });
});
