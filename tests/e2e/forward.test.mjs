// SPDX-License-Identifier: Apache-2.0
// What a proxy may say of a request, and what is said to applications.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, run, until } from './lib.mjs';
import { Proxied, plant, rawRequest, jarOf } from './routes.mjs';

let d, direct;
before(async () => {
  d = await Proxied.start({ listener: '    dialect: forwarded\n    trusted: [127.0.0.1/32, 10.0.0.0/8, "2001:db8:77::/48"]\n' });
  direct = await Daemon.start({ listener: '    dialect: forwarded\n    trusted: [192.0.2.200/32]\n' });
});
after(async () => {
  await d.stop();
  await direct.stop();
});

const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

test('FA-1: forwarding fields of an untrusted peer say nothing', async () => {
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.9', 'x-forwarded-uri': '/public', 'x-forwarded-method': 'GET',
    'x-forwarded-host': 'evil.example', forwarded: 'for=192.0.2.9;proto=https', 'x-real-ip': '192.0.2.9', 'x-original-uri': '/public', 'x-original-method': 'GET' };
  const res = await direct.get('/auth/verify', { headers: { ...headers, ...navigation } });
  assert.equal(res.status, 302);
  assert.ok(!res.headers.location.includes('public') && !res.headers.location.includes('evil'), res.headers.location);
  assert.equal(res.headers['strict-transport-security'], undefined);
  const post = await direct.get('/auth/logout-all', { method: 'POST', headers: { ...headers, origin: 'https://evil.example' } });
  assert.equal(post.status, 403);
  const event = await until('event', () => direct.events('csrf_refused').find((e) => e.request_id === post.headers['x-request-id']));
  assert.equal(event.client, '127.0.0.1');
});

test('FA-1: conflicting fields of a trusted peer are refused with 400 and reported', async () => {
  const { token } = await plant(d);
  const send = (lines) => rawRequest(d.port, `GET /auth/verify HTTP/1.1\r\nHost: app.example\r\nCookie: __Host-id=${token}\r\nConnection: close\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`);
  const https = 'X-Forwarded-Proto: https';
  assert.equal((await send([https])).status, 200);
  const bad = [
    ['X-Forwarded-Uri: /a', 'X-Forwarded-Uri: /b'], ['X-Forwarded-Uri: /a', 'X-Forwarded-Uri: /a'], ['X-Forwarded-Method: GET', 'X-Forwarded-Method: POST'],
    ['X-Forwarded-Host: a.example', 'X-Forwarded-Host: b.example'], ['X-Forwarded-Proto: http'], ['X-Forwarded-Uri: '], ['X-Forwarded-Uri: /a', 'X-Original-URI: /b'],
    ['X-Forwarded-Method: GET', 'X-Original-Method: POST'],
  ];
  const had = d.events('header_trust_refused').length;
  for (const lines of bad) {
    const res = await send([https, ...lines]);
    assert.equal(res.status, 400, lines.join(' | '));
    assert.ok(!res.fields.some(([name]) => name.startsWith('x-auth')));
  }
  await until('events', () => d.events('header_trust_refused').length === had + bad.length);
});

test('FA-1: networks that hold everybody are refused at the start', () => {
  for (const net of ['0.0.0.0/0', '::/0', '0.0.0.0/1', '::ffff:0.0.0.0/96', '10.1.2.3/8', '127.0.0.1/7', 'everybody', '2001::/15'])
    assert.equal(run(['config', 'check', `--listeners=127.0.0.1:8080;dialect=forwarded;trusted=${net}`]).status, 3, net);
  assert.equal(run(['config', 'check', '--listeners=127.0.0.1:8080;dialect=forwarded;trusted=10.0.0.0/8']).status, 0);
});

const chains = [
  [[], '127.0.0.1'], [['192.0.2.1'], '192.0.2.1'], [['1.2.3.4, 192.0.2.1'], '192.0.2.1'], [['1.2.3.4', '192.0.2.1'], '192.0.2.1'],
  [['192.0.2.1, 10.0.0.1'], '192.0.2.1'], [['192.0.2.1, 10.0.0.1, 10.2.3.4'], '192.0.2.1'], [['8.8.8.8, 192.0.2.1, 10.0.0.1'], '192.0.2.1'],
  [['10.0.0.9'], '10.0.0.9'], [['10.0.0.9, 10.0.0.8'], '10.0.0.9'], [['unknown'], '127.0.0.1'], [['192.0.2.1, unknown'], '127.0.0.1'], [['unknown, 192.0.2.1'], '192.0.2.1'],
  [['192.0.2.1, unknown, 10.0.0.1'], '10.0.0.1'], [['_hidden'], '127.0.0.1'], [['192.0.2.1,'], '127.0.0.1'], [[',192.0.2.1'], '192.0.2.1'], [[''], '127.0.0.1'],
  [['192.0.2.1:4711'], '192.0.2.1'], [['[2001:db8::1]:4711'], '2001:db8::1'], [['[2001:db8::1]'], '2001:db8::1'], [['2001:db8::1'], '2001:db8::1'], [['2001:DB8:0:0::1'], '2001:db8::1'],
  [['2001:db8::5, 2001:db8:77::1'], '2001:db8::5'], [['::ffff:192.0.2.1'], '192.0.2.1'], [['192.0.2.1, ::ffff:10.0.0.1'], '192.0.2.1'], [['192.0.2.256'], '127.0.0.1'], [['192.0.2'], '127.0.0.1'],
  [['192.0.2.01'], '127.0.0.1'], [['"192.0.2.1"'], '127.0.0.1'], [['192.0.2.1;x'], '127.0.0.1'], [['  192.0.2.1  '], '192.0.2.1'], [[Array(200).fill('192.0.2.7').join(', ')], '192.0.2.7'],
  [[`1.2.3.4, ${Array(10).fill('10.0.0.1').join(', ')}`], '1.2.3.4'], [['1.2.3.4', '10.0.0.1', '10.0.0.2'], '1.2.3.4'], [['for=192.0.2.1'], '127.0.0.1'],
];

test('FA-2: the client is the first untrusted entry from the nearest hop outward', async () => {
  assert.ok(chains.length >= 30);
  for (const [lines, expected] of chains) {
    const res = await d.get('/auth/logout-all', { method: 'POST', headers: { origin: 'https://evil.example', ...(lines.length ? { 'x-forwarded-for': lines } : {}) } });
    assert.equal(res.status, 403);
    const event = await until('event', () => d.events('csrf_refused').find((e) => e.request_id === res.headers['x-request-id']));
    assert.equal(event.client, expected, JSON.stringify(lines).slice(0, 100));
  }
});

async function identity(fields, headers = '') {
  const { token } = await plant(d, fields);
  const ask = () => rawRequest(d.port, `GET /auth/verify HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-Proto: https\r\nCookie: __Host-id=${token}\r\nConnection: close\r\n${headers}\r\n`);
  const slow = await ask(); /* the store answers first, the node table afterwards */
  const fast = await ask();
  const own = (res) => res.fields.filter(([name]) => name.startsWith('x-auth'));
  assert.equal(slow.status, fast.status);
  assert.deepEqual(own(slow), own(fast));
  for (const res of [slow, fast]) {
    assert.equal(res.text.match(/HTTP\/1\.1 /g).length, 1);
    for (const [name, value] of own(res)) assert.match(value, /^[\x21-\x7e]*$/, name);
  }
  return { status: slow.status, get: (name) => own(slow).filter(([n]) => n === name).map(([, v]) => v), own: own(slow) };
}

test('FA-5: identity goes upstream in encoded lines, or not at all', async () => {
  const users = ['a\r\nX-Role: admin', 'a\nX-Auth-Roles: root', 'tab\there', 'nul\0byte', 'del\x7f', 'é', 'ü 日本 🙂', '%41', '100%', 'a b', '"quoted"', "o'neil", 'a,b;c=d', '\u2028', 'x'.repeat(255)];
  for (const user of users) {
    const got = await identity({ user, roles: ['reader'] });
    assert.equal(got.status, 200, JSON.stringify(user));
    assert.equal(got.get('x-auth-user').length, 1);
    assert.equal(decodeURIComponent(got.get('x-auth-user')[0]), user);
    assert.deepEqual(got.get('x-auth-roles'), ['reader']);
    assert.equal(got.get('x-role').length, 0);
  }
  const roles = await identity({ user: 'mara', roles: ['a', 'b'] });
  assert.equal(decodeURIComponent(roles.get('x-auth-roles')[0]), 'a b');
  assert.match(roles.get('x-auth-time')[0], /^\d{10}$/);
  assert.match(roles.get('x-auth-session')[0], /^[A-Za-z0-9_-]{22}$/);
});

test('FA-5: over 1 KiB encoded the request is not allowed', async () => {
  const got = await identity({ user: 'mara', roles: [`${'\u00e9'.repeat(250)}`] });
  assert.ok(got.status >= 500, `${got.status}`);
  assert.deepEqual(got.own, []);
  const res = await d.ask('POST', '/v1/sessions', { user: 'x'.repeat(10240) });
  assert.equal(res.status, 400);
});

test('FA-8: what is not one plain request is refused, and what follows it never runs', async () => {
  const { token, jar } = await plant(d);
  const smuggled = `POST /auth/logout HTTP/1.1\r\nHost: app.example\r\nOrigin: https://app.example\r\nCookie: __Host-id=${token}\r\nContent-Length: 0\r\n\r\n`;
  const head = 'POST /auth/login HTTP/1.1\r\nHost: app.example\r\n';
  const vectors = [
    `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`, `${head}Content-Length: 5, 6\r\n\r\nabcde`,
    `${head}Content-Length: +5\r\n\r\nabcde`, `${head}Content-Length: 0x5\r\n\r\nabcde`, `${head}Content-Length: -1\r\n\r\n`, `${head}Content-Length: 99999999999999999999\r\n\r\n`,
    `${head}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, `${head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
    `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, `${head}X-A: 1\r\n folded\r\n\r\n`, `${head}X-A: 1\rX-B: 2\r\n\r\n`, 'POST /auth/login HTTP/1.1\nHost: app.example\n\n', `${head}X-A: a\0b\r\n\r\n`,
    'GET /auth /login HTTP/1.1\r\nHost: app.example\r\n\r\n', 'GET /auth\t/login HTTP/1.1\r\nHost: app.example\r\n\r\n', 'GET /auth/login HTTP/1.1\r\n\r\n',
    'GET /auth/login HTTP/1.1\r\nHost: app.example\r\nHost: app.example\r\n\r\n', 'GET /auth/login HTTP/1.1\r\nHost: a b\r\n\r\n', 'GET /auth/login HTTP/1.1\r\nHost: app.example\r\n: x\r\n\r\n',
  ];
  for (const vector of vectors) {
    const res = await rawRequest(d.port, Buffer.from(vector + smuggled, 'latin1'));
    assert.ok([400, 413, 501].includes(res.status), `${JSON.stringify(vector)}: ${res.status}`);
    assert.equal(res.text.match(/HTTP\/1\.1 \d/g).length, 1, JSON.stringify(vector));
    assert.ok(res.closed, JSON.stringify(vector));
  }
  assert.equal((await d.get('/auth/verify', { jar })).status, 200);
  assert.equal((await d.get('/auth/verify', { jar: jarOf(d, token) })).status, 200);
});
