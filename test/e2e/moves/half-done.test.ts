import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { until, Workspace } from '../harness/index.js';
import { type Answer, type ClientConnection, textOf } from './clients/index.js';
import { type MoveStage, stageIn } from './stage.js';

/** Larger than what the kernel takes for a client that does not read. */
const LARGE = 12 * 1024 * 1024;

/** ms: many times what a move takes. */
const PAUSE_MS = 500;

describe('connections that are not idle when the others move', () => {
  const space = new Workspace();
  let stage: MoveStage;
  let slow: ClientConnection;
  let half: ClientConnection;
  let quick: ClientConnection;
  let large: Promise<Answer | null>;
  const answers: Promise<Answer | null>[] = [];
  const second = textOf({ id: 'half-2' });

  before(async () => {
    stage = await stageIn(space);
    [slow, half, quick] = (await stage.clients(3)) as [ClientConnection, ClientConnection, ClientConnection];
    large = slow.ask({ id: 'large', size: LARGE });
    await until(() => slow.socket.bytesRead > 0, { what: 'the begin of the answer', every: 1 });
    slow.socket.pause();
    // A request and a half, in one segment; the first one is answered after the probation.
    const first = { id: 'half-1', file: space.path('finish') };
    answers.push(half.expect(first), half.expect({ id: 'half-2' }));
    half.socket.write(textOf(first) + second.slice(0, 20));
    await quick.ask({ id: 'quick' });
    await stage.deploy();
    await quick.moves(2);
  });
  after(async () => {
    stage?.leave();
    await space.close();
  });

  it('half a request behind one that is answered now: it is read to its end where it was begun', async () => {
    space.write('finish', '');
    assert.equal((await answers[0])?.generation, 1);
    // How long the client takes for the rest, in which it must not move.
    await wait(PAUSE_MS);
    half.socket.write(second.slice(20));
    assert.equal((await answers[1])?.generation, 1);
    await half.moves(2);
  });

  it('a client that reads slowly gets its whole answer; then it moves, without another request', async () => {
    slow.socket.resume();
    assert.equal((await large)?.generation, 1);
    await stage.formerOnesEnd();
    assert.equal((await slow.ask({ id: 'slow' }))?.generation, 2);
    const { untold, lost, wrong, doubled } = stage.tally.report();
    assert.deepEqual({ untold, lost, wrong, doubled }, { untold: 0, lost: 0, wrong: 0, doubled: 0 });
  });
});
