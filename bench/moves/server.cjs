'use strict';
// The program that is measured, the same under everything: plain node:http, nothing in it knows Motya. It answers as the clients of
// test/e2e/moves want it, and says how long its event loop has stood still and what CPU time it took: at /effort, and at its
// end in the file EFFORTS.
const { appendFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { monitorEventLoopDelay } = require('node:perf_hooks');

const stalls = monitorEventLoopDelay({ resolution: 1 });
stalls.enable();
let before = process.cpuUsage();
/** Longest stall, and CPU time, in ms. */
const effort = () => {
  const { user, system } = process.cpuUsage(before);
  return { stall: stalls.max / 1e6, cpu: (user + system) / 1e3 };
};
// From now on.
process.on('SIGUSR2', () => {
  stalls.reset();
  before = process.cpuUsage();
});

const identity = { pid: process.pid, generation: Number(process.env.MOTYA_GENERATION ?? 0) };

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const answer = (body) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...identity, ...body }));
  };
  if (pathname !== '/answer') return answer(effort());
  const remote = `${request.socket.remoteAddress}:${request.socket.remotePort}`;
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    const whole = { id: searchParams.get('id'), store: null, remote, body };
    const ms = Number(searchParams.get('ms'));
    if (ms > 0) setTimeout(answer, ms, whole);
    else answer(whole);
  });
});
server.keepAliveTimeout = 600_000;
server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(JSON.stringify({ listening: server.address().port, pid: process.pid }));
  process.send?.('ready');
});

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => process.exit(0)));
process.on('exit', () => {
  if (process.env.EFFORTS) appendFileSync(process.env.EFFORTS, `${JSON.stringify({ ...identity, ...effort() })}\n`);
});
