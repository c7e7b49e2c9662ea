import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '#src/base/channel.js';
import { native } from '#src/base/os/native.js';
import { Ledger } from '#src/listeners/ledger.js';
import { type WorkerMessage, type WorkerShapes, workerCodec } from '#src/runtime/worker-messages.js';
import { Conversation } from '#src/workers/conversation.js';
import { ListenGate } from '#src/workers/listen-gate.js';
import { until } from '../e2e/harness/until.js';

const NONE = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };

class Asker extends Conversation {
  readonly pid = 7;
  readonly index = 0;
  readonly name = 'worker 0 of web';
  end(): void {}
  protected cutOff(): void {}
}

test('onHandover() of a program is not called again while it runs', async (t) => {
  const [a, b] = native.channel.pair();
  const peer = new Channel<WorkerShapes>(b, workerCodec);
  const channel = new Channel<WorkerShapes>(a, workerCodec);
  const asker = new Asker('web', new ListenGate(new Ledger(null), { open: true, sandbox: null }), channel);
  channel.open();
  const heard: WorkerMessage[] = [];
  peer.on('message', (message) => heard.push(message));
  peer.open();
  t.after(() => {
    peer.close();
    channel.close();
  });
  const first = asker.give();
  const second = asker.give();
  await until(() => heard.length > 0, { what: 'the first question' });
  // A later question is answered before: it cannot be that the second one is only on its way.
  const counted = asker.count();
  await until(() => heard.some(({ type }) => type === 'COUNT'), { what: 'the question behind it' });
  const idOf = (index: number): number => (heard[index] as { id: number }).id;
  assert.deepEqual(
    heard.map(({ type }) => type),
    ['GIVE', 'COUNT'],
  );
  peer.send({ type: 'GIVEN', id: idOf(0), error: 'not yet' });
  await assert.rejects(first, { code: 'ERR_MOTYA_STATE' });
  await until(() => heard.length === 3, { what: 'the second question' });
  peer.send({ type: 'GIVEN', id: idOf(2), error: 'never' });
  await assert.rejects(second, { code: 'ERR_MOTYA_STATE' });
  peer.send({ type: 'COUNTS', id: idOf(1), connections: NONE });
  assert.deepEqual(await counted, NONE);
});
