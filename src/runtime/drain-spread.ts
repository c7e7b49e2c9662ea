import type { Connection, Connections } from './connections.js';
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

/**
 * Closes what is open over the last part of a drain, evenly: closed all at once, clients would all connect anew in one moment. Those
 * that know of the end go first, idle ones before busy ones, the oldest first. A single connection has the whole time.
 */
export class Spread {
  readonly #connections: Connections;
  readonly #close: (connection: Connection) => void;
  /** Those that are being closed. */
  readonly #closing = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(connections: Connections, close: (connection: Connection) => void) {
    this.#connections = connections;
    this.#close = close;
  }

  /** `timeout`: ms until the end; may be called again, with a shorter one. */
  plan(timeout: number): void {
    clearTimeout(this.#timer);
    const length = spreadOf(timeout);
    this.#timer = setTimeout(() => this.#begin(length), timeout - length);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  isClosing(connection: Connection): boolean {
    return this.#closing.has(connection);
  }

  #begin(length: number): void {
    const began = performance.now();
    const total = this.#open().length;
    const step = (): void => {
      const left = Math.max(0, 1 - (performance.now() - began) / length);
      const open = this.#open();
      // What ends by itself counts, too.
      const excess = open.length - Math.ceil(total * left);
      if (excess > 0) for (const connection of open.sort(byRank).slice(0, excess)) this.#end(connection);
    };
    this.#timer = setInterval(step, SPREAD_STEP_MS);
  }

  #end(connection: Connection): void {
    this.#closing.add(connection);
    this.#close(connection);
  }

  #open(): Connection[] {
    return [...this.#connections].filter((connection) => !this.#closing.has(connection));
  }
}

const byRank = (one: Connection, other: Connection): number => rankOf(one) - rankOf(other);

function rankOf(connection: Connection): number {
  const { session, protocol } = connection;
  const isAnnounced = session?.closed === true || /^connection:\s*close\b/im.test(sentHead(connection));
  const isIdle = protocol === 'idle';
  return (isAnnounced ? 0 : 2) + (isIdle ? 0 : 1);
}
