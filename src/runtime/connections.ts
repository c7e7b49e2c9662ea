import type { Http2Session } from 'node:http2';
import type * as net from 'node:net';
import type { Duplex } from 'node:stream';
import { checkKind, type HandOver } from './handed-over.js';
import { isKnownSocket } from './held-socket.js';
import { type HttpSocket, isHttpServer } from './node-internals.js';
import { SocketBaseline } from './socket-baseline.js';
import type { ConnectionCounts, ReasonToStay } from './worker-messages.js';

/** Ties what other layers put on top of an accepted socket to its {@link Connection}. */
const CONNECTION = Symbol('motya.connection');

type Tagged = { [CONNECTION]?: Connection };
export type Protocol = keyof ConnectionCounts;

/** One accepted connection. Its protocol is looked up when the counts are asked for, so that no request pays for it. */
export class Connection {
  /** As accepted. */
  readonly raw: Duplex;
  /** The TLS socket on top of it, or `raw`. */
  top: HttpSocket;
  session: Http2Session | null = null;
  /** The one that it came to. */
  readonly server: net.Server;
  /** It came from another process, where requests were read from it: `bytesRead` does not know of them. */
  isUsed = false;
  /** Why it cannot go to another process, as far as that has been decided. */
  stays: ReasonToStay | null = null;
  /** It has been counted among those that stay. */
  isCounted = false;
  /** How the program hands it to the next generation. */
  handOver: HandOver | null = null;
  /** It is on its way there. */
  isLeaving = false;

  constructor(raw: Duplex, server: net.Server) {
    this.raw = raw;
    this.top = raw;
    this.server = server;
  }

  /** By this process. */
  get bytesRead(): number {
    return (this.top as net.Socket).bytesRead;
  }

  get protocol(): Protocol {
    if (this.session !== null) return 'http2';
    if (this.top.parser === null) return 'upgraded';
    if (this.top.parser === undefined) return 'other';
    return this.top._httpMessage ? 'http1' : 'idle';
  }
}

/** The open connections of the servers that got their listener from the supervisor. */
export class Connections {
  readonly #open = new Map<Duplex, Connection>();
  readonly #servers = new WeakSet<net.Server>();
  /** Null: its sockets are not read by Node's http server from the first byte on, but by something in front of it. */
  readonly #baselines = new WeakMap<net.Server, SocketBaseline | null>();
  #ended = (): void => {};
  #sessionOpened = (_connection: Connection): void => {};
  #handedOver = (_connection: Connection, _stayed: ReasonToStay | null): void => {};
  /** The program has handed one over. */
  hasHandOver = false;

  /** While draining: `ended` whenever a connection has ended, `session` for HTTP/2 sessions that begin now. */
  observe(ended: () => void, session: (connection: Connection) => void): void {
    this.#ended = ended;
    this.#sessionOpened = session;
  }

  get size(): number {
    return this.#open.size;
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#open.values();
  }

  watch(server: net.Server): void {
    if (this.#servers.has(server)) return;
    this.#servers.add(server);
    // First in line: the program's own listener may destroy the socket or hand it on.
    server.prependListener('connection', (socket: Duplex) => this.#opened(socket, server));
    server.prependListener('secureConnection', (socket: HttpSocket) => {
      const connection = connectionOf(socket._parent);
      if (connection !== undefined) connection.top = socket;
    });
    server.prependListener('session', (session: Http2Session) => {
      // The session shows its socket through a proxy, so identity tells nothing; a property does.
      const socket: unknown = session.socket;
      const connection = connectionOf(socket) ?? connectionOf((socket as HttpSocket)._parent);
      if (connection === undefined) return;
      connection.session = session;
      this.#sessionOpened(connection);
    });
  }

  /** It goes on in another process: its end here is none. */
  remove({ raw }: Connection): void {
    this.#open.delete(raw);
  }

  /** The program wants a connection to stay in this process. @returns whether it is one of these */
  keep(socket: unknown): boolean {
    const connection = connectionOf(socket) ?? connectionOf((socket as HttpSocket | null)?._parent);
    if (connection === undefined) return false;
    connection.stays ??= 'kept';
    return true;
  }

  /** While draining: `handedOver` whenever the program hands one over; `stayed`: why it would have stayed. */
  observeHandOver(handedOver: (connection: Connection, stayed: ReasonToStay | null) => void): void {
    this.#handedOver = handedOver;
  }

  /** The program wants a connection to go to the next generation. @returns whether it may */
  handOver(socket: unknown, handOver: HandOver): boolean {
    checkKind(handOver.kind);
    const connection = connectionOf(socket);
    if (connection === undefined || connection.top !== connection.raw || connection.session !== null) return false;
    const { stays, server, top } = connection;
    // Between requests it moves by itself, and in one it cannot.
    if (isHttpServer(server) && top.parser !== null) return false;
    // `kept`: the program has said stay().
    if (stays === 'kept' || stays === 'refused' || !isKnownSocket(socket as net.Socket)) return false;
    connection.stays = null;
    connection.handOver = handOver;
    this.hasHandOver = true;
    this.#handedOver(connection, stays);
    return true;
  }

  /** One that the generation before has handed over, and that no 'connection' event tells of. */
  adopt(socket: net.Socket, server: net.Server): void {
    this.#opened(socket, server);
    const connection = connectionOf(socket);
    if (connection !== undefined) connection.isUsed = true;
  }

  counts(): ConnectionCounts {
    const counts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
    for (const connection of this) counts[connection.protocol]++;
    return counts;
  }

  /** See {@link SocketBaseline}; undefined: no socket has come to the server. */
  baselineOf(server: net.Server): SocketBaseline | null | undefined {
    return this.#baselines.get(server);
  }

  #opened(socket: Duplex, server: net.Server): void {
    // A server may be given a socket that another one has accepted (`server.emit('connection', socket)`).
    if (socket.destroyed || connectionOf(socket) !== undefined) return;
    const connection = new Connection(socket, server);
    (socket as Tagged)[CONNECTION] = connection;
    this.#open.set(socket, connection);
    socket.once('close', () => {
      if (this.#open.delete(socket)) this.#ended();
    });
    // After all 'connection' listeners.
    if (!this.#baselines.has(server)) process.nextTick(() => this.#look(connection));
  }

  /** Of a server whose sockets are alike, which is said of the first one that stays open. */
  #look({ top, server }: Connection): void {
    if (this.#baselines.has(server) || top.destroyed || !isHttpServer(server)) return;
    this.#baselines.set(server, top.parser ? new SocketBaseline(top as net.Socket) : null);
  }
}

export function connectionOf(socket: unknown): Connection | undefined {
  return typeof socket === 'object' && socket !== null ? (socket as Tagged)[CONNECTION] : undefined;
}
