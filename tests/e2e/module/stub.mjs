// SPDX-License-Identifier: Apache-2.0
// In the daemon's place: a Unix socket that answers the module's questions with the bytes it is told.
import { rmSync } from 'node:fs';
import net from 'node:net';
import { fieldsOf } from './wire.mjs';

/** Bytes of an answer with a right length. */
export function answer(status, fields = [], body = '') {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `HTTP/1.1 ${status} Some Reason\r\n${lines}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`;
}

/** The daemon's yes: it names a session. */
export const yes = (fields = [], body = '') => answer(200, [['X-Auth-Session', 'H'.repeat(22)], ...fields], body);

export class Stub {
  /** reply(question, socket): bytes to send, or nothing if it has written by itself. */
  static async start(path, reply) {
    const stub = new Stub();
    Object.assign(stub, { path, reply, questions: [], sockets: new Set(), connections: 0 });
    rmSync(path, { force: true });
    stub.server = net.createServer((socket) => stub.connection(socket));
    await new Promise((resolve) => stub.server.listen(path, resolve));
    return stub;
  }

  connection(socket) {
    let buffer = Buffer.alloc(0);
    this.connections += 1;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (data) => {
      buffer = Buffer.concat([buffer, data]);
      for (let at; (at = buffer.indexOf('\r\n\r\n')) >= 0; ) {
        const head = buffer.subarray(0, at + 4).toString('latin1');
        buffer = buffer.subarray(at + 4);
        const lines = head.slice(0, -4).split('\r\n');
        const [method, target] = lines[0].split(' ');
        const question = { method, target, head, fields: fieldsOf(lines.slice(1)) };
        question.all = (name) => question.fields.filter(([n]) => n.toLowerCase() === name).map(([, v]) => v);
        this.questions.push(question);
        const bytes = this.reply(question, socket);
        if (typeof bytes === 'string' && socket.writable) socket.write(Buffer.from(bytes, 'latin1'));
      }
    });
  }

  async stop() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    rmSync(this.path, { force: true });
  }
}
