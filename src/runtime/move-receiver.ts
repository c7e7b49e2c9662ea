import { fdRoom } from '../base/os/fd-room.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { Gate, GatedListener } from './accept-gate.js';
import type { Connections } from './connections.js';
import type { Adopters } from './handed-over.js';
import { FDS_OF_HANDED_OVER, IncomingBatch } from './incoming-connections.js';
import { takeOwnership } from './move-ownership.js';
import { canMoveConnections } from './move-self-test.js';
import { type HttpServer, isHttpServer } from './node-internals.js';
import type { SupervisorLink } from './supervisor-link.js';
import type { WorkerMessage } from './worker-messages.js';

/** Fds that are left for what the program opens itself. */
const SPARE_FDS = 16;
/**
 * ms for which a count of the open fds is believed, and what is adopted is subtracted; where there are few left, and otherwise. It
 * costs a millisecond for a thousand, which clients wait.
 */
const COUNTED_MS = { few: 250, many: 10_000 } as const;
/** Fewer may be used up within COUNTED_MS.many by what the program opens itself. */
const FEW_FDS = 1_000;

type Move = Extract<WorkerMessage, { type: 'MOVE' }>;

interface Waiting {
  readonly move: Move;
  readonly fds: readonly number[];
  /** Those that no connection has yet. */
  left: number;
}

interface Target {
  readonly server: HttpServer;
  readonly listener: GatedListener;
}

export interface ReceiverParts {
  readonly gate: Gate;
  readonly link: SupervisorLink;
  readonly connections: Connections;
  readonly adopters: Adopters;
}

/** Takes connections of the other generation. ./move-sender.ts is the other side. */
export class MoveReceiver {
  readonly #gate: Gate;
  readonly #link: SupervisorLink;
  readonly #connections: Connections;
  readonly #adopters: Adopters;
  readonly #waiting: Waiting[] = [];
  #free = 0;
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor({ gate, link, connections, adopters }: ReceiverParts) {
    this.#gate = gate;
    this.#link = link;
    this.#connections = connections;
    this.#adopters = adopters;
  }

  receive(move: Move, fds: ReceivedFds): void {
    this.#waiting.push({ move, fds: fds.takeAll(), left: fds.length });
    // One a turn: an adoption takes some 80 µs, and clients wait meanwhile.
    if (this.#waiting.length === 1) setImmediate(() => this.#next());
  }

  #next(): void {
    const [next] = this.#waiting;
    if (next !== undefined) this.#take(next);
    this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(() => this.#next());
  }

  #take(waiting: Waiting): void {
    const { fds } = waiting;
    const { id, key, connections } = waiting.move;
    using owned = new OwnedFds(fds);
    const [ownership, ...files] = fds;
    const target = this.#targetOf(key);
    const isHandedOver = connections.some(({ kind }) => kind !== undefined);
    const more = isHandedOver ? FDS_OF_HANDED_OVER : 0;
    // Fewer fds than connections: the kernel had no room for them. They are still the sender's.
    if (target !== null && ownership !== undefined && files.length === connections.length + more) {
      if (isHandedOver) this.#takeHandedOver(waiting, ownership, target, owned);
      // A server of another protocol would take the next request for its own.
      else if (isHttpServer(target.server)) this.#takeIdle(waiting, ownership, target, owned);
    }
    this.#link.send({ type: 'MOVED', id, room: target === null ? 0 : this.#room(target.server) });
  }

  #takeIdle(waiting: Waiting, ownership: number, { server, listener }: Target, owned: OwnedFds): void {
    for (const [index, connection] of waiting.move.connections.entries()) {
      if (this.#room(server) === 0 || !takeOwnership(ownership, index)) continue;
      listener.adopt?.(this.#release(waiting, index, owned), connection);
    }
  }

  #takeHandedOver(waiting: Waiting, ownership: number, { server }: Target, owned: OwnedFds): void {
    const { connections } = waiting.move;
    const others = waiting.fds.slice(1 + connections.length).map((fd) => owned.release(fd));
    const incoming = new IncomingBatch(this.#connections, this.#adopters, others);
    for (const [index, connection] of connections.entries()) {
      const one = incoming.expect(index, connection);
      if (one === null || this.#room(server) === 0 || !takeOwnership(ownership, index)) continue;
      incoming.adopt(index, one, server, this.#release(waiting, index, owned));
    }
    incoming.done();
  }

  /** It has become a connection. */
  #release(waiting: Waiting, index: number, owned: OwnedFds): number {
    this.#free -= 1;
    waiting.left -= 1;
    return owned.release(waiting.fds[index + 1] as number);
  }

  #targetOf(key: string): Target | null {
    for (const [server, listener] of this.#gate.connectionListeners) {
      if (listener.key !== key || (isHttpServer(server) && !canMoveConnections())) continue;
      // What is asked of it, any server has.
      return { server: server as HttpServer, listener };
    }
    return null;
  }

  /** How many connections there is room for: fds, and the server's own limit. */
  #room({ maxConnections, _connections = 0 }: HttpServer): number {
    const most = maxConnections || Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(this.#freeFds(), most - _connections));
  }

  #freeFds(): number {
    if (performance.now() - this.#countedAt > COUNTED_MS[this.#free < FEW_FDS ? 'few' : 'many']) {
      const { open, limit } = fdRoom();
      // Those that wait need no further fd for their connections.
      const held = this.#waiting.reduce((sum, { left }) => sum + left, 0);
      this.#free = Math.min(Number.MAX_SAFE_INTEGER, limit - (open - held) - SPARE_FDS);
      this.#countedAt = performance.now();
    }
    return this.#free;
  }
}
