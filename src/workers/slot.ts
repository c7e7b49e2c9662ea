import { reportDefect } from '../base/background.js';
import { Backoff } from '../base/backoff.js';
import { COUNT_MS } from '../base/deadlines.js';
import type { FailureCode } from '../base/error-catalog.js';
import { codeOf, isSystemError, MotyaError, reasonOf } from '../base/errors.js';
import { within } from '../base/timeout.js';
import { total } from '../runtime/counts.js';
import type { WorkerStatus } from '../status/status-document.js';
import type { Drained } from './drained.js';
import { residentMemory } from './memory.js';
import { Recovery } from './recovery.js';
import type { Worker } from './worker.js';
import { drainAndEnd, type Ending } from './worker-end.js';

/** What a slot tells its service. */
export interface SlotOwner {
  /** @throws {SystemError} out of fds or memory; {MotyaError} a file is missing */
  spawn(index: number): Worker;
  /** Its worker has ended, and another one starts in `inMs`. */
  /** `code`: of the error, where it could not be started again. */
  crashed(worker: Worker, reason: string, inMs: number, code: FailureCode | null): void;
  restarted(worker: Worker): void;
}

/** The place of one worker in its service: the worker that has it now, and the start of the next one when that crashes. */
export class Slot {
  readonly #owner: SlotOwner;
  readonly #backoff = new Backoff();
  readonly recovery = new Recovery();
  #worker: Worker;
  #restarts = 0;
  #timer: NodeJS.Timeout | undefined;
  #isDraining = false;
  #isEnding = false;

  /** Starts the first worker. @throws as {@link SlotOwner.spawn} */
  constructor(owner: SlotOwner, index: number) {
    this.#owner = owner;
    this.#worker = owner.spawn(index);
  }

  get worker(): Worker {
    return this.#worker;
  }

  /** The worker finishes what it has. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** The worker has been told to end. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Its worker has ended by itself. `lived`: ms. */
  restart(reason: string, lived: number, code: FailureCode | null = null): void {
    const worker = this.#worker;
    const inMs = this.#backoff.next(lived);
    this.recovery.crashed(worker.held);
    this.#owner.crashed(worker, reason, inMs, code);
    this.#timer = setTimeout(() => this.#start(worker.index, lived), inMs);
  }

  #start(index: number, lived: number): void {
    try {
      this.#worker = this.#owner.spawn(index);
    } catch (error) {
      // Out of fds or memory, or a file is missing, for now: no reason to end what serves, nor to give up.
      if (!isSystemError(error) && !(error instanceof MotyaError)) reportDefect('starting a worker again', error);
      this.restart(`it cannot be started again: ${reasonOf(error)}`, 0, codeOf(error));
      return;
    }
    this.#restarts += 1;
    this.recovery.restarted(lived);
    this.#owner.restarted(this.#worker);
  }

  /** @returns how its connections ended; null: it has no worker that runs */
  async drain(ending: Omit<Ending, 'signalling'>): Promise<Drained | null> {
    clearTimeout(this.#timer);
    if (this.#worker.hasExited) return null;
    this.#isDraining = true;
    const signalling = (): void => {
      this.#isEnding = true;
    };
    return drainAndEnd(this.#worker, { ...ending, signalling });
  }

  /** `gone`: what has become of a worker that has ended. */
  async status(gone: 'ended' | 'restarting'): Promise<WorkerStatus> {
    const worker = this.#worker;
    const counted = await within(COUNT_MS, worker.count({ delay: true }));
    const { hasExited, index, pid, isReady } = worker;
    const protocols = counted ?? worker.lastCounts;
    const running = this.#isDraining ? 'draining' : isReady ? 'ready' : 'starting';
    return {
      pid: hasExited ? null : pid,
      index,
      state: hasExited ? gone : running,
      restarts: this.#restarts,
      uptime: hasExited ? null : Math.round(performance.now() - worker.startedAt),
      memory: hasExited ? null : residentMemory(pid),
      answers: counted !== null && !hasExited,
      connections: total(protocols),
      protocols,
      eventLoopDelay: worker.takeDelay(),
    };
  }
}
