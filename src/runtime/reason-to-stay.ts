import type * as net from 'node:net';
import type { Connection, Connections } from './connections.js';
import { isHttpServer, isTlsServer } from './node-internals.js';
import type { ReasonToStay } from './worker-messages.js';

/** Why a connection cannot go to another process, as far as its kind tells; null: it may. */
export function kindToStay(connection: Connection, connections: Connections): ReasonToStay | null {
  const { session, top, raw, server, handOver } = connection;
  if (connection.stays !== null) return connection.stays;
  if (session !== null) return 'http2';
  if (top !== raw || isTlsServer(server)) return 'tls';
  if (handOver !== null) return null;
  if (top.parser === null) return 'upgraded';
  if (!isHttpServer(server) || top.parser === undefined) return 'other';
  // Something in front of http has read from the socket, and would read from it again (a PROXY header, which comes once).
  return connections.baselineOf(server) === null ? 'other' : null;
}

/** As {@link kindToStay}, and whether the program has put something on it: some 15 µs. */
export function reasonToStay(connection: Connection, connections: Connections): ReasonToStay | null {
  const kind = kindToStay(connection, connections);
  if (kind !== null || connection.handOver !== null) return kind;
  const baseline = connections.baselineOf(connection.server);
  return baseline?.isTouched(connection.top as net.Socket) ? 'touched' : null;
}

/** Nothing of a request or of an answer is on its way in this process, as far as the socket tells. */
export function isQuiet({ top }: Connection): boolean {
  const socket = top as net.Socket & { _handle?: { writeQueueSize: number } | null };
  return (
    !socket.destroyed &&
    socket.readable &&
    socket.writable &&
    !socket.isPaused() &&
    socket.readableLength === 0 &&
    socket.writableLength === 0 &&
    socket._handle?.writeQueueSize === 0 &&
    !top._httpMessage &&
    !top.parser?.incoming
  );
}
