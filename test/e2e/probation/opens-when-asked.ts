import { createSocket } from 'node:dgram';
import { until } from '../harness/index.js';
import { type Answer, ask, type Scene } from '../scene.js';

/**
 * Opens and closes listeners when it is asked to on PORT: `/open?tcp=1234`, `/close?unix=/a.sock`. Each of them, and PORT, answers
 * with the version. `before`: statements that run first.
 */
export function program(version: string, opens: readonly string[] = [], before = ''): string {
  return `'use strict';
const http = require('node:http');
const dgram = require('node:dgram');
const servers = new Map();
${before}
const answer = (request, response) => { response.setHeader('connection', 'close'); response.end(${JSON.stringify(version)}); };
function open(name, done) {
  const [kind, at] = name.split('=');
  const server = kind === 'udp' ? dgram.createSocket('udp4') : http.createServer(answer);
  servers.set(name, server);
  server.once('error', (error) => done(error.code)).once('listening', () => done('open'));
  if (kind === 'udp') {
    server.on('message', (_, { port, address }) => server.send(${JSON.stringify(version)}, port, address));
    server.bind(Number(at), '127.0.0.1');
  } else server.listen(kind === 'tcp' ? { port: Number(at), host: '127.0.0.1' } : at);
}
const main = http.createServer((request, response) => {
  const { pathname, search } = new URL(request.url, 'http://localhost');
  const name = decodeURIComponent(search.slice(1));
  const done = (text) => response.end(text);
  response.setHeader('connection', 'close');
  if (pathname === '/open') open(name, done);
  else if (pathname === '/close') servers.get(name).close(() => done('closed'));
  else done(${JSON.stringify(version)});
});
main.listen(Number(process.env.PORT), () => { for (const name of ${JSON.stringify(opens)}) open(name, console.log); });
`;
}

/** What the program answers on its main port, to an order among others. */
export const command = async ({ port }: Scene, path: string): Promise<string> =>
  (await ask({ port, host: '127.0.0.1', path })).body;

/** The version that answers there; throws as the connection fails. */
export async function answerOn(name: string): Promise<string> {
  const [kind, at = ''] = name.split('=');
  if (kind === 'udp') return datagram(Number(at));
  const where = kind === 'unix' ? { socketPath: at } : { port: Number(at), host: '127.0.0.1' };
  const answer: Answer = await ask({ ...where, path: '/' });
  return answer.body;
}

function datagram(port: number): Promise<string> {
  const socket = createSocket('udp4');
  return until(
    () =>
      new Promise<string | null>((resolve) => {
        socket.once('message', (text) => resolve(String(text)));
        socket.send('?', port, '127.0.0.1');
        setTimeout(resolve, 100, null);
      }),
    { what: `an answer on UDP port ${port}` },
  ).finally(() => socket.close());
}
