import { isDone } from '../base/timeout.js';
import type { ChildEnd } from './conversation-events.js';
import type { Recovery } from './recovery.js';
import type { Worker } from './worker.js';

/**
 * ms for a worker to end after a process that it has started: the kernel closes the files of one that dies first, and processes that
 * wait for it end on that (a cluster's workers); a wrapper ends with what it has started.
 */
const CHILD_END_MS = 250;

/** Ends of processes that programs have started: which of them are crashes. */
export class ChildEnds {
  /** Pids of processes that ended a moment ago as their program had meant it. */
  readonly #meant = new Set<number>();

  /** It has ended as its program had meant it. Comes before or after {@link crash}. */
  meant(pid: number): void {
    this.#meant.add(pid);
    setTimeout(() => this.#meant.delete(pid), 2 * CHILD_END_MS).unref();
  }

  /** @returns what has crashed, for people; null: it was no crash of its own, or `isOver` */
  async crash(worker: Worker, end: ChildEnd, recovery: Recovery, isOver: () => boolean): Promise<string | null> {
    const { pid, reason, keys, lived } = end;
    const takeBack = recovery.childEnded(keys, lived);
    // Those of a worker that ends do so, too, some before it.
    if ((await isDone(CHILD_END_MS, worker.exited)) || isOver()) return null;
    if (this.#meant.delete(pid)) {
      takeBack();
      return null;
    }
    const where = keys.length === 0 ? '' : ` on ${keys.join(', ')}`;
    const what = lived === null ? `before it listened (${reason})` : `while it listened${where}`;
    return `pid ${pid}, which it has started, has ended ${what}`;
  }
}
