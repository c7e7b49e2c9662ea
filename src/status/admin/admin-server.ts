import { createServer, type Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { inBackground } from '../../base/background.js';
import { isSystemError } from '../../base/errors.js';
import { LONGEST_TIMER_MS } from '../../base/limits.js';
import { native } from '../../base/os/native.js';
import { type Answer, Routes, type StatusSource } from './routes.js';

/** ms that one connection of the admin listener may last: an answer needs milliseconds, a worker that is busy COUNT_MS. */
const ADMIN_CONNECTION_MS = 5_000;
/** Connections of the admin listener at once; beyond them the oldest is hung up on. A scraper and a few pages need ten. */
const ADMIN_PEERS = 64;
/** Bytes of a request's head there: a browser's has one or two KiB. */
const ADMIN_HEADER_BYTES = 8 * 1024;

/** On every answer: nothing from elsewhere, nothing into a frame, nothing kept. */
const HEADERS = {
  'Content-Security-Policy': "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  // One request a connection: after a hand-over the next one is the successor's.
  Connection: 'close',
};

/** Answers people and programs that look at an instance. It reads, nothing can be changed here. */
export class AdminServer {
  readonly #routes: Routes;
  readonly #warn: (error: Error) => void;
  readonly #connections = new Set<Socket>();
  #server: Server | null = null;

  /** @param isPrivate every client that can connect may read, whichever name its request uses (a unix socket, or `public`). */
  constructor(observed: StatusSource, { isPrivate }: { isPrivate: boolean }, warn: (error: Error) => void) {
    this.#routes = new Routes(observed, { isPrivate });
    this.#warn = warn;
  }

  /** Accepts on a listener, which stays the caller's. Nothing happens while it does so already. */
  accept(fd: number, backlog: number): void {
    if (this.#server !== null) return;
    const server = createServer({
      maxHeaderSize: ADMIN_HEADER_BYTES,
      // Each connection has an end of its own; the server's checks would wake an idle process.
      headersTimeout: 0,
      requestTimeout: 0,
      connectionsCheckingInterval: LONGEST_TIMER_MS,
    });
    server.on('connection', (socket) => this.#welcome(socket));
    server.on('request', (request, response) => {
      const answered = this.#routes.answer(request).then(({ status, type, body, allow }: Answer) => {
        const headers = { ...HEADERS, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) };
        response.writeHead(status, allow === undefined ? headers : { ...headers, Allow: allow });
        response.end(request.method === 'HEAD' ? undefined : body);
      });
      inBackground('an answer of the admin listener', answered);
    });
    // No fds left, for example: without a listener it would end the instance.
    server.on('error', this.#warn);
    try {
      server.listen({ fd: native.fd.dup(fd) }, backlog);
    } catch (error) {
      // No fds left: clients of the admin listener wait, and the service goes on.
      if (!isSystemError(error)) throw error;
      this.#warn(error);
      return;
    }
    this.#server = server;
  }

  /** Stops accepting; open connections are answered. */
  pause(): void {
    // Not http's close, which ends connections whose request is on its way.
    if (this.#server !== null) NetServer.prototype.close.call(this.#server);
    this.#server = null;
  }

  /** Ends everything. */
  close(): void {
    this.pause();
    for (const socket of this.#connections) socket.destroy();
  }

  /** Beyond ADMIN_PEERS the oldest connection is closed: a client that keeps connections open locks no other client out. */
  #welcome(socket: Socket): void {
    const end = setTimeout(() => socket.destroy(), ADMIN_CONNECTION_MS).unref();
    this.#connections.add(socket);
    socket.once('close', () => {
      clearTimeout(end);
      this.#connections.delete(socket);
    });
    const [oldest] = this.#connections;
    if (this.#connections.size > ADMIN_PEERS) oldest?.destroy();
  }
}
