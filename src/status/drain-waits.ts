import { DRAIN_KINDS, type PerKind, perKind } from '../base/drain-kinds.js';

/** What a drain waits for, of one kind. */
export interface DrainWait {
  readonly connections: number;
  /** ms until what is left of them is closed by force, and when that will be. */
  readonly left: number;
  readonly deadline: string;
}

/** @param lefts ms until each kind's end. A kind whose time is over ends with the next one: see runtime/drain-spread.ts. */
export function waitsOf(counts: PerKind<number>, lefts: PerKind<number>): PerKind<DrainWait> {
  const now = Date.now();
  return perKind((kind) => {
    const next = Math.min(...Object.values(lefts).filter((left) => left > 0));
    const left = lefts[kind] > 0 || !Number.isFinite(next) ? lefts[kind] : next;
    return { connections: counts[kind], left, deadline: new Date(now + left).toISOString() };
  });
}

/** With `left` as it is now. */
export function waitsNow(waits: PerKind<DrainWait>): PerKind<DrainWait> {
  return perKind((kind) => ({ ...waits[kind], left: Math.max(0, Date.parse(waits[kind].deadline) - Date.now()) }));
}

/** ms until the last of those that are open is closed; null: none is. */
export function lastLeft(waits: PerKind<DrainWait>): number | null {
  const open = DRAIN_KINDS.map((kind) => waits[kind]).filter(({ connections }) => connections > 0);
  return open.length === 0 ? null : Math.max(...open.map(({ left }) => left));
}
