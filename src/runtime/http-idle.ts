import net from 'node:net';
import type { Connection, Connections } from './connections.js';
import type { HttpServer } from './node-internals.js';

/**
 * The sockets of a server on which no request has begun. Node tells it to `closeIdleConnections()` alone, so that is called with
 * sockets that do not close. The list holds for this turn of the event loop; later, for those from which nothing has been read.
 */
export function idleSockets(server: HttpServer, connections: Connections): ReadonlySet<unknown> {
  // Any other way to close would be taken.
  if (Object.hasOwn(server, 'closeIdleConnections')) return NONE;
  for (const connection of connections) if (connection.server === server && !closesAsNode(connection)) return NONE;
  return new Set(socketsToClose(server));
}

const NONE: ReadonlySet<unknown> = new Set();

const closesAsNode = ({ top }: Connection): boolean => top instanceof net.Socket && !Object.hasOwn(top, 'destroy');

/** The sockets that `closeIdleConnections()` would close. */
export function socketsToClose(server: HttpServer): net.Socket[] {
  const { prototype } = net.Socket;
  const before = Object.getOwnPropertyDescriptor(prototype, 'destroy');
  const sockets: net.Socket[] = [];
  prototype.destroy = function (this: net.Socket) {
    sockets.push(this);
    return this;
  };
  try {
    server.closeIdleConnections();
  } finally {
    if (before === undefined) Reflect.deleteProperty(prototype, 'destroy');
    else Object.defineProperty(prototype, 'destroy', before);
  }
  return sockets;
}
