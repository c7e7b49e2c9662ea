import { NO_CONNECTIONS, NONE_STAYED, plus } from '../runtime/counts.js';
import type { DrainOutcome } from '../runtime/drain-connections.js';
import type { ReasonToStay, StayedCounts } from '../runtime/worker-messages.js';

export type Drained = DrainOutcome;

export const NOTHING_DRAINED: Drained = { forced: NO_CONNECTIONS, ended: 0, moved: 0, stayed: NONE_STAYED };

export const bothDrained = (one: Drained, other: Drained): Drained => ({
  forced: plus(one.forced, other.forced),
  ended: one.ended + other.ended,
  moved: one.moved + other.moved,
  stayed: bothStayed(one.stayed, other.stayed),
});

function bothStayed(one: StayedCounts, other: StayedCounts): StayedCounts {
  const reasons = Object.keys(NONE_STAYED) as ReasonToStay[];
  return Object.fromEntries(reasons.map((reason) => [reason, one[reason] + other[reason]])) as StayedCounts;
}
