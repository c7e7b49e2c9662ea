import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { HandoverError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { receiveOffer } from '#src/handover/successor.js';
import { until } from '../e2e/harness/until.js';
import { leavesNothing, rejectsWith, TestGiver, TestPeer, TestTaker } from './support.js';

/** Both sides in this process, over a real socketpair. */
async function pair(
  count: number,
  body: (giver: TestGiver, taker: TestTaker, ends: [number, number], directory: string) => Promise<void>,
): Promise<void> {
  await leavesNothing(async (directory) => {
    const giver = new TestGiver(directory, count);
    const taker = new TestTaker(directory);
    try {
      await body(giver, taker, native.channel.pair(), directory);
    } finally {
      giver.close();
      taker.close();
    }
  });
}

async function take(fd: number, taker: TestTaker): Promise<string> {
  const offer = await receiveOffer(fd, taker);
  assert.equal(offer.incumbent, process.pid);
  assert.equal(offer.generation, 4);
  try {
    return await taker.takeOver(offer);
  } finally {
    offer.dialogue.close();
  }
}

for (const count of [0, 1, 128, 129, 253, 254, 1000]) {
  test(`${count} listeners change hands`, async () => {
    await pair(count, async (giver, taker, [a, b]) => {
      const [handed, how] = await Promise.all([giver.handOver(a), take(b, taker)]);
      assert.ok(handed !== 'dry-run');
      assert.equal(how, 'handed-over');
      assert.equal(handed.successor, 4711);
      assert.ok(handed.gapMs > 0 && handed.gapMs < 60_000);
      assert.equal(giver.accepting, false);
      assert.deepEqual(giver.phases.slice(-4), ['awaiting', 'pausing', 'committed', 'standby']);
      assert.deepEqual(taker.phases, ['adopting', 'booting', 'ready', 'taking', 'probation']);

      const told = (listeners: ReturnType<TestGiver['listeners']>) =>
        listeners.map(({ key, socket, backlog, alias, path }) => ({
          key,
          socket: { ...socket },
          backlog,
          alias,
          path,
        }));
      assert.deepEqual(told(taker.ledger.all()), told(giver.listeners()), 'same sockets, in order');
      assert.ok(taker.ledger.all().every((listener) => listener.inherited && listener.service === null));
      assert.equal(taker.pidfile.isOurs, true);
      handed.dialogue.close();
    });
  });
}

test('COMMIT brings the memory of the incumbent, whatever it is; an older one sends none', async () => {
  for (const history of [undefined, { totals: { a: 1 } }, { nonsense: [null, 7] }]) {
    await pair(1, async (giver, taker, [a, b]) => {
      giver.history = history;
      const [handed, how] = await Promise.all([giver.handOver(a), take(b, taker)]);
      assert.ok(handed !== 'dry-run');
      assert.equal(how, 'handed-over');
      assert.deepEqual(taker.history, history);
      handed.dialogue.close();
    });
  }
});

test('what programs hand on comes before COMMIT, and nothing of it stays open', async () => {
  await pair(1, async (giver, taker, [a, b]) => {
    const values = Array.from({ length: 300 }, (_, index) => Buffer.from(`value ${index}`));
    giver.values = values.map((data, index) => ({ service: 'web', index, fd: native.memfd.create(data) }));
    const [handed] = await Promise.all([giver.handOver(a), take(b, taker)]);
    assert.ok(handed !== 'dry-run');
    assert.deepEqual(
      taker.inherited,
      values.map((data, index) => ['web', index, data]),
    );
    handed.dialogue.close();
  });
});

test('a program that cannot hand on what it has: rejected, with its reason', async () => {
  await pair(1, async (giver, taker, [a, b]) => {
    giver.values = Promise.reject(new HandoverError('ERR_MOTYA_STATE', 'worker 0 of web: too much'));
    giver.values.catch(() => {});
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_STATE', /^worker 0 of web: too much$/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_STATE', /too much/);
    await taking;
    assert.deepEqual(taker.inherited, []);
  });
});

test('the successor dies while the incumbent gathers: what comes too late is closed', async () => {
  await pair(1, async (giver, _, [fd, other]) => {
    const peer = new TestPeer(other);
    let gathered!: (values: { service: string; index: number; fd: number }[]) => void;
    giver.values = new Promise((resolve) => {
      gathered = resolve;
    });
    const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PEER_GONE');
    peer.say({ type: 'HELLO', txid: 'tx', min: 1, max: 1, pid: 1, version: '1', ready: 500, probation: 0 });
    await peer.hearUntil('LOCK');
    peer.say({ type: 'ADOPTED', txid: 'tx', listeners: 1 });
    peer.say({ type: 'READY', txid: 'tx', kept: 1, added: 0, removed: 0, leftOut: [] });
    await until(() => !giver.accepting, { what: 'the pause' });
    peer.close();
    await handing;
    gathered([{ service: 'web', index: 0, fd: native.memfd.create(Buffer.from('late')) }]);
  });
});

test('the listeners of the successor accept when the incumbent has closed its own', async () => {
  await pair(8, async (giver, taker, [a, b], directory) => {
    const [handed] = await Promise.all([giver.handOver(a), take(b, taker)]);
    assert.ok(handed !== 'dry-run');
    handed.dialogue.close();
    giver.close();
    assert.ok(existsSync(join(directory, '3.sock')), 'the path stays');
    for (const { fd, socket } of taker.ledger.all()) {
      // Node 20 cannot connect to an abstract name that was not padded with NULs.
      if (socket.type === 'dgram' || socket.path?.startsWith('\0')) continue;
      const server = new Server((accepted) => accepted.end('hello')).listen({ fd: native.fd.dup(fd) });
      await once(server, 'listening');
      const client =
        socket.family === 'unix' ? connect(socket.path ?? '') : connect(socket.port ?? 0, socket.address ?? '');
      client.setEncoding('utf8');
      assert.deepEqual(await once(client, 'data'), ['hello']);
      client.destroy();
      server.close();
      await once(server, 'close');
    }
  });
});

test('the lock goes over without a gap and ends with its last holder', async () => {
  await pair(1, async (giver, taker, [a, b], directory) => {
    const [handed] = await Promise.all([giver.handOver(a), take(b, taker)]);
    assert.ok(handed !== 'dry-run');
    handed.dialogue.close();
    const lock = join(directory, 'pid.lock');
    assert.equal(native.lock.acquire(lock), null);
    giver.close();
    assert.equal(native.lock.acquire(lock), null, 'the successor holds it');
    taker.close();
    const fd = native.lock.acquire(lock);
    assert.ok(fd !== null);
    native.fd.close(fd);
  });
});

test('a dry run goes as far as READY; both sides know it for what it was', async () => {
  await pair(3, async (giver, taker, [a, b]) => {
    giver.dryRun = true;
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_DRY_RUN');
    assert.equal(await giver.handOver(a), 'dry-run');
    await taking;
    assert.equal(giver.accepting, true, 'it never stopped accepting');
    assert.equal(giver.machine.phase, 'awaiting');
    assert.equal(taker.machine.phase, 'ready');
  });
});

test('a stop before COMMIT cancels: while the successor boots, while the incumbent pauses, and before all', async () => {
  const stop = new HandoverError('ERR_MOTYA_STOPPING', 'pid 1 was told to stop');
  const forever = new Promise<void>(() => {});

  await pair(3, async (giver, taker, [a, b]) => {
    taker.booting = forever;
    giver.onPhase = (phase) => {
      if (phase === 'awaiting') giver.stopping.abort(stop);
    };
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_STOPPING', /pid 1 /);
    assert.equal(await rejectsWith(giver.handOver(a), 'ERR_MOTYA_STOPPING', /told to stop/), stop);
    await taking;
  });

  await pair(3, async (giver, taker, [a, b]) => {
    giver.pausing = forever;
    giver.onPhase = (phase) => {
      if (phase === 'pausing') giver.stopping.abort(stop);
    };
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_STOPPING', /told to stop/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_STOPPING', /told to stop/);
    await taking;
    assert.equal(giver.machine.phase, 'pausing');
  });

  await pair(3, async (giver, taker, [a, b]) => {
    giver.stopping.abort(stop);
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_STOPPING', /told to stop/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_STOPPING', /told to stop/);
    await taking;
  });
});

test('a program that breaks after it was ready, and one that cannot go live: the incumbent is told', async () => {
  await pair(2, async (giver, taker, [a, b]) => {
    giver.pausing = new Promise(() => {});
    giver.onPhase = (phase) => {
      if (phase === 'pausing') taker.breakDown(new HandoverError('ERR_MOTYA_PROGRAM', 'it ended'));
    };
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_PROGRAM', /it ended/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_PROGRAM', /it ended/);
    await taking;
  });
  await pair(2, async (giver, taker, [a, b]) => {
    taker.goingLive = Promise.reject(new HandoverError('ERR_MOTYA_WORKERS_NOT_ACCEPTING', 'no worker accepts'));
    taker.goingLive.catch(() => {});
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_WORKERS_NOT_ACCEPTING', /no worker accepts/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_WORKERS_NOT_ACCEPTING', /no worker accepts/);
    await taking;
    assert.equal(giver.machine.phase, 'committed', 'so the incumbent has to resume');
  });
  await pair(2, async (giver, taker, [a, b]) => {
    taker.booting = Promise.reject(new Error('a defect'));
    taker.booting.catch(() => {});
    const taking = rejectsWith(take(b, taker), 'ERR_MOTYA_INTERNAL', /a defect/);
    await rejectsWith(giver.handOver(a), 'ERR_MOTYA_INTERNAL', /a defect/);
    await taking;
  });
});
