// SPDX-License-Identifier: Apache-2.0
// A small API behind the gateway. It has no sessions and asks nobody about a request: who it comes from stands in
// the signed assertion, and whatever else a client sends about itself is not looked at.
//
// Usage: PORT=8082 ISSUER=https://app.example.com AUDIENCE=orders-api
//        JWKS=https://app.example.com/auth/jwks.json node server.mjs
import http from 'node:http';
import { Refused, Verifier } from './assertion.mjs';

const { PORT, HOST = '127.0.0.1', ISSUER, AUDIENCE, JWKS } = process.env;
const verifier = new Verifier({ issuer: ISSUER, audience: AUDIENCE, jwks: JWKS });

const limits = { bodyBytes: 1024, itemChars: 60, ordersPerUser: 50 };
let orders = [
  { id: 1, user: 'mara', item: 'umbrella' },
  { id: 2, user: 'noor', item: 'scarf' },
];
let lastId = orders.length;

const ordersOf = (who) => orders.filter((order) => order.user === who.user);

function place(who, { item }) {
  if (typeof item !== 'string' || !item.trim() || item.length > limits.itemChars) throw new Refused('item', 400);
  if (ordersOf(who).length >= limits.ordersPerUser) throw new Refused('too_many_orders', 409);
  orders.push({ id: ++lastId, user: who.user, item: item.trim() });
  return ordersOf(who);
}

function cancel(who, { id }) {
  const mine = ordersOf(who).find((order) => order.id === id);
  if (!mine) throw new Refused('no_such_order', 404);
  orders = orders.filter((order) => order !== mine);
  return ordersOf(who);
}

/** Method and path to the role that is needed (null: none) and what is done and answered. */
const routes = {
  'GET /api/me': [null, (who) => ({ user: who.user, roles: who.roles, methods: who.methods, session: who.session })],
  'GET /api/orders': [null, ordersOf],
  'GET /api/orders/all': ['clerk', () => orders],
  'POST /api/orders': [null, place],
  'POST /api/orders/cancel': [null, cancel],
};

/** A body of JSON, whose type no form of another site can send. */
async function readBody(req) {
  if (!/^application\/json(;|$)/i.test(req.headers['content-type'] ?? '')) throw new Refused('type', 415);
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size <= limits.bodyBytes) chunks.push(chunk); // read on: a client that still sends would not hear our answer
  }
  if (size > limits.bodyBytes) throw new Refused('too_large', 413);
  try {
    return Object(JSON.parse(Buffer.concat(chunks)));
  } catch {
    throw new Refused('json', 400);
  }
}

async function answer(req) {
  const who = await verifier.verify(req.headers['x-auth-assertion']);
  const [role, handler] = routes[`${req.method} ${req.url.split('?')[0]}`] ?? [];
  if (!handler) throw new Refused('not_found', 404);
  if (role && !who.roles.includes(role)) throw new Refused('role_required', 403);
  return handler(who, req.method === 'POST' ? await readBody(req) : undefined);
}

const messages = {
  400: 'bad_request', 401: 'not_signed_in', 403: 'refused', 404: 'not_found', 409: 'conflict',
  413: 'too_large', 415: 'unsupported_media_type', 503: 'unavailable',
};

const server = http.createServer(async (req, res) => {
  let status = 200;
  let body;
  try {
    body = await answer(req);
  } catch (error) {
    status = error instanceof Refused ? error.status : 500;
    body = { error: { code: messages[status] ?? 'internal' } }; // why is for the log, not for whoever tries
    console.error(JSON.stringify({ method: req.method, status, code: error.code ?? String(error) }));
  }
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
  if (status === 503) headers['retry-after'] = '2';
  res.writeHead(status, headers).end(JSON.stringify(body));
});

server.listen(Number(PORT), HOST, () => console.error(JSON.stringify({ listening: server.address().port })));
process.on('SIGTERM', () => server.close(() => process.exit(0)).closeAllConnections());
