// SPDX-License-Identifier: Apache-2.0
// The description of the admin interface against the interface, both ways.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, password } from './lib.mjs';
import { plant } from './routes.mjs';
import { adminRoutes, faults, loadOpenapi, parseYaml } from './openapi.mjs';

const spec = loadOpenapi();
let d;
before(async () => {
  d = await Daemon.start();
  await d.addUser();
});
after(() => d.stop());

test('every route is described, and everything described is a route', () => {
  const described = Object.entries(spec.paths).flatMap(([path, ops]) => Object.keys(ops).map((method) => `${method.toUpperCase()} ${path}`));
  const served = adminRoutes().map((r) => `${r.method} ${r.path}`);
  assert.ok(served.length >= 20);
  assert.deepEqual([...described].sort(), [...served].sort());
});

test('references lead somewhere, parameters of paths are described', () => {
  const walk = (node) => {
    if (node === null || typeof node !== 'object') return;
    if (node.$ref) assert.ok(node.$ref.split('/').slice(1).reduce((o, k) => o?.[k], spec), node.$ref);
    Object.values(node).forEach(walk);
  };
  walk(spec.paths);
  walk(spec.components);
  for (const [path, ops] of Object.entries(spec.paths))
    for (const [method, op] of Object.entries(ops)) {
      const given = (op.parameters ?? []).map((p) => p.$ref.split('/').pop());
      for (const [, name] of path.matchAll(/\{(\w+)\}/g)) assert.ok(given.includes(name), `${method} ${path}`);
      assert.ok(op.summary && Object.keys(op.responses).length > 0);
    }
});

test('the daemon serves this very text', async () => {
  const res = await d.ask('GET', '/v1/openapi.yaml');
  assert.match(res.headers['content-type'], /^application\/yaml/);
  assert.deepEqual(parseYaml(res.body), spec);
});

const handle = 'A'.repeat(22);

async function check(method, template, target, body) {
  const res = await d.ask(method, target, body);
  const op = spec.paths[template][method.toLowerCase()];
  const response = op.responses[String(res.status)];
  assert.ok(response, `${method} ${template}: ${res.status} is not described: ${res.body}`);
  if (!response.content) {
    assert.equal(res.body, '');
    return res;
  }
  const [type, { schema }] = Object.entries(response.content)[0];
  assert.ok(res.headers['content-type'].startsWith(type), `${method} ${template}: ${res.headers['content-type']}`);
  if (type === 'application/json') assert.deepEqual(faults(spec, schema, res.json()), [], `${method} ${template} ${res.status}: ${res.body}`);
  return res;
}

test('answers are as described: what is asked for, and what is refused', async () => {
  const s = await plant(d, { data: { a: 1 }, address: '192.0.2.1', user_agent: 'Mozilla/5.0 Firefox/128.0', language: 'de' });
  const one = `/v1/sessions/${s.handle}`;
  const statuses = [];
  const calls = [
    ['GET', '/v1/health'], ['GET', '/v1/ready'], ['GET', '/v1/status'], ['GET', '/metrics'], ['GET', '/v1/sessions'], ['GET', '/v1/sessions', '/v1/sessions?limit=x'],
    ['POST', '/v1/sessions', null, { user: 'mara', roles: ['a'], remember: true }], ['POST', '/v1/sessions', null, {}], ['POST', '/v1/sessions', null, { user: 5 }],
    ['POST', '/v1/sessions', null, { user: 'mara', data: { big: 'x'.repeat(5000) } }],
    ['GET', '/v1/sessions/{handle}', one], ['GET', '/v1/sessions/{handle}', `/v1/sessions/${handle}`], ['GET', '/v1/sessions/{handle}', '/v1/sessions/nonsense'],
    ['PATCH', '/v1/sessions/{handle}/data', `${one}/data`, { b: 2, a: null }], ['PATCH', '/v1/sessions/{handle}/data', `/v1/sessions/${handle}/data`, { b: 2 }],
    ['PATCH', '/v1/sessions/{handle}/data', `${one}/data`, { big: 'x'.repeat(5000) }], ['POST', '/v1/check', null, { token: s.token }], ['POST', '/v1/check', null, { token: 'nonsense' }],
    ['POST', '/v1/check', null, { token: 5 }], ['GET', '/v1/users/{user}/sessions', '/v1/users/mara/sessions'], ['GET', '/v1/users/{user}/sessions', '/v1/users/nobody/sessions'],
    ['POST', '/v1/renew', null, { token: s.token }], ['POST', '/v1/renew', null, { token: s.token }], ['POST', '/v1/renew', null, {}],
    ['POST', '/v1/sessions/{handle}/end', `${one}/end`], ['POST', '/v1/sessions/{handle}/end', '/v1/sessions/nonsense/end'],
    ['POST', '/v1/users/{user}/end-sessions', '/v1/users/mara/end-sessions'], ['POST', '/v1/users/{user}/end-sessions', '/v1/users/mara/end-sessions', { spare: 'x' }], ['POST', '/v1/end-all'],
    ['GET', '/v1/accounts'], ['GET', '/v1/accounts', '/v1/accounts?after=x'], ['POST', '/v1/accounts', null, { name: 'new', password }], ['POST', '/v1/accounts', null, { name: 'new', password }],
    ['POST', '/v1/accounts', null, { name: 'short', password: 'short' }], ['POST', '/v1/accounts', null, { name: 'none' }], ['GET', '/v1/accounts/{name}', '/v1/accounts/new'],
    ['GET', '/v1/accounts/{name}', '/v1/accounts/nobody'], ['POST', '/v1/accounts/{name}/password', '/v1/accounts/new/password', { password: 'another kettle ramp 94' }],
    ['POST', '/v1/accounts/{name}/password', '/v1/accounts/new/password', { password: 'x' }], ['POST', '/v1/accounts/{name}/password', '/v1/accounts/nobody/password', { password }],
    ['POST', '/v1/accounts/{name}/password', '/v1/accounts/new/password', {}], ['POST', '/v1/accounts/{name}/roles', '/v1/accounts/new/roles', { roles: ['x'] }],
    ['POST', '/v1/accounts/{name}/roles', '/v1/accounts/new/roles', {}], ['POST', '/v1/accounts/{name}/roles', '/v1/accounts/nobody/roles', { roles: [] }],
    ['POST', '/v1/accounts/{name}/disable', '/v1/accounts/new/disable'], ['POST', '/v1/accounts/{name}/disable', '/v1/accounts/nobody/disable'], ['POST', '/v1/accounts/{name}/enable', '/v1/accounts/new/enable'],
    ['POST', '/v1/accounts/{name}/enable', '/v1/accounts/nobody/enable'], ['DELETE', '/v1/accounts/{name}', '/v1/accounts/new'], ['DELETE', '/v1/accounts/{name}', '/v1/accounts/new'],
    ['POST', '/v1/keys/rotate'], ['GET', '/v1/store/copy'], ['POST', '/v1/store/copy', null, {}], ['POST', '/v1/store/copy', null, { to: 'memory:', from: 'memory:' }],
    ['POST', '/v1/store/copy', null, { to: 'nonsense:' }], ['POST', '/v1/reload'],
  ];
  for (const [method, template, target, body] of calls) statuses.push((await check(method, template, target ?? template, body)).status);
  for (const expected of [200, 201, 204, 400, 401, 404, 409, 413, 422]) assert.ok(statuses.includes(expected), `${expected} never came: ${statuses}`);
  const asked = new Set(calls.map(([method, template]) => `${method} ${template}`));
  for (const r of adminRoutes()) assert.ok(asked.has(`${r.method} ${r.path}`) || r.path === '/v1/openapi.yaml', `${r.method} ${r.path}`);
});

test('session data is patched as RFC 7396 says', async () => {
  const s = await plant(d, { data: { a: 'b', c: { d: 'e', f: 'g' } } });
  const res = await d.ask('PATCH', `/v1/sessions/${s.handle}/data`, { a: 'z', c: { f: null }, h: [1] });
  assert.deepEqual(res.json().data, { a: 'z', c: { d: 'e' }, h: [1] });
  assert.equal(res.json().set_cookie, undefined);
});
