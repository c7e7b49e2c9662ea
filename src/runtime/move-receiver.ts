import { fdRoom } from '../base/os/fd-room.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { Gate, GatedListener } from './accept-gate.js';
import { takeOwnership } from './move-ownership.js';
import { canMoveConnections } from './move-self-test.js';
import { type HttpServer, isHttpServer } from './node-internals.js';
import type { SupervisorLink } from './supervisor-link.js';
import type { WorkerMessage } from './worker-messages.js';

/** Fds that are left for what the program opens itself. */
const SPARE_FDS = 16;
/** ms for which a count of the open fds is believed: it costs a millisecond for a thousand. */
const COUNTED_MS = 250;

type Move = Extract<WorkerMessage, { type: 'MOVE' }>;

interface Waiting {
  readonly move: Move;
  readonly fds: readonly number[];
  /** Those that no connection has yet. */
  left: number;
}

/** Takes connections of the other generation. ./move-sender.ts is the other side. */
export class MoveReceiver {
  readonly #gate: Gate;
  readonly #link: SupervisorLink;
  readonly #waiting: Waiting[] = [];
  #free = 0;
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor(gate: Gate, link: SupervisorLink) {
    this.#gate = gate;
    this.#link = link;
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
    // Fewer fds than connections: the kernel had no room for them. They are still the sender's.
    if (target !== null && ownership !== undefined && files.length === connections.length) {
      for (const [index, connection] of connections.entries()) {
        if (this.#room(target.server) === 0 || !takeOwnership(ownership, index)) continue;
        this.#free -= 1;
        waiting.left -= 1;
        target.listener.adopt?.(owned.release(files[index] as number), connection);
      }
    }
    this.#link.send({ type: 'MOVED', id, room: target === null ? 0 : this.#room(target.server) });
  }

  #targetOf(key: string): { readonly server: HttpServer; readonly listener: GatedListener } | null {
    for (const [server, listener] of this.#gate.connectionListeners) {
      if (listener.key === key) return isHttpServer(server) && canMoveConnections() ? { server, listener } : null;
    }
    return null;
  }

  /** How many connections there is room for: fds, and the server's own limit. */
  #room({ maxConnections, _connections = 0 }: HttpServer): number {
    const most = maxConnections || Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(this.#freeFds(), most - _connections));
  }

  #freeFds(): number {
    if (performance.now() - this.#countedAt > COUNTED_MS) {
      const { open, limit } = fdRoom();
      // Those that wait need no further fd for their connections.
      const held = this.#waiting.reduce((sum, { left }) => sum + left, 0);
      this.#free = Math.min(Number.MAX_SAFE_INTEGER, limit - (open - held) - SPARE_FDS);
      this.#countedAt = performance.now();
    }
    return this.#free;
  }
}
