/** How a request can fail, and how that is printed. */
export const FAILURES = {
  refused: 'refused',
  reset: 'reset before an answer came',
  truncated: 'cut off in the answer',
  late: 'without an answer in time',
  malformed: 'answered with what is no HTTP',
  status5xx: 'answered with status 5xx',
} as const;
export type FailureKind = keyof typeof FAILURES;

/** A request that got no good answer. Instants are of performance.now(). */
export class Failure extends Error {
  readonly kind: FailureKind;
  /** When its connection was established; null: it was not. */
  readonly connectedAt: number | null;
  readonly at = performance.now();

  constructor(kind: FailureKind, connectedAt: number | null, message: string) {
    super(message);
    this.kind = kind;
    this.connectedAt = connectedAt;
  }
}

/** When a process was killed: its connections were opened between `from` and `to`, and broke from `killedAt` on. */
export interface Killed {
  readonly from: number;
  readonly killedAt: number;
  readonly to: number;
}

/** The results of all requests of one step. */
export interface Seen {
  readonly answers: number;
  readonly failures: Readonly<Partial<Record<FailureKind, number>>>;
  /** Failures of requests that were inside a process that the drill has killed. */
  readonly inside: number;
  /** ms: the longest that an answer took. */
  readonly longest: number;
  /** The first failure that counts, in words. */
  readonly example: string | null;
}

export const lostRequests = ({ failures }: Seen): number =>
  Object.values(failures).reduce((sum, count) => sum + count, 0);

/** Counts the results of requests, step by step. */
export class RequestCounts {
  #answers = 0;
  #longest = 0;
  #failures: Failure[] = [];

  get answers(): number {
    return this.#answers;
  }

  get failed(): number {
    return this.#failures.length;
  }

  answer(ms: number): void {
    this.#answers += 1;
    this.#longest = Math.max(this.#longest, ms);
  }

  fail(failure: Failure): void {
    this.#failures.push(failure);
  }

  /** The counts since the last call. */
  take(killed: Killed | null = null): Seen {
    const isInside = ({ kind, connectedAt, at }: Failure): boolean =>
      killed !== null &&
      (kind === 'reset' || kind === 'truncated') &&
      connectedAt !== null &&
      connectedAt >= killed.from &&
      connectedAt <= killed.to &&
      at >= killed.killedAt;
    const lost = this.#failures.filter((failure) => !isInside(failure));
    const failures: Partial<Record<FailureKind, number>> = {};
    for (const { kind } of lost) failures[kind] = (failures[kind] ?? 0) + 1;
    const seen = {
      answers: this.#answers,
      failures,
      inside: this.#failures.length - lost.length,
      longest: Math.round(this.#longest),
      example: lost[0]?.message ?? null,
    };
    this.#answers = 0;
    this.#longest = 0;
    this.#failures = [];
    return seen;
  }
}
