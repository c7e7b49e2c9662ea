import type { Details } from '../base/errors.js';
import { OUTSIDE_LOOK_MS, OUTSIDE_LOOKS } from '../base/limits.js';
import type { Ledger } from '../listeners/ledger.js';
import { adviceOnOutside, endWithWorkers, type Outside, OutsideLook, OutsideWatch } from './outside.js';
import type { Worker } from './worker.js';

/** What the workers of one service listen on beside what they have from us: no hand-over takes it along. */
export class ServiceOutside {
  readonly #ledger: Ledger;
  readonly #workers: () => readonly Worker[];
  readonly #look = new OutsideLook();
  /** The last look, and when it was taken (performance.now()). */
  #last: { readonly at: number; readonly found: readonly Outside[] } | null = null;

  /** `workers`: those that there are now. To be made before they are started. */
  constructor(ledger: Ledger, workers: () => readonly Worker[]) {
    this.#ledger = ledger;
    this.#workers = workers;
  }

  /** What a worker listens on a while after it has become ready. `warn`: once for each. */
  later(worker: Worker, warn: (text: string, facts: Details) => void): void {
    setTimeout(() => {
      if (worker.hasExited) return;
      const own = this.#find().filter((one) => one.worker === worker.pid);
      for (const outside of own) {
        const who = outside.pid === worker.pid ? 'the program' : `pid ${outside.pid}, which it has started,`;
        const advice = adviceOnOutside(outside);
        const text = `${who} listens on ${outside.where} by itself, which an upgrade cannot hand over: ${advice}`;
        warn(text, { pid: outside.pid, listens: outside.where });
      }
    }, OUTSIDE_LOOKS * OUTSIDE_LOOK_MS).unref();
  }

  /** Addresses that end with the service: no other process listens there. */
  ending(): Outside[] {
    this.#last = null;
    return endWithWorkers(this.#find());
  }

  /** Looks while workers start. A worker that listens with us as well is none that leaves it to others. */
  watch(): OutsideWatch {
    const hasNone = ({ isReady, isBlocked, pids }: Worker): boolean =>
      !isReady && !isBlocked && !this.#ledger.all().some(({ users }) => pids.some((pid) => users.has(pid)));
    return new OutsideWatch(() => {
      const starting = this.#workers()
        .filter(hasNone)
        .map(({ pid }) => pid);
      return starting.length === 0 ? [] : this.#find().filter(({ worker }) => starting.includes(worker));
    });
  }

  /** One look serves all workers that become ready at the same time. */
  #find(): readonly Outside[] {
    const now = performance.now();
    if (this.#last !== null && now - this.#last.at < OUTSIDE_LOOK_MS / 2) return this.#last.found;
    const known = new Set(this.#ledger.all().map(({ socket }) => String(socket.inode)));
    const running = this.#workers().filter(({ hasExited }) => !hasExited);
    const found = this.#look.at(
      running.map(({ family }) => family),
      known,
    );
    this.#last = { at: now, found };
    return found;
  }
}
