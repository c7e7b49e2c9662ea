import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MotyaError } from '#src/base/errors.js';
import { PHASES, type Phase, type PhaseEvent, PhaseMachine, traitsOf } from '#src/status/phases.js';

const phases = Object.keys(PHASES) as Phase[];
const stepsOf = (phase: Phase): [PhaseEvent, Phase][] => Object.entries(PHASES[phase]) as [PhaseEvent, Phase][];
const events = [...new Set(phases.flatMap((phase) => stepsOf(phase).map(([event]) => event)))];

function reachable(from: readonly Phase[]): Set<Phase> {
  const found = new Set(from);
  for (const phase of found) for (const [, to] of stepsOf(phase)) found.add(to);
  return found;
}

/** A machine that has walked from a start to `goal` by a shortest way. */
function machineIn(goal: Phase): PhaseMachine {
  const ways = new Map<Phase, { start: Phase; way: PhaseEvent[] }>([
    ['starting', { start: 'starting', way: [] }],
    ['waiting', { start: 'waiting', way: [] }],
  ]);
  for (const [phase, { start, way }] of ways) {
    for (const [event, to] of stepsOf(phase)) if (!ways.has(to)) ways.set(to, { start, way: [...way, event] });
  }
  const found = ways.get(goal);
  assert.ok(found, `${goal} cannot be reached`);
  const machine = new PhaseMachine(found.start, () => {});
  for (const event of found.way) machine.step(event);
  return machine;
}

test('every event leads to a phase of the table', () => {
  for (const phase of phases) for (const [, to] of stepsOf(phase)) assert.ok(phases.includes(to), `${phase} → ${to}`);
});

test('every phase can be reached, and the end from every phase', () => {
  assert.deepEqual([...reachable(['starting', 'waiting'])].sort(), [...phases].sort());
  for (const phase of phases) assert.ok(reachable([phase]).has('ended'), phase);
  assert.deepEqual(stepsOf('ended'), []);
});

test('a hand-over that fails before it is live leads back to serving', () => {
  for (const phase of ['finding', 'offering', 'awaiting', 'pausing', 'committed'] as const) {
    const machine = machineIn(phase);
    machine.step('failed');
    if (machine.phase === 'resuming') machine.step('resumed');
    assert.equal(machine.phase, 'serving', phase);
    assert.ok(machine.can('upgrade'), 'and the next upgrade is allowed at once');
  }
});

test('once committed, a stop waits for LIVE or its absence', () => {
  assert.equal(machineIn('committed').can('stop'), false);
  assert.equal(machineIn('taking').can('incumbentGone'), false);
});

test('each pair of phase and event: the table’s step, or ERR_MOTYA_PHASE and no change', () => {
  for (const phase of phases) {
    const steps = new Map(stepsOf(phase));
    for (const event of events) {
      const machine = machineIn(phase);
      assert.equal(machine.can(event), steps.has(event));
      if (steps.has(event)) {
        machine.step(event);
        assert.equal(machine.phase, steps.get(event));
      } else {
        assert.throws(
          () => machine.step(event),
          (error: unknown) => {
            assert.ok(error instanceof MotyaError);
            assert.equal(error.code, 'ERR_MOTYA_PHASE');
            assert.equal(error.message, `${event} cannot happen while ${phase}`);
            return true;
          },
        );
        assert.equal(machine.phase, phase);
      }
    }
  }
});

test('each step is told once, with both phases and the time of the first', () => {
  const told: [Phase, Phase][] = [];
  const machine = new PhaseMachine('starting', (from, to, ms) => {
    assert.ok(ms >= 0 && ms < 60_000);
    told.push([from, to]);
  });
  for (const event of ['ready', 'upgrade', 'connected', 'failed'] as const) machine.step(event);
  assert.deepEqual(told, [
    ['starting', 'serving'],
    ['serving', 'finding'],
    ['finding', 'offering'],
    ['offering', 'serving'],
  ]);
});

test('what is known in some phases only is kept until the instance serves again', () => {
  const machine = new PhaseMachine<string>('waiting', () => {});
  for (const event of ['contacted', 'adopted', 'ready', 'commit'] as const) machine.step(event);
  machine.step('live', { probation: 'ten seconds' });
  assert.deepEqual([machine.probation, machine.successor], ['ten seconds', null]);
  machine.step('settled');
  assert.equal(machine.probation, null);
  machine.step('upgrade');
  machine.step('connected', { successor: 7 });
  machine.step('stop');
  assert.equal(machine.successor, 7, 'the stop has to wait for it');
});

test('every phase that leads to serving without a client noticing is ready; no other is', () => {
  const ready = phases.filter((phase) => traitsOf(phase).isReady === true);
  const accepting = ['probation', 'serving', 'finding', 'offering', 'awaiting', 'pausing', 'committed', 'resuming'];
  assert.deepEqual(ready, accepting);
  for (const phase of phases) {
    // A start may be given up exactly as long as COMMIT has not come.
    const given = traitsOf(phase).canGiveUp === true;
    assert.equal(
      given,
      stepsOf(phase).some(([event, to]) => event === 'failed' && to === 'ended') &&
        !['taking', 'alone'].includes(phase),
    );
    assert.equal(traitsOf(phase).obstacle === undefined, phase === 'serving', phase);
  }
});
