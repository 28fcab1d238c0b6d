// SPDX-License-Identifier: Apache-2.0
// The walk of a newcomer in Chromium, through stock nginx: sign in, the application, my devices, out.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Gateway } from './gateway.mjs';
import { build, password } from './lib.mjs';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
const shots = path.join(build, 'screenshots');
let g;
let browser;

before(async () => {
  mkdirSync(shots, { recursive: true });
  g = await Gateway.start({ config: 'pages:\n  name: Example\n' });
  await g.daemon.addUser('mara');
  browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(async () => {
  await browser?.close();
  await g?.stop();
});

/** A visitor: a context of its own, without JavaScript unless asked for. */
async function visitor(options = {}) {
  const context = await browser.newContext({ javaScriptEnabled: false, ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') page.problems.push(message.text());
  });
  return page;
}

async function signIn(page, target = '/') {
  await page.goto(g.origin + target);
  await page.getByLabel('User name').fill('mara');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });

test('the walk: application, sign-in page, application, my devices, signed out; no JavaScript', async () => {
  const page = await visitor();
  await page.goto(`${g.origin}/reports?year=2026`);
  assert.match(page.url(), /\/auth\/login\?return=/);
  assert.equal(await page.title(), 'Sign in · Example');
  await shot(page, 'login');
  await page.getByLabel('User name').fill('mara');
  await page.getByLabel('Password').fill('a wrong password 123');
  await page.getByRole('button', { name: 'Sign in' }).click();
  assert.match(await page.getByRole('alert').textContent(), /not right/);
  assert.equal(await page.getByLabel('User name').inputValue(), 'mara');
  await shot(page, 'login-refused');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  assert.equal(page.url(), `${g.origin}/reports?year=2026`);
  assert.equal(await page.locator('#user').textContent(), 'mara');
  await page.getByRole('link', { name: 'My account' }).click();
  await shot(page, 'account');
  await page.getByRole('link', { name: 'My devices' }).click();
  assert.equal(await page.getByRole('heading', { name: 'My devices' }).count(), 1);
  assert.match(await page.locator('li.current').textContent(), /Chrom.*This device/s);
  await shot(page, 'sessions');
  assert.deepEqual(await page.getByRole('button').allTextContents(), ['Sign out']); // one device, one way
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  assert.match(await page.getByRole('status').textContent(), /signed out/);
  await shot(page, 'signed-out');
  await page.goto(`${g.origin}/reports`);
  assert.match(page.url(), /\/auth\/login/);
  await page.context().close();
});

test('one device ends another; the list shows both', async () => {
  const phone = await visitor({ viewport: { width: 390, height: 800 }, userAgent:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1' });
  const desk = await visitor();
  await signIn(phone);
  await signIn(desk);
  await desk.goto(`${g.origin}/auth/sessions`);
  assert.equal(await desk.locator('.sessions > li').count(), 2);
  assert.equal(await desk.locator('li.current').getByRole('button').count(), 0);
  assert.deepEqual(await desk.locator('.actions').getByRole('button').allTextContents(), ['Sign out', 'Sign out everywhere']);
  const other = desk.locator('.sessions > li', { hasText: 'Safari' });
  await other.getByRole('button').click();
  assert.match(await desk.getByRole('status').textContent(), /was signed out/);
  assert.equal(await desk.locator('.sessions > li').count(), 1);
  await phone.goto(`${g.origin}/`);
  assert.match(phone.url(), /\/auth\/login/);
  await shot(phone, 'login-phone');
  await phone.context().close();
  await desk.context().close();
});

test('sign out everywhere ends every device', async () => {
  const a = await visitor();
  const b = await visitor();
  await signIn(a);
  await signIn(b);
  await a.goto(`${g.origin}/auth/`);
  await a.getByRole('button', { name: 'Sign out everywhere' }).click();
  assert.match(await a.getByRole('status').textContent(), /everywhere/);
  await b.goto(`${g.origin}/`);
  assert.match(b.url(), /\/auth\/login/);
  await a.context().close();
  await b.context().close();
});

test('change of password: asked for the current one, judged, other devices end, this one stays', async () => {
  const page = await visitor();
  const other = await visitor();
  await g.daemon.addUser('nora', []);
  for (const p of [page, other]) {
    await p.goto(`${g.origin}/`);
    await p.getByLabel('User name').fill('nora');
    await p.getByLabel('Password').fill(password);
    await p.getByRole('button', { name: 'Sign in' }).click();
  }
  await page.goto(`${g.origin}/auth/password`);
  await shot(page, 'password');
  await page.getByLabel('Current password').fill(password);
  await page.getByLabel('New password').fill('passwordpassword');
  await page.getByRole('button', { name: 'Change password' }).click();
  assert.match(await page.getByRole('alert').textContent(), /most common/);
  await page.getByLabel('Current password').fill(password);
  await page.getByLabel('New password').fill('orbit lantern fig 77');
  await page.getByRole('button', { name: 'Change password' }).click();
  assert.match(await page.getByRole('status').textContent(), /was changed/);
  await other.goto(`${g.origin}/`);
  assert.match(other.url(), /\/auth\/login/);
  await page.goto(`${g.origin}/`);
  assert.equal(await page.locator('#user').textContent(), 'nora');
  await page.context().close();
  await other.context().close();
});

test('CK-6: signing out removes the cookie from the browser', async () => {
  const page = await visitor();
  await signIn(page);
  const names = async () => (await page.context().cookies()).map((c) => c.name);
  assert.ok((await names()).includes('id'));
  await page.goto(`${g.origin}/auth/`);
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  assert.equal((await names()).includes('id'), false);
  await page.context().close();
});

test('CS-6: a sign-in form that another site submits signs nobody in', async () => {
  const evil = http.createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/html' });
    res.end(`<form method="post" action="${g.origin}/auth/login"><input name="user" value="mara">` +
      `<input name="password" value="${password}"><input name="csrf" value="x"><button>go</button></form>`);
  });
  await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
  const page = await visitor();
  await page.goto(`http://127.0.0.1:${evil.address().port}/`);
  const answered = page.waitForResponse((r) => r.url().endsWith('/auth/login'));
  await page.getByRole('button').click();
  const response = await answered;
  assert.equal(response.status(), 403);
  assert.equal((await page.context().cookies(g.origin)).some((c) => c.name === 'id'), false);
  await page.context().close();
  evil.closeAllConnections?.();
  await new Promise((resolve) => evil.close(resolve));
});

test('the whole walk works with the keyboard alone', async () => {
  const page = await visitor();
  await page.goto(`${g.origin}/`);
  await page.locator('#user:focus').waitFor();
  await page.keyboard.type('mara');
  await page.keyboard.press('Tab');
  await page.keyboard.type(password);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${g.origin}/`);
  assert.equal(await page.locator('#user').textContent(), 'mara');
  await page.context().close();
});

test('pages: each field has a label, one main heading, a language; nothing breaks the strict policy', async () => {
  const page = await visitor({ javaScriptEnabled: true });
  const check = async (name) => {
    const faults = await page.evaluate(() => {
      const found = [];
      for (const input of document.querySelectorAll('input:not([type=hidden]):not([hidden])'))
        if (!input.labels?.length) found.push(`no label: ${input.name}`);
      for (const button of document.querySelectorAll('button'))
        if (!button.textContent.trim()) found.push('empty button');
      if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
      if (!document.documentElement.lang) found.push('no language');
      if (!document.querySelector('main')) found.push('no main');
      if (document.documentElement.scrollWidth > window.innerWidth) found.push('scrolls sideways');
      const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
      if (new Set(ids).size !== ids.length) found.push('id twice');
      return found;
    });
    assert.deepEqual(faults, [], name);
  };
  for (const width of [320, 1200]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${g.origin}/auth/login`);
    await check('login');
    await signIn(page);
    for (const name of ['', 'sessions', 'password', 'reauth']) {
      await page.goto(`${g.origin}/auth/${name}`);
      await check(name);
      if (width === 320) await shot(page, `narrow-${name || 'account'}`);
    }
    await page.context().clearCookies();
  }
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test('dark mode is drawn for those who ask for it', async () => {
  const page = await visitor({ colorScheme: 'dark', javaScriptEnabled: true });
  await page.goto(`${g.origin}/auth/login`);
  const color = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(color, 'rgb(20, 24, 23)');
  await shot(page, 'login-dark');
  await page.context().close();
});
