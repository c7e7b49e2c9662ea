import assert from 'node:assert/strict';
import { beforeEach, type TestContext, test } from 'node:test';
import { OUTLIVES_MS } from '#src/base/deadlines.js';
import { Recovery } from '#src/workers/recovery.js';

let now = 0;
beforeEach((t) => {
  now = 1_000_000;
  (t as TestContext).mock.method(performance, 'now', () => now);
});

const everywhere = () => true;
const nowhere = () => false;
const on =
  (...keys: string[]) =>
  (key: string) =>
    keys.includes(key);

test('a worker that never crashed has nothing to show', () => {
  assert.equal(new Recovery().isDone(nowhere), true);
});

test('after a crash it listens where the one before did, and lives twice as long, up to a limit', () => {
  const recovery = new Recovery();
  recovery.crashed(['a', 'b']);
  recovery.restarted(100);
  assert.equal(recovery.isDone(everywhere), false);
  now += 200;
  assert.equal(recovery.isDone(on('a')), false);
  assert.equal(recovery.isDone(on('a', 'b', 'c')), true);
  recovery.restarted(1_000_000);
  now += OUTLIVES_MS - 1;
  assert.equal(recovery.isDone(everywhere), false);
  now += 1;
  assert.equal(recovery.isDone(everywhere), true);
});

test('a process of the program that ended by itself counts as well; the next one starts its time anew', () => {
  const recovery = new Recovery();
  recovery.childStarted();
  assert.equal(recovery.isDone(everywhere), true, 'none has ended yet');
  recovery.childEnded(['a'], 50);
  assert.equal(recovery.isDone(everywhere), false);
  now += 100;
  assert.equal(recovery.isDone(everywhere), true);
  assert.equal(recovery.isDone(nowhere), false);
  recovery.childStarted();
  assert.equal(recovery.isDone(everywhere), false);
  now += 100;
  assert.equal(recovery.isDone(everywhere), true);
});

test('an end that the program had meant is taken back, but not what others owe', () => {
  const recovery = new Recovery();
  recovery.crashed(['a']);
  recovery.restarted(10);
  const takeBack = recovery.childEnded(['a', 'b'], null);
  assert.equal(recovery.isDone(everywhere), false);
  takeBack();
  assert.equal(recovery.isDone(everywhere), false, 'as before: the restart');
  now += 20;
  assert.equal(recovery.isDone(on('a')), true);
  assert.equal(recovery.isDone(nowhere), false);
  recovery.childStarted();
  assert.equal(recovery.isDone(on('a')), true, 'the next process has nothing to show');
});
