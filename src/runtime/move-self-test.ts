import { Socket } from 'node:net';
import { finishRequest } from './adopt-connection.js';
import { socketsToClose } from './http-idle.js';
import type { HttpServer, HttpSocket } from './node-internals.js';

let outcome: boolean | null = null;

/**
 * Whether the private parts of Node that moving a connection needs are as they are known to be (20, 22, 24, 26): tried once, on a
 * server and a socket that are connected to nothing. If not, connections drain.
 */
export function canMoveConnections(): boolean {
  outcome ??= isAsKnown();
  return outcome;
}

function isAsKnown(): boolean {
  try {
    return tryParser();
  } catch (error) {
    warn(error instanceof Error ? error.message : String(error));
    return false;
  }
}

/** A request that begins, is read in two pieces, and is seen by `onIncoming`; before it the connection is idle. */
function tryParser(): boolean {
  const server = process.getBuiltinModule('http').createServer() as HttpServer;
  // From then on it keeps the list of its connections.
  server.emit('listening');
  const socket = new Socket();
  const isIdle = (): boolean => socketsToClose(server).includes(socket);
  try {
    server.emit('connection', socket);
    const { parser } = socket as HttpSocket;
    if (!parser) return warn('an http server gives its socket no parser at once');
    finishRequest(parser);
    if (!isIdle()) return warn('a connection is not idle after a request');
    let url: unknown;
    parser.onIncoming = (request) => {
      ({ url } = request as { url?: unknown });
      return 0;
    };
    parser.execute(Buffer.from('GET /half'));
    if (isIdle()) return warn('a connection is idle in the middle of a request');
    parser.execute(Buffer.from('-read HTTP/1.1\r\n\r\n'));
    return url === '/half-read' || warn('a request is not seen');
  } finally {
    socket.destroy();
    server.close();
  }
}

function warn(what: string): false {
  const text = `connections do not move to another generation, they drain: this is not the Node that is known (${process.version}): ${what}`;
  process.emitWarning(text, 'MotyaWarning');
  return false;
}
