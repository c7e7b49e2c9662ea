import type { Http2Session } from 'node:http2';
import type * as net from 'node:net';
import type { Duplex } from 'node:stream';
import type { HttpSocket } from './node-internals.js';
import type { ConnectionCounts } from './worker-messages.js';

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

  constructor(raw: Duplex) {
    this.raw = raw;
    this.top = raw;
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
  #ended = (): void => {};
  #sessionOpened = (_connection: Connection): void => {};

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
    server.prependListener('connection', (socket: Duplex) => this.#opened(socket));
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

  counts(): ConnectionCounts {
    const counts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
    for (const connection of this) counts[connection.protocol]++;
    return counts;
  }

  #opened(socket: Duplex): void {
    // A server may be given a socket that another one has accepted (`server.emit('connection', socket)`).
    if (socket.destroyed || connectionOf(socket) !== undefined) return;
    const connection = new Connection(socket);
    (socket as Tagged)[CONNECTION] = connection;
    this.#open.set(socket, connection);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#ended();
    });
  }
}

function connectionOf(socket: unknown): Connection | undefined {
  return typeof socket === 'object' && socket !== null ? (socket as Tagged)[CONNECTION] : undefined;
}
