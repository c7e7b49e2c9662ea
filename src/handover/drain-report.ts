import { type PerKind, perKind } from '../base/drain-kinds.js';
import type { ConnectionCounts } from '../runtime/worker-messages.js';
import { type DrainWait, waitsOf } from '../status/drain-waits.js';
import type { DrainStatus } from '../status/status-document.js';
import type { WaitReport } from './handover-messages.js';

/** What one generation tells another of one that drains. */
export interface PredecessorReport {
  readonly pid: number;
  readonly generation: number;
  readonly connections?: number | undefined;
  /** ms */
  readonly left?: number | undefined;
  readonly protocols?: ConnectionCounts | undefined;
  readonly waits?: WaitReport | undefined;
}

export function statusOf({ pid, generation, connections = 0, left, protocols, waits }: PredecessorReport): DrainStatus {
  const deadline = left === undefined ? null : new Date(Date.now() + left).toISOString();
  return {
    pid,
    generation,
    connections,
    protocols: protocols ?? null,
    waits:
      waits === undefined
        ? null
        : waitsOf(
            perKind((kind) => waits[kind].connections),
            perKind((kind) => waits[kind].left),
          ),
    left: left ?? null,
    deadline,
    probation: null,
  };
}

/** What is told of it to another generation. */
export function reportOf(status: DrainStatus): PredecessorReport & { connections: number } {
  const { pid, generation, connections, deadline, protocols, waits } = status;
  const left = leftUntil(deadline);
  return {
    pid,
    generation,
    connections,
    ...(left === null ? {} : { left: Math.round(left) }),
    ...(protocols === null ? {} : { protocols }),
    ...(waits === null ? {} : { waits: waitReport(waits) }),
  };
}

export const waitReport = (waits: PerKind<DrainWait>): WaitReport =>
  perKind((kind) => ({ connections: waits[kind].connections, left: Math.round(waits[kind].left) }));

/** ms */
export const leftUntil = (deadline: string | null): number | null =>
  deadline === null ? null : Math.max(0, Date.parse(deadline) - Date.now());
