import type { EventEmitter } from 'node:events';
import { inBackground } from '../base/background.js';
import { STATS_MS, STATS_QUIET_MS } from '../base/deadlines.js';
import { deferred } from '../base/deferred.js';
import { allKinds, atMost, longestOf, type PerKind, perKind } from '../base/drain-kinds.js';
import { total } from '../runtime/counts.js';
import type { ConnectionCounts } from '../runtime/worker-messages.js';
import { type DrainWait, lastLeft, waitsOf } from '../status/drain-waits.js';
import type { DrainStatus } from '../status/status-document.js';
import type { Moving } from '../workers/moves.js';
import type { SupervisorEvents } from './events.js';
import type { Instance } from './instance.js';

/** Steps in which no number has changed, after which it takes longer to the next. */
const QUIET_STEPS = 10;
/** ms that a drain goes on after SIGTERM reached an instance that drains already. */
const STOP_WHILE_DRAINING_MS = 5_000;

interface OwnDrainStatus extends DrainStatus {
  readonly protocols: ConnectionCounts;
  readonly left: number;
  readonly waits: PerKind<DrainWait>;
}

export type Progress = (drain: OwnDrainStatus) => void;

/** The graceful end of the connections that an instance has, and its deadline. */
export class Drain {
  readonly #instance: Instance;
  readonly #events: EventEmitter<SupervisorEvents>;
  /** ms for what is open of each kind: the most that a service has. */
  readonly #times: PerKind<number>;
  readonly #cut = deferred<void>();
  /** Of each kind (performance.now()). */
  #ends = allKinds(Number.POSITIVE_INFINITY);
  #hasBegun = false;
  #wasCut = false;

  /** @param times ms for what is open of each kind */
  constructor(instance: Instance, times: PerKind<number>, events: EventEmitter<SupervisorEvents>) {
    this.#instance = instance;
    this.#times = times;
    this.#events = events;
  }

  /** Of connections that were counted just now; null before it has begun. */
  status(protocols: ConnectionCounts, generation: number): OwnDrainStatus | null {
    if (!this.#hasBegun) return null;
    const waits = waitsOf(this.#instance.fleet.lastKinds, this.#lefts);
    const left = lastLeft(waits) ?? this.left;
    const deadline = new Date(Date.now() + left).toISOString();
    const connections = total(protocols);
    return { pid: process.pid, generation, connections, protocols, waits, left, deadline, probation: null };
  }

  /** ms from its beginning to its end, at most. */
  get longest(): number {
    return longestOf(this.#times);
  }

  /** ms until all that is open is closed by force. */
  get left(): number {
    return longestOf(this.#lefts);
  }

  get #lefts(): PerKind<number> {
    const now = performance.now();
    return perKind((kind) => Math.max(0, this.#ends[kind] - now));
  }

  /** Resolves when it is to end now. */
  get isCut(): Promise<void> {
    return this.#cut.promise;
  }

  get wasCut(): boolean {
    return this.#wasCut;
  }

  /** Closes what is open. */
  cut(): void {
    this.#wasCut = true;
    this.#cut.resolve();
  }

  /** Of an instance that drains after a hand-over and is told to stop. */
  shorten(): void {
    this.#ends = atMost(this.#ends, performance.now() + STOP_WHILE_DRAINING_MS);
    this.#instance.fleet.hurry(this.left);
    setTimeout(() => this.cut(), STOP_WHILE_DRAINING_MS).unref();
  }

  /** From here on it is known that it drains, and until when. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const now = performance.now();
    this.#ends = perKind((kind) => Math.min(this.#ends[kind], now + this.#times[kind]));
  }

  /**
   * `progress` is told at once and then each second, or less often when nothing changes. `moving`: where connections may go.
   * @returns how many connections were closed by force, and how many moved
   */
  async run(
    generation: number,
    progress: Progress,
    moving: Moving | null = null,
  ): Promise<{ readonly forced: number; readonly moved: number }> {
    const { fleet } = this.#instance;
    const started = performance.now();
    this.begin();
    let last = -1;
    let same = 0;
    const tell = async (): Promise<void> => {
      const drain = this.status(await fleet.connections(), generation);
      if (drain === null) return;
      same = drain.connections === last ? same + 1 : 0;
      last = drain.connections;
      progress(drain);
      this.#events.emit('draining', { connections: drain.connections, leftMs: drain.left });
    };
    let timer: NodeJS.Timeout | undefined;
    const step = (): void => {
      timer = setTimeout(step, same < QUIET_STEPS ? STATS_MS : STATS_QUIET_MS);
      inBackground('telling how the drain goes', tell());
    };
    step();
    const { forced: cut, ended, moved, stayed } = await fleet.drain({ cut: this.isCut, moving });
    const forced = total(cut);
    clearTimeout(timer);
    this.#events.emit('drained', { ms: performance.now() - started, forced, ended, moved, stayed });
    return { forced, moved };
  }
}
