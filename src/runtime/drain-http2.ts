import { writeSync } from 'node:fs';
import type { Http2Session } from 'node:http2';
import { Socket } from 'node:net';
import { isSystemError } from '../base/errors.js';
import type { Connection, Connections } from './connections.js';
import type { SocketHandle } from './node-internals.js';

/** GOAWAY, NO_ERROR, last stream 2^31-1: "no new streams please", refusing none that is on its way (RFC 9113 §6.8). */
const SHUTDOWN_NOTICE = Buffer.from('0000080700000000007fffffff00000000', 'hex');
/** Round trips to wait for a moment in which nothing is queued; a session that is never idle is closed without a notice. */
const NOTICE_ATTEMPTS = 10;

export function drainHttp2(connections: Connections): void {
  for (const connection of connections) drainSession(connection);
}

/** A session that began during the drain has its first request served: the connection was accepted before. */
export function drainLateSession({ session }: Connection): void {
  session?.once('stream', () => session.close());
}

/**
 * Two steps where it is possible: the notice, then, a round trip later, the GOAWAY that names the last stream. Node has no
 * call for the notice (`session.goaway()` with this frame would refuse streams at once), so it is written below the session;
 * into a plain socket only, as below TLS it would be no TLS record. With TLS, streams that are on their way are refused by
 * GOAWAY, which tells the client that it may retry them.
 */
function drainSession({ raw, top, session }: Connection): void {
  if (session === null || !isOpen(session)) return;
  const plain = raw instanceof Socket && top === raw && session.encrypted === false;
  if (plain) giveNotice(raw, session, NOTICE_ATTEMPTS);
  else session.close();
}

function giveNotice(raw: Socket, session: Http2Session, attempts: number): void {
  const sent = writeNotice(raw);
  if (!sent && attempts === 0) session.close();
  else afterRoundTrip(session, () => (sent ? session.close() : giveNotice(raw, session, attempts - 1)));
}

/**
 * Past Node's stream, whose queue must be empty then: every batch of frames that left it is in the kernel as a whole. A write
 * through the stream aborts the process if it cannot complete at once (Http2Session::OnStreamAfterWrite takes it for its own).
 * @returns false when it is not the moment
 */
function writeNotice(raw: Socket): boolean {
  const { _handle: handle } = raw as Socket & { _handle?: SocketHandle | null };
  if (!handle || !(handle.fd >= 0) || handle.writeQueueSize !== 0 || raw.writableLength !== 0) return false;
  try {
    if (writeSync(handle.fd, SHUTDOWN_NOTICE) < SHUTDOWN_NOTICE.length) raw.destroy();
    return true;
  } catch (error) {
    // EAGAIN, or the client has gone.
    if (!isSystemError(error)) throw error;
    return false;
  }
}

function afterRoundTrip(session: Http2Session, then: () => void): void {
  const once = () => {
    if (isOpen(session)) then();
  };
  try {
    // False: too many pings are outstanding already.
    if (!session.ping(once)) session.close();
  } catch {
    if (isOpen(session)) session.close();
  }
}

const isOpen = (session: Http2Session) => !session.closed && !session.destroyed;
