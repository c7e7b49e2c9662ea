import { setTimeout as wait } from 'node:timers/promises';
import type { ClientKind, Tally } from './tally.js';
import type { Address } from './target.js';

/** What every client of a load needs. */
export interface Run {
  readonly tally: Tally;
  /** Aborted when the load is to stop: each client ends what it is doing and comes back. */
  readonly stop: AbortSignal;
  readonly nextAddress: () => Address;
  readonly tls: boolean;
  /** An answer that takes more ms than this is late. */
  readonly limitMs: number;
  /** Mean ms between two requests of one client. */
  readonly thinkMs: number;
  readonly resource: string;
  /** Answers need not tell who gave them. */
  readonly anonymous: boolean;
  readonly slowMs: number;
  readonly uploadBytes: number;
  readonly uploadMs: number;
  readonly streams: number;
}

/** After a failure, so that a server that is down is counted often but not at the speed of a busy loop. */
const AFTER_FAILURE_MS = 10;

/** Repeats `step` until the load stops; what it throws is counted as a failure of `client`. */
export async function repeat(run: Run, client: ClientKind, step: () => Promise<void>): Promise<void> {
  while (!run.stop.aborted) {
    try {
      await step();
    } catch (error) {
      run.tally.fail(client, error);
      await pause(run, AFTER_FAILURE_MS);
    }
  }
}

/** The think time of a client: between nothing and twice the mean, so that clients do not fall into step. */
export function think(run: Run): Promise<void> {
  return pause(run, Math.random() * 2 * run.thinkMs);
}

/** Waits `ms`, or until the load stops. */
export async function pause(run: Run, ms: number): Promise<void> {
  await wait(ms, undefined, { signal: run.stop }).catch(() => {});
}
