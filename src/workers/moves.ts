import { type MovedConnection, UNANSWERED_MOVES } from '../runtime/worker-messages.js';

/** Connections that change their process: see MOVE of runtime/worker-messages.ts. */
export interface Move {
  /** Of the listener that they came through. */
  readonly key: string;
  readonly connections: readonly MovedConnection[];
}

/** Whose connections they are. */
export interface MoveOrigin {
  readonly service: string;
  /** Of the worker. */
  readonly index: number;
}

/**
 * Brings them to the other generation. Sends before it returns, so that the fds stay the caller's.
 * @returns how many more there is room for; 0: no more. Never rejects.
 */
export type SendMove = (origin: MoveOrigin, move: Move, fds: readonly number[]) => Promise<number>;

/** Where the connections of a drain may go. */
export interface Moving {
  readonly send: SendMove;
  /** Connections with a MOVE of one worker, at most. */
  readonly most: number;
}

/** Fds on their way count against RLIMIT_NOFILE of their user, all sockets together (unix(7), ETOOMANYREFS). Part of it that a drain may use. */
const IN_FLIGHT_SHARE = 0.25;
/** Connections with a MOVE: adopting more in one turn would hold up the receiver's clients (some 3 ms). */
const MOST = 32;

/** Connections with a MOVE, of `workers` that send at once, where a process may have `limit` fds. */
export const mostWithMove = (limit: number, workers: number): number =>
  Math.max(1, Math.min(MOST, Math.floor((limit * IN_FLIGHT_SHARE) / (workers * UNANSWERED_MOVES)) - 1));
