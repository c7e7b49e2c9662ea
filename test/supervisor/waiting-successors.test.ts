import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATE_MS } from '#src/base/deadlines.js';
import type { Phase } from '#src/status/phases.js';
import type { Life } from '#src/supervisor/life.js';
import { lateness, lateUntil } from '#src/supervisor/waiting-successors.js';

const lifeIn = (phase: Phase, until: number): Life =>
  ({ phase, lateUntil: until, generation: 2, machine: { age: 1000 } }) as unknown as Life;

test('a successor that was started before the hand-over came for it', () => {
  const now = performance.now();
  const until = lateUntil(null);
  assert.ok(until >= now && until <= performance.now());
  for (const phase of ['serving', 'probation'] as const) {
    assert.ok(lateness(lifeIn(phase, until), now - 1) !== null, phase);
    assert.equal(lateness(lifeIn(phase, until), until + 1), null, phase);
  }
});

test('so did one that comes soon after a signal for which the incumbent had started its own', () => {
  const now = performance.now();
  const until = lateUntil(500);
  assert.ok(until >= now + LATE_MS - 500 && until <= performance.now() + LATE_MS - 500);
  assert.ok(lateness(lifeIn('serving', until), now) !== null);
  assert.ok(lateUntil(LATE_MS + 60_000) <= performance.now(), 'a signal long ago means nothing');
});

test('while an upgrade is under way, a successor that comes may be the one that is looked for', () => {
  for (const phase of ['finding', 'offering', 'awaiting'] as const) {
    assert.equal(lateness(lifeIn(phase, performance.now() + 60_000), 0), null, phase);
  }
});
