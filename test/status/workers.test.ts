import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { COUNT_MS } from '#src/base/deadlines.js';
import { LoopDelay } from '#src/base/loop-delay.js';
import { app, until } from '../e2e/harness/index.js';
import { program, scene } from '../e2e/scene.js';

/** ms: what is held up until a question has been in vain (COUNT_MS) is late by that, less a tick of the measurement. */
const LONG_MS = COUNT_MS / 2;

test('memory, uptime and open connections by what is spoken on them', async (t) => {
  const source = `
const { address, announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const server = require('node:http').createServer({ keepAliveTimeout: 600_000 }, handler);
server.on('upgrade', (_, socket) => socket.on('error', () => {}).write('HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n'));
server.listen(...address(), () => announce(server));`;
  const stage = await scene(t, '', source);
  await stage.first();
  const worker = async () => {
    const [only] = (await stage.status()).services[0]?.workers ?? [];
    assert.ok(only !== undefined);
    return only;
  };
  // It may have a moment in which it does not answer, on a loaded machine.
  const empty = await until(async () => (await worker()).answers && (await worker()), { what: 'its answer' });
  assert.equal(empty.connections, 0);
  assert.ok((empty.memory ?? 0) > 1e7 && (empty.memory ?? 0) < 1e9);
  assert.ok((empty.uptime ?? 0) > 0);
  const sockets: Socket[] = [];
  const open = async (text: string): Promise<void> => {
    const socket = connect(stage.port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    socket.write(text);
    if (text !== '') await once(socket, 'data');
  };
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await open('');
  await open('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await open('GET / HTTP/1.1\r\nHost: a\r\nUpgrade: something\r\nConnection: Upgrade\r\n\r\n');
  const held = await stage.hold();
  const expected = { http1: 1, idle: 2, http2: 0, upgraded: 1, other: 0 };
  let counted = {};
  const isCounted = async () => {
    counted = (await worker()).protocols;
    return JSON.stringify(counted) === JSON.stringify(expected);
  };
  await until(isCounted, { what: JSON.stringify(expected), instead: () => counted });
  assert.equal((await worker()).connections, 4);
  held.finish();
  await held.answer;
});

test('HTTP/2', async (t) => {
  const stage = await scene(t, 'http2-h2c.mjs');
  await stage.first();
  const session = connectHttp2(`http://127.0.0.1:${stage.port}`);
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  const isCounted = async () => (await stage.status()).services[0]?.workers[0]?.protocols.http2 === 1;
  await until(isCounted, { what: 'one HTTP/2 connection' });
});

test('a worker whose event loop is blocked: it does not answer, then its delay is told', async (t) => {
  // It is held up for as long as the file is there: the process that asks may be slow on a loaded machine.
  const block = `const { existsSync, watch, writeFileSync } = require('node:fs');
watch(__dirname, (_, name) => {
  if (name !== 'block' || !existsSync(__dirname + '/block')) return;
  writeFileSync(__dirname + '/blocked', '');
  while (existsSync(__dirname + '/block'));
});`;
  const stage = await scene(t, '', program('one', block));
  await stage.first();
  const worker = async () => (await stage.status()).services[0]?.workers[0];
  assert.equal((await worker())?.eventLoopDelay, null, 'nobody has asked before');
  await until(async () => (await worker())?.eventLoopDelay !== null, { what: 'a first measurement' });
  stage.space.write('block', '');
  // Before, only the machine would be slow, and there were no delay to tell.
  await until(() => existsSync(stage.space.path('blocked')), { what: 'it to be held up' });
  await until(async () => (await worker())?.answers === false, { what: 'it to be busy' });
  rmSync(stage.space.path('block'));
  // However often it is asked meanwhile, its answer comes once and as soon as it can.
  const back = await until(
    async () => {
      const now = await worker();
      return now?.answers === true && (now.eventLoopDelay?.max ?? 0) > LONG_MS ? now : null;
    },
    { what: 'its delay' },
  );
  assert.ok((back.eventLoopDelay?.max ?? 0) < 30_000);
  assert.equal(back.state, 'ready');
  const p50 = back.eventLoopDelay?.p50 ?? Number.NaN;
  assert.ok(p50 <= (back.eventLoopDelay?.max ?? 0), String(p50));
});

test('the delay is measured from the first question on, since the last one, until it is stopped', async () => {
  const delay = new LoopDelay();
  assert.equal(delay.read(), null);
  const measured = () => until(() => delay.read(), { what: 'a measurement' });
  await measured();
  for (const end = performance.now() + 300; performance.now() < end; );
  // The timer has to fire once more to see it.
  await until(() => (delay.read()?.max ?? 0) > 200, { what: 'the delay of 300 ms' });
  delay.stop();
  assert.equal(delay.read(), null, 'it starts anew');
  delay.stop();
});
