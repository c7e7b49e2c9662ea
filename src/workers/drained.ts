import { NO_CONNECTIONS, plus } from '../runtime/counts.js';
import type { ConnectionCounts } from '../runtime/worker-messages.js';

/** How the connections of a drain ended: `ended` by themselves, `forced` not. */
export interface Drained {
  readonly forced: ConnectionCounts;
  readonly ended: number;
}

export const NOTHING_DRAINED: Drained = { forced: NO_CONNECTIONS, ended: 0 };

export const bothDrained = (one: Drained, other: Drained): Drained => ({
  forced: plus(one.forced, other.forced),
  ended: one.ended + other.ended,
});
