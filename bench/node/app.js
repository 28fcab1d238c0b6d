// SPDX-License-Identifier: Apache-2.0
// An application that does nothing, in Node.js without a framework: node app.js PORT
import http from 'node:http';

const answer = 'an answer of the application '.repeat(20);

http.createServer((req, res) => {
  res.setHeader('Content-Length', answer.length);
  res.end(answer);
}).listen(Number(process.argv[2]), '127.0.0.1');
