import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { isAlive, until } from './harness/index.js';
import { scene } from './scene.js';

/** A session opens ports for its data: `tcp 0` and `udp 0` as FTP's PASV and RTP do, `tcp PORT` where they have a range. */
const PROGRAM = `'use strict';
const net = require('node:net');
const dgram = require('node:dgram');
const version = process.env.MOTYA_GENERATION;
net.createServer((session) => {
  session.on('error', () => {}).on('data', (text) => {
    const [kind, port] = String(text).trim().split(' ');
    const say = (what) => session.write(version + ' ' + what + '\\n');
    if (kind === 'tcp') {
      const server = net.createServer((socket) => { socket.end(version); server.close(); });
      server.on('error', (error) => say(error.code));
      server.listen(Number(port), '127.0.0.1', () => say(server.address().port));
      return;
    }
    const socket = dgram.createSocket('udp4');
    socket.on('message', (_, { port }) => { socket.send(version, port, '127.0.0.1', () => socket.close()); });
    socket.on('error', (error) => say(error.code));
    socket.bind(Number(port), '127.0.0.1', () => say(socket.address().port));
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
`;

async function ask(session: Socket, what: string): Promise<{ generation: string; answer: string }> {
  session.write(`${what}\n`);
  const [text] = (await once(session, 'data')) as [Buffer];
  const [generation = '', answer = ''] = String(text).trim().split(' ');
  return { generation, answer };
}

async function dataOver(session: Socket, kind: 'tcp' | 'udp'): Promise<string> {
  const { answer } = await ask(session, `${kind} 0`);
  assert.match(answer, /^\d+$/);
  if (kind === 'tcp') return String(((await once(connect(Number(answer), '127.0.0.1'), 'data')) as [Buffer])[0]);
  const socket = createSocket('udp4');
  socket.send('?', Number(answer), '127.0.0.1');
  const [text] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return String(text);
}

test('a session of the old version opens ports of its own, on probation and while it drains', async (t) => {
  const stage = await scene(t, '', PROGRAM);
  const first = await stage.first(['--probation', '10m']);
  const session = connect(stage.port, '127.0.0.1');
  t.after(() => session.destroy());
  await once(session, 'connect');
  for (const kind of ['tcp', 'udp'] as const) assert.equal(await dataOver(session, kind), '1');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  for (const kind of ['tcp', 'udp'] as const) assert.equal(await dataOver(session, kind), '1');
  // The next upgrade ends the probation.
  const second = stage.mainPid as number;
  assert.equal((await stage.upgrade('--detach')).code, 0);
  await first.waitFor((line) => line.event === 'phase' && line.to === 'draining' && line.generation === 1);
  for (const kind of ['tcp', 'udp'] as const) assert.equal(await dataOver(session, kind), '1');
  // The port of the service is the new version's, whatever the old one asks for.
  assert.equal((await ask(session, `tcp ${stage.port}`)).answer, 'EADDRINUSE');
  assert.equal(isAlive(second), true);
  session.end();
  await first.waitForExit();
  const late = connect(stage.port, '127.0.0.1');
  t.after(() => late.destroy());
  await until(async () => (await dataOver(late, 'tcp')) === '3', { what: 'the newest version' });
});
