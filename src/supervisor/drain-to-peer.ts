import type { Dialogue } from '../handover/dialogue.js';
import { reportOf } from '../handover/predecessors.js';
import type { Totals } from '../status/totals.js';
import type { Ended } from './events.js';
import type { Life } from './life.js';

/** Drains, tells the other generation about it once a second, and ends. */
export async function drainToPeer(
  life: Life,
  { dialogue, txid }: { dialogue: Dialogue; txid: string },
  { reason, gap, counters }: { reason: Ended['reason']; gap?: number; counters: () => Totals },
): Promise<void> {
  const forced = await life.drain.run(life.generation, ({ connections, protocols, left }) => {
    const sums = counters();
    const others = othersOf(life);
    const ms = Math.round(left);
    dialogue.send({ type: 'STATS', txid, connections, left: ms, protocols, counters: sums, gap, others });
  });
  // Before BYE, whose counters have this phase in them.
  life.machine.step('drained');
  dialogue.send({ type: 'BYE', txid, forced, counters: counters() });
  dialogue.close();
  await life.end({ reason, forced });
}

/** Generations before this one whose conversations are not, or not yet, the other generation's. */
export const othersOf = ({ predecessors }: Life) => predecessors.all().map(reportOf);
