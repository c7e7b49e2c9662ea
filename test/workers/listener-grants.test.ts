import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Channel } from '#src/base/channel.js';
import { native } from '#src/base/os/native.js';
import { Ledger } from '#src/listeners/ledger.js';
import type { ListenRequest } from '#src/listeners/listen-request.js';
import type { Listener } from '#src/listeners/listener.js';
import type { Obstacle } from '#src/listeners/refusals.js';
import { type WorkerMessage, workerCodec } from '#src/runtime/worker-messages.js';
import { ListenerGrants } from '#src/workers/listener-grants.js';
import { until } from '../e2e/harness/until.js';

const REQUEST = { kind: 'tcp', address: '127.0.0.1', port: 0, v6only: false, backlog: 7, ordinal: 0 } as const;

function grantsOf(t: TestContext) {
  const [a, b] = native.channel.pair();
  const channel = new Channel(a, workerCodec);
  const peer = new Channel(b, workerCodec);
  const heard: WorkerMessage[] = [];
  peer.on('message', (message) => heard.push(message));
  peer.open();
  const ledger = new Ledger();
  const listener = ledger.addUser('web', 1, REQUEST satisfies ListenRequest, 0) as Listener;
  t.after(() => {
    ledger.removeAll({ unlink: true });
    channel.close();
    peer.close();
  });
  const told: unknown[] = [];
  const grantee = {
    service: 'web',
    pid: 1,
    readyAt: null,
    becomeBlocked: () => told.push('blocked'),
    denied: ({ details }: Obstacle) => told.push(details),
  };
  return { grants: new ListenerGrants(grantee, channel), listener, heard, told };
}

test('what is granted is held until the program closes its server', async (t) => {
  const { grants, listener, heard } = grantsOf(t);
  grants.grant(3, listener);
  assert.deepEqual([...grants.keys], [listener.key]);
  await until(() => heard.length === 1, { what: 'LISTENER' });
  const { type, id, key, port, backlog } = heard[0] as Extract<WorkerMessage, { type: 'LISTENER' }>;
  assert.deepEqual(
    { type, id, key, port, backlog },
    {
      type: 'LISTENER',
      id: 3,
      key: listener.key,
      port: listener.socket.port,
      backlog: 7,
    },
  );
  assert.equal(grants.release(listener.key), true);
  assert.equal(grants.keys.size, 0);
});

test('what is lent is not held, and the program has to close it before it is ready', (t) => {
  const { grants, listener } = grantsOf(t);
  const request = { ...REQUEST, port: 4711 };
  grants.lend(1, request, listener);
  assert.equal(grants.hasLent, true);
  assert.equal(grants.keys.size, 0);
  grants.refuseLent();
  const { reason, listener: wanted, overlaps } = grants.lastRefusal?.details ?? {};
  assert.deepEqual([reason, wanted, overlaps], ['EADDRINUSE', 'tcp://127.0.0.1:4711', listener.key]);
  assert.equal(grants.release('tcp://127.0.0.1:4711'), false);
  assert.equal(grants.hasLent, false);
});

test('an address of another generation is lent without a condition', (t) => {
  const { grants } = grantsOf(t);
  grants.lend(1, { ...REQUEST, port: 4711 }, null);
  assert.equal(grants.hasLent, false);
});

test('a refusal is kept for the reason of a failed start; EACCES is told at once', async (t) => {
  const { grants, heard, told } = grantsOf(t);
  grants.wait(1);
  grants.refuse(1, { code: 'EADDRINUSE', errno: -98, syscall: 'bind' }, 'tcp://127.0.0.1:80', null);
  assert.deepEqual(told, ['blocked']);
  grants.refuse(2, { code: 'EACCES', errno: -13, syscall: 'bind' }, 'tcp://127.0.0.1:81', null);
  const details = { reason: 'EACCES', syscall: 'bind', listener: 'tcp://127.0.0.1:81' };
  assert.deepEqual(grants.lastRefusal?.details, details);
  assert.deepEqual(told, ['blocked', details]);
  grants.leavePlain(4);
  await until(() => heard.length === 4, { what: 'the answers' });
  assert.deepEqual(
    heard.map(({ type }) => type),
    ['PENDING', 'REFUSED', 'REFUSED', 'REFUSED'],
  );
});
