import { PROBATION_MARGIN_MS } from '../base/deadlines.js';
import { deferred } from '../base/deferred.js';
import { HandoverError } from '../base/errors.js';
import { LONGEST_TIMER_MS } from '../base/limits.js';
import { timeout } from '../base/timeout.js';
import { Totals } from '../status/totals.js';
import type { HandedOver } from './incumbent.js';

/** What the incumbent hears of a successor on probation. */
export interface Verdict {
  /** Null: it has passed. */
  readonly reason: HandoverError | null;
  /** What it has counted since LIVE, as told last. */
  readonly counted: Totals;
  /** The conversation has ended without a word: it died, or the connection broke. */
  readonly hungUp: boolean;
  /** Keys of the listeners that it has closed and that are to end. Undefined: it has not said so. */
  readonly removed?: readonly string[] | undefined;
  /** It wants those to end whether or not they still get connections. */
  readonly unconditional?: boolean;
}

/**
 * The incumbent's side of the probation, in which the hand-over can be taken back: it has stopped accepting, and keeps the listeners,
 * its workers and the pidfile's lock, so all that is needed to serve again is to accept. ./successor-probation.ts is the other side.
 * Never rejects: a successor that dies, or says nothing in time, has failed. `leftOut` is told the keys of the listeners that the
 * successor leaves out, whenever they change.
 */
export async function hearVerdict(
  { dialogue, probationMs }: HandedOver,
  leftOut: (keys: readonly string[]) => void,
): Promise<Verdict> {
  let counted = new Totals();
  const silent = deferred<never>();
  const inTime = timeout(probationMs + PROBATION_MARGIN_MS, () => silent.reject(silence()));
  const silence = (): HandoverError =>
    new HandoverError(
      'ERR_MOTYA_SUCCESSOR_SILENT',
      `it has not said within ${PROBATION_MARGIN_MS / 1000} s how its probation went`,
    );
  try {
    for (;;) {
      const heard = dialogue.expect(['PROVING', 'LEFT_OUT', 'SETTLED', 'ROLLBACK'], LONGEST_TIMER_MS);
      const { message } = await Promise.race([heard, silent.promise]);
      if (message.type === 'ROLLBACK') {
        return {
          reason: new HandoverError(message.code, message.text, { details: message.details }),
          counted,
          hungUp: false,
        };
      }
      if (message.type === 'PROVING') {
        counted = Totals.from(message.counters);
        continue;
      }
      if (message.type === 'LEFT_OUT') {
        leftOut(message.keys);
        continue;
      }
      const { removed, unconditional } = message;
      return { reason: null, counted, hungUp: false, removed, unconditional };
    }
  } catch (error) {
    const reason = HandoverError.from(error);
    return { reason, counted, hungUp: reason.code !== 'ERR_MOTYA_SUCCESSOR_SILENT' };
  } finally {
    inTime();
  }
}
