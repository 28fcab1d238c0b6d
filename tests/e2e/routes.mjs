// SPDX-License-Identifier: Apache-2.0
// What tests of the daemon's own routes share: a daemon as it runs behind a TLS proxy, sessions
// made without a password, counters, the table of routes as the source has it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Daemon, Jar, binary, raw, root, until } from './lib.mjs';

export const trusted = '    dialect: forwarded\n    trusted: [127.0.0.1/32]\n';

/** A daemon behind a proxy that has terminated TLS: secure cookies, origin https://app.example. */
export class Proxied extends Daemon {
  constructor(options = {}) {
    super({ plain: false, origin: 'https://app.example', listener: trusted, ...options });
  }
  get(target, options = {}, body) {
    const headers = { 'x-forwarded-proto': 'https', ...(options.headers ?? {}) };
    return super.get(target, { ...options, headers }, body);
  }
}

/** How often something has been tried again: what it did before is open, and tests that count say so. */
export const patience = { spent: 0 };

/** The answer of what may be tried again: a slow disk gives 503, which is no answer. */
export function patient(attempt) {
  return until('another answer than 503', async () => {
    const res = await attempt();
    if (res.status !== 503) return res;
    patience.spent++;
    return null;
  });
}

/** A session made by the admin interface: {jar, token, handle, json}. */
export async function plant(d, fields = {}) {
  const res = await patient(() => d.ask('POST', '/v1/sessions', { user: 'mara', roles: ['admin'], ...fields }));
  assert.equal(res.status, 201, res.body);
  const jar = new Jar();
  jar.take({ cookies: [res.json().set_cookie] });
  return { jar, token: jar.map.get(d.cookie), handle: res.json().handle, json: res.json() };
}

export function jarOf(d, ...values) {
  const jar = new Jar();
  jar.header = () => ({ cookie: values.map((v) => `${d.cookie}=${v}`).join('; ') });
  return jar;
}

export const status = async (d, jar, target = '/auth/verify') => (await d.get(target, { jar })).status;

/** A well-formed token that nobody has issued. */
export const strangeToken = () => randomBytes(40).toString('base64url');

/** Built with a sanitizer: memory and signals are not what they are in a release. */
export const sanitized = ['__asan_init', '__tsan_init', '__msan_init'].some((name) => readFileSync(binary).includes(name));

/** Prometheus samples: 'name{labels}' to number. */
export async function metrics(d) {
  const res = await d.ask('GET', '/metrics');
  assert.equal(res.status, 200);
  return new Map(res.body.split('\n').filter((l) => l && !l.startsWith('#')).map((l) => {
    const at = l.lastIndexOf(' ');
    return [l.slice(0, at), Number(l.slice(at + 1))];
  }));
}

/** Operations the store has done for requests; housekeeping's are left out. */
export async function storeOps(d, only) {
  let sum = 0;
  for (const [name, value] of await metrics(d)) {
    const op = /^coatcheck_store_operations_total\{op="(\w+)"\}$/.exec(name)?.[1];
    if (op && op !== 'sweep' && op !== 'scan' && (only === undefined || only.includes(op))) sum += value;
  }
  return sum;
}

/** Rows {method, path, flags} of src/server/routes/routes.c. */
export function publicRoutes() {
  const text = readFileSync(path.join(root, 'src/server/routes/routes.c'), 'utf8');
  const table = text.slice(text.indexOf('coat_routes[] = {'));
  const rows = [];
  for (const m of table.matchAll(/\{COAT_HTTP_(\w+), "([^"]+)",\s*([^,]+),\s*\w+\}/g))
    rows.push({ method: m[1], path: m[2], flags: m[3] });
  for (const m of table.matchAll(/ENVOY\(COAT_HTTP_(\w+)\)/g))
    rows.push({ method: m[1], path: '/verify/*', flags: 'VERIFY_ALL' });
  for (const m of table.matchAll(/PREFLIGHT\("([^"]+)"\)/g))
    rows.push({ method: 'OPTIONS', path: m[1], flags: 'COAT_ROUTE_PREFLIGHT' });
  return rows;
}

/** A pattern as a request would name it. */
export const concrete = (pattern, handle = 'AAAAAAAAAAAAAAAAAAAAAA') =>
  `/auth${pattern}`.replace('{handle}', handle).replace('{name}', 'style.css').replace('*', 'app/page?x=1');

/** All sessions and accounts, without what activity changes. */
export async function stored(d) {
  const sessions = (await d.ask('GET', '/v1/sessions?limit=1000')).json().sessions;
  const accounts = (await d.ask('GET', '/v1/accounts?limit=1000')).json().accounts;
  for (const s of sessions) for (const key of ['seen_ms', 'ends_ms', 'agent', 'user_agent', 'address', 'language']) delete s[key];
  return JSON.stringify({ sessions, accounts });
}

/**
 * Raw bytes; resolves to the first response as {status, fields: [[name, value]...], body}. Where the other
 * side is asked to close, its end is waited for, however busy the machine is.
 */
export async function rawRequest(port, bytes) {
  const { text, closed } = await raw(port, bytes, bytes.includes('Connection: close') ? 20000 : 300);
  const at = text.indexOf('\r\n\r\n');
  const lines = text.slice(0, at).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(lines[0])?.[1] ?? 0);
  const fields = lines.slice(1).map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 2)]);
  return { status, fields, body: text.slice(at + 4), text, closed };
}
