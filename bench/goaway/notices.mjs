// An h2c server that gives each connection the first notice of a shutdown every now and then, and goes on serving it.
import { writeSync } from 'node:fs';
import { createServer } from 'node:http2';

/** GOAWAY, NO_ERROR, last stream 2^31-1: it refuses no stream (RFC 9113, section 6.8). */
const NOTICE = Buffer.from('0000080700000000007fffffff00000000', 'hex');
const EVERY_MS = 250;

const sockets = new Set();
const server = createServer((_request, response) => response.end('ok'));
server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.send?.('ready'));
setInterval(() => {
  for (const socket of sockets) {
    // Below Node's session, which has no call for it; only where it has nothing in the queue. Once a connection.
    if (socket._handle?.writeQueueSize !== 0) continue;
    sockets.delete(socket);
    try {
      writeSync(socket._handle.fd, NOTICE);
    } catch {
      // The client has gone.
    }
  }
}, EVERY_MS);
