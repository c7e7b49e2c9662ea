import { inBackground } from '../base/background.js';
import { fdRoom } from '../base/os/fd-room.js';
import { OutgoingMoves } from '../handover/connection-moves.js';
import type { Dialogue } from '../handover/dialogue.js';
import { reportOf, waitReport } from '../handover/drain-report.js';
import type { Totals } from '../status/totals.js';
import { mostWithMove } from '../workers/moves.js';
import type { Progress } from './drain.js';
import type { Ended } from './events.js';
import type { Life } from './life.js';

/** Drains, tells the other generation about it, and ends. */
export async function drainToPeer(
  life: Life,
  { dialogue, txid, moves }: { dialogue: Dialogue; txid: string; moves: boolean },
  { reason, gap, counters }: { reason: Ended['reason']; gap?: number; counters: () => Totals },
): Promise<void> {
  const outgoing = new OutgoingMoves(dialogue, txid);
  inBackground('hearing what has become of connections', outgoing.hearAnswers());
  const most = mostWithMove(fdRoom().limit, life.instance.fleet.size);
  const tell: Progress = ({ connections, protocols, left, waits }) => {
    const sums = counters();
    const others = othersOf(life);
    const ms = Math.round(left);
    dialogue.send({
      type: 'STATS',
      txid,
      connections,
      left: ms,
      protocols,
      waits: waitReport(waits),
      counters: sums,
      gap,
      others,
    });
  };
  const { forced, moved } = await life.drain.run(life.generation, tell, moves ? { send: outgoing.send, most } : null);
  outgoing.finish();
  // Before BYE, whose counters have this phase in them.
  life.machine.step('drained');
  dialogue.send({ type: 'BYE', txid, forced, moved, counters: counters() });
  dialogue.close();
  await life.end({ reason, forced });
}

/** Generations before this one whose conversations are not, or not yet, the other generation's. */
export const othersOf = ({ predecessors }: Life) => predecessors.all().map(reportOf);
