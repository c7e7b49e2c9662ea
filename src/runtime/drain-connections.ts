import { inBackground } from '../base/background.js';
import { LAST_MOVE_MS } from '../base/deadlines.js';
import type { Connection, Connections } from './connections.js';
import { total } from './counts.js';
import { drainHttp1 } from './drain-http1.js';
import { drainHttp2, drainLateSession } from './drain-http2.js';
import { Spread, spreadOf } from './drain-spread.js';
import { endEventStream } from './event-stream.js';
import type { MoveSender } from './move-sender.js';
import type { ConnectionCounts, StayedCounts } from './worker-messages.js';
import type { DrainCallback } from './worker-state.js';

/** How the connections of a drain ended: see DRAINED. */
export interface DrainOutcome {
  readonly forced: ConnectionCounts;
  readonly ended: number;
  readonly moved: number;
  readonly stayed: StayedCounts;
}

export const NONE_STAYED: StayedCounts = { touched: 0, kept: 0, tls: 0, http2: 0, upgraded: 0, refused: 0, other: 0 };

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

  /** @param timeout ms until {@link force} will be called; what is open then is closed over the last part of it */
  start(callbacks: readonly DrainCallback[], timeout: number): void {
    this.#connections.observe(() => {
      if (!this.#over) this.#closed++;
      this.check();
    }, drainLateSession);
    this.#moves?.begin();
    this.#stopMoving(timeout);
    drainHttp1(this.#connections, (socket) => this.#moves?.wants(socket) === true);
    drainHttp2(this.#connections);
    this.#spread.plan(timeout);
    const info = { deadline: Date.now() + timeout - spreadOf(timeout) };
    const running = callbacks.map(async (callback) => callback(info));
    const settled = Promise.allSettled(running).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') warn(outcome.reason);
      this.#programBusy = false;
      this.check();
    });
    inBackground('waiting for onDrain()', settled);
  }

  /** It ends earlier: {@link force} will be called in `timeout` ms. */
  shorten(timeout: number): void {
    if (this.#over) return;
    this.#stopMoving(timeout);
    this.#spread.plan(timeout);
  }

  /** Closes what is open, waits for nothing. */
  force(): void {
    if (this.#over) return;
    this.#moves?.takeBack();
    // With that, it may be.
    if (this.#over) return;
    const isClosing = (connection: Connection): boolean => this.#spread.isClosing(connection);
    const late = [...this.#connections].filter(isClosing);
    const open = [...this.#connections].filter((connection) => !isClosing(connection));
    const ended = this.#closed - (total(this.#cut) - late.length);
    this.#finish(ended, () => {
      for (const connection of open) this.#close(connection);
      // Event streams whose client does not read the end.
      for (const connection of late) destroy(connection);
    });
  }

  /** Whether it is over by now. */
  check(): void {
    if (this.#over || this.#programBusy || this.#connections.size > 0 || this.#moves?.isBusy) return;
    this.#finish(this.#closed - total(this.#cut));
  }

  #finish(ended: number, before = (): void => {}): void {
    this.#over = true;
    this.#spread.stop();
    clearTimeout(this.#lastMove);
    this.#moves?.stop();
    before();
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
    if (!endEventStream(connection)) destroy(connection);
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
