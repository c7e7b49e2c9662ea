import diagnostics from 'node:diagnostics_channel';
import type * as net from 'node:net';
import { MOVED_MS } from '../base/deadlines.js';
import { isSystemError, reasonOf } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { GatedListener } from './accept-gate.js';
import { type Connection, type Connections, connectionOf } from './connections.js';
import { type Candidate, IdleSearch } from './idle-search.js';
import { offerOwnership, takeBackOwnership } from './move-ownership.js';
import { type HttpServer, isHttpServer, type SocketHandle } from './node-internals.js';
import { isQuiet, kindToStay, reasonToStay } from './reason-to-stay.js';
import type { SupervisorLink } from './supervisor-link.js';
import type { MovedConnection, ReasonToStay, StayedCounts } from './worker-messages.js';

/** MOVEs that are not answered yet: one is read while the next one comes, and no process holds more fds than these. */
const WINDOW = 2;
/** ms until the next look for one whose answer has not gone out yet. */
const LOOK_AGAIN_MS = 50;

/** Where the connections of one server go. */
interface Route {
  readonly key: string;
  readonly listener: GatedListener;
  /** How many more the other process can take; null: it has not answered yet. */
  room: number | null;
}

/** On its way: to be taken back, or to be let go. */
interface Sent {
  readonly fd: number;
  readonly as: MovedConnection;
}

interface Batch {
  readonly route: Route;
  readonly sent: readonly Sent[];
  /** Of the words; null: it only asks for the room. */
  readonly ownership: number | null;
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
  readonly stayed: StayedCounts = { touched: 0, kept: 0, tls: 0, http2: 0, upgraded: 0, refused: 0, other: 0 };
  moved = 0;
  #lastId = 0;
  readonly #idle: IdleSearch;
  #turn: NodeJS.Immediate | null = null;
  #nextTurn: NodeJS.Timeout | undefined;
  #isOver = false;
  readonly #finished = (): void => {
    this.#idle.outdate();
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
      listener.key === null || !isHttpServer(server)
        ? []
        : [[server, { key: listener.key, listener, room: null }] as const],
    );
    this.#routes = new Map(routes);
    this.#idle = new IdleSearch(connections, [...this.#routes.keys()] as HttpServer[]);
  }

  /** Connections are on their way. */
  get isBusy(): boolean {
    return [...this.#batches.values()].some(({ sent }) => sent.length > 0);
  }

  begin(): void {
    for (const connection of this.#connections) this.#staysAs(connection, kindToStay(connection, this.#connections));
    for (const route of this.#routes.values()) this.#send(route, [], null);
    diagnostics.subscribe('http.server.response.finish', this.#finished);
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
    this.#continue();
    this.#changed();
  }

  /** No more are sent. Those on their way come back when they are late, or refused. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    diagnostics.unsubscribe('http.server.response.finish', this.#finished);
    clearTimeout(this.#nextTurn);
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

  /** In a turn of its own: one batch a turn, so that clients are answered between them. */
  #continue(): void {
    if (this.#isOver || this.#turn !== null) return;
    this.#turn = setImmediate(() => {
      this.#turn = null;
      if (this.#batches.size >= WINDOW || !this.#sendNext()) return;
      this.#continue();
    });
  }

  /** @returns whether a batch has gone */
  #sendNext(): boolean {
    const wait = this.#idle.look();
    if (wait > 0) this.#lookIn(wait);
    let route: Route | undefined;
    const batch: Candidate[] = [];
    for (let next = this.#idle.first; next !== undefined && batch.length < this.#most; next = this.#idle.first) {
      const its = this.#routes.get(next.connection.server);
      if (its === undefined || (route !== undefined && its !== route)) break;
      if (its.room === null || its.room - this.#onTheWay(its) - batch.length <= 0) {
        // Until the next MOVED.
        this.#idle.drop(next.connection.server);
        continue;
      }
      this.#idle.shift();
      if (!this.#isStillIdle(next)) continue;
      route = its;
      batch.push(next);
    }
    return route !== undefined && this.#detach(route, batch);
  }

  #onTheWay(route: Route): number {
    return [...this.#batches.values()].reduce((sum, batch) => sum + (batch.route === route ? batch.sent.length : 0), 0);
  }

  #isStillIdle({ connection, bytesRead }: Candidate): boolean {
    if (connection.bytesRead !== bytesRead) return false;
    if (this.#staysAs(connection, reasonToStay(connection, this.#connections))) return false;
    if (isQuiet(connection)) return true;
    // Its client is slow to read, or the program has paused it: no event tells when that is over.
    this.#lookIn(LOOK_AGAIN_MS);
    return false;
  }

  #lookIn(ms: number): void {
    this.#nextTurn ??= setTimeout(() => {
      this.#nextTurn = undefined;
      this.#finished();
    }, ms);
  }

  /** @returns whether they have gone; false: for want of fds or memory none will */
  #detach(route: Route, batch: readonly Candidate[]): boolean {
    using owned = new OwnedFds();
    let sent: Sent[];
    let ownership: number;
    try {
      ownership = owned.own(offerOwnership(batch.length));
      sent = batch.map(({ connection, isFresh }) => {
        const { fd } = (connection.top as unknown as { _handle: SocketHandle })._handle;
        return { fd: owned.own(native.fd.dup(fd)), as: { isFresh } };
      });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      process.emitWarning(`connections drain instead of moving: ${reasonOf(error)}`, 'MotyaWarning');
      this.stop();
      return false;
    }
    owned.releaseAll();
    for (const { connection } of batch) {
      this.#connections.remove(connection);
      // Not end(): a FIN would end the connection, which lives on in the duplicate.
      connection.top.destroy();
    }
    this.#send(route, sent, ownership);
    return true;
  }

  #send(route: Route, sent: readonly Sent[], ownership: number | null): void {
    this.#lastId += 1;
    const id = this.#lastId;
    const late = setTimeout(() => this.#late(id), MOVED_MS);
    this.#batches.set(id, { route, sent, ownership, late });
    const fds = [...(ownership === null ? [] : [ownership]), ...sent.map(({ fd }) => fd)];
    this.#link.send({ type: 'MOVE', id, key: route.key, connections: sent.map(({ as }) => as) }, fds);
  }

  #late(id: number): void {
    const batch = this.#batches.get(id);
    if (batch === undefined) return;
    this.stop();
    this.#settle(id, batch);
    this.#changed();
  }

  /** The words tell what has become of each. */
  #settle(id: number, { route, sent, ownership, late }: Batch): void {
    this.#batches.delete(id);
    clearTimeout(late);
    if (ownership === null) return;
    using _words = new OwnedFds([ownership]);
    for (const [index, { fd, as }] of sent.entries()) {
      if (takeBackOwnership(ownership, index)) this.#resume(route, fd, as);
      else {
        this.moved++;
        native.fd.close(fd);
      }
    }
  }

  #resume({ listener }: Route, fd: number, as: MovedConnection): void {
    const connection = listener.adopt?.(fd, as);
    if (connection !== undefined) this.#staysAs(connection, 'refused');
  }
}
