import type * as net from 'node:net';
import { serialize } from 'node:v8';
import { reasonOf } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { GatedListener } from './accept-gate.js';
import type { Connection, Connections } from './connections.js';
import { HeldSocket } from './held-socket.js';
import { TailWriter } from './move-tail.js';
import type { SocketHandle } from './node-internals.js';
import type { MovedConnection } from './worker-messages.js';

/** Bytes of the value that travels with one connection, and of what has been read and not used. More belongs into a store. */
const MOST_BYTES = 1024 * 1024;

/** A connection on its way. One of both is called, once. */
export interface OutgoingConnection {
  readonly as: MovedConnection;
  /** The other generation has it. */
  moved(): void;
  /** It is this worker's again. @returns undefined: it has ended */
  back(): Connection | undefined;
}

/** Those of one MOVE. */
export interface OutgoingBatch {
  readonly all: readonly OutgoingConnection[];
  /** As MOVE has them behind the words. */
  readonly fds: readonly number[];
  /** The message has been sent. */
  sent(): void;
  /** Null: what the program still writes goes nowhere. */
  readonly tail: TailWriter | null;
}

/** What travels with a connection that the program hands over. */
export interface Payload {
  /** As `v8.serialize` has it. */
  readonly value: Buffer;
  /** What Node has read and the program has not. */
  readonly unread: Buffer;
}

interface Idle {
  readonly connection: Connection;
  readonly isFresh: boolean;
}

/** Idle HTTP/1.1 connections: the old worker keeps a duplicate. @throws {SystemError} nothing has left */
export function detachIdle(batch: readonly Idle[], connections: Connections, listener: GatedListener): OutgoingBatch {
  using owned = new OwnedFds();
  const fds = batch.map(({ connection: { top } }) => {
    const { fd } = (top as unknown as { _handle: SocketHandle })._handle;
    return owned.own(native.fd.dup(fd));
  });
  owned.releaseAll();
  const all = batch.map(({ connection, isFresh }, index): OutgoingConnection => {
    const fd = fds[index] as number;
    connections.remove(connection);
    // Not end(): a FIN would end the connection, which lives on in the duplicate.
    connection.top.destroy();
    const as = { isFresh };
    return { as, moved: () => native.fd.close(fd), back: () => listener.adopt?.(fd, as) };
  });
  return { all, fds, sent: () => {}, tail: null };
}

/** Connections that the program hands over: the old worker keeps its sockets. @throws {SystemError} nothing has left */
export function detachHandedOver(batch: readonly Connection[], connections: Connections): OutgoingBatch {
  using owned = new OwnedFds();
  const [ours, theirs] = native.channel.pair();
  owned.own(theirs);
  const tail = new TailWriter(ours);
  const leaving: HandedOverConnection[] = [];
  for (const connection of batch) {
    const index = leaving.length;
    const one = HandedOverConnection.of(connection, connections, (data, done) => tail.write(index, data, done));
    if (one !== null) leaving.push(one);
  }
  try {
    const payload = owned.own(native.memfd.create(serialize(leaving.map((one) => one.payload))));
    owned.releaseAll();
    const sent = (): void => {
      for (const fd of [payload, theirs]) native.fd.close(fd);
    };
    return { all: leaving, fds: [...leaving.map(({ fd }) => fd), payload, theirs], sent, tail };
  } catch (error) {
    tail.close();
    for (const one of leaving) one.back();
    throw error;
  }
}

type Late = (data: Buffer, done: () => void) => void;

class HandedOverConnection implements OutgoingConnection {
  readonly #connection: Connection;
  readonly #connections: Connections;
  readonly #held: HeldSocket;
  readonly as: MovedConnection;
  readonly payload: Payload;

  /**
   * @param late for what the program still writes
   * @returns null: the program cannot say what is to travel along; it stays
   */
  static of(connection: Connection, connections: Connections, late: Late): HandedOverConnection | null {
    const { handOver } = connection;
    if (handOver === null) return null;
    // What it writes while it saves goes nowhere until that has succeeded.
    const early: Buffer[] = [];
    let write: Late = (data, done) => {
      early.push(data);
      done();
    };
    const held = new HeldSocket(connection.top as net.Socket, (data, done) => write(data, done));
    try {
      const value = serialize(handOver.save());
      if (value.length + held.unread.length > MOST_BYTES)
        throw new RangeError(`its value has ${value.length} bytes, ${MOST_BYTES} are allowed`);
      for (const data of early) late(data, () => {});
      write = late;
      return new HandedOverConnection(connection, connections, held, { value, unread: held.unread });
    } catch (error) {
      handOver.returned?.();
      held.release();
      connection.stays = 'kept';
      process.emitWarning(
        `a connection of the kind ${JSON.stringify(handOver.kind)} stays: what travels with it cannot be saved: ${reasonOf(error)}`,
        'MotyaWarning',
      );
      return null;
    }
  }

  private constructor(connection: Connection, connections: Connections, held: HeldSocket, payload: Payload) {
    this.#connection = connection;
    this.#connections = connections;
    this.#held = held;
    this.payload = payload;
    this.as = { isFresh: false, kind: connection.handOver?.kind };
    connection.isLeaving = true;
  }

  get fd(): number {
    return this.#held.fd;
  }

  moved(): void {
    this.#connections.remove(this.#connection);
    this.#held.leave();
    this.#connection.handOver?.moved?.();
  }

  back(): Connection | undefined {
    this.#connection.isLeaving = false;
    // First: what has been read may be used at once.
    this.#connection.handOver?.returned?.();
    this.#held.release();
    return this.#connection.raw.destroyed ? undefined : this.#connection;
  }
}
