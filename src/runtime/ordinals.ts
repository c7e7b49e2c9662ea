/** Counts requests for port 0, so that the n-th of one generation gets the port that the n-th of the next one will get again. */
export class Ordinals {
  readonly #counts = new Map<string, number>();

  next(key: string): number {
    const count = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count + 1);
    return count;
  }
}
