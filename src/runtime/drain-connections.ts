import { inBackground } from '../base/background.js';
import { LAST_MOVE_MS } from '../base/deadlines.js';
import { longestOf, type PerKind, perKind } from '../base/drain-kinds.js';
import type { Connection, Connections } from './connections.js';
import { NONE_STAYED, total } from './counts.js';
import { drainHttp1 } from './drain-http1.js';
import { drainHttp2, drainLateSession } from './drain-http2.js';
import { Spread, spreadOf } from './drain-spread.js';
import { endEventStream } from './event-stream.js';
import type { MoveSender } from './move-sender.js';
import type { ConnectionCounts, StayedCounts } from './worker-messages.js';
import type { DrainCallback } from './worker-state.js';
import { closeWebSocket } from './ws-close.js';

/**
 * ms for what is closed in an orderly way: a WebSocket's client answers the close frame in a round trip, one of an event stream reads
 * its end. Less than FORCE_MS, which the supervisor gives the worker after FORCE.
 */
const CLOSE_ANSWER_MS = 500;

/** How the connections of a drain ended: see DRAINED. */
export interface DrainOutcome {
  readonly forced: ConnectionCounts;
  readonly ended: number;
  readonly moved: number;
  readonly stayed: StayedCounts;
}

/** The end of a worker's connections, each by what its protocol allows. Nothing polls: it is over with the last event. */
export class Drain {
  readonly #connections: Connections;
  readonly #drained: (outcome: DrainOutcome) => void;
  /** Null: nothing moves. */
  readonly #moves: MoveSender | null;
  readonly #spread: Spread;
  /** What has been closed before its time, by kind. */
  readonly #cut: ConnectionCounts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
  #programBusy = true;
  #lastMove: NodeJS.Timeout | undefined;
  /** Runs once everything is being closed, until {@link CLOSE_ANSWER_MS} is over. */
  #forced: NodeJS.Timeout | undefined;
  #over = false;
  /** Connections that have closed, by themselves or not. */
  #closed = 0;

  /**
   * @param drained called once, when no connection is left and every callback of the program has settled
   * @param moves gets told to begin and to end; its owner calls {@link check} when a connection of it has come to its end
   */
  constructor(connections: Connections, drained: (outcome: DrainOutcome) => void, moves: MoveSender | null) {
    this.#connections = connections;
    this.#drained = drained;
    this.#moves = moves;
    this.#spread = new Spread(connections, (connection) => this.#close(connection));
  }

  /** @param times ms for what is open of each kind, which is closed over the last part of it; after the longest, {@link force} comes */
  start(callbacks: readonly DrainCallback[], times: PerKind<number>): void {
    this.#connections.observe(() => {
      if (!this.#over) this.#closed++;
      this.check();
    }, drainLateSession);
    this.#moves?.begin();
    this.#stopMoving(longestOf(times));
    drainHttp1(this.#connections, (socket) => this.#moves?.wants(socket) === true);
    drainHttp2(this.#connections);
    this.#spread.plan(times);
    const now = Date.now();
    const deadlines = perKind((kind) => now + times[kind] - spreadOf(times[kind]));
    const info = { deadline: longestOf(deadlines), deadlines };
    const running = callbacks.map(async (callback) => callback(info));
    const settled = Promise.allSettled(running).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') warn(outcome.reason);
      this.#programBusy = false;
      this.check();
    });
    inBackground('waiting for onDrain()', settled);
  }

  /** It ends earlier: {@link force} will be called in `timeout` ms, at the latest. */
  shorten(timeout: number): void {
    if (this.#over) return;
    this.#stopMoving(this.#spread.shorten(timeout));
  }

  /** Closes what is open. It is over when that has gone, in {@link CLOSE_ANSWER_MS}; the program is not waited for. */
  force(): void {
    if (this.#over || this.#forced !== undefined) return;
    this.#moves?.takeBack();
    // With that, it may be.
    if (this.#over) return;
    this.#spread.stop();
    for (const connection of this.#connections) if (!this.#spread.isClosing(connection)) this.#spread.end(connection);
    this.#forced = setTimeout(() => this.#finish(), CLOSE_ANSWER_MS);
    this.check();
  }

  /** Whether it is over by now. */
  check(): void {
    if (this.#over || this.#connections.size > 0) return;
    if (this.#forced === undefined && (this.#programBusy || this.#moves?.isBusy)) return;
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#spread.stop();
    clearTimeout(this.#lastMove);
    clearTimeout(this.#forced);
    this.#moves?.stop();
    const late = [...this.#connections];
    const ended = this.#closed - (total(this.#cut) - late.length);
    // Event streams whose client does not read the end.
    for (const connection of late) destroy(connection);
    const { moved = 0, stayed = NONE_STAYED } = this.#moves ?? {};
    this.#drained({ forced: this.#cut, ended, moved, stayed });
  }

  /** So long before the end that what comes back can be ended in time. */
  #stopMoving(timeout: number): void {
    clearTimeout(this.#lastMove);
    this.#lastMove = setTimeout(() => this.#moves?.stop(), Math.max(0, timeout - LAST_MOVE_MS));
  }

  #close(connection: Connection): void {
    this.#cut[connection.protocol]++;
    if (endEventStream(connection)) return;
    if (closeWebSocket(connection)) setTimeout(() => destroy(connection), CLOSE_ANSWER_MS).unref();
    else destroy(connection);
  }
}

function destroy({ raw, top, session }: Connection): void {
  session?.destroy();
  top.destroy();
  raw.destroy();
}

function warn(reason: unknown): void {
  process.emitWarning(
    `an onDrain callback failed: ${reason instanceof Error ? reason.stack : String(reason)}`,
    'MotyaWarning',
  );
}
