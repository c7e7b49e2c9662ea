import { constants } from 'node:os';
import { ABANDON_MS, REJECTED_END_MS } from '../base/deadlines.js';
import { failureFields, reasonOf } from '../base/errors.js';
import type { HeldProcess } from '../base/os/processes.js';
import type { Life } from './life.js';

/**
 * What a successor that failed has left behind goes with its end: files, if it was killed. And one that was about to be live
 * when it was told that it is not may have taken the pidfile and the control socket's path a moment after we had them back.
 * Closes `successor`.
 */
export async function reclaimAfter(life: Life, successor: HeldProcess): Promise<void> {
  try {
    await endInTime(life, successor).catch((error: unknown) =>
      life.warn('rejected', reasonOf(error), { ...failureFields(error), successor: successor.pid }),
    );
    await successor.ended();
    life.instance.endpoints.clearAfter(successor.pid);
    if (life.machine.is('isMain')) life.instance.endpoints.reclaim();
  } catch (error) {
    life.warn('take-back', reasonOf(error), failureFields(error));
  } finally {
    successor.close();
  }
}

/** A successor that was rejected ends by itself; one that does not would be in the way of the next. */
async function endInTime(life: Life, successor: HeldProcess): Promise<void> {
  if (await successor.endsWithin(ABANDON_MS + REJECTED_END_MS)) return;
  const { pid } = successor;
  // False, too, when the fds were used up as it connected: another process may have its pid by now.
  const isKilled = successor.signal(constants.signals.SIGKILL);
  const next = isKilled ? 'it is killed' : `kill -KILL ${pid} ends it, if it still runs`;
  life.warn('rejected', `pid ${pid} was rejected and does not end; ${next}`, { successor: pid });
}
