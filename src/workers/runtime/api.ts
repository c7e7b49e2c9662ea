/**
 * `motya/worker`: what a program can tell Motya, and learn from it. Harmless outside a worker, so that the same program runs
 * under plain `node`.
 */
import { type DrainCallback, type DrainInfo, workerState } from './worker-state.js';

export type { DrainCallback, DrainInfo };

const state = workerState();

/** False under plain `node` (and in child processes and threads of a worker). */
export const isWorker: boolean = state !== undefined;
/** How many upgrades there have been, plus 1. */
export const generation: number = state?.generation ?? 1;
/** Name of the service; '' outside a worker. */
export const service: string = state?.service ?? '';
/** From 0 to the number of the service's workers - 1. */
export const workerIndex: number = state?.workerIndex ?? 0;

/**
 * The program is ready to serve. Counts only for services whose readiness is set to `signal`; the others are ready as soon as
 * they listen.
 */
export function ready(): void {
  state?.ready();
}

/**
 * Calls `callback` when the worker begins to drain: the moment to say goodbye on WebSockets and other long connections.
 * @returns a function that takes the callback back.
 */
export function onDrain(callback: DrainCallback): () => void {
  state?.drainCallbacks.add(callback);
  return () => state?.drainCallbacks.delete(callback);
}
