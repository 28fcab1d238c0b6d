// SPDX-License-Identifier: Apache-2.0
// A client that sends exact bytes on one connection and reads whole responses from it, so that what
// follows a refusal, a HEAD or a pipelined request is seen as it is.
import http2 from 'node:http2';
import net from 'node:net';

/** Length of the head, the CRLF CRLF included; 0: not whole yet. */
function headEnd(buffer) {
  const at = buffer.indexOf('\r\n\r\n');
  return at < 0 ? 0 : at + 4;
}

/** Fields of a head in latin1: [[name as sent, value]...]. */
export function fieldsOf(lines) {
  return lines.map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at), line.slice(at + 1).trim()];
  });
}

/** Decode a chunked body. @return {body, used} or null while it is not whole */
function chunked(buffer) {
  const parts = [];
  let at = 0;
  for (;;) {
    const eol = buffer.indexOf('\r\n', at);
    if (eol < 0) return null;
    const size = parseInt(buffer.subarray(at, eol).toString('latin1'), 16);
    if (Number.isNaN(size)) throw new Error('a chunk without size');
    const from = eol + 2;
    if (buffer.length < from + size + 2) return null;
    if (size === 0) return { body: Buffer.concat(parts), used: from + 2 };
    parts.push(buffer.subarray(from, from + size));
    at = from + size + 2;
  }
}

export class Wire {
  /** where: a port of this machine, or the path of a Unix socket */
  static open(where) {
    const wire = new Wire();
    wire.buffer = Buffer.alloc(0);
    wire.closed = false;
    wire.waiters = [];
    return new Promise((resolve, reject) => {
      const socket = typeof where === 'string' ? net.connect(where) : net.connect(where, '127.0.0.1');
      wire.socket = socket;
      socket.setNoDelay(true);
      socket.on('connect', () => resolve(wire));
      socket.on('data', (data) => {
        wire.buffer = Buffer.concat([wire.buffer, data]);
        wire.wake();
      });
      socket.on('error', (error) => {
        wire.error = error;
        reject(error);
      });
      socket.on('close', () => {
        wire.closed = true;
        wire.wake();
      });
    });
  }

  wake() {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  send(bytes) {
    this.socket.write(bytes, typeof bytes === 'string' ? 'latin1' : undefined);
    return this;
  }

  /** Wait until probe() is true or the other side has closed. */
  async wait(probe, what, ms = 30000) {
    const end = Date.now() + ms;
    while (!probe() && !this.closed) {
      if (Date.now() > end) throw new Error(`timeout: ${what}: ${this.buffer.toString('latin1').slice(0, 400)}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, end - Date.now()));
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return probe();
  }

  /** The next response; null if the connection ended before there was one. Interim ones are kept in .interim. */
  async response({ head = false, ms } = {}) {
    const interim = [];
    for (;;) {
      if (!(await this.wait(() => headEnd(this.buffer) > 0, 'a response', ms))) return null;
      const end = headEnd(this.buffer);
      const lines = this.buffer.subarray(0, end - 4).toString('latin1').split('\r\n');
      const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(lines[0])?.[1]);
      this.buffer = this.buffer.subarray(end);
      if (status >= 100 && status < 200 && status !== 101) {
        interim.push(status);
        continue;
      }
      const fields = fieldsOf(lines.slice(1));
      const headers = {};
      for (const [name, value] of fields) (headers[name.toLowerCase()] ??= []).push(value);
      const res = { status, line: lines[0], fields, headers, interim, one: (name) => headers[name]?.[0] };
      res.cookies = headers['set-cookie'] ?? [];
      res.body = await this.body(res, head, ms);
      res.json = () => JSON.parse(Buffer.from(res.body, 'latin1').toString());
      return res;
    }
  }

  async body(res, head, ms) {
    if (head || res.status === 204 || res.status === 304 || res.status === 101) return '';
    if (/chunked/i.test(res.headers['transfer-encoding']?.[0] ?? '')) {
      let done = null;
      await this.wait(() => (done = chunked(this.buffer)) !== null, 'the last chunk', ms);
      if (!done) throw new Error('the connection ended inside a chunked body');
      this.buffer = this.buffer.subarray(done.used);
      return done.body.toString('latin1');
    }
    const length = res.headers['content-length']?.[0];
    if (length === undefined) await this.wait(() => false, 'the end of the connection', ms);
    else if (!(await this.wait(() => this.buffer.length >= Number(length), 'the body', ms)))
      throw new Error('the connection ended inside a body');
    const size = length === undefined ? this.buffer.length : Number(length);
    const body = this.buffer.subarray(0, size).toString('latin1');
    this.buffer = this.buffer.subarray(size);
    return body;
  }

  close() {
    this.socket.destroy();
  }
}

/** One request as text: fields as an object or as a list of [name, value]. */
export function text(method, target, fields = {}, body = '') {
  const list = Array.isArray(fields) ? fields : Object.entries(fields);
  const lines = list.flatMap(([name, value]) => (Array.isArray(value) ? value.map((v) => [name, v]) : [[name, value]]));
  const named = new Set(lines.map(([name]) => name.toLowerCase()));
  if (!named.has('host')) lines.unshift(['Host', 'app.example']);
  if (body && !named.has('content-length') && !named.has('transfer-encoding'))
    lines.push(['Content-Length', String(Buffer.byteLength(body, 'latin1'))]);
  return `${method} ${target} HTTP/1.1\r\n${lines.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${body}`;
}

/** One request on a connection of its own. */
export async function once(where, bytes, options = {}) {
  const wire = await Wire.open(where);
  try {
    return await wire.send(bytes).response(options);
  } finally {
    wire.close();
  }
}

/** A connection over HTTP/2 without TLS. */
export class H2 {
  static open(port) {
    const h2 = new H2();
    h2.client = http2.connect(`http://127.0.0.1:${port}`);
    return new Promise((resolve, reject) => {
      h2.client.on('connect', () => resolve(h2));
      h2.client.on('error', reject);
    });
  }

  /** The stream as soon as it is made, for those that want to see it end. */
  stream(method, target, headers = {}) {
    return this.client.request({ ':method': method, ':path': target, ':authority': 'app.example', ...headers });
  }

  /** {status, headers, cookies, body, json()} */
  request(method, target, headers = {}, body = undefined) {
    return new Promise((resolve, reject) => {
      const stream = this.stream(method, target, headers);
      const chunks = [];
      let head;
      stream.on('response', (h) => (head = h));
      stream.on('data', (data) => chunks.push(data));
      stream.on('error', reject);
      stream.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (!head) reject(new Error('the stream ended without a response'));
        else resolve({ status: head[':status'], headers: head, cookies: head['set-cookie'] ?? [], body: text, json: () => JSON.parse(text) });
      });
      stream.end(body);
    });
  }

  close() {
    this.client.destroy();
  }
}
