import { it } from 'node:test';
import { assertDrained, faulted, PROCESSES, ROUNDS } from './faults.js';

/** ms: noticed by every client, and less than a MOVE may take (MOVED_MS). */
const BRIEF_MS = 500;
/** ms: what was sent is taken back meanwhile. */
const LONG_MS = 6_000;

/** Each of the four processes that a connection goes through is stopped for a while. */
for (let round = 1; round <= ROUNDS; round++) {
  for (const process of PROCESSES) {
    it(`the ${process} is stopped for a moment: no connection ends that was not told so (${round})`, async (test) => {
      assertDrained(await faulted(test, process, 'SIGSTOP', BRIEF_MS));
    });
  }
  for (const process of ['new worker', 'new supervisor'] as const) {
    it(`the ${process} is stopped for longer than a move may take (${round})`, async (test) => {
      assertDrained(await faulted(test, process, 'SIGSTOP', LONG_MS));
    });
  }
}
