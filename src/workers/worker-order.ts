import { atMost, type PerKind, perKind } from '../base/drain-kinds.js';
import type { Pause } from './conversation-events.js';
import type { Moving } from './moves.js';

/** `drainsUntil`: of each kind (performance.now()). */
interface Draining {
  readonly drainsUntil: PerKind<number>;
  readonly moving: Moving | null;
}

/** The last order to the processes of a worker, for one that joins later. */
export type Order = { readonly paused: Pause } | 'accept' | Draining;

export const isDraining = (order: Order): order is Draining => typeof order === 'object' && 'drainsUntil' in order;

/** `times`: ms for each kind. */
export function drainsIn(times: PerKind<number>, moving: Moving | null): Order {
  const now = performance.now();
  return { drainsUntil: perKind((kind) => now + times[kind]), moving };
}

/** A drain ends in `ms`, at the latest. */
export function hurried(order: Order, ms: number): Order {
  if (!isDraining(order)) return order;
  return { ...order, drainsUntil: atMost(order.drainsUntil, performance.now() + ms) };
}

/** ms for each kind. */
export function timesLeft({ drainsUntil }: Draining): PerKind<number> {
  const now = performance.now();
  return perKind((kind) => Math.max(0, drainsUntil[kind] - now));
}
