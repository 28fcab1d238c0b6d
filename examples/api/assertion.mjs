// SPDX-License-Identifier: Apache-2.0
// Verifies coatcheck's signed assertions, and nothing else. Node.js 18 or later, no dependencies.
// Copy this file into your API; README.md says why each check is there.
//
//   const verifier = new Verifier({
//     issuer: 'https://app.example.com', // assertion.issuer of the daemon
//     audience: 'orders-api', // one of its assertion.audiences: the name of this API
//     jwks: 'https://app.example.com/auth/jwks.json',
//   });
//   const { user, roles } = await verifier.verify(req.headers['x-auth-assertion']);
//
// verify() resolves to the identity or throws a Refused: status 401 means no, 503 cannot tell. Its code is
// for your log, not for the client.
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';

export const limits = {
  assertionChars: 4096, // COAT_ASSERTION_MAX of the daemon
  lifetimeSeconds: 60,
  jwksBytes: 16384,
  keys: 10,
};

export class Refused extends Error {
  constructor(code, status = 401) {
    super(code);
    this.code = code;
    this.status = status;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes of canonical base64url: what has a second spelling is refused. */
function decode(text) {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw new Refused('malformed');
  return bytes;
}

/**
 * An object of JSON in the one spelling that coatcheck writes, which is that of JSON.stringify(). So a name
 * that stands twice is refused, as is anything that two parsers could read in two ways.
 */
function parse(bytes) {
  let value, again;
  try {
    const text = utf8.decode(bytes);
    value = JSON.parse(text);
    again = JSON.stringify(value) === text;
  } catch {
    again = false;
  }
  if (!again || value === null || typeof value !== 'object' || Array.isArray(value)) throw new Refused('malformed');
  return value;
}

const isSeconds = (value) => Number.isSafeInteger(value) && value >= 0;
const isTexts = (value) => Array.isArray(value) && value.every((item) => typeof item === 'string');

/** The keys at one address, by kid. Kept for an hour at most; asked for again behind your back after five minutes. */
export class KeySet {
  #url;
  #fetch;
  #now;
  #options;
  #keys = new Map();
  #fetchedAt = -Infinity;
  #askedAt = -Infinity; // for a kid that was not there
  #failedAt = -Infinity;
  #loading = null;

  constructor(url, options = {}) {
    this.#url = new URL(url);
    const local = ['localhost', '127.0.0.1', '[::1]'].includes(this.#url.hostname);
    // Whoever can write the answer can sign: no plain http but on this machine.
    if (this.#url.protocol !== 'https:' && !(local && this.#url.protocol === 'http:'))
      throw new TypeError('the address of the key set must begin with https://');
    this.#options = { freshMs: 300_000, usableMs: 3_600_000, refetchMs: 10_000, retryMs: 1000, timeoutMs: 2000, ...options };
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#now = options.now ?? Date.now;
  }

  async get(kid) {
    const age = this.#now() - this.#fetchedAt;
    const known = this.#find(kid);
    if (known) {
      if (age > this.#options.freshMs) this.#load().catch(() => {}); // this one is still good
      return known;
    }
    // A set that was asked for before this kid was made does not have it: wait, look, ask again.
    while (this.#loading) {
      await this.#loading.catch(() => {});
      if (this.#find(kid)) return this.#find(kid);
    }
    if (this.#isUsable()) {
      // Rotation, or rubbish. Whoever sends rubbish must not make us hammer the daemon.
      if (this.#now() - this.#askedAt < this.#options.refetchMs) throw new Refused('key_not_known_yet', 503);
      this.#askedAt = this.#now();
    }
    await this.#load();
    const key = this.#find(kid);
    if (!key) throw new Refused('unknown_key');
    return key;
  }

  #isUsable() {
    return this.#now() - this.#fetchedAt < this.#options.usableMs;
  }

  #find(kid) {
    return this.#isUsable() ? this.#keys.get(kid) : undefined;
  }

  /** One request at a time, whoever waits for it. */
  #load() {
    if (this.#now() - this.#failedAt < this.#options.retryMs) return Promise.reject(new Refused('keys_unavailable', 503));
    this.#loading ??= this.#request()
      .catch(() => {
        this.#failedAt = this.#now();
        throw new Refused('keys_unavailable', 503);
      })
      .finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #request() {
    const startedAt = this.#now();
    const res = await this.#fetch(this.#url, {
      headers: { accept: 'application/jwk-set+json', 'cache-control': 'no-cache' },
      redirect: 'error',
      signal: AbortSignal.timeout(this.#options.timeoutMs),
    });
    if (res.status !== 200) throw new Error(`status ${res.status}`);
    this.#keys = readKeySet(await readBody(res));
    this.#fetchedAt = startedAt;
  }
}

async function readBody(res) {
  const chunks = [];
  let size = 0;
  for await (const chunk of res.body) {
    size += chunk.length;
    if (size > limits.jwksBytes) throw new Error('the key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** kid to key, of all that can sign assertions; others are left out (RFC 7517 5). */
export function readKeySet(bytes) {
  const { keys } = parse(bytes);
  const found = new Map();
  if (!Array.isArray(keys) || keys.length > limits.keys) throw new Error('no key set');
  for (const jwk of keys) {
    if (jwk?.kty !== 'OKP' || jwk.crv !== 'Ed25519' || jwk.alg !== 'EdDSA' || jwk.use !== 'sig') continue;
    if (typeof jwk.x !== 'string' || decode(jwk.x).length !== 32 || 'd' in jwk) continue;
    // RFC 7638: the name of a key follows from the key.
    const required = JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x });
    if (createHash('sha256').update(required).digest('base64url') !== jwk.kid) continue;
    found.set(jwk.kid, createPublicKey({ key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, format: 'jwk' }));
  }
  if (found.size === 0) throw new Error('no key of ours in the set');
  return found;
}

export class Verifier {
  #issuer;
  #audience;
  #leeway;
  #keys;
  #now;

  /** startLeewaySeconds: how far our clock may be behind the gateway's. The end of an assertion is never stretched. */
  constructor({ issuer, audience, jwks, startLeewaySeconds = 5, ...options }) {
    if (!issuer || !audience || !jwks) throw new TypeError('issuer, audience and jwks must be set');
    this.#issuer = issuer;
    this.#audience = audience;
    this.#leeway = startLeewaySeconds;
    this.#now = options.now ?? Date.now;
    this.#keys = jwks instanceof KeySet ? jwks : new KeySet(jwks, options);
  }

  async verify(assertion) {
    if (typeof assertion !== 'string' || assertion === '') throw new Refused('missing');
    if (assertion.length > limits.assertionChars) throw new Refused('too_large');
    if (!/^[\w-]+\.[\w-]+\.[\w-]{86}$/.test(assertion)) throw new Refused('malformed');
    const [header, claims, signature] = assertion.split('.');
    const key = await this.#keys.get(kidOf(parse(decode(header))));
    if (!verifySignature(null, Buffer.from(`${header}.${claims}`), key, decode(signature))) throw new Refused('signature');
    return this.#judge(parse(decode(claims)));
  }

  #judge(claims) {
    const now = Math.floor(this.#now() / 1000);
    const { iss, aud, sub, iat, exp, nbf = iat, auth_time: authTime, amr, roles, sid } = claims;
    if (iss !== this.#issuer) throw new Refused('issuer');
    if (aud !== this.#audience) throw new Refused('audience'); // a list is no string, so it is refused
    if (typeof sub !== 'string' || sub === '') throw new Refused('claims');
    if (!isSeconds(iat) || !isSeconds(exp) || !isSeconds(nbf)) throw new Refused('claims');
    if (!isTexts(roles) || !isTexts(amr) || typeof sid !== 'string') throw new Refused('claims');
    if (authTime !== undefined && !isSeconds(authTime)) throw new Refused('claims');
    if (exp <= iat || exp - iat > limits.lifetimeSeconds) throw new Refused('lifetime');
    if (now >= exp) throw new Refused('expired');
    if (iat > now + this.#leeway || nbf > now + this.#leeway) throw new Refused('not_yet');
    return { user: sub, roles, methods: amr, authTime, session: sid, expires: exp };
  }
}

/** Exactly these three members: no crit, no jku, no jwk, no x5u, nothing that could choose the key or the algorithm. */
function kidOf(header) {
  if (header.alg !== 'EdDSA') throw new Refused('algorithm');
  if (header.typ !== 'coatcheck+jwt') throw new Refused('type');
  if (typeof header.kid !== 'string' || Object.keys(header).length !== 3) throw new Refused('header');
  return header.kid;
}
