// SPDX-License-Identifier: Apache-2.0
// examples/spa in Chromium: a page at https://spa.example.com whose API (examples/api) is behind the nginx module at
// https://app.example.com, over TLS and with the example's own configurations.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Verifier } from '../../examples/api/assertion.mjs';
import { Daemon, build, freePort, password, root, until } from './lib.mjs';
import { Clock, Nginx, clockPath, missing, sanitized } from './module/nginx.mjs';
import { plant } from './routes.mjs';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
const shots = path.join(build, 'screenshots');
const app = 'https://app.example.com', spa = 'https://spa.example.com';
/** Of another site, and of the same one: to this one's requests the browser adds the cookie. */
const strangers = ['https://evil.example', 'https://other.example.com'];
const example = (name) => readFileSync(path.join(root, 'examples/spa', name), 'utf8');

/** The text with other places in it; each of them must be there. */
function swap(text, places) {
  for (const [from, to] of places) {
    assert.ok(text.includes(from), `the example has no ${from} any more`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Stands before the API and notes what arrives. */
class Tap {
  static async start(port) {
    const tap = new Tap();
    tap.seen = [];
    tap.server = http.createServer((req, res) => {
      tap.seen.push({ method: req.method, url: req.url, headers: req.headers });
      const onward = http.request({ host: '127.0.0.1', port, method: req.method, path: req.url, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(res);
      });
      onward.on('error', () => res.destroy());
      req.pipe(onward);
    });
    await new Promise((resolve) => tap.server.listen(0, '127.0.0.1', resolve));
    tap.port = tap.server.address().port;
    return tap;
  }
  calls() {
    return this.seen.map(({ method, url }) => `${method} ${url}`);
  }
  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

class Site {
  static async start() {
    const site = new Site();
    site.dir = mkdtempSync(path.join(tmpdir(), 'coat-spa-'));
    site.port = await freePort();
    // A clock of ours and a sanitizer's library cannot both be first: what needs a later time is skipped then.
    site.clock = sanitized ? undefined : new Clock(site.dir);
    site.env = site.clock ? { LD_PRELOAD: clockPath, COAT_TEST_CLOCK: site.clock.file } : {};
    await site.startDaemon();
    await site.startApi();
    site.certificate();
    const page = strangers.map((origin) => `server {
        listen 127.0.0.1:${site.port} ssl; server_name ${new URL(origin).host};
        ssl_certificate ${site.dir}/tls.crt; ssl_certificate_key ${site.dir}/tls.key;
        location / { default_type text/html; return 200 '<!doctype html><title>Stranger</title><link rel="icon" href="data:,">'; } }\n`).join('');
    const run = [['unix:/run/coatcheck', `unix:${site.dir}/run`]];
    writeFileSync(`${site.dir}/pages.conf`, swap(readFileSync(path.join(root, 'packaging/nginx/pages.conf'), 'utf8'), run));
    const text = swap(example('nginx.conf'), [
      ['listen 443 ssl', `listen 127.0.0.1:${site.port} ssl`], ['/etc/ssl/example.com', `${site.dir}/tls`],
      ['/usr/share/coatcheck/nginx/pages.conf', `${site.dir}/pages.conf`], ['127.0.0.1:8082', `127.0.0.1:${site.tap.port}`],
      ['/srv/spa', path.join(root, 'examples/spa')],
    ]);
    const nginx = `coatcheck_table ${site.dir}/run/table;\ncoatcheck_daemon unix:${site.dir}/run/gate.sock;\n` +
      `default_type application/octet-stream;\ntypes { text/html html; text/css css; text/javascript js; }\n${text}\n${page}`;
    site.nginx = await Nginx.start(path.join(site.dir, 'nginx'), nginx, { clock: site.clock });
    return site;
  }

  async startDaemon() {
    const daemon = new Daemon({
      dir: this.dir, plain: false, env: this.env,
      yaml: (d) => swap(example('coatcheck.yaml'), [
        ['unix:/run/coatcheck', `unix:${d.dir}/run`], ['listeners:\n', `listeners:\n  - address: 127.0.0.1:${d.port}\n`],
        ['    group: www-data\n', ''], ['table:\n  group: www-data\n', ''],
      ]) + `data:\n  directory: ${d.dir}/data\nruntime:\n  directory: ${d.dir}/run\nserver:\n  allow-root: true\n  threads: 2\n` +
        `log:\n  target: file:${d.log}\n  format: json\npages:\n  name: Example\nthrottle:\n  attempts-per-minute: 1000\n`,
    });
    await daemon.prepare();
    await daemon.up();
    await daemon.addUser('mara', ['clerk']);
    await daemon.addUser('noor', []);
    this.daemon = daemon;
    this.jwks = `http://127.0.0.1:${daemon.port}/auth/jwks.json`;
    this.verifier = new Verifier({ issuer: app, audience: 'orders-api', jwks: this.jwks, now: () => this.clock?.now() ?? Date.now() });
  }

  async startApi() {
    this.api = spawn(process.execPath, [path.join(root, 'examples/api/server.mjs')], {
      env: { PATH: process.env.PATH, ...this.env, PORT: '0', ISSUER: app, AUDIENCE: 'orders-api', JWKS: this.jwks },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.apiLog = '';
    this.api.stderr.on('data', (data) => (this.apiLog += data));
    this.apiEnded = new Promise((resolve) => this.api.on('exit', resolve));
    this.tap = await Tap.start(await until('the API listens', () => /"listening":(\d+)/.exec(this.apiLog)?.[1], 60000));
  }

  certificate() {
    const names = [app, spa, ...strangers].map((origin) => `DNS:${new URL(origin).host}`).join();
    const res = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30',
      '-subj', '/CN=example.com', '-addext', `subjectAltName=${names}`, '-keyout', `${this.dir}/tls.key`, '-out', `${this.dir}/tls.crt`], { encoding: 'utf8' });
    assert.equal(res.status, 0, res.stderr);
  }

  async sessions(user = 'mara') {
    return (await this.daemon.ask('GET', `/v1/users/${user}/sessions`)).json().sessions;
  }

  /** By an administrator, or from another device. */
  async endSessions(user = 'mara') {
    for (const { handle } of await this.sessions(user)) assert.equal((await this.daemon.ask('POST', `/v1/sessions/${handle}/end`)).status, 204);
  }

  async stop() {
    try {
      await this.nginx?.stop();
    } finally {
      this.api?.kill('SIGTERM');
      await this.apiEnded;
      await this.tap?.stop();
      await this.daemon?.stop();
      rmSync(this.dir, { recursive: true, force: true });
    }
  }
}

describe('a single-page application at another origin', { skip: missing }, () => {
  let site, browser;
  const timed = { skip: sanitized && 'a clock of ours beside a sanitizer' };
  before(async () => {
    mkdirSync(shots, { recursive: true });
    site = await Site.start();
    browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP * 127.0.0.1:${site.port}`],
    });
  });
  after(async () => {
    await browser?.close();
    await site?.stop();
  });

  let pages = [];
  /** A visitor: a context of its own. page.problems: what stands in the console. */
  async function visitor(options = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    context.setDefaultTimeout(60000);
    const page = await context.newPage();
    page.problems = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.problems.push(`${message.text()} ${message.location().url}`));
    page.on('pageerror', (error) => page.problems.push(String(error)));
    pages.push(page);
    return page;
  }
  /* Refused requests stand in the console of each browser; all else is a fault. A test that expects more takes it out. */
  afterEach(async () => {
    const problems = pages.flatMap((page) => page.problems).filter((text) => !/^Failed to load resource: the server responded with a status of (401|403|503)/.test(text));
    await Promise.all(pages.map((page) => page.context().close()));
    pages = [];
    site.tap.seen = [];
    assert.deepEqual(problems, []);
  });

  const shot = (page, name) => page.screenshot({ path: path.join(shots, `spa-${name}.png`), fullPage: true });
  const notice = (page) => page.getByRole('status');
  const entries = (page) => page.locator('#orders').evaluate((list) => [...list.children].map((entry) => entry.firstChild.data));
  const loaded = (page) => page.getByRole('button', { name: 'Sign out' }).waitFor();

  async function enter(page, user = 'mara') {
    await page.getByLabel('User name').fill(user);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
  /** Signed in by the page and at the application. */
  async function signedIn(user = 'mara', options = {}) {
    const page = await visitor(options);
    await page.goto(`${spa}/`);
    await page.waitForURL(`${app}/auth/login?**`);
    await enter(page, user);
    await loaded(page);
    return page;
  }

  test('the walk: sign-in page, back at the very address, data, a change, signed out', async () => {
    const page = await visitor();
    await page.goto(`${spa}/today?from=mail#part`);
    await page.waitForURL(`${app}/auth/login?**`);
    assert.equal(new URL(page.url()).searchParams.get('return'), `${spa}/today?from=mail`);
    assert.deepEqual(site.tap.calls(), []);
    await enter(page);
    await loaded(page);
    assert.equal(page.url(), `${spa}/today?from=mail`);
    assert.equal(await page.locator('#user').textContent(), 'mara');
    await page.getByText('at the latest').waitFor();
    const before = await entries(page);
    assert.ok(before.includes('umbrella'));
    assert.ok(!before.includes('scarf'));

    await page.getByLabel('What would you like?').fill('top hat <b>');
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: top hat <b>.').waitFor();
    assert.deepEqual(await entries(page), [...before, 'top hat <b>']);
    assert.equal(await page.getByLabel('What would you like?').inputValue(), '');
    await page.reload();
    await loaded(page);
    assert.deepEqual(await entries(page), [...before, 'top hat <b>']);

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    assert.equal((await page.content()).includes('mara'), false);
    assert.deepEqual((await page.context().cookies()).map(({ name }) => name).filter((name) => name === '__Host-id'), []);
    assert.equal(await page.evaluate((url) => fetch(url, { credentials: 'include' }).then((res) => res.status), `${app}/api/me`), 401);
    await page.reload();
    await page.waitForURL(`${app}/auth/login?**`);
  });

  test('FA-7 FA-10: the API gets a signed assertion and no cookie; no script gets either', async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('gloves');
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: gloves.').waitFor();
    assert.deepEqual(site.tap.calls().sort(), ['GET /api/me', 'GET /api/orders', 'POST /api/orders']); // and no preflight
    for (const { headers } of site.tap.seen) {
      const who = await site.verifier.verify(headers['x-auth-assertion']);
      assert.deepEqual([who.user, who.roles], ['mara', ['clerk']]);
      assert.equal(headers.cookie, undefined);
      assert.equal(headers.authorization, undefined);
    }
    const [cookie] = (await page.context().cookies(app)).filter(({ name }) => name === '__Host-id');
    assert.deepEqual([cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.domain], [true, true, 'Lax', 'app.example.com']);
    const readable = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML]));
    assert.ok(!readable.includes(cookie.value) && !readable.includes('eyJ'));
    const names = await page.evaluate((url) => fetch(url, { credentials: 'include' }).then((res) => [...res.headers.keys()]), `${app}/api/me`);
    assert.deepEqual(names.filter((name) => /cookie|assertion/.test(name)), []);
  });

  test('FA-3 FA-4 FA-10: examples/api behind the module: who is signed in gets there, nobody else, whatever they send', async () => {
    const page = await visitor();
    await page.goto(`${app}/api/me`);
    assert.match(page.url(), /\/auth\/login\?return=%2Fapi%2Fme$/);
    await page.setExtraHTTPHeaders({ 'x-auth-user': 'mara', 'x-auth-assertion': 'a.b.c' });
    await page.goto(`${app}/api/me`);
    assert.deepEqual(site.tap.calls(), []);
    await page.setExtraHTTPHeaders({});
    await enter(page, 'noor');
    await page.waitForURL(`${app}/api/me`);
    assert.equal(JSON.parse(await page.locator('body').textContent()).user, 'noor');
    const other = await signedIn();
    const stolen = site.tap.seen.find(({ headers }) => headers.referer?.startsWith(spa)).headers['x-auth-assertion'];
    assert.equal((await site.verifier.verify(stolen)).user, 'mara');
    await page.setExtraHTTPHeaders({ 'x-auth-assertion': stolen, x_auth_assertion: stolen });
    await page.goto(`${app}/api/me`);
    assert.equal(JSON.parse(await page.locator('body').textContent()).user, 'noor');
    assert.equal((await site.verifier.verify(site.tap.seen.at(-1).headers['x-auth-assertion'])).user, 'noor');
    assert.equal((await page.goto(`${app}/api/orders/all`)).status(), 403); // the API's own: no role
    await other.close();
    page.problems = page.problems.filter((text) => !text.endsWith('/favicon.ico')); // of a page of JSON
  });

  /** What a script at this page gets: a status, or the name of the error. */
  const attempt = (page, target, options = {}) =>
    page.evaluate(([url, o]) => fetch(url, { credentials: 'include', ...o }).then((res) => res.type === 'opaque' ? 'opaque' : res.status, (e) => e.name), [target, options]);

  test('CO-1 CO-3: a page of a third origin can read nothing and change nothing, and the API is not reached', async () => {
    const page = await signedIn();
    const before = await entries(page);
    const handles = (await site.sessions()).map(({ handle }) => handle).sort();
    site.tap.seen = [];
    const json = { 'content-type': 'application/json' }, body = JSON.stringify({ item: 'theft' });
    for (const origin of strangers) {
      const stranger = await page.context().newPage();
      await stranger.goto(`${origin}/`);
      for (const target of ['/api/me', '/api/orders', '/auth/session', '/auth/csrf'])
        assert.equal(await attempt(stranger, `${app}${target}`), 'TypeError', `${origin} ${target}`);
      for (const options of [{ method: 'POST', headers: json, body }, { method: 'POST', headers: { 'content-type': 'text/plain' }, body }, { method: 'POST' }, { method: 'DELETE' }]) {
        for (const target of ['/api/orders', '/api/orders/cancel', '/auth/logout', '/auth/logout-all'])
          assert.equal(await attempt(stranger, `${app}${target}`, options), 'TypeError', `${origin} ${options.method} ${target}`);
      }
      /* Without CORS a page may send what a form could; it arrives at the gateway and no further. */
      assert.equal(await attempt(stranger, `${app}/api/orders`, { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body }), 'TypeError');
      const answered = stranger.waitForResponse((res) => res.url() === `${app}/api/orders`);
      await stranger.evaluate((action) => {
        document.body.innerHTML = `<form method="post" enctype="text/plain" action="${action}"><input name='{"item":"theft","x":"' value='"}'></form>`;
        document.forms[0].submit();
      }, `${app}/api/orders`);
      assert.equal((await answered).status(), 403);
      await stranger.close();
    }
    assert.deepEqual(site.tap.calls(), []);
    assert.ok(site.daemon.events('cors_refused').length > 0);
    assert.deepEqual((await site.sessions()).map(({ handle }) => handle).sort(), handles);
    await page.reload();
    await loaded(page);
    assert.deepEqual(await entries(page), before);
  });

  test('CO-1: what needs no CORS, an image or a script tag, reaches the API from the same site only, and is read by nobody', async () => {
    const page = await signedIn();
    site.tap.seen = [];
    for (const origin of strangers) {
      const stranger = await page.context().newPage();
      await stranger.goto(`${origin}/`);
      assert.match(String(await attempt(stranger, `${app}/api/orders`, { mode: 'no-cors' })), /^(TypeError|opaque)$/, origin);
      const loadable = await stranger.evaluate((src) => new Promise((resolve) => {
        const script = Object.assign(document.createElement('script'), { src, onload: () => resolve(true), onerror: () => resolve(false) });
        document.head.append(script);
      }), `${app}/api/orders`);
      assert.equal(loadable, false, origin);
      if (origin === strangers[0]) assert.deepEqual(site.tap.calls(), []); // SameSite=Lax
      await stranger.close();
    }
    assert.ok(site.tap.seen.length > 0 && site.tap.seen.every(({ method }) => method === 'GET')); // README: GET changes nothing
  });

  test('RV-1: a session that was ended elsewhere: the next click leads to the sign-in page, and nothing typed in is lost', async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('walking stick');
    await site.endSessions();
    site.tap.seen = [];
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('You are not signed in any more.').waitFor();
    assert.deepEqual(site.tap.calls(), []);
    assert.equal((await page.locator('body').innerText()).includes('mara'), false);
    assert.equal(await page.getByRole('list').count(), 0);
    await shot(page, 'ended');
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForURL(`${app}/auth/login?**`);
    await enter(page);
    await loaded(page);
    assert.equal(page.url(), `${spa}/`);
    assert.equal(await page.getByLabel('What would you like?').inputValue(), 'walking stick');
    assert.deepEqual(site.tap.calls().sort(), ['GET /api/me', 'GET /api/orders']); // nothing was sent by itself
  });

  test('what one person typed in is not for the next', async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('a secret wish');
    await site.endSessions();
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByRole('link', { name: 'Sign in' }).click();
    await enter(page, 'noor');
    await loaded(page);
    assert.equal(await page.locator('#user').textContent(), 'noor');
    assert.equal(await page.getByLabel('What would you like?').inputValue(), '');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });

  test('a sign-in that brings no session does not go round in circles', async () => {
    const page = await visitor();
    await page.goto(`${spa}/`);
    await page.waitForURL(`${app}/auth/login?**`);
    await page.waitForLoadState('networkidle'); /* its icon would count as the next page's, whose policy forbids it */
    await page.goto(`${spa}/`);
    await page.getByText('You are not signed in.').waitFor();
    assert.equal(page.url(), `${spa}/`);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await enter(page);
    await loaded(page);
  });

  test('a page that comes back from the history asks anew', async () => {
    const page = await signedIn();
    await site.endSessions();
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    await page.getByText('You are not signed in any more.').waitFor();
    assert.equal((await page.locator('body').innerText()).includes('mara'), false);
  });

  test('another user in another tab: the page shows who is signed in now when it is looked at again', async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('a secret wish');
    const tab = await page.context().newPage();
    await tab.goto(`${spa}/`);
    await tab.getByRole('button', { name: 'Sign out' }).click();
    await tab.getByRole('link', { name: 'Sign in' }).click();
    await enter(tab, 'noor');
    await loaded(tab);
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await page.locator('#user', { hasText: 'noor' }).waitFor();
    assert.ok((await entries(page)).includes('scarf'));
    assert.equal(await page.getByLabel('What would you like?').inputValue(), '');
  });

  test('step-up: the password once more, back again, and the button is pressed by the person', timed, async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('half a wor');
    await page.getByRole('button', { name: 'Cancel umbrella' }).click();
    await page.getByText('Cancelled: umbrella.').waitFor(); // signed in a moment ago
    await page.getByLabel('What would you like?').fill('cane');
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: cane.').waitFor();
    site.clock.forward(6 * 60000);
    await page.getByLabel('What would you like?').fill('half a wor');
    site.tap.seen = [];
    await page.getByRole('button', { name: 'Cancel cane' }).click();
    await page.waitForURL(`${app}/auth/reauth?**`);
    assert.deepEqual(site.tap.calls(), []);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Confirm' }).click();
    await loaded(page);
    assert.equal(page.url(), `${spa}/`);
    await page.getByText('Press the button once more').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Cancel cane');
    assert.equal(await page.getByLabel('What would you like?').inputValue(), 'half a wor');
    assert.deepEqual(site.tap.calls().sort(), ['GET /api/me', 'GET /api/orders']);
    await shot(page, 'step-up');
    await page.keyboard.press('Enter');
    await page.getByText('Cancelled: cane.').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'title');
    assert.equal((await entries(page)).includes('cane'), false);
  });

  test('LC-2: a session that idles out while the page is open: signed in again, and on with it', timed, async () => {
    const page = await signedIn();
    site.clock.forward(31 * 60000);
    await page.getByLabel('What would you like?').fill('spats');
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByRole('link', { name: 'Sign in' }).click();
    await enter(page);
    await loaded(page);
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: spats.').waitFor();
  });

  test('SF-1: while nobody can tell, the page says so; nobody is signed out, and it goes on by itself', async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('monocle');
    /* Another visitor, whose session the gateway has not met yet: it has to ask. */
    const { token } = await plant(site.daemon, { user: 'noor', roles: [] });
    const fresh = await visitor();
    await fresh.context().addCookies([{ name: '__Host-id', value: token, url: app, secure: true, httpOnly: true, sameSite: 'Lax' }]);
    await site.daemon.down();
    try {
      await fresh.goto(`${spa}/`);
      await fresh.getByText('That does not sign you out.').waitFor();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByText('It is not certain that you were signed out.').waitFor();
      await fresh.getByRole('button', { name: 'Try now' }).click();
      await fresh.getByText('That does not sign you out.').waitFor();
      await shot(fresh, 'unavailable');
      assert.equal((await fresh.context().cookies(app)).find(({ name }) => name === '__Host-id').value, token);
      for (const p of [page, fresh]) {
        assert.equal(p.url(), `${spa}/`);
        assert.equal(await p.getByText('not signed in').count(), 0);
      }
    } finally {
      await site.daemon.up();
    }
    await loaded(fresh);
    assert.equal(await fresh.locator('#user').textContent(), 'noor');
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: monocle.').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    /* Routes that nginx answers for a daemon that is away have no CORS fields: the browser says so. */
    for (const p of [page, fresh])
      p.problems = p.problems.filter((text) => !/blocked by CORS policy|net::ERR_FAILED|status of 502/.test(text));
  });

  test('SF-1: a change without an answer is not sent again by itself', timed, async () => {
    const page = await signedIn();
    await page.getByLabel('What would you like?').fill('cape');
    await site.daemon.down();
    try {
      site.clock.forward(60000); // the gateway's assertion is too old to be used on
      site.tap.seen = [];
      await page.getByRole('button', { name: 'Order' }).click();
      await page.getByText('That does not sign you out.').waitFor();
      assert.equal(await page.getByLabel('What would you like?').inputValue(), 'cape');
    } finally {
      await site.daemon.up();
    }
    await page.getByText('It works again.').waitFor();
    assert.equal((await entries(page)).includes('cape'), false);
    assert.equal(await page.getByLabel('What would you like?').inputValue(), 'cape');
    assert.deepEqual(site.tap.calls().filter((call) => call.startsWith('POST')), []);
    await page.getByRole('button', { name: 'Order' }).click();
    await page.getByText('Ordered: cape.').waitFor();
  });

  test('the whole walk works with the keyboard alone', async () => {
    const page = await visitor();
    await page.goto(`${spa}/`);
    await page.waitForURL(`${app}/auth/login?**`);
    await page.locator('input:focus').waitFor(); /* the page has put the cursor there */
    await page.keyboard.type('noor');
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await loaded(page);
    const to = async (name) => {
      for (let i = 0; i < 30; i += 1) {
        await page.keyboard.press('Tab');
        if (await page.evaluate((n) => [document.activeElement.textContent, document.activeElement.id, document.activeElement.getAttribute('aria-label')].includes(n), name)) return;
      }
      assert.fail(`the keyboard does not get to ${name}`);
    };
    await to('item');
    await page.keyboard.type('muff');
    await page.keyboard.press('Enter');
    await page.getByText('Ordered: muff.').waitFor();
    await to('Cancel muff');
    await page.keyboard.press('Space');
    await page.getByText('Cancelled: muff.').waitFor();
    await to('Sign out');
    await page.keyboard.press('Enter');
    await page.getByText('You are signed out.').waitFor();
    await to('Sign in');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${app}/auth/login?**`);
  });

  test('phone and desk, light and dark: labels, headings, colours that can be read, nothing wider than the screen', async () => {
    for (const [width, colorScheme] of [[320, 'light'], [390, 'dark'], [1200, 'light'], [1200, 'dark']]) {
      const page = await signedIn('mara', { viewport: { width, height: 800 }, colorScheme });
      await page.getByLabel('What would you like?').fill('opera glasses '.repeat(4).trim());
      await page.getByRole('button', { name: 'Order' }).click();
      await page.getByText('Ordered: opera').waitFor();
      await page.getByText('at the latest').waitFor();
      const name = `${width}-${colorScheme}`;
      assert.deepEqual(await page.evaluate(faults), [], name);
      await shot(page, name);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('link', { name: 'Sign in' }).waitFor();
      assert.deepEqual(await page.evaluate(faults), [], name);
      await shot(page, `${name}-out`);
    }
  });
});

/** In the page: what a person could not see, read or hit. */
function faults() {
  const found = [];
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const color = getComputedStyle(e).backgroundColor;
    return color === 'rgba(0, 0, 0, 0)' && e.parentElement ? behind(e.parentElement) : color;
  };
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`contrast of ${e.textContent}`);
  }
  for (const input of document.querySelectorAll('input')) if (!input.labels.length) found.push(`no label: ${input.name}`);
  for (const e of document.querySelectorAll('button, input, a'))
    if (e.checkVisibility() && (e.getBoundingClientRect().height < 24 || e.getBoundingClientRect().height > 48)) found.push(`too small to hit, or broken: ${e.textContent}`);
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (!document.documentElement.lang) found.push('no language');
  if (document.documentElement.scrollWidth > innerWidth) found.push('scrolls sideways');
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size !== ids.length) found.push('an id twice');
  return found;
}
