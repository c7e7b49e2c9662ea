'use strict';
// As many HTTP servers as LISTENERS says, each on a port that the kernel chooses.
const http = require('node:http');

const count = Number(process.env.LISTENERS);
const ports = [];
for (let index = 0; index < count; index++) {
  const server = http.createServer((_request, response) => response.end(String(process.pid)));
  server.listen(0, '127.0.0.1', () => {
    ports.push(server.address().port);
    if (ports.length === count) console.log(JSON.stringify({ ports, pid: process.pid }));
  });
}
