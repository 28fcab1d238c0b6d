// SPDX-License-Identifier: Apache-2.0
// The session check in express: node server.js SOCKET-OR-PORT [REDIS-SOCKET]
// GET /auth/verify: 200 with X-Auth-User, X-Auth-Roles for a live session, else 401.
import express from 'express';
import session from 'express-session';

const [where, redis] = process.argv.slice(2);
let store = new session.MemoryStore();

if (redis) {
  const { RedisStore } = await import('connect-redis');
  const { createClient } = await import('redis');
  const client = createClient({ socket: { path: redis } });
  await client.connect();
  store = new RedisStore({ client, ttl: 43200 });
}

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.set('env', 'production');
app.use(
  session({
    name: 'id',
    secret: 'benchmark',
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: 'lax', maxAge: 43200000 },
    store,
  }),
);
app.get('/auth/verify', (req, res) => {
  if (!req.session.user) {
    res.status(401).end();
    return;
  }
  res.set('X-Auth-User', req.session.user);
  res.set('X-Auth-Roles', req.session.roles);
  res.set('Content-Length', '0');
  res.status(200).end();
});
app.post('/login', (req, res) => {
  req.session.regenerate((error) => {
    if (error) {
      res.status(500).end();
      return;
    }
    req.session.user = 'alice@example.com';
    req.session.roles = 'user editor';
    res.status(204).end();
  });
});
app.listen(Number(where), '127.0.0.1');
