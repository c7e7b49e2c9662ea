import { deferred } from '../deferred.js';
import { STATS_MS, STOP_WHILE_DRAINING_MS } from '../limits.js';
import type { DrainStatus } from '../observe/status.js';
import type { ConnectionCounts } from '../workers/messages.js';
import { total } from '../workers/service.js';
import type { Life } from './life.js';

/** The graceful end of the connections that an instance has, and its deadline. */
export class Drain {
  readonly #life: Life;
  readonly #cut = deferred<void>();
  #deadline = Number.POSITIVE_INFINITY;
  #own: DrainStatus | null = null;

  constructor(life: Life) {
    this.#life = life;
  }

  /** As told last; null before it. */
  get own(): DrainStatus | null {
    return this.#own;
  }

  /** ms until what is open is closed by force. */
  get left(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** Resolves when it is to end now. */
  get isCut(): Promise<void> {
    return this.#cut.promise;
  }

  /** Closes what is open. */
  cut(): void {
    this.#cut.resolve();
  }

  /** Of an instance that drains after a hand-over and is told to stop. */
  shorten(): void {
    this.#deadline = Math.min(this.#deadline, performance.now() + STOP_WHILE_DRAINING_MS);
    setTimeout(() => this.cut(), STOP_WHILE_DRAINING_MS).unref();
  }

  /** `progress` is told at once and then each second. @returns how many connections were closed by force. */
  async run(progress: (drain: DrainStatus & { protocols: ConnectionCounts }) => void): Promise<number> {
    const { instance, settings, events, generation } = this.#life;
    const started = performance.now();
    const longest = Math.max(...settings.services.map((service) => service.drainTimeout));
    this.#deadline = Math.min(this.#deadline, started + longest);
    const tell = async (): Promise<void> => {
      const protocols = await instance.fleet.connections();
      const connections = total(protocols);
      const { left } = this;
      const deadline = new Date(Date.now() + left).toISOString();
      const drain = { pid: process.pid, generation, connections, protocols, left, deadline };
      this.#own = drain;
      progress(drain);
      events.emit('draining', { connections, leftMs: left });
    };
    void tell();
    const timer = setInterval(() => void tell(), STATS_MS);
    const forced = await instance.fleet.drain(this.isCut);
    clearInterval(timer);
    events.emit('drained', { ms: performance.now() - started, forced });
    return forced;
  }
}
