import { OUTLIVES_MS } from '../base/deadlines.js';

/**
 * What a worker has to show after a crash before it counts as back: it listens where the worker before did, and lives longer than that.
 * The same holds for a process that its program has started and starts again. Times are of performance.now(), in ms.
 */
export class Recovery {
  /** Keys of listeners that those which have crashed had. */
  readonly #owed = new Set<string>();
  #outlivesAt = Number.NEGATIVE_INFINITY;
  /** ms that the next process which the program starts must live; 0: none of them has ended by itself. */
  #childMs = 0;

  /** The worker has crashed. `keys`: of the listeners that it had. */
  crashed(keys: Iterable<string>): void {
    for (const key of keys) this.#owed.add(key);
  }

  /** Another worker has been started. `lived`: ms of the one before. */
  restarted(lived: number): void {
    this.#outlivesAt = performance.now() + Math.min(2 * lived, OUTLIVES_MS);
  }

  /**
   * A process of the program has ended by itself. `lived`: ms that it was known; null: it never listened.
   * @returns takes it back: the program had meant it
   */
  childEnded(keys: readonly string[], lived: number | null): () => void {
    const before = { outlivesAt: this.#outlivesAt, childMs: this.#childMs };
    const added = keys.filter((key) => !this.#owed.has(key));
    for (const key of added) this.#owed.add(key);
    this.#childMs = Math.min(2 * (lived ?? OUTLIVES_MS), OUTLIVES_MS);
    this.#outlivesAt = performance.now() + this.#childMs;
    return () => {
      for (const key of added) this.#owed.delete(key);
      this.#outlivesAt = before.outlivesAt;
      this.#childMs = before.childMs;
    };
  }

  childStarted(): void {
    if (this.#childMs > 0) this.#outlivesAt = performance.now() + this.#childMs;
  }

  isDone(listensOn: (key: string) => boolean): boolean {
    return performance.now() >= this.#outlivesAt && [...this.#owed].every(listensOn);
  }
}
