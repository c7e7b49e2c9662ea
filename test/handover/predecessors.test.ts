import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel } from '#src/base/channel.js';
import { ProtocolError } from '#src/base/errors.js';
import { MESSAGE_BYTES } from '#src/base/limits.js';
import { native } from '#src/base/os/native.js';
import { Dialogue } from '#src/handover/dialogue.js';
import { handoverCodec } from '#src/handover/handover-messages.js';
import type { HandedOver } from '#src/handover/incumbent.js';
import { Predecessors } from '#src/handover/predecessors.js';
import { History } from '#src/status/history.js';
import { NOTHING_DRAINED } from '#src/workers/drained.js';
import { until } from '../e2e/harness/until.js';
import { leavesNothing, TestPeer } from './support.js';

const txid = 'tx';
const stats = (connections: number, drained: number) => ({
  type: 'STATS',
  txid,
  connections,
  left: 5000,
  counters: { drained },
});
const bye = (drained: number) => ({ type: 'BYE', txid, forced: 2, moved: 0, counters: { drained } });

/** A generation as it is seen by itself: what it remembers, and whom it follows. */
class Generation {
  readonly history = new History();
  readonly warnings: string[] = [];
  readonly predecessors = new Predecessors(this.history, {
    warn: (text) => this.warnings.push(text),
    adopt: async () => 0,
  });
  readonly number: number;

  constructor(number: number) {
    this.number = number;
    this.history.firstServes(number);
  }

  get drained(): number {
    return this.history.totals.get('drained');
  }

  /** Takes over from a peer that says what the test wants. */
  follow(number: number, pid: number): { peer: TestPeer; end: Promise<unknown> } {
    const [ours, theirs] = native.channel.pair();
    const dialogue = new Dialogue(new Channel(ours, handoverCodec));
    return { peer: new TestPeer(theirs), end: this.predecessors.follow({ dialogue, pid, generation: number }) };
  }
}

/** The conversation of `from` with `to` after a hand-over. */
function handedOver(from: Generation, to: Generation): HandedOver {
  const [ours, theirs] = native.channel.pair();
  to.history.import(JSON.parse(JSON.stringify(from.history.export())));
  from.predecessors.commit();
  const heard = new Dialogue(new Channel(theirs, handoverCodec));
  void to.predecessors.follow({ dialogue: heard, pid: 1000 + from.number, generation: from.number });
  const dialogue = new Dialogue(new Channel(ours, handoverCodec));
  return {
    dialogue,
    txid,
    successor: 1,
    probationMs: 0,
    gapMs: 1,
    kept: 0,
    removed: 0,
    added: 0,
    leftOut: [],
    moves: true,
  };
}

const shown = ({ predecessors }: Generation) =>
  predecessors.all().map(({ generation, connections }) => [generation, connections]);

test('a generation that outlives its successor is followed by the next one, and counted once', async () => {
  await leavesNothing(async () => {
    const [second, third] = [new Generation(2), new Generation(3)];
    const { peer, end } = second.follow(1, 1001);
    peer.say(stats(5, 10));
    await until(() => second.drained === 10, { what: 'the first STATS' });

    const handed = handedOver(second, third);
    assert.equal(third.drained, 10);
    // Heard by the second one after its COMMIT: the third does not have it yet, and must count it once.
    peer.say(stats(4, 11));
    await until(() => shown(second)[0]?.[1] === 4, { what: 'the second STATS' });
    second.predecessors.passOn(handed);
    assert.deepEqual(shown(second), []);
    assert.equal(await end, null);
    second.history.drained({ ...NOTHING_DRAINED, ended: 1 });
    handed.dialogue.send({ type: 'BYE', txid, forced: 0, moved: 0, counters: second.history.afterCommit });
    handed.dialogue.close();
    await until(() => third.drained === 11, { what: 'the end of the second', instead: () => third.drained });

    peer.say(stats(3, 12));
    await until(() => shown(third)[0]?.[1] === 3, {
      what: 'the first, heard of by the third',
      instead: () => shown(third),
    });
    assert.equal(third.drained, 10 + 1 + 2, 'ten in COMMIT, one of the second, two more of the first');
    peer.say(bye(15));
    await third.predecessors.gone();
    assert.equal(third.drained, 16);
    peer.close();
    assert.deepEqual([...second.warnings, ...third.warnings], []);
  });
});

test('a conversation that cannot be passed on is closed', async () => {
  await leavesNothing(async () => {
    const [second, third] = [new Generation(2), new Generation(3)];
    const { peer, end } = second.follow(1, 1001);
    const handed = handedOver(second, third);
    // More than a message has room for.
    const txid = 'x'.repeat(MESSAGE_BYTES);
    assert.throws(() => second.predecessors.passOn({ ...handed, txid }), ProtocolError);
    assert.equal(await peer.hear(), null);
    assert.equal(await end, null);
    peer.close();
    handed.dialogue.close();
  });
});

test('a predecessor of an older version sends no counters; one that dies is followed no more', async () => {
  await leavesNothing(async () => {
    const second = new Generation(2);
    const { peer, end } = second.follow(1, 1001);
    peer.say({ type: 'STATS', txid, connections: 3, left: 10_000 });
    await until(() => shown(second)[0]?.[1] === 3, { what: 'STATS' });
    const [status] = second.predecessors.all();
    assert.ok((status?.left ?? 0) > 5_000 && (status?.left ?? 0) <= 10_000);
    assert.equal(status?.protocols, null);
    peer.close();
    assert.equal(await end, null);
    assert.deepEqual([shown(second), second.drained, second.warnings], [[], 0, []]);
  });
});

test('a PREDECESSOR that brings nothing to follow, or nonsense, costs nothing', async () => {
  await leavesNothing(async (directory) => {
    const third = new Generation(3);
    const { peer, end } = third.follow(2, 1002);
    const predecessor = { type: 'PREDECESSOR', txid, pid: 1001, generation: 1, counted: ['nonsense'] };
    peer.say(predecessor);
    const file = native.lock.acquire(`${directory}/file`) as number;
    peer.say(predecessor, [file]);
    peer.say(predecessor, [file, file]);
    native.fd.close(file);
    await until(() => third.warnings.length > 0, { what: 'a warning' });
    assert.match(third.warnings.join(), /^generation 1 \(pid 1001\) cannot be followed: [^\n]+$/);
    peer.say(stats(1, 1));
    await until(() => shown(third)[0]?.[1] === 1, { what: 'STATS' });
    peer.say(bye(1));
    assert.equal(await end, null);
    peer.close();
  });
});
