/** Series of counters, at most 90 bytes each: they go through COMMIT. 100 services that crash for 40 reasons have fewer. */
export const MOST_SERIES = 500;

/** What separates the name of a series from its labels: in no name of a service, phase or reason code. */
const SEPARATOR = '|';
/** UTF-16 units of a label: the longest name of a service. A peer's reason code may be anything. */
const LABEL_LENGTH = 64;
/** Upper borders of the histogram of phases, in seconds: a hand-over takes milliseconds, a boot seconds, a drain minutes. */
export const PHASE_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300] as const;

/**
 * Counters that outlive their instance: numbers by series (`crashes|web`), so that a hand-over can send, add and subtract them
 * without knowing what they mean. What is counted where is in {@link ./history.ts}.
 */
export class Totals {
  readonly #values: Map<string, number>;

  constructor(values: Iterable<readonly [string, number]> = []) {
    this.#values = new Map(values);
  }

  /** Whatever a peer sent: what is no series with a count is left out. */
  static from(sent: unknown): Totals {
    if (typeof sent !== 'object' || sent === null || Array.isArray(sent)) return new Totals();
    const valid = Object.entries(sent).filter(([, value]) => Number.isSafeInteger(value) && (value as number) > 0);
    return new Totals(valid.slice(0, MOST_SERIES) as [string, number][]);
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#values);
  }

  copy(): Totals {
    return new Totals(this.#values);
  }

  /** A new series beyond {@link MOST_SERIES} is not counted: the sum has to fit into a message. */
  count(labels: readonly string[], by = 1): void {
    const series = labels.map((label) => label.slice(0, LABEL_LENGTH)).join(SEPARATOR);
    const before = this.#values.get(series);
    if (by <= 0 || (before === undefined && this.#values.size >= MOST_SERIES)) return;
    this.#values.set(series, (before ?? 0) + by);
  }

  /** One phase that took `ms`. */
  observePhase(phase: string, ms: number): void {
    const border = PHASE_BUCKETS.find((seconds) => ms <= seconds * 1000);
    this.count(['phase', phase, String(border ?? '+Inf')]);
    // Whole numbers, so that adding and subtracting leaves no crumbs.
    this.count(['phase', phase, 'micros'], Math.round(ms * 1000));
  }

  add(other: Totals): void {
    for (const [series, value] of other.#values) this.count(series.split(SEPARATOR), value);
  }

  /** What has been counted here since `earlier`, an older state of the same counters. */
  since(earlier: Totals): Totals {
    const grown = [...this.#values].map(
      ([series, value]) => [series, value - (earlier.#values.get(series) ?? 0)] as const,
    );
    return new Totals(grown.filter(([, value]) => value > 0));
  }

  /** Takes back what {@link add} added. */
  subtract(other: Totals): void {
    for (const [series, value] of other.#values) {
      const left = (this.#values.get(series) ?? 0) - value;
      // A series of zero would still take the place of another one (MOST_SERIES).
      if (left === 0) this.#values.delete(series);
      else this.#values.set(series, left);
    }
  }

  get(...labels: string[]): number {
    return this.#values.get(labels.join(SEPARATOR)) ?? 0;
  }

  /** Labels and values of all series of a name. */
  of(name: string): { labels: string[]; value: number }[] {
    return [...this.#values]
      .map(([series, value]) => ({ labels: series.split(SEPARATOR), value }))
      .filter(({ labels }) => labels[0] === name)
      .map(({ labels, value }) => ({ labels: labels.slice(1), value }));
  }
}
