import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { HandoverError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { PROTOCOL } from '#src/handover/handover-messages.js';
import type { Phase } from '#src/status/phases.js';
import { openFds } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';
import { hasDetails, leavesNothing, NOBODY, rejectsWith, TestGiver, TestPeer } from './support.js';

const txid = 'tx';

/** What an fd of this process is; null: it is closed. */
function linkOf(fd: number): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

/** Of a successor that has died. */
const HELLO = { type: 'HELLO', txid, ...PROTOCOL, pid: NOBODY, version: '0.0.1', ready: 500, probation: 0 };
const READY = { type: 'READY', txid, kept: 1, added: 0, removed: 0, leftOut: [] };
const ABORT = { type: 'ABORT', txid, code: 'ERR_MOTYA_PROGRAM', text: 'the successor has changed its mind' };
const COUNT = 3;

/** What a successor does up to each point of the hand-over, and where the incumbent stands then. */
const STEPS: { name: string; phase: Phase; walk: (peer: TestPeer) => Promise<void> }[] = [
  { name: 'HELLO', phase: 'offering', walk: async () => {} },
  {
    name: 'ADOPTED',
    phase: 'offering',
    walk: async (peer) => {
      peer.say(HELLO);
      await peer.hearUntil('LOCK');
    },
  },
  {
    name: 'READY',
    phase: 'awaiting',
    walk: async (peer) => {
      peer.say(HELLO);
      await peer.hearUntil('LOCK');
      peer.say({ type: 'ADOPTED', txid, listeners: COUNT });
    },
  },
  {
    name: 'LIVE',
    phase: 'committed',
    walk: (peer) => walkToCommit(peer, HELLO),
  },
];

async function walkToCommit(peer: TestPeer, hello: typeof HELLO): Promise<void> {
  peer.say(hello);
  await peer.hearUntil('LOCK');
  peer.say({ type: 'ADOPTED', txid, listeners: COUNT });
  peer.say(READY);
  await peer.hearUntil('COMMIT');
}

async function withPeer(
  body: (giver: TestGiver, fd: number, peer: TestPeer) => Promise<void>,
  count = COUNT,
): Promise<void> {
  await leavesNothing(async (directory) => {
    const giver = new TestGiver(directory, count);
    const [a, b] = native.channel.pair();
    const peer = new TestPeer(b);
    try {
      await body(giver, a, peer);
    } finally {
      peer.close();
      giver.close();
    }
  });
}

/** Once `body` has made the hand-over fail, all that the incumbent gave is still its own and works. */
function unharmed(giver: TestGiver, count = COUNT): void {
  assert.equal(giver.listeners().length, count);
  for (const { fd, socket } of giver.listeners()) assert.equal(native.listener.describe(fd).inode, socket.inode);
  assert.ok(giver.machine.can('failed') || giver.machine.phase === 'finding', giver.machine.phase);
}

for (const { name, phase, walk } of STEPS) {
  describe(`a successor that owes ${name}`, () => {
    test('says ABORT: its code and its reason', async () => {
      await withPeer(async (giver, fd, peer) => {
        const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PROGRAM', /has changed its mind/);
        await walk(peer);
        peer.say(ABORT);
        await handing;
        assert.equal(giver.machine.phase, phase);
        unharmed(giver);
      });
    });

    test('dies', async () => {
      await leavesNothing(async (directory) => {
        const giver = new TestGiver(directory, COUNT);
        const [a, b] = native.channel.pair();
        const peer = new TestPeer(b);
        const handing = rejectsWith(giver.handOver(a), 'ERR_MOTYA_PEER_GONE');
        await walk(peer);
        peer.close();
        await handing;
        assert.equal(giver.machine.phase, phase);
        unharmed(giver);
        giver.close();
      });
    });

    test('talks nonsense', async () => {
      await withPeer(async (giver, fd, peer) => {
        const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PROTOCOL', /is not JSON/);
        await walk(peer);
        const file = openSync('/dev/null', 'r');
        peer.sayRaw('{{{', [file, file]);
        native.fd.close(file);
        await handing;
        unharmed(giver);
      });
    });

    test('says something out of turn, with fds that are not wanted', async () => {
      await withPeer(async (giver, fd, peer) => {
        const details = { awaits: name, came: 'STATS' };
        const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PROTOCOL', details);
        await walk(peer);
        const file = openSync('/dev/null', 'r');
        peer.say({ type: 'STATS', txid, connections: 0, left: 0 }, [file, file]);
        native.fd.close(file);
        await handing;
        hasDetails((await peer.hearAbort()).details, details);
        unharmed(giver);
      });
    });

    test('is silent', async () => {
      await withPeer(async (giver, fd, peer) => {
        const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_DEADLINE', { awaits: name });
        await walk(peer);
        await handing;
        assert.equal((await peer.hearAbort()).code, 'ERR_MOTYA_DEADLINE');
        assert.equal(giver.machine.phase, phase);
        unharmed(giver);
      });
    });
  });
}

test('versions that do not meet: both ranges are named', async () => {
  const range = (min: number, max: number) =>
    withPeer(async (giver, fd, peer) => {
      const handing = rejectsWith(
        giver.handOver(fd),
        'ERR_MOTYA_VERSION',
        new RegExp(`protocol ${min} to ${max}, the incumbent 1 to 1`),
      );
      peer.say({ ...HELLO, min, max });
      assert.equal((await peer.hearAbort()).code, 'ERR_MOTYA_VERSION');
      await handing;
      unharmed(giver);
    });
  await range(2, 9);
  await range(0, 0);
  await range(5, 1);
});

test('a newer successor that still speaks ours is understood', async () => {
  await withPeer(async (giver, fd, peer) => {
    const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PROGRAM', /changed/);
    peer.say({ ...HELLO, min: 0, max: 99, more: 'fields' });
    assert.equal((await peer.hearUntil('OFFER')).protocol, 1);
    peer.say(ABORT);
    await handing;
  });
});

test('the number of adopted listeners must be the number of ours', async () => {
  for (const listeners of [0, COUNT - 1, COUNT + 1]) {
    await withPeer(async (giver, fd, peer) => {
      const details = { counted: 'adopted', came: listeners, expected: COUNT };
      const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_LISTENER_COUNT', details);
      peer.say(HELLO);
      await peer.hearUntil('LOCK');
      peer.say({ type: 'ADOPTED', txid, listeners });
      await handing;
      hasDetails((await peer.hearAbort()).details, details);
      unharmed(giver);
    });
  }
});

test('a successor that dies while the incumbent pauses ends the wait for it', async () => {
  await leavesNothing(async (directory) => {
    const giver = new TestGiver(directory, 1);
    giver.pausing = new Promise(() => {});
    const [a, b] = native.channel.pair();
    const peer = new TestPeer(b);
    const handing = rejectsWith(giver.handOver(a), 'ERR_MOTYA_PEER_GONE');
    peer.say(HELLO);
    await peer.hearUntil('LOCK');
    peer.say({ type: 'ADOPTED', txid, listeners: 1 });
    peer.say(READY);
    peer.close();
    await handing;
    assert.equal(giver.machine.phase, 'pausing');
    giver.close();
  });
});

test('a conversation that breaks after COMMIT with a successor that lives on: it is live', async () => {
  await leavesNothing(async (directory) => {
    const giver = new TestGiver(directory, COUNT);
    const [a, b] = native.channel.pair();
    const peer = new TestPeer(b);
    const handing = giver.handOver(a);
    await walkToCommit(peer, { ...HELLO, pid: process.pid });
    peer.close();
    const handed = await handing;
    assert.ok(handed !== 'dry-run');
    assert.equal(giver.machine.phase, 'standby');
    handed.dialogue.close();
    giver.close();
  });
});

test('a conversation that breaks after COMMIT with a successor that ends: it was not live, and the incumbent waits for its end', async () => {
  await leavesNothing(async (directory) => {
    const giver = new TestGiver(directory, COUNT);
    const [a, b] = native.channel.pair();
    const peer = new TestPeer(b);
    const successor = spawn('sleep', ['60'], { stdio: 'ignore' });
    const ended = once(successor, 'exit');
    const connection = linkOf(a);
    let isDecided = false;
    const handing = rejectsWith(giver.handOver(a), 'ERR_MOTYA_PEER_GONE').finally(() => {
      isDecided = true;
    });
    await walkToCommit(peer, { ...HELLO, pid: successor.pid as number });
    peer.close();
    await until(() => linkOf(a) !== connection, { what: 'the incumbent to read the end of the conversation' });
    await new Promise(setImmediate);
    assert.equal(isDecided, false);
    successor.kill('SIGKILL');
    await handing;
    await ended;
    unharmed(giver);
    giver.close();
  });
});

test('a successor that reads nothing costs no fds for longer than the hand-over', async () => {
  const count = 2000;
  await leavesNothing(async (directory) => {
    const before = openFds();
    const giver = new TestGiver(directory, count);
    const [a, b] = native.channel.pair();
    const peer = new TestPeer(b);
    // The buffer is full before all is sent, so the rest, and ABORT behind it, waits inside the channel.
    while (native.channel.send(a, Buffer.alloc(4000, ' '), []));
    const handing = rejectsWith(giver.handOver(a), 'ERR_MOTYA_DEADLINE', { awaits: 'ADOPTED' });
    peer.say(HELLO);
    await handing;
    unharmed(giver, count);
    giver.close();
    try {
      const gone = (): boolean => openFds() < before + 10;
      await until(gone, { what: 'the queued fds to be closed', instead: () => openFds() - before });
    } finally {
      peer.close();
    }
  });
});

test('a stop between COMMIT and LIVE takes nothing back: the successor may be live already', async () => {
  await withPeer(async (giver, fd, peer) => {
    const handing = giver.handOver(fd);
    await STEPS[3]?.walk(peer);
    giver.stopping.abort(new HandoverError('ERR_MOTYA_STOPPING', 'told to stop'));
    peer.say({ type: 'LIVE', txid });
    const handed = await handing;
    assert.ok(handed !== 'dry-run');
    assert.equal(giver.machine.phase, 'standby');
    handed.dialogue.close();
    assert.equal(await peer.hear(), null, 'no ABORT');
  });
});
