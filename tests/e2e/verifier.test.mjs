// SPDX-License-Identifier: Apache-2.0
// The verifier of examples/api against whatever is not an assertion (FA-10), and its key set against rotation,
// rubbish and outages. Keys and clock are this file's own; assertion.test.mjs has those of a daemon.
import assert from 'node:assert/strict';
import { createHash, createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { KeySet, Refused, Verifier, limits, readKeySet } from '../../examples/api/assertion.mjs';

const issuer = 'https://app.example';
const audience = 'orders-api';
const address = `${issuer}/auth/jwks.json`;
const start = 1_700_000_000;
const b64 = (value) => Buffer.from(value).toString('base64url');

function newKey(type = 'ed25519') {
  const pair = generateKeyPairSync(type);
  const { x } = pair.publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x })).digest('base64url');
  return { ...pair, kid, x, jwk: { crv: 'Ed25519', kty: 'OKP', x, use: 'sig', alg: 'EdDSA', kid } };
}

const key = newKey();
const goodHeader = { alg: 'EdDSA', typ: 'coatcheck+jwt', kid: key.kid };
const goodClaims = { iss: issuer, aud: audience, sub: 'mara', iat: start, exp: start + 60, auth_time: start - 9, amr: ['pwd'], roles: ['clerk'], sid: '0021f1dd68cb19b3' };
const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

/** An assertion; header and claims may be given as JSON text. */
function make(header = goodHeader, claims = goodClaims, signer = (input) => sign(null, input, key.privateKey)) {
  const input = `${b64(text(header))}.${b64(text(claims))}`;
  return `${input}.${signer(Buffer.from(input)).toString('base64url')}`;
}

/** A server of key sets: what it answers is `keys`, or `answer()`; `asked` counts. */
function keyServer(...keys) {
  const server = { keys, asked: 0, now: start * 1000, answer: null, seen: null };
  server.fetch = async (url, options) => {
    server.asked += 1;
    server.seen = { url: String(url), ...options };
    if (server.answer) return server.answer();
    return new Response(JSON.stringify({ keys: server.keys.map((k) => k.jwk) }));
  };
  server.verifier = (options = {}) =>
    new Verifier({ issuer, audience, jwks: address, fetch: server.fetch, now: () => server.now, ...options });
  return server;
}

async function refused(promise, code, status = 401) {
  const error = await promise.then((who) => assert.fail(`accepted: ${JSON.stringify(who)}`), (e) => e);
  assert.ok(error instanceof Refused, error.stack);
  assert.deepEqual([error.code, error.status], [code, status]);
}

const verify = (assertion, at = start) => {
  const server = keyServer(key);
  server.now = at * 1000 + 999;
  return server.verifier().verify(assertion);
};

test('FA-10: what coatcheck signs is accepted, and says who it is', async () => {
  assert.deepEqual(await verify(make()), { user: 'mara', roles: ['clerk'], methods: ['pwd'], authTime: start - 9, session: '0021f1dd68cb19b3', expires: start + 60 });
  const { auth_time: gone, ...without } = goodClaims;
  assert.equal((await verify(make(goodHeader, without))).authTime, undefined);
  assert.equal((await verify(make(goodHeader, { ...goodClaims, later: 'an addition' }))).user, 'mara');
});

const x = Buffer.from(key.x, 'base64url');
const pem = key.publicKey.export({ format: 'pem', type: 'spki' });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p1363 = (k) => (input) => sign('sha256', input, { key: k, dsaEncoding: 'ieee-p1363' });
const hmac = (hash, secret) => (input) => createHmac(hash, secret).update(input).digest();
const header = (more) => ({ ...goodHeader, ...more });

/** Ed25519 signatures have a second form, S + L, that RFC 8032 forbids. */
function otherForm(input) {
  const signature = sign(null, input, key.privateKey);
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  let s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order;
  for (let i = 32; i < 64; i += 1, s >>= 8n) signature[i] = Number(s & 255n);
  return signature;
}

const vectors = [
  ['no signature, alg none', make(header({ alg: 'none' }), goodClaims, () => Buffer.alloc(0)), 'malformed'],
  ['alg none with a signature', make(header({ alg: 'none' })), 'algorithm'],
  ['alg None', make(header({ alg: 'None' })), 'algorithm'],
  ['HS256 with the public key', make(header({ alg: 'HS256' }), goodClaims, hmac('sha256', x)), 'malformed'],
  ['HS512 with the public key', make(header({ alg: 'HS512' }), goodClaims, hmac('sha512', x)), 'algorithm'],
  ['HS512 with the public key as PEM', make(header({ alg: 'HS512' }), goodClaims, hmac('sha512', pem)), 'algorithm'],
  ['HMAC with the public key, said to be EdDSA', make(goodHeader, goodClaims, hmac('sha512', x)), 'signature'],
  ['ES256 by a key of the sender', make(header({ alg: 'ES256' }), goodClaims, p1363(p256.privateKey)), 'algorithm'],
  ['ES256, said to be EdDSA', make(goodHeader, goodClaims, p1363(p256.privateKey)), 'signature'],
  ['alg in another case', make(header({ alg: 'eddsa' })), 'algorithm'],
  ['alg Ed25519 (RFC 9864)', make(header({ alg: 'Ed25519' })), 'algorithm'],
  ['alg in a list', make(header({ alg: ['EdDSA'] })), 'algorithm'],
  ['no alg', make({ typ: 'coatcheck+jwt', kid: key.kid }), 'algorithm'],
  ['Ed448', make(goodHeader, goodClaims, (input) => sign(null, input, newKey('ed448').privateKey)), 'malformed'],
  ['signed by another key under this kid', make(goodHeader, goodClaims, (input) => sign(null, input, newKey().privateKey)), 'signature'],
  ['signature in its second form', make(goodHeader, goodClaims, otherForm), 'signature'],
  ['signature of zeros', make(goodHeader, goodClaims, () => Buffer.alloc(64)), 'signature'],
  ['jku', make(header({ jku: 'https://evil.example/jwks.json' })), 'header'],
  ['jwk', make(header({ jwk: newKey().jwk })), 'header'],
  ['x5u', make(header({ x5u: 'https://evil.example/x' })), 'header'],
  ['x5c', make(header({ x5c: ['AAAA'] })), 'header'],
  ['crit', make(header({ crit: ['exp'] })), 'header'],
  ['b64', make(header({ b64: false })), 'header'],
  ['zip', make(header({ zip: 'DEF' })), 'header'],
  ['__proto__ in the header', make(JSON.stringify(goodHeader).replace('}', ',"__proto__":{}}')), 'header'],
  ['no kid', make({ alg: 'EdDSA', typ: 'coatcheck+jwt' }), 'header'],
  ['kid is a number', make(header({ kid: 7 })), 'header'],
  ['kid of somebody else', make(header({ kid: newKey().kid })), 'unknown_key'],
  ['kid constructor', make(header({ kid: 'constructor' })), 'unknown_key'],
  ['typ JWT', make(header({ typ: 'JWT' })), 'type'],
  ['typ at+jwt', make(header({ typ: 'at+jwt' })), 'type'],
  ['typ in full', make(header({ typ: 'application/coatcheck+jwt' })), 'type'],
  ['no typ', make({ alg: 'EdDSA', kid: key.kid }), 'type'],
  ['wrong iss', make(goodHeader, { ...goodClaims, iss: 'https://evil.example' }), 'issuer'],
  ['iss with a slash behind', make(goodHeader, { ...goodClaims, iss: `${issuer}/` }), 'issuer'],
  ['no iss', make(goodHeader, { ...goodClaims, iss: undefined }), 'issuer'],
  ['wrong aud', make(goodHeader, { ...goodClaims, aud: 'other-api' }), 'audience'],
  ['aud in a list', make(goodHeader, { ...goodClaims, aud: [audience] }), 'audience'],
  ['two audiences', make(goodHeader, { ...goodClaims, aud: [audience, 'other-api'] }), 'audience'],
  ['no aud', make(goodHeader, { ...goodClaims, aud: undefined }), 'audience'],
  ['no sub', make(goodHeader, { ...goodClaims, sub: undefined }), 'claims'],
  ['empty sub', make(goodHeader, { ...goodClaims, sub: '' }), 'claims'],
  ['sub is an object', make(goodHeader, { ...goodClaims, sub: { user: 'mara' } }), 'claims'],
  ['no exp', make(goodHeader, { ...goodClaims, exp: undefined }), 'claims'],
  ['exp is text', make(goodHeader, { ...goodClaims, exp: `${start + 60}` }), 'claims'],
  ['exp is a fraction', make(goodHeader, { ...goodClaims, exp: start + 0.5 }), 'claims'],
  ['exp is null', make(goodHeader, { ...goodClaims, exp: null }), 'claims'],
  ['no iat', make(goodHeader, { ...goodClaims, iat: undefined }), 'claims'],
  ['nbf is text', make(goodHeader, { ...goodClaims, nbf: 'now' }), 'claims'],
  ['roles are text', make(goodHeader, { ...goodClaims, roles: 'clerk' }), 'claims'],
  ['roles hold a number', make(goodHeader, { ...goodClaims, roles: [1] }), 'claims'],
  ['amr is text', make(goodHeader, { ...goodClaims, amr: 'pwd' }), 'claims'],
  ['auth_time is text', make(goodHeader, { ...goodClaims, auth_time: 'now' }), 'claims'],
  ['sid is a number', make(goodHeader, { ...goodClaims, sid: 7 }), 'claims'],
  ['no roles', make(goodHeader, { ...goodClaims, roles: undefined }), 'claims'],
  ['lives 61 s', make(goodHeader, { ...goodClaims, exp: start + 61 }), 'lifetime'],
  ['lives a year', make(goodHeader, { ...goodClaims, exp: start + 31536000 }), 'lifetime'],
  ['ends before it begins', make(goodHeader, { ...goodClaims, exp: start }), 'lifetime'],
  ['iat in the future', make(goodHeader, { ...goodClaims, iat: start + 6, exp: start + 60 }), 'not_yet'],
  ['nbf in the future', make(goodHeader, { ...goodClaims, nbf: start + 6 }), 'not_yet'],
  ['duplicate aud', make(goodHeader, JSON.stringify(goodClaims).replace('"aud":', '"aud":"other-api","aud":')), 'malformed'],
  ['duplicate sub, the second one first', make(goodHeader, JSON.stringify(goodClaims).replace('"sub":"mara"', '"sub":"mara","sub":"root"')), 'malformed'],
  ['duplicate sub, once escaped', make(goodHeader, JSON.stringify(goodClaims).replace('"sub":', '"s\\u0075b":"root","sub":')), 'malformed'],
  ['duplicate role in an object within', make(goodHeader, JSON.stringify(goodClaims).replace('}', ',"x":{"a":1,"a":2}}')), 'malformed'],
  ['duplicate alg', make(JSON.stringify(goodHeader).replace('"alg":', '"alg":"none","alg":')), 'malformed'],
  ['white space', make(goodHeader, JSON.stringify(goodClaims, null, 1)), 'malformed'],
  ['a number spelt otherwise', make(goodHeader, JSON.stringify(goodClaims).replace(`${start},`, '17e8,')), 'malformed'],
  ['byte order mark', make(goodHeader, `\ufeff${JSON.stringify(goodClaims)}`), 'malformed'],
  ['claims are a list', make(goodHeader, [goodClaims]), 'malformed'],
  ['claims are null', make(goodHeader, 'null'), 'malformed'],
  ['claims are text', make(goodHeader, '"mara"'), 'malformed'],
  ['claims are no JSON', make(goodHeader, 'mara'), 'malformed'],
  ['header is no JSON', make('EdDSA'), 'malformed'],
];

for (const [name, assertion, code] of vectors)
  test(`FA-10: refused: ${name}`, () => refused(verify(assertion), code));

test('FA-10: claims that are no UTF-8 are refused', async () => {
  const claims = Buffer.from(JSON.stringify(goodClaims).replace('mara', 'mar\xe9'), 'latin1');
  const input = `${b64(text(goodHeader))}.${claims.toString('base64url')}`;
  await refused(verify(`${input}.${sign(null, Buffer.from(input), key.privateKey).toString('base64url')}`), 'malformed');
});

test('FA-10: the end is sharp: exp - 1 s is accepted, exp is not, exp + 1 s is not', async () => {
  assert.equal((await verify(make(), start + 59)).user, 'mara');
  await refused(verify(make(), start + 60), 'expired');
  await refused(verify(make(), start + 61), 'expired');
});

test('FA-10: a clock that is 5 s behind does no harm', async () => {
  assert.equal((await verify(make(), start - 5)).user, 'mara');
  await refused(verify(make(), start - 6), 'not_yet');
  const nbf = make(goodHeader, { ...goodClaims, nbf: start + 5 });
  assert.equal((await verify(nbf)).user, 'mara');
});

test('FA-10: every other spelling of the same assertion is refused', async () => {
  const good = make();
  const [h, c, s] = good.split('.');
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const unused = s.slice(0, 85) + last[last.indexOf(s[85]) + 1]; // decodes to the same 64 bytes
  assert.deepEqual(Buffer.from(unused, 'base64url'), Buffer.from(s, 'base64url'));
  const others = [`${h}.${c}.${unused}`, `${h}.${c}`, `${h}.${c}.${s}.`, `${good}.${s}`, `.${c}.${s}`, `${h}..${s}`, `${h}=.${c}.${s}`, `${good}=`, ` ${good}`, `${good}\n`,
    `${good}, ${good}`, `Bearer ${good}`, good.replaceAll('-', '+').replaceAll('_', '/') + '+', `${h}.${c}.${s.slice(1)}`];
  for (const other of others) await refused(verify(other), 'malformed');
});

test('FA-10: each changed character is noticed', async () => {
  const good = make();
  const verifier = keyServer(key).verifier({ refetchMs: 0 });
  assert.equal((await verifier.verify(good)).user, 'mara');
  for (let i = 0; i < good.length; i += 1) {
    const other = good.slice(0, i) + (good[i] === 'A' ? 'B' : 'A') + good.slice(i + 1);
    await assert.rejects(verifier.verify(other), (error) => error instanceof Refused && error.status === 401, `at ${i}`);
  }
});

test('FA-10: absent, not text, too long', async () => {
  for (const nothing of [undefined, '', null, 7, [make()]]) await refused(verify(nothing), 'missing');
  const long = (n) => make(goodHeader, { ...goodClaims, pad: 'x'.repeat(n) });
  let fits = 0;
  while (long(fits + 3).length <= limits.assertionChars) fits += 3;
  assert.equal((await verify(long(fits))).user, 'mara');
  await refused(verify(long(fits + 3)), 'too_large');
});

/* ---- the key set ---- */

test('FA-10: keys are fetched once, without redirects, past caches', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  assert.equal(server.asked, 0);
  await Promise.all(Array.from({ length: 50 }, () => verifier.verify(make())));
  await verifier.verify(make());
  assert.equal(server.asked, 1);
  assert.equal(server.seen.url, address);
  assert.equal(server.seen.redirect, 'error');
  assert.equal(server.seen.headers['cache-control'], 'no-cache');
});

test('FA-10: no key over plain http, but from this machine', () => {
  for (const bad of ['http://app.example/auth/jwks.json', 'http://localhost.example/x', 'http://127.0.0.2/x', 'file:///etc/keys', 'ftp://localhost/x', 'data:,x'])
    assert.throws(() => new KeySet(bad), TypeError, bad);
  for (const good of [address, 'http://localhost:8080/auth/jwks.json', 'http://127.0.0.1/x', 'http://[::1]:1/x']) assert.ok(new KeySet(good));
  for (const missing of ['issuer', 'audience', 'jwks'])
    assert.throws(() => new Verifier({ issuer, audience, jwks: address, [missing]: undefined }), TypeError);
});

const made = (k) => make({ ...goodHeader, kid: k.kid }, goodClaims, (input) => sign(null, input, k.privateKey));

test('FA-10 UP-2: a new kid makes it fetch the set, once for all who wait', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  await verifier.verify(make());
  const next = newKey();
  server.keys = [next, key];
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => verifier.verify(i % 2 ? made(next) : make())));
  assert.ok(all.every((who) => who.user === 'mara'));
  assert.equal(server.asked, 2);
  await verifier.verify(make());
  assert.equal(server.asked, 2);
});

test('FA-10: rubbish kids cost one request in ten seconds; meanwhile the answer is "cannot tell"', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  await verifier.verify(make());
  await refused(verifier.verify(made(newKey())), 'unknown_key');
  for (let i = 0; i < 20; i += 1) await refused(verifier.verify(made(newKey())), 'key_not_known_yet', 503);
  assert.equal(server.asked, 2);
  await verifier.verify(make());
  server.now += 10_000;
  await refused(verifier.verify(made(newKey())), 'unknown_key');
  assert.equal(server.asked, 3);
});

test('FA-10 UP-2: a set that was on its way when the key was made is asked for again', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  const next = newKey();
  let deliver;
  server.answer = () => new Promise((resolve) => (deliver = resolve));
  const before = verifier.verify(make()); // asks, with the old set on its way
  await new Promise(setImmediate);
  const late = [verifier.verify(made(next)), verifier.verify(made(next))];
  server.answer = null;
  server.keys = [next, key];
  deliver(new Response(JSON.stringify({ keys: [key.jwk] })));
  assert.equal((await before).user, 'mara');
  for (const who of await Promise.all(late)) assert.equal(who.user, 'mara');
  assert.equal(server.asked, 2);
});

test('FA-10: while the daemon is away its keys are good for an hour, then "cannot tell"', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  const at = () => make(goodHeader, { ...goodClaims, iat: server.now / 1000, exp: server.now / 1000 + 60 });
  await verifier.verify(at());
  server.answer = () => Promise.reject(new Error('connection refused'));
  server.now += 3_599_000;
  assert.equal((await verifier.verify(at())).user, 'mara');
  await refused(verifier.verify(made(newKey())), 'keys_unavailable', 503);
  server.now += 2_000;
  await refused(verifier.verify(at()), 'keys_unavailable', 503);
  server.answer = null;
  server.now += 1_000;
  assert.equal((await verifier.verify(at())).user, 'mara');
});

test('FA-10: an outage is not made worse: one attempt a second', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  server.answer = () => new Response('', { status: 503 });
  for (let i = 0; i < 20; i += 1) await refused(verifier.verify(make()), 'keys_unavailable', 503);
  assert.equal(server.asked, 1);
  server.now += 1_000;
  server.answer = null;
  assert.equal((await verifier.verify(make())).user, 'mara');
});

test('FA-10 UP-2: a key that was withdrawn is forgotten after five minutes', async () => {
  const server = keyServer(key);
  const verifier = server.verifier();
  const at = () => make(goodHeader, { ...goodClaims, iat: server.now / 1000, exp: server.now / 1000 + 60 });
  await verifier.verify(at());
  server.keys = [newKey()];
  server.now += 300_000;
  await verifier.verify(at());
  assert.equal(server.asked, 1);
  server.now += 1_000;
  await verifier.verify(at()); // still good, and asked for behind its back
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.equal(server.asked, 2);
  await refused(verifier.verify(at()), 'unknown_key');
});

test('FA-10: what is no key set of ours is refused whole, and the former one kept', async () => {
  const other = newKey();
  const set = (...keys) => Buffer.from(JSON.stringify({ keys }));
  const bad = {
    'no JSON': Buffer.from('<html>'), 'a list': Buffer.from('[]'), 'no keys': Buffer.from('{}'), 'an empty set': set(),
    'keys twice': Buffer.from(`{"keys":[],"keys":[${JSON.stringify(key.jwk)}]}`),
    'too many': set(...Array.from({ length: 11 }, () => key.jwk)),
    'an HMAC key': set({ kty: 'oct', k: 'AAAA', alg: 'HS256', use: 'sig', kid: key.kid }),
    'a private key': set({ ...key.jwk, d: key.privateKey.export({ format: 'jwk' }).d }),
    'another curve': set({ ...key.jwk, crv: 'X25519' }), 'another alg': set({ ...key.jwk, alg: 'ES256' }),
    'another use': set({ ...key.jwk, use: 'enc' }), 'no use': set({ ...key.jwk, use: undefined }),
    'a kid of another key': set({ ...key.jwk, kid: other.kid }), 'a short key': set({ ...key.jwk, x: key.x.slice(0, 40) }),
    'null in it': set(null),
  };
  for (const [name, bytes] of Object.entries(bad)) assert.throws(() => readKeySet(bytes), Error, name);
  assert.deepEqual([...readKeySet(set({ kty: 'RSA', n: 'AQ', e: 'AQAB', kid: 'x' }, key.jwk)).keys()], [key.kid]);

  const answers = [...Object.values(bad).map((bytes) => () => new Response(bytes)), () => new Response(JSON.stringify({ keys: [other.jwk], pad: 'x'.repeat(limits.jwksBytes) })),
    () => new Response(set(other.jwk), { status: 203 }), () => new Response(null, { status: 204 })];
  for (const answer of answers) {
    const server = keyServer(key);
    const verifier = server.verifier();
    await verifier.verify(make());
    server.answer = answer;
    await refused(verifier.verify(made(other)), 'keys_unavailable', 503);
    assert.equal((await verifier.verify(make())).user, 'mara');
  }
});
