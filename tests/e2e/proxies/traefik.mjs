// SPDX-License-Identifier: Apache-2.0
// A model of Traefik 3, which Debian does not package: what it does to a request between its entry point
// and a service, driven by the values of a file-provider configuration. It follows the behaviour of
// pkg/server (paths), pkg/middlewares/forwardedheaders, pkg/middlewares/headers, pkg/middlewares/auth
// (ForwardAuth) and of Go's net/http and httputil.ReverseProxy. Where releases differ it does what the more
// lenient ones do: names with "_" or "." in the place of "-" are other names, and are passed on.
import http from 'node:http';
import https from 'node:https';

/** Go's http.CanonicalHeaderKey. */
const canonical = (name) => (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
  ? name.toLowerCase().replaceAll(/(^|-)([a-z])/g, (all, dash, letter) => dash + letter.toUpperCase())
  : name);

const managed = ['Proto', 'For', 'Host', 'Port', 'Server', 'Uri', 'Method', 'Prefix', 'Tls-Client-Cert', 'Tls-Client-Cert-Info'].map((n) => `X-Forwarded-${n}`).concat('X-Real-Ip');
const authHops = ['Connection', 'Keep-Alive', 'Te', 'Trailers', 'Transfer-Encoding', 'Upgrade'];
const hops = ['Connection', 'Proxy-Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Proxy-Authorization', 'Te', 'Trailer', 'Transfer-Encoding', 'Upgrade'];

/** http.Header: canonical names to their values; written sorted by name, as Go does. */
class Header {
  constructor(raw = []) {
    this.map = new Map();
    for (let i = 0; i < raw.length; i += 2) this.add(raw[i], raw[i + 1]);
  }
  add(name, value) { this.map.set(canonical(name), [...this.values(name), value]); }
  set(name, value) { this.map.set(canonical(name), [value]); }
  del(name) { this.map.delete(canonical(name)); }
  get(name) { return this.values(name)[0] ?? ''; }
  values(name) { return this.map.get(canonical(name)) ?? []; }
  clone() { const copy = new Header(); copy.map = new Map(this.map); return copy; }
  flat() { return [...this.map].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, values]) => values.flatMap((v) => [name, v])); }
}

const tokens = (values) => values.flatMap((v) => v.split(',')).map((t) => t.trim()).filter(Boolean);

/** Fields that the client lists in Connection are dropped, but for those that Traefik manages itself. */
function dropListed(header, spare = []) {
  const upgrade = tokens(header.values('Connection')).some((t) => t.toLowerCase() === 'upgrade') ? header.get('Upgrade') : '';
  for (const token of tokens(header.values('Connection'))) if (!spare.includes(canonical(token))) header.del(token);
  header.del('Connection');
  if (upgrade) {
    header.set('Connection', 'Upgrade');
    header.set('Upgrade', upgrade);
  }
}

/* ---- entry point ---- */

const unreserved = /^[A-Za-z0-9\-._~]$/;
const reserved = new Set([':', '/', '?', '#', '[', ']', '@', '!', '$', '&', "'", '(', ')', '*', '+', ',', ';', '=', '%']);
const byte = (escape) => String.fromCharCode(parseInt(escape.slice(1), 16));

/** The path as it goes on and the one that rules are matched with; null: refused. */
function readPath(path, sanitize) {
  if (/%(?![0-9A-Fa-f]{2})/.test(path) || path.includes('#') || !path.startsWith('/')) return null;
  let kept = path.replaceAll(/%../g, (e) => (unreserved.test(byte(e)) ? byte(e) : e.toUpperCase()));
  if (sanitize) {
    const segments = [];
    for (const segment of kept.split('/').slice(1)) {
      if (segment === '..') segments.pop();
      else if (segment !== '.' && segment !== '') segments.push(segment);
    }
    kept = `/${segments.join('/')}${segments.length > 0 && /\/(\.\.?)?$/.test(kept) ? '/' : ''}`;
  }
  return { kept, routing: kept.replaceAll(/%../g, (e) => (reserved.has(byte(e)) ? e : byte(e))) };
}

function forwarded(header, host, peer) {
  for (const name of managed) header.del(name);
  header.set('X-Real-Ip', peer);
  header.set('X-Forwarded-Proto', 'https');
  header.set('X-Forwarded-Port', '443');
  header.set('X-Forwarded-Host', host);
  header.set('X-Forwarded-Server', 'traefik');
  dropListed(header, managed);
}

/* ---- rules, of the kinds that the example has ---- */

function matcher(rule) {
  const parts = rule.split('&&').map((part) => {
    const [, not, name, value] = /^\s*(!?)(\w+)\(`([^`]*)`\)\s*$/.exec(part);
    const tests = {
      Host: (req) => req.host.toLowerCase().replace(/:\d+$/, '') === value.toLowerCase(),
      PathPrefix: (req) => req.routing.startsWith(value),
      PathRegexp: (req) => new RegExp(value.replace('(?i)', ''), value.startsWith('(?i)') ? 'i' : '').test(req.routing),
    };
    return (req) => tests[name](req) !== (not === '!');
  });
  return (req) => parts.every((part) => part(req));
}

/* ---- cookies of answers: parsed and written anew ---- */

function cookie(line) {
  const [pair, ...rest] = line.split(';').map((part) => part.trim());
  const at = pair.indexOf('=');
  if (at <= 0) return null;
  const attributes = new Map(rest.map((part) => [part.split('=')[0].toLowerCase(), part.slice(part.indexOf('=') + 1)]));
  let text = pair;
  for (const name of ['Path', 'Domain', 'Expires', 'Max-Age'])
    if (attributes.has(name.toLowerCase())) text += `; ${name}=${attributes.get(name.toLowerCase())}`;
  if (attributes.has('httponly')) text += '; HttpOnly';
  if (attributes.has('secure')) text += '; Secure';
  if (attributes.has('samesite')) text += `; SameSite=${attributes.get('samesite')}`;
  return { name: pair.slice(0, at), text };
}

/* ---- the model ---- */

export class Traefik {
  constructor(config, { port, key, cert, peer = '127.0.0.1', authTimeout = 30000, sanitizePath = true }) {
    Object.assign(this, { http: config.http, port, peer, authTimeout, sanitizePath });
    this.routers = Object.values(config.http.routers).map((r) => ({ ...r, match: matcher(r.rule), priority: r.priority ?? r.rule.length }))
      .sort((a, b) => b.priority - a.priority);
    this.agent = new http.Agent({ keepAlive: true });
    this.server = https.createServer({ key, cert }, (req, res) => {
      try {
        this.serve(req, res);
      } catch (error) {
        console.error(error); /* a configuration that the model does not know */
        res.destroy();
      }
    });
  }

  async start() {
    await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    return this;
  }

  async stop() {
    this.agent.destroy();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  serve(raw, res) {
    const header = new Header(raw.rawHeaders);
    const [, path, query] = /^([^?]*)(.*)$/s.exec(raw.url);
    const read = readPath(path, this.sanitizePath);
    const req = { raw, method: raw.method, header, host: header.get('Host') };
    for (const name of ['Host', 'Transfer-Encoding']) header.del(name);
    if (read === null) return plain(res, 400);
    req.uri = read.kept + query;
    req.routing = read.routing;
    forwarded(header, req.host, this.peer);
    const router = this.routers.find((r) => r.match(req));
    if (!router) return plain(res, 404);
    return this.chain(router.middlewares ?? [], req, res, () => this.pass(req, res, this.http.services[router.service]));
  }

  chain([name, ...rest], req, res, last) {
    if (name === undefined) return last();
    const middleware = this.http.middlewares[name];
    const next = () => this.chain(rest, req, res, last);
    if (middleware.headers) return this.headers(middleware.headers, req, next);
    if (middleware.forwardAuth) return this.forwardAuth(middleware.forwardAuth, req, res, next);
    throw new Error(`no model of middleware ${name}`);
  }

  headers(conf, req, next) {
    for (const [name, value] of Object.entries(conf.customRequestHeaders))
      if (value === '') req.header.del(name);
      else req.header.set(name, value);
    return next();
  }

  /** The question: always GET, no body, to the address as it stands. */
  question(conf, req) {
    let header = req.header.clone();
    dropListed(header);
    for (const name of authHops) header.del(name);
    if (conf.authRequestHeaders?.length) {
      const all = header;
      header = new Header();
      for (const name of conf.authRequestHeaders) for (const value of all.values(name)) header.add(name, value);
    }
    const trusted = (name, value) => header.set(name, (conf.trustForwardHeader && req.header.get(name)) || value);
    header.set('X-Forwarded-For', conf.trustForwardHeader && req.header.get('X-Forwarded-For') ? `${req.header.values('X-Forwarded-For').join(', ')}, ${this.peer}` : this.peer);
    trusted('X-Forwarded-Method', req.method);
    trusted('X-Forwarded-Proto', 'https');
    trusted('X-Forwarded-Host', req.host);
    trusted('X-Forwarded-Uri', req.uri);
    header.del('Content-Length');
    if (!header.get('User-Agent')) header.set('User-Agent', 'Go-http-client/1.1');
    if (!header.get('Accept-Encoding')) header.set('Accept-Encoding', 'gzip');
    return header;
  }

  forwardAuth(conf, req, res, next) {
    const to = new URL(conf.address);
    const ask = http.request({ host: to.hostname, port: to.port, path: to.pathname + to.search, method: 'GET', agent: this.agent, timeout: this.authTimeout,
      setHost: false, headers: ['Host', to.host, ...this.question(conf, req).flat()] }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', () => plain(res, 500));
      answer.on('end', () => this.verdict(conf, req, res, next, answer, Buffer.concat(chunks)));
    });
    ask.on('timeout', () => ask.destroy(new Error('timeout')));
    ask.on('upgrade', (answer, socket) => socket.destroy() && this.verdict(conf, req, res, next, answer, Buffer.alloc(0)));
    ask.on('error', () => plain(res, 500));
    ask.end();
  }

  verdict(conf, req, res, next, answer, body) {
    const header = new Header(answer.rawHeaders);
    if (answer.statusCode < 200 || answer.statusCode > 299) {
      for (const name of authHops) header.del(name);
      return reply(res, answer.statusCode, header.flat(), body);
    }
    for (const name of conf.authResponseHeaders ?? []) {
      req.header.del(name);
      for (const value of header.values(name)) req.header.add(name, value);
    }
    const cookies = header.values('Set-Cookie').map(cookie).filter(Boolean);
    if (cookies.length > 0) req.cookies = { own: new Set(conf.addAuthCookiesToResponse ?? []), cookies };
    return next();
  }

  /** httputil.ReverseProxy to the only server of a service. */
  pass(req, res, service) {
    const to = new URL(service.loadBalancer.servers[0].url);
    const header = req.header.clone();
    dropListed(header);
    for (const name of hops) header.del(name);
    header.set('X-Forwarded-For', [...header.values('X-Forwarded-For'), this.peer].join(', '));
    const length = header.get('Content-Length');
    header.del('Content-Length');
    const framing = length ? ['Content-Length', length] : req.raw.headers['transfer-encoding'] ? ['Transfer-Encoding', 'chunked'] : [];
    const out = http.request({ host: to.hostname, port: to.port, path: req.uri, method: req.method, agent: this.agent, setHost: false,
      headers: ['Host', req.host, ...framing, ...header.flat()] }, (answer) => {
      const fields = new Header(answer.rawHeaders);
      for (const name of hops) fields.del(name);
      if (req.cookies) setCookies(fields, req.cookies);
      res.writeHead(answer.statusCode, fields.flat());
      answer.pipe(res);
    });
    out.on('error', () => plain(res, 502));
    req.raw.pipe(out);
  }
}

function setCookies(fields, { own, cookies }) {
  const kept = fields.values('Set-Cookie').map(cookie).filter((c) => c && !own.has(c.name));
  fields.del('Set-Cookie');
  for (const c of [...kept, ...cookies.filter((c) => own.has(c.name))]) fields.add('Set-Cookie', c.text);
}

function reply(res, status, fields, body) {
  if (res.headersSent || res.destroyed) return;
  if (status < 200) {
    res.socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n\r\n`);
    return;
  }
  const length = fields.some((name, i) => i % 2 === 0 && name === 'Content-Length');
  res.writeHead(status, length ? fields : [...fields, 'Content-Length', body.length]);
  res.end(body);
}

const plain = (res, status) => reply(res, status, [], Buffer.alloc(0));
