// SPDX-License-Identifier: Apache-2.0
// A model of Envoy, which Debian does not package: what it does to a request between a listener and a
// cluster, driven by the values of a bootstrap configuration. It follows the behaviour of the HTTP/1 codec
// (Connection), the connection manager (paths, X-Forwarded-*), and of the filters header_mutation,
// ext_authz over HTTP and router. Where releases differ it does what the more lenient ones do: escaped
// letters in a path stay escaped.
import http from 'node:http';
import https from 'node:https';

/** Envoy's own address: it adds it to X-Forwarded-For of each question (and for peers on loopback). */
export const ownAddress = '192.0.2.10';

/** Names in small letters, each line an entry of its own. */
class HeaderMap {
  constructor(raw = []) {
    this.list = [];
    for (let i = 0; i < raw.length; i += 2) this.add(raw[i], raw[i + 1]);
  }
  add(name, value) { this.list.push([name.toLowerCase(), String(value)]); }
  remove(name) { this.list = this.list.filter(([n]) => n !== name.toLowerCase()); }
  set(name, value) { this.remove(name); this.add(name, value); }
  values(name) { return this.list.filter(([n]) => n === name).map(([, v]) => v); }
  get(name) { return this.values(name)[0]; }
  append(name, value) { this.set(name, [...this.values(name), value].join(',')); }
  flat() { return this.list.flat(); }
}

const matches = ({ exact, prefix }, name) => (exact === undefined ? name.startsWith(prefix) : name === exact);
const matchesAny = (list, name) => (list?.patterns ?? []).some((p) => matches(p, name));

/** Without upgrade_configs there are no upgrades. */
const isUpgrade = (headers) => headers.get('upgrade') !== undefined && headers.values('connection').join(',').toLowerCase().split(',').some((t) => t.trim() === 'upgrade');

/** Names in Connection are dropped; null: refused, for nobody may drop forwarding fields or many. */
function sanitizeConnection(headers) {
  const tokens = headers.values('connection').flatMap((v) => v.split(',')).map((t) => t.trim().toLowerCase()).filter(Boolean);
  if (tokens.length >= 10) return null;
  for (const token of tokens) {
    if (['close', 'http2-settings', 'keep-alive', 'upgrade'].includes(token)) continue;
    if (['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'].includes(token) || token.startsWith(':')) return null;
    headers.remove(token);
  }
  for (const name of ['connection', 'upgrade', 'keep-alive', 'proxy-connection', 'transfer-encoding']) headers.remove(name);
  return headers;
}

/** null: refused. */
function plainPath(url, hcm) {
  let [, path, query] = /^([^?]*)(.*)$/s.exec(url);
  if (!path.startsWith('/') || path.includes('#')) return null;
  if (hcm.path_with_escaped_slashes_action === 'REJECT_REQUEST' && /%2f|%5c/i.test(path)) return null;
  if (hcm.normalize_path) {
    if (/%00|%(?![0-9A-Fa-f]{2})/.test(path)) return null;
    const segments = [];
    const parts = path.replaceAll('\\', '/').replaceAll(/%2e/gi, '.').split('/').slice(1);
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1;
      if (part === '..') segments.pop();
      if (part === '..' || part === '.') { if (last) segments.push(''); } else segments.push(part);
    }
    path = `/${segments.join('/')}`;
  }
  if (hcm.merge_slashes) path = path.replaceAll(/\/+/g, '/');
  return path + query;
}

export class Envoy {
  constructor(config, { port, key, cert, peer }) {
    const [listener] = config.static_resources.listeners;
    this.hcm = listener.filter_chains[0].filters[0].typed_config;
    this.clusters = new Map(config.static_resources.clusters.map((c) => [c.name, c.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address]));
    Object.assign(this, { port, peer });
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

  address(cluster) {
    const at = this.clusters.get(cluster);
    return at.pipe ? { socketPath: at.pipe.path } : { host: at.socket_address.address, port: at.socket_address.port_value };
  }

  /** Answers of Envoy's own go through local_reply_config. */
  local(res, status, fields = [], body = '') {
    if (res.headersSent || res.destroyed) return;
    const headers = new HeaderMap(['content-length', Buffer.byteLength(body), 'content-type', 'text/plain']);
    for (const [name] of fields) headers.remove(name);
    for (const [name, value] of fields) headers.add(name, value);
    headers.set('content-length', Buffer.byteLength(body));
    for (const mapper of this.hcm.local_reply_config?.mappers ?? [])
      if (mapper.filter.status_code_filter.comparison.value.default_value === status)
        for (const { header } of mapper.headers_to_add) headers.add(header.key, header.value);
    res.writeHead(status, headers.flat());
    res.end(body);
  }

  serve(raw, res) {
    const came = new HeaderMap(raw.rawHeaders);
    if (isUpgrade(came)) return this.local(res, 403);
    const headers = sanitizeConnection(came);
    if (headers === null) return this.local(res, 400);
    if (this.hcm.common_http_protocol_options?.headers_with_underscores_action === 'DROP_HEADER')
      for (const [name] of [...headers.list]) if (name.includes('_')) headers.remove(name);
    const path = plainPath(raw.url, this.hcm);
    if (path === null) return this.local(res, 400);
    for (const name of headers.list.map(([n]) => n).filter((n) => n.startsWith('x-envoy-'))) headers.remove(name);
    if (this.hcm.use_remote_address) {
      headers.append('x-forwarded-for', this.peer);
      headers.set('x-forwarded-proto', 'https');
      headers.set('x-envoy-external-address', this.peer);
    }
    headers.set('x-request-id', '5f0c7a52-0000-4000-8000-000000000000');
    const host = headers.get('host');
    const vhost = this.hcm.route_config.virtual_hosts.find((v) => v.domains.includes(host) || v.domains.includes('*'));
    const bare = path.replace(/\?.*$/s, '');
    const route = vhost?.routes.find(({ match: m }) => (m.safe_regex ? new RegExp(`^(?:${m.safe_regex.regex})$`, 's').test(bare) : path.startsWith(m.prefix)));
    const req = { raw, headers, path, host, route, vhost, added: [] };
    return this.filter(0, req, res);
  }

  filter(index, req, res) {
    const { name, typed_config: conf } = this.hcm.http_filters[index];
    const next = () => this.filter(index + 1, req, res);
    const type = conf['@type'].split('.').at(-1);
    if (type === 'HeaderMutation') {
      for (const { remove } of conf.mutations.request_mutations) req.headers.remove(remove);
      return next();
    }
    if (type === 'ExtAuthz') {
      const per = req.route?.typed_per_filter_config?.[name] ?? req.vhost?.typed_per_filter_config?.[name];
      return !req.route || per?.disabled ? next() : this.authorize(conf, req, res, next);
    }
    if (type === 'Router') return this.route(req, res);
    throw new Error(`no model of filter ${name}`);
  }

  /** The question: the request's own method and path, the latter behind path_prefix; no body. */
  authorize(conf, req, res, next) {
    const service = conf.http_service;
    const headers = new HeaderMap(['host', req.host, 'content-length', '0']);
    const always = ['authorization'];
    for (const name of new Set(req.headers.list.map(([n]) => n)))
      if (always.includes(name) || matchesAny(conf.allowed_headers, name)) headers.add(name, req.headers.values(name).join(','));
    for (const { key, value } of service.authorization_request?.headers_to_add ?? []) headers.set(key, value);
    headers.set('x-envoy-internal', 'true');
    headers.append('x-forwarded-for', ownAddress);
    headers.set('x-envoy-expected-rq-timeout-ms', '2000');
    const failed = () => (conf.failure_mode_allow ? next() : this.local(res, conf.status_on_error?.code === 'ServiceUnavailable' ? 503 : 403));
    const ask = http.request({ ...this.address(service.server_uri.cluster), agent: this.agent, method: req.raw.method, path: (service.path_prefix ?? '') + req.path,
      setHost: false, timeout: parseFloat(service.server_uri.timeout) * 1000, headers: headers.flat() }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', failed);
      answer.on('end', () => this.verdict(service.authorization_response, req, res, next, failed, answer, Buffer.concat(chunks).toString()));
    });
    ask.on('timeout', () => ask.destroy(new Error('timeout')));
    ask.on('upgrade', (answer, socket) => socket.destroy() && failed());
    ask.on('error', failed);
    ask.end();
  }

  /** 200 passes, 5xx is an error, everything else the client's answer. */
  verdict(conf, req, res, next, failed, answer, body) {
    const headers = new HeaderMap(answer.rawHeaders);
    if (answer.statusCode >= 500) return failed();
    if (answer.statusCode !== 200) {
      const passed = headers.list.filter(([n]) => ['www-authenticate', 'location'].includes(n) || matchesAny(conf.allowed_client_headers, n));
      return this.local(res, answer.statusCode, passed, body);
    }
    for (const [name, value] of headers.list) {
      if (matchesAny(conf.allowed_upstream_headers, name)) req.headers.set(name, value);
      if (matchesAny(conf.allowed_client_headers_on_success, name)) req.added.push([name, value]);
    }
    for (const name of (headers.get('x-envoy-auth-headers-to-remove') ?? '').split(',').map((n) => n.trim()))
      if (name && !name.startsWith(':') && name !== 'host') req.headers.remove(name);
    return next();
  }

  route({ raw, headers, path, route, added }, res) {
    if (!route) return this.local(res, 404);
    if (route.direct_response) return this.local(res, route.direct_response.status);
    if (raw.headers['transfer-encoding']) headers.add('transfer-encoding', 'chunked');
    const out = http.request({ ...this.address(route.route.cluster), agent: this.agent, method: raw.method, path, setHost: false, headers: headers.flat() }, (answer) => {
      const fields = new HeaderMap(answer.rawHeaders);
      for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding']) fields.remove(name);
      for (const [name, value] of added) fields.add(name, value);
      fields.set('server', 'envoy');
      res.writeHead(answer.statusCode, fields.flat());
      answer.pipe(res);
    });
    out.on('error', () => this.local(res, 503));
    raw.pipe(out);
    return undefined;
  }
}
