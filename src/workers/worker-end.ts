import { longestOf, type PerKind } from '../base/drain-kinds.js';
import { FORCE_MS } from '../base/limits.js';
import { within } from '../base/timeout.js';
import { type Drained, NOTHING_DRAINED } from './drained.js';
import type { Moving } from './moves.js';
import type { Worker } from './worker.js';

export interface Ending {
  /** ms until what is open of each kind is closed by force. */
  readonly times: PerKind<number>;
  /** Resolves when that is to be done now. */
  readonly cut: Promise<void>;
  readonly killSignal: NodeJS.Signals;
  /** Where connections may go; null: nowhere. */
  readonly moving: Moving | null;
  /** ms from the signal to SIGKILL. */
  readonly killGrace: number;
  /** The signal is about to be sent: from here on the worker is to end. */
  readonly signalling: () => void;
}

/** Lets a worker finish what it has, and ends it. Resolves when it has ended. */
export async function drainAndEnd(worker: Worker, ending: Ending): Promise<Drained> {
  const draining = worker.drain(ending.times, ending.moving);
  await within(longestOf(ending.times), Promise.race([draining, ending.cut]));
  worker.force();
  const drained = await within(FORCE_MS, draining);
  ending.signalling();
  worker.signal(ending.killSignal);
  if ((await within(ending.killGrace, worker.exited)) === null) {
    worker.signal('SIGKILL');
    await worker.exited;
  }
  // One that does not answer had what it counted last.
  return drained ?? { ...NOTHING_DRAINED, forced: worker.lastCounts };
}
