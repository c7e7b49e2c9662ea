import { inBackground } from '../base/background.js';
import type { Connection, Connections } from './connections.js';
import { total } from './counts.js';
import { drainHttp1 } from './drain-http1.js';
import { drainHttp2, drainLateSession } from './drain-http2.js';
import { Spread, spreadOf } from './drain-spread.js';
import { endEventStream } from './event-stream.js';
import type { ConnectionCounts } from './worker-messages.js';
import type { DrainCallback } from './worker-state.js';

/** The end of a worker's connections, each by what its protocol allows. Nothing polls: it is over with the last event. */
export class Drain {
  readonly #connections: Connections;
  readonly #drained: (forced: ConnectionCounts, ended: number) => void;
  readonly #spread: Spread;
  /** What has been closed before its time, by kind. */
  readonly #cut: ConnectionCounts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
  #programBusy = true;
  #over = false;
  /** Connections that have closed, by themselves or not. */
  #closed = 0;

  /**
   * @param drained called once, when no connection is left and every callback of the program has settled; `ended`: connections
   * that ended by themselves
   */
  constructor(connections: Connections, drained: (forced: ConnectionCounts, ended: number) => void) {
    this.#connections = connections;
    this.#drained = drained;
    this.#spread = new Spread(connections, (connection) => this.#close(connection));
  }

  /** @param timeout ms until {@link force} will be called; what is open then is closed over the last part of it */
  start(callbacks: readonly DrainCallback[], timeout: number): void {
    this.#connections.observe(() => {
      if (!this.#over) this.#closed++;
      this.#check();
    }, drainLateSession);
    drainHttp1(this.#connections);
    drainHttp2(this.#connections);
    this.#spread.plan(timeout);
    const info = { deadline: Date.now() + timeout - spreadOf(timeout) };
    const running = callbacks.map(async (callback) => callback(info));
    const settled = Promise.allSettled(running).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') warn(outcome.reason);
      this.#programBusy = false;
      this.#check();
    });
    inBackground('waiting for onDrain()', settled);
  }

  /** It ends earlier: {@link force} will be called in `timeout` ms. */
  shorten(timeout: number): void {
    if (!this.#over) this.#spread.plan(timeout);
  }

  /** Closes what is open, waits for nothing. */
  force(): void {
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

  #check(): void {
    if (this.#over || this.#programBusy || this.#connections.size > 0) return;
    this.#finish(this.#closed - total(this.#cut));
  }

  #finish(ended: number, before = (): void => {}): void {
    this.#over = true;
    this.#spread.stop();
    before();
    this.#drained(this.#cut, ended);
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
