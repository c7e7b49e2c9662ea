import net from 'node:net';
import { OwnedFds } from '../base/os/owned-fds.js';
import { type Connection, connectionOf } from './connections.js';
import type { HttpParser, HttpServer, HttpSocket } from './node-internals.js';
import type { MovedConnection } from './worker-messages.js';

/** ms beyond keepAliveTimeout that Node waits itself, where the server has no `keepAliveTimeoutBuffer` (lib/_http_server.js). */
const KEEP_ALIVE_BUFFER_MS = 1_000;
/** A whole request: what a parser has to have read to wait for the next one. */
const REQUEST = Buffer.from('GET / HTTP/1.1\r\n\r\n');

/**
 * Makes an open connection one of the server's, as `accept` does: the program's 'connection' listeners run. To be called in the
 * async context of `listen()`. The fd is the socket's from here on, also when this throws.
 */
export function adoptConnection(server: HttpServer, fd: number, { isFresh }: MovedConnection): Connection | undefined {
  const socket = adoptSocket(server, fd);
  callProgram(() => server.emit('connection', socket));
  const { parser } = socket as HttpSocket;
  if (!isFresh && parser && !socket.destroyed) awaitNextRequest(server, socket, parser as HttpParser);
  const connection = connectionOf(socket);
  if (connection !== undefined) connection.isUsed = !isFresh;
  return connection;
}

/** What the program throws is an uncaught exception, as in a connection that Node has accepted. The other connections come first. */
export function callProgram(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** An open connection as a socket of the server, of which no event tells. The fd is the socket's, also when this throws. */
export function adoptSocket(server: HttpServer, fd: number): net.Socket {
  const { allowHalfOpen, highWaterMark } = server;
  const options = { fd, allowHalfOpen, readableHighWaterMark: highWaterMark, writableHighWaterMark: highWaterMark };
  const socket = socketOf(options);
  // As net.Server does before it tells of a connection: getConnections() and close() know of it.
  server._connections = (server._connections ?? 0) + 1;
  return Object.assign(socket, { server, _server: server });
}

function socketOf(options: net.SocketConstructorOpts & { fd: number }): net.Socket {
  using owned = new OwnedFds([options.fd]);
  const socket = new net.Socket({ ...options, readable: true, writable: true });
  owned.releaseAll();
  return socket;
}

/**
 * A connection that Node has not accepted itself counts as a request that has begun: it would be answered with 408 after
 * headersTimeout. So its parser reads a request that no handler sees. What Node sets at the end of each response, keepAliveTimeout, is
 * set here, until the next request.
 */
function awaitNextRequest(server: HttpServer, socket: net.Socket, parser: HttpParser): void {
  const { keepAliveTimeout, keepAliveTimeoutBuffer = KEEP_ALIVE_BUFFER_MS } = server;
  const { onIncoming } = parser;
  finishRequest(parser);
  if (keepAliveTimeout === 0) return;
  socket.setTimeout(keepAliveTimeout + keepAliveTimeoutBuffer);
  parser.onIncoming = (...args) => {
    parser.onIncoming = onIncoming;
    socket.setTimeout(server.timeout);
    return onIncoming(...args);
  };
}

/** The parser is where it is after a request that was answered. */
export function finishRequest(parser: HttpParser): void {
  const { onIncoming } = parser;
  parser.onIncoming = () => 0;
  parser.execute(REQUEST);
  parser.onIncoming = onIncoming;
  parser.incoming = null;
}
