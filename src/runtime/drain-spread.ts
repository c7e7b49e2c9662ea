import { atMost, DRAIN_KINDS, longestOf, type PerKind, perKind } from '../base/drain-kinds.js';
import type { Connection, Connections } from './connections.js';
import { drainKindOf } from './drain-kind.js';
import { sentHead } from './event-stream.js';

/** Part of a drain, at its end, over which what is open is closed; and the most ms of it. */
const SPREAD_SHARE = 0.2;
const SPREAD_MOST_MS = 20_000;
/** ms between two steps of that: shorter than clients notice, and 20 a second cost nothing. */
const SPREAD_STEP_MS = 50;

/** ms before the end of a drain of `timeout` ms from which on what is open is closed, little by little. */
export function spreadOf(timeout: number): number {
  return Math.min(timeout * SPREAD_SHARE, SPREAD_MOST_MS);
}

/** Kinds that end at the same time end together. */
interface Ending {
  /** performance.now() */
  readonly at: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Closes what is open of each kind over the last part of its time, evenly: closed all at once, clients would all connect anew in one
 * moment. Those that know of the end go first, idle ones before busy ones, the oldest first. A single connection has the whole time.
 * A connection that becomes one of a kind whose time is over ends with the next kind.
 */
export class Spread {
  readonly #connections: Connections;
  readonly #close: (connection: Connection) => void;
  /** Those that are being closed. */
  readonly #closing = new Set<Connection>();
  /** When each kind ends (performance.now()). */
  #ends: PerKind<number> = perKind(() => Number.POSITIVE_INFINITY);
  #endings: Ending[] = [];

  constructor(connections: Connections, close: (connection: Connection) => void) {
    this.#connections = connections;
    this.#close = close;
  }

  /** `times`: ms until the end of each kind. */
  plan(times: PerKind<number>): void {
    const now = performance.now();
    this.#ends = perKind((kind) => now + times[kind]);
    for (const time of new Set(Object.values(times))) this.#planEnding(now + time, time);
  }

  /** What would end later ends in `timeout` ms. @returns ms until the last end */
  shorten(timeout: number): number {
    const now = performance.now();
    const at = now + timeout;
    for (const { timer } of this.#endings.filter((ending) => ending.at > at)) clearTimeout(timer);
    this.#endings = this.#endings.filter((ending) => ending.at <= at);
    const isShortened = DRAIN_KINDS.some((kind) => this.#ends[kind] > at);
    this.#ends = atMost(this.#ends, at);
    if (isShortened) this.#planEnding(at, timeout);
    return longestOf(this.#ends) - now;
  }

  stop(): void {
    for (const { timer } of this.#endings) clearTimeout(timer);
  }

  /** Closes it now. */
  end(connection: Connection): void {
    this.#closing.add(connection);
    this.#close(connection);
  }

  isClosing(connection: Connection): boolean {
    return this.#closing.has(connection);
  }

  #planEnding(at: number, timeout: number): void {
    const length = spreadOf(timeout);
    const ending: Ending = { at, timer: undefined };
    ending.timer = setTimeout(() => this.#begin(ending, length), timeout - length);
    this.#endings.push(ending);
  }

  #begin(ending: Ending, length: number): void {
    const total = this.#open(ending.at).length;
    const step = (): void => {
      const rest = ending.at - performance.now();
      const left = rest > 0 ? rest / length : 0;
      const open = this.#open(ending.at);
      // What ends by itself counts, too.
      const excess = open.length - Math.ceil(total * Math.min(1, left));
      if (excess > 0) for (const connection of open.sort(byRank).slice(0, excess)) this.end(connection);
      if (rest > 0) ending.timer = setTimeout(step, Math.min(SPREAD_STEP_MS, rest));
    };
    step();
  }

  /** Those that end at that time. */
  #open(at: number): Connection[] {
    const now = performance.now();
    return [...this.#connections].filter((connection) => {
      if (this.#closing.has(connection)) return false;
      const end = this.#ends[drainKindOf(connection)];
      return end === at || end <= now;
    });
  }
}

const byRank = (one: Connection, other: Connection): number => rankOf(one) - rankOf(other);

function rankOf(connection: Connection): number {
  const { session, protocol } = connection;
  const isAnnounced = session?.closed === true || /^connection:\s*close\b/im.test(sentHead(connection));
  const isIdle = protocol === 'idle';
  return (isAnnounced ? 0 : 2) + (isIdle ? 0 : 1);
}
