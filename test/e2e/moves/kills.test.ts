import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertDrained, faulted, ROUNDS } from './faults.js';

/** Each of the four processes that a connection goes through is killed while connections move. */
for (let round = 1; round <= ROUNDS; round++) {
  it(`the old worker is killed: what has moved lives on (${round})`, async (test) => {
    const { endedAfterMove } = await faulted(test, 'old worker', 'SIGKILL');
    assert.deepEqual(endedAfterMove, []);
  });

  it(`the new worker is killed: what it had not taken is served by the old one (${round})`, async (test) => {
    const { stage } = await faulted(test, 'new worker', 'SIGKILL');
    // As after any crash.
    await stage.first.waitFor('worker-restart', { evenAfterExit: true });
    assert.equal((await stage.facts()).generation, 2);
  });

  for (const supervisor of ['old supervisor', 'new supervisor'] as const) {
    it(`the ${supervisor} is killed: both workers serve what is theirs (${round})`, async (test) => {
      const outcome = await faulted(test, supervisor, 'SIGKILL');
      assertDrained(outcome);
      if (supervisor === 'old supervisor') assert.deepEqual(outcome.endedAfterMove, []);
    });
  }
}
