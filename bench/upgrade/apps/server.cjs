'use strict';
// The program that is measured, the same under everything: plain node:http, nothing in it knows Motya. It says 'ready' for
// managers that wait for it, and ends gracefully on the signals that managers send, as their documentation advises.
const http = require('node:http');

const identity = JSON.stringify({ pid: process.pid, generation: process.env.MOTYA_GENERATION ?? null });

const server = http.createServer((request, response) => {
  if (request.method === 'POST') {
    response.setHeader('content-type', 'application/octet-stream');
    response.setHeader('x-identity', identity);
    request.pipe(response);
    return;
  }
  response.setHeader('content-type', 'application/json');
  response.end(identity);
});

server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  console.log(JSON.stringify({ listening: server.address().port, pid: process.pid }));
  process.send?.('ready');
});

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => process.exit(0)));
