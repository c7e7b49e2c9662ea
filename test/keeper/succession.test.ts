import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Succession } from '#src/keeper/succession.js';

const [FIRST, SECOND, THIRD] = [101, 102, 103];

function served(): Succession {
  const succession = new Succession();
  succession.started(FIRST);
  succession.ready(FIRST);
  return succession;
}

/** As both sides say it in an upgrade. */
function handOver(succession: Succession, from: number, to: number): void {
  succession.names(to, to);
  succession.names(from, to);
}

test('the main process crashes: restart; it ends with 0: end', () => {
  assert.equal(served().ended(FIRST, false), 'restart');
  assert.equal(served().ended(FIRST, true), 'end');
});

test('an upgrade: the incumbent that drains and ends, however, changes nothing', () => {
  for (const clean of [true, false]) {
    const succession = served();
    handOver(succession, FIRST, SECOND);
    assert.equal(succession.main, SECOND);
    assert.deepEqual(succession.living, [FIRST, SECOND]);
    assert.equal(succession.ended(FIRST, clean), 'nothing');
    assert.deepEqual(succession.living, [SECOND]);
    assert.equal(succession.ended(SECOND, false), 'restart');
  }
});

test('a successor that calls itself main and dies before it serves leaves the incumbent main', () => {
  const succession = served();
  succession.names(SECOND, SECOND);
  assert.equal(succession.main, FIRST);
  assert.equal(succession.ended(SECOND, false), 'nothing');
  assert.equal(succession.main, FIRST);
  assert.equal(succession.ended(FIRST, false), 'restart');
});

test('an incumbent that dies in the hand-over leaves it to the heir', () => {
  for (const clean of [true, false]) {
    const succession = served();
    succession.names(SECOND, SECOND);
    assert.equal(succession.ended(FIRST, clean), 'nothing');
    assert.equal(succession.main, SECOND);
  }
});

test('an incumbent that names itself takes the hand-over back; its heir may end as it likes', () => {
  const succession = served();
  succession.names(SECOND, SECOND);
  succession.names(FIRST, FIRST);
  assert.equal(succession.ended(FIRST, false), 'restart');
  assert.equal(succession.ended(SECOND, false), 'nothing');
});

test('with only the incumbent to say it (a successor that cannot reach us), it is followed too', () => {
  const succession = served();
  succession.names(FIRST, SECOND);
  assert.equal(succession.main, SECOND);
  assert.equal(succession.ended(FIRST, true), 'nothing');
});

test('no process but the main one can name another', () => {
  const succession = served();
  handOver(succession, FIRST, SECOND);
  succession.names(FIRST, THIRD);
  assert.equal(succession.main, SECOND);
  assert.deepEqual(succession.living, [FIRST, SECOND]);
});

test('a successor comes alive while none runs: it is main, and what was started meanwhile may fail', () => {
  const alone = served();
  alone.ended(FIRST, false);
  alone.names(SECOND, SECOND);
  assert.equal(alone.main, SECOND);

  const beside = served();
  beside.ended(FIRST, false);
  beside.started(THIRD);
  beside.names(SECOND, SECOND);
  assert.equal(beside.ended(THIRD, false), 'nothing');
  assert.equal(beside.main, SECOND);
});

test('only the main process can say that it stops; then nothing is started again', () => {
  const succession = served();
  handOver(succession, FIRST, SECOND);
  succession.stops(FIRST);
  assert.equal(succession.isStopping, false);
  succession.stops(SECOND);
  assert.equal(succession.isStopping, true);
  assert.equal(succession.ended(SECOND, false), 'end');
});

test('ready: of the living only, and until they end', () => {
  const succession = served();
  succession.ready(THIRD);
  assert.equal(succession.isReady(THIRD), false);
  assert.equal(succession.isReady(FIRST), true);
  succession.ended(FIRST, false);
  assert.equal(succession.isReady(FIRST), false);
});
