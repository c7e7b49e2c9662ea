/** ms without an answer, beyond what the program takes, that a client notices. */
export const NOTICED_MS = 1_000;
const MOST_DETAILS = 20;

const KINDS = [
  /** Ends of connections that the clients did not begin, resets among them. */
  'closes',
  'resets',
  /** Those of them that no answer has announced. */
  'untold',
  /** Connections on which an answer said `Connection: close`. */
  'saysClose',
  /** Connections that were begun in place of one that has ended. */
  'reconnects',
  'refused',
  /** Requests whose connection ended before their answer. */
  'lost',
  /** Requests without an answer when the client left. */
  'missing',
  /** Answers to another request, with another body, or no answers at all. */
  'wrong',
  /** Bytes that no request asked for. */
  'doubled',
  /** Answers that came later than {@link NOTICED_MS}. */
  'late',
] as const;
export type Kind = (typeof KINDS)[number];

export interface Report extends Readonly<Record<Kind, number>> {
  readonly requests: number;
  readonly answers: number;
  /** Longest time that a request waited beyond what the program took, in ms. */
  readonly longest: number;
  /** The first of each kind. */
  readonly details: Readonly<Partial<Record<Kind, readonly string[]>>>;
}

/** What clients have seen. */
export class Tally {
  requests = 0;
  /** Addresses that the program has seen: those of a proxy, if one is in between. */
  readonly upstreams = new Set<string>();
  #answers = 0;
  #longest = 0;
  readonly #counts = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>;
  readonly #details: Partial<Record<Kind, string[]>> = {};

  count(kind: Kind, detail: string): void {
    this.#counts[kind]++;
    this.#details[kind] ??= [];
    const details = this.#details[kind];
    if (details.length < MOST_DETAILS) details.push(detail);
  }

  answered(waited: number, client: string): void {
    this.#answers++;
    this.#longest = Math.max(this.#longest, waited);
    if (waited > NOTICED_MS) this.count('late', `${client}: ${Math.round(waited)} ms`);
  }

  report(): Report {
    const { requests } = this;
    const details = structuredClone(this.#details);
    return { requests, answers: this.#answers, longest: this.#longest, ...this.#counts, details };
  }
}
