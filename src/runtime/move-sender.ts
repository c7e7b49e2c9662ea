import diagnostics from 'node:diagnostics_channel';
import type * as net from 'node:net';
import { MOVED_MS } from '../base/deadlines.js';
import { isSystemError, reasonOf } from '../base/errors.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { GatedListener } from './accept-gate.js';
import { type Connection, type Connections, connectionOf } from './connections.js';
import { NONE_STAYED } from './counts.js';
import { type Candidate, MoveCandidates } from './move-candidates.js';
import { offerOwnership, takeBackOwnership } from './move-ownership.js';
import { canMoveConnections } from './move-self-test.js';
import type { TailWriter } from './move-tail.js';
import { isHttpServer } from './node-internals.js';
import { detachHandedOver, detachIdle, type OutgoingBatch, type OutgoingConnection } from './outgoing-connections.js';
import { kindToStay } from './reason-to-stay.js';
import type { SupervisorLink } from './supervisor-link.js';
import { type ReasonToStay, type StayedCounts, UNANSWERED_MOVES } from './worker-messages.js';

/**
 * ms for which a worker lives on after the last connection that its program has handed over, and after what the program has written to one
 * last: handlers that still run write their answers.
 */
const LATE_WRITES_MS = 1_000;

/** Where the connections of one server go. */
interface Route {
  readonly key: string;
  readonly listener: GatedListener;
  /** How many more the other process can take; null: it has not answered yet. */
  room: number | null;
}

interface Batch {
  readonly route: Route;
  readonly sent: readonly OutgoingConnection[];
  /** Of the words; null: it only asks for the room. */
  readonly ownership: number | null;
  readonly tail: TailWriter | null;
  readonly late: NodeJS.Timeout;
}

/**
 * Sends the connections of a worker that drains to the other generation: idle ones at once, the others when their response has
 * gone out. What the other generation does not take comes back, and drains. ./move-receiver.ts is the other side.
 */
export class MoveSender {
  readonly #connections: Connections;
  readonly #link: SupervisorLink;
  /** Connections with a MOVE, at most. */
  readonly #most: number;
  readonly #routes: ReadonlyMap<net.Server, Route>;
  readonly #changed: () => void;
  readonly #batches = new Map<number, Batch>();
  readonly stayed: StayedCounts = { ...NONE_STAYED };
  moved = 0;
  #lastId = 0;
  readonly #candidates: MoveCandidates;
  /** Of connections that have moved. */
  readonly #tails = new Set<TailWriter>();
  #lateWrites: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | null = null;
  #isOver = false;
  readonly #finished = (): void => {
    this.#candidates.changed();
    this.#continue();
  };

  /**
   * @param listeners of the servers whose connections may go
   * @param changed called when a batch has come to its end
   */
  constructor(
    { connections, link, most }: { connections: Connections; link: SupervisorLink; most: number },
    listeners: ReadonlyMap<net.Server, GatedListener>,
    changed: () => void,
  ) {
    this.#connections = connections;
    this.#link = link;
    this.#most = most;
    this.#changed = changed;
    const routes = [...listeners].flatMap(([server, listener]) =>
      listener.key === null || (isHttpServer(server) && !canMoveConnections())
        ? []
        : [[server, { key: listener.key, listener, room: null }] as const],
    );
    this.#routes = new Map(routes);
    this.#candidates = new MoveCandidates(connections, this.#routes.keys(), {
      staysAs: (connection, reason) => this.#staysAs(connection, reason),
      again: this.#finished,
    });
  }

  /** Connections are on their way, or what is still written to them is. */
  get isBusy(): boolean {
    return this.#tails.size > 0 || [...this.#batches.values()].some(({ sent }) => sent.length > 0);
  }

  begin(): void {
    for (const connection of this.#connections) this.#staysAs(connection, kindToStay(connection, this.#connections));
    for (const route of this.#routes.values()) this.#send(route, NO_CONNECTIONS_SENT, null);
    diagnostics.subscribe('http.server.response.finish', this.#finished);
    this.#connections.observeHandOver((connection, stayed) => {
      if (stayed !== null && connection.isCounted) this.stayed[stayed] -= 1;
      connection.isCounted = false;
      this.#finished();
    });
  }

  /**
   * Whether its next response need not close it: it will move, unless the program turns out to have left something on it. That is looked
   * at when it is idle: libraries have listeners on it while a response is under way (on-finished, so Koa and morgan).
   */
  wants(socket: unknown): boolean {
    const connection = connectionOf(socket);
    if (this.#isOver || connection === undefined) return false;
    const route = this.#routes.get(connection.server);
    if (route === undefined || route.room === 0) return false;
    return !this.#staysAs(connection, kindToStay(connection, this.#connections));
  }

  /** MOVED. */
  moves(id: number, room: number): void {
    const batch = this.#batches.get(id);
    if (batch === undefined) return;
    this.#settle(id, batch);
    batch.route.room = room;
    this.#candidates.changed();
    this.#continue();
    this.#changed();
  }

  /** No more are sent. Those on their way come back when they are late, or refused. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#candidates.stop();
    diagnostics.unsubscribe('http.server.response.finish', this.#finished);
    if (this.#turn !== null) clearImmediate(this.#turn);
    for (const [id, batch] of this.#batches) if (batch.ownership === null) this.#settle(id, batch);
  }

  /** No answer comes any more: what has not been taken is this worker's again. */
  takeBack(): void {
    this.stop();
    for (const [id, batch] of this.#batches) this.#settle(id, batch);
    this.#changed();
  }

  /** @returns whether there is a reason */
  #staysAs(connection: Connection, reason: ReasonToStay | null): boolean {
    if (reason === null) return false;
    if (!connection.isCounted) this.stayed[reason]++;
    connection.isCounted = true;
    connection.stays = reason;
    return true;
  }

  /** In a turn of its own: one look or one batch a turn, so that clients are answered between them. */
  #continue(): void {
    if (this.#isOver || this.#turn !== null) return;
    this.#turn = setImmediate(() => {
      this.#turn = null;
      if (this.#batches.size >= UNANSWERED_MOVES) return;
      const candidates = this.#candidates;
      if (candidates.isDue ? candidates.look() : this.#sendNext() || candidates.isDue) this.#continue();
    });
  }

  /** @returns whether a batch has gone */
  #sendNext(): boolean {
    const candidates = this.#candidates;
    let route: Route | undefined;
    const batch: Candidate[] = [];
    for (;;) {
      const { next } = candidates;
      if (next === undefined || batch.length >= this.#most) break;
      const { server } = next.connection;
      const its = this.#routes.get(server);
      if (its === undefined || (route !== undefined && its !== route) || !isAlike(next, batch[0])) break;
      if (its.room === null || its.room - this.#onTheWay(its) - batch.length <= 0) {
        candidates.leaveOut(server);
        continue;
      }
      const ready = candidates.pop();
      if (ready === null) continue;
      route = its;
      batch.push(ready);
    }
    return route !== undefined && this.#detach(route, batch);
  }

  #onTheWay(route: Route): number {
    return [...this.#batches.values()].reduce((sum, batch) => sum + (batch.route === route ? batch.sent.length : 0), 0);
  }

  /** @returns whether they have gone; false: for want of fds or memory none will */
  #detach(route: Route, batch: readonly Candidate[]): boolean {
    using owned = new OwnedFds();
    let outgoing: OutgoingBatch;
    let ownership: number;
    try {
      ownership = owned.own(offerOwnership(batch.length));
      outgoing = batch[0]?.connection.handOver
        ? detachHandedOver(
            batch.map(({ connection }) => connection),
            this.#connections,
          )
        : detachIdle(batch, this.#connections, route.listener);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      process.emitWarning(`connections drain instead of moving: ${reasonOf(error)}`, 'MotyaWarning');
      this.stop();
      return false;
    }
    for (const { connection } of batch) this.#staysAs(connection, connection.stays);
    if (outgoing.all.length === 0) {
      outgoing.sent();
      outgoing.tail?.close();
      return true;
    }
    owned.releaseAll();
    this.#send(route, outgoing, ownership);
    outgoing.sent();
    return true;
  }

  #send(route: Route, { all: sent, fds, tail }: OutgoingBatch, ownership: number | null): void {
    this.#lastId += 1;
    const id = this.#lastId;
    const late = setTimeout(() => this.#late(id), MOVED_MS);
    this.#batches.set(id, { route, sent, ownership, tail, late });
    const all = [...(ownership === null ? [] : [ownership]), ...fds];
    this.#link.send({ type: 'MOVE', id, key: route.key, connections: sent.map(({ as }) => as) }, all);
  }

  #late(id: number): void {
    const batch = this.#batches.get(id);
    if (batch === undefined) return;
    this.stop();
    this.#settle(id, batch);
    this.#changed();
  }

  /** The words tell what has become of each. */
  #settle(id: number, { sent, ownership, tail, late }: Batch): void {
    this.#batches.delete(id);
    clearTimeout(late);
    if (ownership === null) return;
    using _words = new OwnedFds([ownership]);
    const before = this.moved;
    for (const [index, one] of sent.entries()) {
      if (takeBackOwnership(ownership, index)) {
        const connection = one.back();
        if (connection !== undefined) this.#staysAs(connection, 'refused');
      } else {
        this.moved++;
        one.moved();
      }
    }
    if (this.moved === before) tail?.close();
    else if (tail !== null) this.#awaitLateWrites(tail);
  }

  #awaitLateWrites(tail: TailWriter): void {
    tail.usedAt = performance.now();
    this.#tails.add(tail);
    const look = (): void => {
      const quiet = performance.now() - Math.max(...[...this.#tails].map(({ usedAt }) => usedAt));
      if (quiet < LATE_WRITES_MS) {
        this.#lateWrites = setTimeout(look, LATE_WRITES_MS - quiet);
        return;
      }
      this.#lateWrites = undefined;
      // They stay open: the process lives on, perhaps.
      this.#tails.clear();
      this.#changed();
    };
    this.#lateWrites ??= setTimeout(look, LATE_WRITES_MS);
  }
}

/** Connections of one MOVE are all HTTP/1.1, or all handed over by the program. */
function isAlike(one: Candidate, other = one): boolean {
  return (one.connection.handOver === null) === (other.connection.handOver === null);
}

const NO_CONNECTIONS_SENT: OutgoingBatch = { all: [], fds: [], sent: () => {}, tail: null };
