// WebSockets that are told to go elsewhere when their process drains, with the answer to their next message, so that none is lost.
import { createServer } from 'node:http';
import { onDrain } from 'motya/worker';
import { WebSocketServer } from 'ws';

const GOING_AWAY = 1001;
const identity = { pid: process.pid, generation: process.env.MOTYA_GENERATION, version: null };
let isDraining = false;
const server = createServer((_, response) => response.end(JSON.stringify(identity)));
const webSockets = new WebSocketServer({ server });
webSockets.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (message, isBinary) => {
    socket.send(message, { binary: isBinary });
    if (isDraining) socket.close(GOING_AWAY);
  });
  socket.send(JSON.stringify(identity));
});
onDrain(() => {
  isDraining = true;
});
server.listen(Number(process.argv[2]), '127.0.0.1');
