import type * as net from 'node:net';
import type { Connection, Connections } from './connections.js';
import { canLeave, holdReading } from './held-socket.js';
import { idleSockets } from './http-idle.js';
import { isHttpServer } from './node-internals.js';
import { isQuiet, reasonToStay } from './reason-to-stay.js';
import type { ReasonToStay } from './worker-messages.js';

/** Part of the time that may be spent in looking for idle connections: each look asks for all of them (1 ms for 5,000). */
const LOOK_SHARE = 0.2;
const NONE: ReadonlySet<unknown> = new Set();
/** ms until the next look for one that could not leave yet. */
const LOOK_AGAIN_MS = 50;
/**
 * ms until the next look for one from which nothing is read meanwhile, and for which it may be so. It waits for work of this process alone;
 * where the CPU is busy that may take long, and reading on would only add to it.
 */
const HELD_LOOK_MS = 5;
const HELD_MS = 2_000;

export interface Candidate {
  readonly connection: Connection;
  readonly isFresh: boolean;
  /** When it was seen to be idle. Unchanged: it still is. */
  readonly bytesRead: number;
}

/** The connections of a worker that may go to another process now. */
export class MoveCandidates {
  readonly #connections: Connections;
  readonly #servers: readonly net.Server[];
  readonly #staysAs: (connection: Connection, reason: ReasonToStay | null) => boolean;
  readonly #again: () => void;
  #found: Candidate[] = [];
  /** A connection may have become idle since the last look. */
  #isOutdated = true;
  #nextLook = 0;
  #timer: NodeJS.Timeout | undefined;
  /** When it fires. */
  #timerAt = Number.POSITIVE_INFINITY;
  readonly #held = new Map<Connection, { readonly since: number; readonly readOn: () => void }>();

  /**
   * @param staysAs told of those that do not move. @returns whether there is a reason
   * @param again called when it is time for another look; it calls {@link changed}
   */
  constructor(
    connections: Connections,
    servers: Iterable<net.Server>,
    {
      staysAs,
      again,
    }: { staysAs: (connection: Connection, reason: ReasonToStay | null) => boolean; again: () => void },
  ) {
    this.#connections = connections;
    this.#servers = [...servers];
    this.#staysAs = staysAs;
    this.#again = again;
  }

  /** One may have become idle, or there is more room. */
  changed(): void {
    this.#isOutdated = true;
  }

  /** There is reason to {@link look}. */
  get isDue(): boolean {
    return this.#found.length === 0 && this.#isOutdated;
  }

  /** The next one, which {@link pop} takes. */
  get next(): Candidate | undefined {
    return this.#found.at(-1);
  }

  /** @returns it, if it may leave in this turn */
  pop(): Candidate | null {
    const next = this.#found.pop();
    if (next === undefined || this.#staysAs(next.connection, reasonToStay(next.connection, this.#connections)))
      return null;
    const { connection, bytesRead } = next;
    if (connection.handOver !== null) return this.#mayLeave(connection) ? next : null;
    if (connection.bytesRead !== bytesRead) return null;
    if (isQuiet(connection)) return next;
    // Its client is slow to read, or the program has paused it: no event tells when that is over.
    this.#lookIn(LOOK_AGAIN_MS);
    return null;
  }

  /** There is no room for those of this server, until {@link changed}. */
  leaveOut(server: net.Server): void {
    this.#found = this.#found.filter(({ connection }) => connection.server !== server);
  }

  stop(): void {
    this.#found = [];
    clearTimeout(this.#timer);
    for (const connection of this.#held.keys()) this.#readOn(connection);
  }

  /** Looks for idle connections, unless it has looked a moment ago: then a little later. @returns whether it has looked */
  look(): boolean {
    const began = performance.now();
    if (began < this.#nextLook) {
      this.#lookIn(this.#nextLook - began);
      return false;
    }
    this.#isOutdated = false;
    this.#found = this.#servers.flatMap((server) => this.#idleOf(server));
    const ended = performance.now();
    this.#nextLook = ended + (ended - began) / LOOK_SHARE;
    return true;
  }

  #idleOf(server: net.Server): Candidate[] {
    const idle = isHttpServer(server) ? idleSockets(server, this.#connections) : NONE;
    const handedOver: Candidate[] = [];
    const plain: Candidate[] = [];
    for (const connection of this.#connections) {
      if (connection.server !== server || connection.stays !== null) continue;
      const { bytesRead, handOver, isLeaving, isUsed, top } = connection;
      // Nothing was read: idle for us, whatever Node calls it, which differs between its lines.
      const isFresh = bytesRead === 0 && !isUsed;
      if (handOver === null) {
        if (isHttpServer(server) && (isFresh || idle.has(top))) plain.push({ connection, isFresh, bytesRead });
      } else if (!isLeaving) handedOver.push({ connection, isFresh: false, bytesRead });
    }
    return [...handedOver, ...plain];
  }

  #mayLeave(connection: Connection): boolean {
    const { handOver } = connection;
    const readiness = handOver?.readiness?.() ?? 'now';
    if (readiness === 'now' && canLeave(connection.top as net.Socket)) {
      this.#readOn(connection);
      return true;
    }
    const held = this.#held.get(connection);
    const now = performance.now();
    if (held !== undefined && (readiness === 'later' || now - held.since > HELD_MS)) this.#readOn(connection);
    else if (held === undefined && readiness === 'soon')
      this.#held.set(connection, { since: now, readOn: holdReading(connection.top as net.Socket) });
    this.#lookIn(this.#held.has(connection) ? HELD_LOOK_MS : LOOK_AGAIN_MS);
    return false;
  }

  #readOn(connection: Connection): void {
    this.#held.get(connection)?.readOn();
    this.#held.delete(connection);
  }

  #lookIn(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#again();
    }, ms);
  }
}
