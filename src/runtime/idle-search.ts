import type * as net from 'node:net';
import type { Connection, Connections } from './connections.js';
import { idleConnections } from './http-idle.js';
import type { HttpServer } from './node-internals.js';

/** Part of the time that may be spent in looking: each look asks for all connections (1 ms for 5,000). */
const LOOK_SHARE = 0.2;

/** A connection that was idle. It still is when nothing has been read since. */
export interface Candidate {
  readonly connection: Connection;
  /** Nothing has ever been read from it. */
  readonly isFresh: boolean;
  readonly bytesRead: number;
}

/** The idle connections of some servers, looked for again when one may have become idle. */
export class IdleSearch {
  readonly #connections: Connections;
  readonly #servers: readonly HttpServer[];
  #found: Candidate[] = [];
  #isOutdated = true;
  #nextLook = 0;

  constructor(connections: Connections, servers: readonly HttpServer[]) {
    this.#connections = connections;
    this.#servers = servers;
  }

  get first(): Candidate | undefined {
    return this.#found.at(-1);
  }

  shift(): void {
    this.#found.pop();
  }

  /** Those of this server cannot go now: they are to be found again. */
  drop(server: net.Server): void {
    this.#found = this.#found.filter(({ connection }) => connection.server !== server);
    this.#isOutdated = true;
  }

  /** A connection may have become idle. */
  outdate(): void {
    this.#isOutdated = true;
  }

  /** Looks, if there is reason to. @returns ms until it may, when it has looked a moment ago; else 0 */
  look(): number {
    if (this.#found.length > 0 || !this.#isOutdated) return 0;
    const began = performance.now();
    if (began < this.#nextLook) return this.#nextLook - began;
    this.#isOutdated = false;
    this.#found = this.#servers.flatMap((server) => this.#idleOf(server));
    const ended = performance.now();
    this.#nextLook = ended + (ended - began) / LOOK_SHARE;
    return 0;
  }

  #idleOf(server: HttpServer): Candidate[] {
    const candidate = (isFresh: boolean) => (connection: Connection) => ({
      connection,
      isFresh,
      bytesRead: connection.bytesRead,
    });
    // Nothing was read: idle for us, whatever Node calls it, which differs between its lines.
    const isFresh = (one: Connection): boolean => !one.isUsed && one.bytesRead === 0;
    const fresh = [...this.#connections].filter((one) => one.server === server && one.stays === null && isFresh(one));
    const idle = idleConnections(server, this.#connections).filter((one) => one.stays === null && !isFresh(one));
    return [...fresh.map(candidate(true)), ...idle.map(candidate(false))];
  }
}
