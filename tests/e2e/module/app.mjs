// SPDX-License-Identifier: Apache-2.0
// The application behind nginx: shows each request as it arrived, byte for byte, over HTTP and over
// FastCGI (whose names are those of CGI, where X_Auth_User and X-Auth-User are one).
import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';

const close = (server, sockets) => {
  for (const socket of sockets) socket.destroy();
  return new Promise((resolve) => server.close(resolve));
};

/** HTTP. app.hits counts requests; app.on(path, (req, res, body) => ...) answers otherwise, unless it returns false. */
export class App {
  static async start() {
    const app = new App();
    app.hits = 0;
    app.seen = [];
    app.special = new Map();
    app.sockets = new Set();
    app.server = http.createServer({ keepAliveTimeout: 60000 }, (req, res) => app.take(req, res));
    app.server.on('connection', (socket) => {
      app.sockets.add(socket);
      socket.heads = Buffer.alloc(0);
      /* Before the parser sees them. */
      socket.prependListener('data', (data) => {
        if (socket.heads.length < 256 * 1024) socket.heads = Buffer.concat([socket.heads, data]);
      });
      socket.on('error', () => {});
      socket.on('close', () => app.sockets.delete(socket));
    });
    app.server.on('upgrade', (req, socket, head) => app.upgrade(req, socket, head));
    await new Promise((resolve) => app.server.listen(0, '127.0.0.1', resolve));
    app.port = app.server.address().port;
    return app;
  }

  on(path, handler) {
    this.special.set(path, handler);
  }

  take(req, res) {
    const all = req.socket.heads;
    const head = all.subarray(0, all.indexOf('\r\n\r\n') + 4).toString('latin1');
    req.socket.heads = Buffer.alloc(0);
    this.hits += 1;
    const seen = { method: req.method, url: req.url, raw: req.rawHeaders, headers: req.headers, head };
    this.seen.push(seen);
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('error', () => {});
    req.on('end', () => {
      const body = Buffer.concat(chunks);
      const special = this.special.get(new URL(req.url, 'http://app').pathname);
      if (special && special(req, res, body) !== false) return;
      const digest = createHash('sha256').update(body).digest('hex');
      const json = JSON.stringify({ ...seen, length: body.length, digest });
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
      res.end(json);
    });
  }

  /** Any upgrade is accepted; what comes is sent back. */
  upgrade(req, socket, head) {
    this.hits += 1;
    this.seen.push({ method: req.method, url: req.url, raw: req.rawHeaders, headers: req.headers });
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    if (head.length) socket.write(head);
    socket.pipe(socket);
  }

  stop() {
    return close(this.server, this.sockets);
  }
}

/* ---- FastCGI, as much as nginx needs ---- */

const BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6;

function record(type, id, content) {
  const head = Buffer.from([1, type, id >> 8, id & 255, content.length >> 8, content.length & 255, 0, 0]);
  return Buffer.concat([head, content]);
}

/** Name-value pairs, duplicates kept: [[name, value]...]. */
function pairs(buffer) {
  const list = [];
  let at = 0;
  const length = () => {
    if (buffer[at] < 128) return buffer[at++];
    at += 4;
    return buffer.readUInt32BE(at - 4) & 0x7fffffff;
  };
  while (at < buffer.length) {
    const name = length(), value = length();
    list.push([buffer.toString('latin1', at, at + name), buffer.toString('latin1', at + name, at + name + value)]);
    at += name + value;
  }
  return list;
}

export class FastCgi {
  static async start() {
    const cgi = new FastCgi();
    cgi.sockets = new Set();
    cgi.hits = 0;
    cgi.server = net.createServer((socket) => cgi.connection(socket));
    await new Promise((resolve) => cgi.server.listen(0, '127.0.0.1', resolve));
    cgi.port = cgi.server.address().port;
    return cgi;
  }

  connection(socket) {
    let buffer = Buffer.alloc(0);
    const params = [];
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (data) => {
      buffer = Buffer.concat([buffer, data]);
      while (buffer.length >= 8) {
        const type = buffer[1], id = buffer.readUInt16BE(2), length = buffer.readUInt16BE(4);
        if (buffer.length < 8 + length + buffer[6]) return;
        const content = buffer.subarray(8, 8 + length);
        buffer = buffer.subarray(8 + length + buffer[6]);
        if (type === BEGIN) params.length = 0;
        if (type === PARAMS) params.push(Buffer.from(content));
        if (type === STDIN && length === 0) this.answer(socket, id, pairs(Buffer.concat(params)));
      }
    });
  }

  answer(socket, id, list) {
    this.hits += 1;
    const body = `Status: 200 OK\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(list)}`;
    socket.write(record(STDOUT, id, Buffer.from(body)));
    socket.write(record(STDOUT, id, Buffer.alloc(0)));
    socket.end(record(END, id, Buffer.alloc(8)));
  }

  stop() {
    return close(this.server, this.sockets);
  }
}
