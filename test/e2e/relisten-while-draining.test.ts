import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { freePort } from './harness/index.js';
import { scene } from './scene.js';

/** A session that closes a server and listens again on the same address, as a program does that has new settings or certificates. */
const PROGRAM = `'use strict';
const net = require('node:net');
const dgram = require('node:dgram');
const { MOTYA_GENERATION, PORT, OTHER, PATH_OF_SOCKET, UDP } = process.env;
const version = (socket) => socket.on('error', () => {}).end(MOTYA_GENERATION);
const open = {
  tcp: () => net.createServer(version).listen(Number(OTHER), '127.0.0.1'),
  unix: () => net.createServer(version).listen(PATH_OF_SOCKET),
  udp: () => {
    const socket = dgram.createSocket('udp4');
    socket.on('message', (_, { port }) => socket.send(MOTYA_GENERATION, port, '127.0.0.1'));
    return socket.bind(Number(UDP), '127.0.0.1');
  },
};
const now = Object.fromEntries(Object.entries(open).map(([kind, make]) => [kind, make()]));
net.createServer((session) => {
  session.on('error', () => {}).on('data', (text) => {
    const kind = String(text);
    const say = (what) => session.write(MOTYA_GENERATION + ' ' + what);
    now[kind].close();
    now[kind] = open[kind]().once('listening', () => say('listens')).once('error', ({ code }) => say(code));
  });
}).listen(Number(PORT), '127.0.0.1');
`;

test("a program listens again on its own addresses while it drains: its clients are served on, new ones are the new version's", async (t) => {
  const stage = await scene(t, '', PROGRAM);
  const [other, udp, path] = [await freePort(), await freePort(), stage.space.path('program.sock')];
  const env = { OTHER: String(other), UDP: String(udp), PATH_OF_SOCKET: path };
  const first = await stage.first(['--probation', '0'], env);
  const session = connect(stage.port, '127.0.0.1');
  t.after(() => session.destroy());
  await once(session, 'connect');
  const upgraded = await stage.upgrade();
  assert.equal(upgraded.code, 0, upgraded.stderr);
  await first.waitFor((line) => line.event === 'phase' && line.to === 'draining');
  for (const kind of ['tcp', 'unix', 'udp']) {
    session.write(kind);
    const [said] = (await once(session, 'data')) as [Buffer];
    assert.equal(String(said), '1 listens', kind);
  }
  assert.equal(await versionOf(connect(other, '127.0.0.1')), '2');
  assert.equal(await versionOf(connect(path)), '2');
  const client = createSocket('udp4');
  client.send('?', udp, '127.0.0.1');
  const [answer] = (await once(client, 'message')) as [Buffer];
  client.close();
  assert.equal(String(answer), '2');
  session.end();
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal(await versionOf(connect(path)), '2');
});

async function versionOf(socket: Socket): Promise<string> {
  const [text] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return String(text);
}
