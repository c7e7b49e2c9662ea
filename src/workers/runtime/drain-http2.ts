import { Socket } from 'node:net';
import type { Connection, Connections } from './connections.js';

/** GOAWAY, NO_ERROR, last stream 2^31-1: "no new streams please", refusing none that is on its way (RFC 9113 §6.8). */
const SHUTDOWN_NOTICE = Buffer.from('0000080700000000007fffffff00000000', 'hex');

export function drainHttp2(connections: Connections): void {
  for (const connection of connections) drainSession(connection);
}

/**
 * Two steps where it is possible: the notice, then, a round trip later, the GOAWAY that names the last stream. Node has no
 * call for the notice, and `session.goaway()` with this frame would refuse streams at once. It can be written below the
 * session of a plain socket only: the session writes natively into a TLSSocket, and a second writer there aborts the process.
 * With TLS, streams that are on their way are refused by GOAWAY, which tells the client that it may retry them.
 */
function drainSession({ raw, top, session }: Connection): void {
  if (session === null || session.closed || session.destroyed) return;
  const plain = raw instanceof Socket && top === raw && session.encrypted === false;
  if (!plain) {
    session.close();
    return;
  }
  raw.write(SHUTDOWN_NOTICE);
  const close = () => {
    if (!session.closed && !session.destroyed) session.close();
  };
  try {
    if (!session.ping(close)) close();
  } catch {
    // Too many pings outstanding, or destroyed meanwhile.
    close();
  }
}

/** A session that began during the drain has its first request served: the connection was accepted before. */
export function drainLateSession({ session }: Connection): void {
  session?.once('stream', () => session.close());
}
