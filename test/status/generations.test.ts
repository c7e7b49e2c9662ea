import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAlive, until } from '../e2e/harness/index.js';
import { scene } from '../e2e/scene.js';

test('all generations that drain are told, also the one whose successor has ended before it', async (t) => {
  const stage = await scene(t);
  const first = await stage.first(['--drain-timeout', '5m']);
  const old = await stage.hold();
  assert.equal((await stage.upgrade()).code, 0);
  const young = await stage.hold();
  const second = stage.mainPid as number;
  assert.equal((await stage.upgrade()).code, 0);
  const third = stage.mainPid as number;
  const draining = async () =>
    (await stage.status()).draining.map(({ generation, pid, connections }) => [generation, pid, connections]);
  const become = (expected: unknown[]) =>
    until(async () => JSON.stringify(await draining()) === JSON.stringify(expected), {
      what: `those that drain to be ${JSON.stringify(expected)}`,
      instead: draining,
    });
  await become([
    [1, first.pid, 1],
    [2, second, 1],
  ]);
  for (const { left, deadline, protocols } of (await stage.status()).draining) {
    assert.ok(left !== null && deadline !== null);
    assert.ok(left > 60_000 && left <= 300_000, String(left));
    assert.ok(Math.abs(Date.parse(deadline) - Date.now() - left) < 5_000);
    assert.deepEqual(protocols, { http1: 1, idle: 0, http2: 0, upgraded: 0, other: 0 });
  }

  young.finish();
  await young.answer;
  await until(() => !isAlive(second), { what: 'the end of the second' });
  await become([[1, first.pid, 1]]);
  assert.equal(isAlive(first.pid), true);
  old.finish();
  await old.answer;
  await become([]);
  await until(() => !isAlive(first.pid), { what: 'the end of the first' });

  const { generations, upgrades } = await stage.status();
  assert.deepEqual(
    generations.map(({ generation, pid, forced }) => [generation, pid, forced]),
    [
      [1, first.pid, 0],
      [2, second, 0],
      [3, third, null],
    ],
  );
  const [one, two, three] = generations;
  // In the order in which it has happened.
  const instants = [one?.startedAt, one?.liveAt, one?.handedOverAt, two?.handedOverAt, two?.drainedAt, one?.drainedAt];
  assert.deepEqual(instants, [...instants].sort());
  assert.deepEqual([one?.handedOverAt, two?.handedOverAt], [two?.liveAt, three?.liveAt]);
  assert.deepEqual([three?.handedOverAt, three?.drainedAt], [null, null]);
  assert.deepEqual(
    upgrades.map(({ ok, generation }) => [ok, generation]),
    [
      [true, 2],
      [true, 3],
    ],
  );
});

test('a successor that waits is told, and since when', async (t) => {
  const stage = await scene(t);
  await stage.first();
  assert.equal((await stage.status()).successor, null);
  const before = Date.now();
  const waiting = await stage.waiting();
  const { successor } = await stage.status();
  assert.equal(successor?.pid, waiting.pid);
  const since = Date.parse(successor?.since ?? '');
  assert.ok(since >= before && since <= Date.now());
  waiting.kill('SIGTERM');
  await until(async () => (await stage.status()).successor === null, { what: 'it to be forgotten' });
});
