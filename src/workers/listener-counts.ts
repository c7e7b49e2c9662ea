import type { ListenerCount } from '../runtime/worker-messages.js';

/** What one worker has counted; `counts` is null when it has not answered in time. */
export interface WorkerListenerCounts {
  readonly pid: number;
  readonly counts: readonly ListenerCount[] | null;
}

/** What the workers of an instance have counted on their listeners at one moment. */
export class ListenerCounts {
  readonly #workers: readonly WorkerListenerCounts[];
  /** performance.now() */
  readonly at = performance.now();

  constructor(workers: readonly WorkerListenerCounts[] = []) {
    this.#workers = workers;
  }

  /** Open connections on a listener, of all workers. */
  open(key: string): number {
    return this.#sum((_, counts) => counts.find((one) => one.key === key)?.open ?? 0);
  }

  /** Connections (datagrams) that have come to a listener since `before`. A worker that was not there then has counted from 0. */
  acceptedSince(before: ListenerCounts, key: string): number {
    return this.#sum((pid, counts) => {
      const now = counts.find((one) => one.key === key)?.accepted ?? 0;
      const then = before.#accepted(pid, key);
      return then === null ? 0 : Math.max(0, now - then);
    });
  }

  /** Whether each of these workers has answered. */
  answered(pids: ReadonlySet<number>): boolean {
    return this.#workers.every(({ pid, counts }) => !pids.has(pid) || counts !== null);
  }

  /** Whether a worker has answered now that had not in `before`: what it has accepted in between cannot be told. */
  answeredFirst(before: ListenerCounts): boolean {
    return this.#workers.some(({ pid, counts }) => counts !== null && before.#countsOf(pid) === null);
  }

  /** These counts, and those of `before` where a worker has not answered now. */
  filledFrom(before: ListenerCounts): ListenerCounts {
    const filled = this.#workers.map(({ pid, counts }) => ({ pid, counts: counts ?? before.#countsOf(pid) ?? null }));
    return new ListenerCounts(filled);
  }

  /** Null: it has not answered. Undefined: it was not there. */
  #countsOf(pid: number): readonly ListenerCount[] | null | undefined {
    return this.#workers.find((one) => one.pid === pid)?.counts;
  }

  /** Null: it has not answered. */
  #accepted(pid: number, key: string): number | null {
    const counts = this.#countsOf(pid);
    if (counts === null) return null;
    return counts?.find((one) => one.key === key)?.accepted ?? 0;
  }

  #sum(of: (pid: number, counts: readonly ListenerCount[]) => number): number {
    return this.#workers.reduce((sum, { pid, counts }) => sum + (counts === null ? 0 : of(pid, counts)), 0);
  }
}
