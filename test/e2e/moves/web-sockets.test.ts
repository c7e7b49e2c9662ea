import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { ROOT, until } from '../harness/index.js';
import { moveStage } from './stage.js';

const CLIENTS = 10;
const DEPLOYS = 3;
/** ms between two messages of a client. */
const EACH_MS = 50;

it('clients of a chat with ws keep their WebSocket over deploys, no message lost (examples/connections/chat.mjs)', async (test) => {
  const stage = await moveStage(test, { script: `${ROOT}examples/connections/chat.mjs` });
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const name = `client-${index}`;
      const webSocket = new WebSocket(`ws://127.0.0.1:${stage.port}/?name=${name}`);
      const client = { name, webSocket, sent: 0, own: [] as string[], welcomes: 0, code: 0 };
      webSocket.on('message', (data) => {
        const text = String(data);
        if (text.startsWith('welcome')) client.welcomes += 1;
        if (text.startsWith(`${name} #`)) client.own.push(text);
      });
      webSocket.on('close', (code) => {
        client.code = code;
      });
      await once(webSocket, 'open');
      return client;
    }),
  );
  // Longer than the threshold of its compression, and alike.
  const textOf = (number: number): string => `message ${number}, ${'which repeats itself, '.repeat(8)}`;
  const stop = new AbortController();
  const traffic = (async () => {
    while (!stop.signal.aborted) {
      for (const client of clients) client.webSocket.send(textOf(++client.sent));
      await wait(EACH_MS);
    }
  })();
  try {
    for (let deploy = 1; deploy <= DEPLOYS; deploy++) {
      await stage.deploy();
      const { moved } = (await stage.drained(deploy)) as unknown as { moved: number };
      assert.equal(moved, CLIENTS);
    }
    stop.abort();
    await traffic;
    await until(() => clients.every(({ own, sent, code }) => own.length >= sent || code !== 0), {
      what: 'all messages',
    });
    for (const { name, own, sent, welcomes, code } of clients) {
      const expected = Array.from({ length: sent }, (_, index) => `${name} #${index + 1}: ${textOf(index + 1)}`);
      assert.deepEqual([code, welcomes, own], [0, 1, expected]);
    }
  } finally {
    stop.abort();
    for (const { webSocket } of clients) webSocket.terminate();
  }
});
