// SPDX-License-Identifier: Apache-2.0
// What /auth/verify reads and answers in each dialect: the tables in docs/proxies.md.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, freePort, request } from './lib.mjs';

const navigation = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const target = '/orders/7?page=2';
const back = encodeURIComponent(target);
const dialects = {
  nginx: { path: '/auth/verify', fields: { 'x-original-method': 'GET', 'x-original-uri': target, 'x-original-host': 'app.example' } },
  forwarded: { path: '/auth/verify', fields: { 'x-forwarded-method': 'GET', 'x-forwarded-uri': target, 'x-forwarded-host': 'app.example' } },
  envoy: { path: `/auth/verify${target}`, fields: {} },
  module: { path: '/auth/verify', fields: { 'x-forwarded-method': 'GET', 'x-forwarded-uri': target, 'x-forwarded-host': 'app.example' } },
};

let d, cookie;
before(async () => {
  let listener = '';
  for (const [name, dialect] of Object.entries(dialects)) {
    dialect.port = await freePort();
    listener += `  - address: 127.0.0.1:${dialect.port}\n    dialect: ${name}\n    trusted: [127.0.0.1/32]\n`;
  }
  d = await Daemon.start({ plain: false, origin: 'https://app.example', listener, config: 'assertion:\n  audiences: [orders]\n' });
  const made = await d.ask('POST', '/v1/sessions', { user: 'mara', roles: ['staff', 'admin'], methods: ['pwd'] });
  cookie = made.json().set_cookie.split(';')[0];
});
after(() => d.stop());

const ask = ({ port, path, fields }, headers = {}, method = 'GET', query = '') =>
  request({ host: '127.0.0.1', port, method, path: path + query,
    headers: { host: 'app.example', 'x-forwarded-proto': 'https', 'x-forwarded-for': '192.0.2.7', ...fields, ...headers } });

for (const [name, dialect] of Object.entries(dialects)) {
  test(`${name}: somebody who is signed in passes, with identity headers`, async () => {
    const res = await ask(dialect, { cookie });
    assert.equal(res.status, 200);
    assert.equal(res.headers['x-auth-user'], 'mara');
    assert.equal(res.headers['x-auth-roles'], 'staff%20admin');
  });

  test(`${name}: a page leads to the sign-in page and back`, async () => {
    const res = await ask(dialect, navigation);
    const page = `https://app.example/auth/login?return=${back}`;
    assert.equal(res.status, name === 'nginx' ? 401 : 302);
    assert.equal(res.headers[name === 'nginx' ? 'x-auth-redirect' : 'location'], page);
  });

  test(`${name}: data get 401 and the address of the page`, async () => {
    const res = await ask(dialect);
    assert.equal(res.status, 401);
    assert.equal(res.headers.location, undefined);
    assert.equal(res.headers['x-auth-redirect'], undefined);
    assert.equal(res.headers['x-auth-login'], 'https://app.example/auth/login');
  });
}

for (const name of ['nginx', 'forwarded', 'module']) {
  test(`${name}: a missing role is 403 without a redirect`, async () => {
    const res = await ask(dialects[name], { ...navigation, cookie }, 'GET', '?role=owner');
    assert.equal(res.status, 403);
    assert.equal(res.headers['x-auth-redirect'] ?? res.headers.location, undefined);
    assert.equal((await ask(dialects[name], { cookie }, 'GET', '?role=admin&max_age=300')).status, 200);
  });

  test(`${name}: of several roles every one is needed`, async () => {
    for (let round = 0; round < 2; round++) { /* from the store, from the node table */
      for (const [roles, status] of [['staff', 200], ['staff%20admin', 200], ['admin+staff', 200], ['admin%20admin', 200], ['staff%20owner', 403],
        ['owner%20staff', 403], ['staff%20admin%20owner', 403], ['sta', 403], ['staffadmin', 403], ['Staff', 403]])
        assert.equal((await ask(dialects[name], { cookie }, 'GET', `?role=${roles}`)).status, status, roles);
    }
  });

  test(`${name}: a list of roles with an empty one is a slip of the pen and refused`, async () => {
    for (const roles of ['', '%20', 'staff%20', '%20staff', 'staff%20%20admin', 'staff&role=admin', 'staff%20'.repeat(200) + 'staff'])
      for (const headers of [{ cookie }, {}])
        assert.equal((await ask(dialects[name], headers, 'GET', `?role=${roles}`)).status, 400, roles);
  });
}

test('envoy: every method is asked about by itself, also at the root', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
    assert.equal((await ask(dialects.envoy, { cookie }, method)).status, 200, method);
  const res = await ask({ ...dialects.envoy, path: '/auth/verify/' }, navigation);
  assert.equal(res.headers.location, 'https://app.example/auth/login?return=%2F');
});

test('envoy: parameters of the request itself are no demands', async () => {
  assert.equal((await ask(dialects.envoy, { cookie }, 'GET', '&role=owner')).status, 200);
});

test('module: step-up is a redirect for a page, 403 for data', async () => {
  const old = await d.ask('POST', '/v1/sessions', { roles: ['staff'] }); /* nobody has signed in */
  const headers = { cookie: old.json().set_cookie.split(';')[0] };
  const page = await ask(dialects.module, { ...headers, ...navigation }, 'GET', '?max_age=300');
  assert.equal(page.status, 302);
  assert.equal(page.headers.location, `https://app.example/auth/reauth?return=${back}`);
  const data = await ask(dialects.module, headers, 'GET', '?max_age=300');
  assert.equal(data.status, 403);
  assert.equal(data.json().error.code, 'step_up_required');
  assert.equal(data.headers['x-auth-redirect'], undefined);
});

test('FA-5: module: all of the identity under fixed names, whatever identity.* says', async () => {
  const module = { ...dialects.module, port: await freePort() }, nginx = { ...dialects.nginx, port: await freePort() };
  const listener = [['module', module], ['nginx', nginx]].map(([name, { port }]) => `  - address: 127.0.0.1:${port}\n    dialect: ${name}\n    trusted: [127.0.0.1/32]\n`).join('');
  const own = (res) => Object.keys(res.fields).filter((name) => name.startsWith('x-')).sort();
  for (const config of ['identity:\n  user: ""\n  roles: ""\n  methods: ""\n  session: ""\n  time: ""\n',
    'identity:\n  user: X-Who\n  roles: X-Auth-User\n  methods: ""\n  session: X-Auth-Time\n  time: X-When\n']) {
    const other = await Daemon.start({ plain: false, origin: 'https://app.example', listener, config });
    try {
      const made = (await other.ask('POST', '/v1/sessions', { user: 'mara b', roles: ['staff', 'admin'], methods: ['pwd', 'otp'] })).json();
      const headers = { cookie: made.set_cookie.split(';')[0] };
      for (let round = 0; round < 2; round++) { /* from the store, from the node table */
        const res = await ask(module, headers);
        assert.equal(res.status, 200);
        assert.deepEqual(own(res).filter((name) => name.startsWith('x-auth')), ['x-auth-methods', 'x-auth-roles', 'x-auth-session', 'x-auth-time', 'x-auth-user']);
        assert.equal(res.headers['x-auth-user'], 'mara%20b');
        assert.equal(res.headers['x-auth-roles'], 'staff%20admin');
        assert.equal(res.headers['x-auth-methods'], 'pwd%20otp');
        assert.equal(res.headers['x-auth-session'], made.handle);
        assert.match(res.headers['x-auth-time'], /^\d{10}$/);
        assert.equal(res.headers['x-who'], undefined);
      }
      const res = await ask(nginx, headers); /* other proxies get what is configured */
      assert.equal(res.headers['x-who'], config.includes('X-Who') ? 'mara%20b' : undefined);
      assert.equal(res.headers['x-auth-user'], config.includes('X-Who') ? 'staff%20admin' : undefined);
    } finally {
      await other.stop();
    }
  }
});

test('module: nobody passes for others who is not trusted', async () => {
  const port = await freePort();
  const other = await Daemon.start({ plain: false, origin: 'https://app.example', listener: `  - address: 127.0.0.1:${port}\n    dialect: module\n    trusted: [192.0.2.200/32]\n` });
  try {
    const made = await other.ask('POST', '/v1/sessions', { user: 'mara' });
    const res = await ask({ ...dialects.module, port }, { cookie: made.json().set_cookie.split(';')[0] });
    assert.equal(res.status, 403); /* its word for https counts for nothing */
    assert.equal(res.json().error.code, 'https_required');
  } finally {
    await other.stop();
  }
});

test('envoy: demands come in X-Auth-Require, once and understood whole', async () => {
  const require = (value) => ask(dialects.envoy, { cookie, 'x-auth-require': value }).then((res) => res.status);
  assert.equal(await require('role=admin&max_age=300'), 200);
  assert.equal(await require('role=owner'), 403);
  assert.equal(await ask(dialects.envoy, { 'x-auth-require': 'optional=yes' }).then((res) => res.status), 200);
  assert.equal(await ask(dialects.envoy, { 'x-auth-require': 'optional=no' }).then((res) => res.status), 401);
  for (const bad of ['', 'role=', 'rolle=admin', 'optional=perhaps', 'role=admin&role=staff', '%zz', `role=${'a'.repeat(600)}`, ['role=admin', 'role=admin']])
    assert.equal(await require(bad), bad === '' ? 200 : 400, `${bad}`);
});

test('FA-7: cookies=yes tells all cookies but ours, on the first question and from the node table', async () => {
  const bare = cookie.slice('__Host-id='.length);
  const layouts = [
    [[cookie], undefined], [[`a=1; ${cookie}; b="2 3"`], 'a=1; b="2 3"'], [[`${cookie}; __Host-id-pre=x; __Host-id-device=y`], undefined], [[`a=1;${cookie};b=2`], 'a=1;b=2'],
    [[`x__Host-id=1; ${cookie}; __Host-id2=${bare}`], `x__Host-id=1; __Host-id2=${bare}`], [[`a=1; ${cookie}`, 'b=2'], 'a=1; b=2'], [[cookie, 'b=2'], 'b=2'], [['a=1', cookie], 'a=1'],
  ];
  for (const [lines, expected] of layouts)
    for (const [name, headers] of [['forwarded', {}], ['envoy', { 'x-auth-require': 'cookies=yes' }], ['nginx', {}]])
      for (const round of [1, 2]) {
        const res = await ask(dialects[name], { cookie: lines, ...headers }, 'GET', name === 'envoy' ? '' : '?cookies=yes');
        assert.equal(res.status, 200, `${name} ${lines}`);
        assert.equal(res.headers.cookie, expected, `${name} ${round}`);
        assert.equal(res.headers['x-envoy-auth-headers-to-remove'], name === 'envoy' && expected === undefined ? 'cookie' : undefined);
      }
  const anonymous = await ask(dialects.forwarded, { cookie: '__Host-id=stale; a=1' }, 'GET', '?optional=yes&cookies=yes');
  assert.deepEqual([anonymous.status, anonymous.headers.cookie], [200, 'a=1']);
  const refused = await ask(dialects.forwarded, { cookie: 'a=1' }, 'GET', '?cookies=yes');
  assert.deepEqual([refused.status, refused.headers.cookie], [401, undefined]);
  const large = await ask(dialects.forwarded, { cookie: `a=${'x'.repeat(9000)}` }, 'GET', '?optional=yes&cookies=yes');
  assert.deepEqual([large.status, large.headers.cookie], [500, undefined]);
});

test('FA-7: a page that asks /auth/verify by itself is told no cookies', async () => {
  const { port } = dialects.forwarded;
  const res = await request({ host: '127.0.0.1', port, path: '/auth/verify?cookies=yes', headers: { host: 'app.example', 'x-forwarded-proto': 'https', cookie: `${cookie}; a=1` } });
  assert.deepEqual([res.status, res.headers.cookie], [400, undefined]);
  const envoy = await ask(dialects.envoy, { cookie: `${cookie}; a=1` }, 'GET', '&cookies=yes');
  assert.deepEqual([envoy.status, envoy.headers.cookie], [200, undefined]);
  const direct = await ask({ ...dialects.envoy, path: '/auth/verify?cookies=yes' }, { cookie: `${cookie}; a=1`, 'x-auth-require': 'cookies=yes' });
  assert.deepEqual([direct.status, direct.headers.cookie], [400, undefined]);
  const other = await request({ host: '127.0.0.1', port, path: '/auth/verify/x', headers: { host: 'app.example', 'x-forwarded-proto': 'https', cookie: `${cookie}; a=1`, 'x-auth-require': 'cookies=yes' } });
  assert.deepEqual([other.status, other.headers.cookie], [400, undefined]);
});

test('FA-10: envoy: an assertion is for the filter, not for a page that asks about itself', async () => {
  const told = await ask(dialects.envoy, { cookie, 'x-auth-require': 'assertion=orders' });
  assert.equal(told.status, 200);
  assert.equal(told.headers['x-auth-assertion'].split('.').length, 3);
  const page = await ask({ ...dialects.envoy, path: '/auth/verify?assertion=orders' }, { cookie });
  assert.deepEqual([page.status, page.headers['x-auth-assertion']], [400, undefined]);
});
