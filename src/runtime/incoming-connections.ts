import { fstatSync, readSync } from 'node:fs';
import type * as net from 'node:net';
import { deserialize } from 'node:v8';
import { reasonOf } from '../base/errors.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { adoptSocket, callProgram } from './adopt-connection.js';
import type { Connections } from './connections.js';
import type { Adopt, Adopters } from './handed-over.js';
import { TailReader } from './move-tail.js';
import type { HttpServer } from './node-internals.js';
import type { Payload } from './outgoing-connections.js';
import type { MovedConnection } from './worker-messages.js';

/** Beside the words and the connections: the payload, and the end of the tail. */
export const FDS_OF_HANDED_OVER = 2;

interface IncomingConnection {
  readonly adopt: Adopt;
  readonly value: unknown;
  readonly unread: Buffer;
}

/** The connections of one MOVE that the program of the generation before has handed over. */
export class IncomingBatch {
  readonly #connections: Connections;
  readonly #adopters: Adopters;
  readonly #payloads: readonly Payload[];
  readonly #tail: TailReader;
  readonly #sockets = new Map<number, net.Socket>();
  /** What is written to those that have no socket yet. */
  readonly #early = new Map<number, Buffer[]>();

  /** @param fds two: see {@link FDS_OF_HANDED_OVER}. They are owned from here on, also when this throws. */
  constructor(connections: Connections, adopters: Adopters, fds: readonly number[]) {
    const [payload, tail] = fds as [number, number];
    using owned = new OwnedFds(fds);
    this.#connections = connections;
    this.#adopters = adopters;
    this.#payloads = deserialize(contentOf(payload)) as Payload[];
    this.#tail = new TailReader(owned.release(tail), (index, data) => this.#written(index, data));
  }

  /** @returns null: this program does not take it */
  expect(index: number, { kind = '' }: MovedConnection): IncomingConnection | null {
    const adopt = this.#adopters.find(kind);
    const payload = this.#payloads[index];
    if (adopt === undefined || payload === undefined) return null;
    try {
      return { adopt, value: deserialize(payload.value), unread: payload.unread };
    } catch (error) {
      const text = `a connection of the kind ${JSON.stringify(kind)} is not taken over: its value cannot be read: ${reasonOf(error)}`;
      process.emitWarning(text, 'MotyaWarning');
      return null;
    }
  }

  /** The fd is the socket's from here on. The program's callback runs. */
  adopt(index: number, { adopt, value, unread }: IncomingConnection, server: HttpServer, fd: number): void {
    const socket = adoptSocket(server, fd);
    // As Node leaves it after an upgrade.
    if (typeof server.closeIdleConnections === 'function') Object.assign(socket, { parser: null });
    this.#connections.adopt(socket, server);
    // What the old program has written by now comes before all that this one writes.
    this.#tail.read();
    for (const data of this.#early.get(index) ?? []) socket.write(data);
    this.#early.delete(index);
    this.#sockets.set(index, socket);
    socket.once('close', () => this.#closed(index));
    if (unread.length > 0) socket.unshift(unread);
    callProgram(() => adopt(socket, value));
  }

  /** All that will be adopted have been. */
  done(): void {
    this.#early.clear();
    if (this.#sockets.size === 0) this.#tail.close();
  }

  #written(index: number, data: Buffer): void {
    const socket = this.#sockets.get(index);
    if (socket === undefined) this.#early.set(index, [...(this.#early.get(index) ?? []), data]);
    else if (socket.writable) socket.write(data);
  }

  #closed(index: number): void {
    this.#sockets.delete(index);
    if (this.#sockets.size === 0) this.#tail.close();
  }
}

function contentOf(fd: number): Buffer {
  const data = Buffer.alloc(fstatSync(fd).size);
  // From its beginning: the file's position is where its writer has left it.
  readSync(fd, data, 0, data.length, 0);
  return data;
}
