import type { ConnectionCounts } from '../messages.js';
import type { Connections } from './connections.js';
import { drainHttp1 } from './drain-http1.js';
import { drainHttp2, drainLateSession } from './drain-http2.js';
import type { DrainCallback } from './worker-state.js';

/** The end of a worker's connections, each by what its protocol allows. Nothing polls: it is over with the last event. */
export class Drain {
  readonly #connections: Connections;
  readonly #drained: (forced: ConnectionCounts, ended: number) => void;
  #programBusy = true;
  #over = false;
  #ended = 0;

  /**
   * @param drained called once, when no connection is left and every callback of the program has settled; `ended`: connections
   * that ended by themselves
   */
  constructor(connections: Connections, drained: (forced: ConnectionCounts, ended: number) => void) {
    this.#connections = connections;
    this.#drained = drained;
  }

  /** @param timeout ms until {@link force} will be called */
  start(callbacks: readonly DrainCallback[], timeout: number): void {
    this.#connections.observe(() => {
      if (!this.#over) this.#ended++;
      this.#check();
    }, drainLateSession);
    drainHttp1(this.#connections);
    drainHttp2(this.#connections);
    const info = { deadline: Date.now() + timeout };
    const running = callbacks.map(async (callback) => callback(info));
    Promise.allSettled(running).then((outcomes) => {
      for (const outcome of outcomes) if (outcome.status === 'rejected') warn(outcome.reason);
      this.#programBusy = false;
      this.#check();
    });
  }

  /** Closes what is open, waits for nothing. */
  force(): void {
    if (this.#over) return;
    this.#over = true;
    const forced = this.#connections.counts();
    for (const { raw, top, session } of this.#connections) {
      session?.destroy();
      top.destroy();
      raw.destroy();
    }
    this.#drained(forced, this.#ended);
  }

  #check(): void {
    if (this.#over || this.#programBusy || this.#connections.size > 0) return;
    this.#over = true;
    this.#drained({ http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 }, this.#ended);
  }
}

function warn(reason: unknown): void {
  process.emitWarning(
    `an onDrain callback failed: ${reason instanceof Error ? reason.stack : String(reason)}`,
    'MotyaWarning',
  );
}
