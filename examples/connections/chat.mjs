// A chat with ws: clients send text, and all clients of this process get it. At an upgrade they keep their WebSockets, and their names.
import { createServer } from 'node:http';
import { handOverWebSockets } from 'motya/worker';
import { WebSocketServer } from 'ws';

const server = createServer((_request, response) => response.end('a chat: connect with a WebSocket\n'));
const chat = new WebSocketServer({ server, perMessageDeflate: { threshold: 64 } });
let guests = 0;

// A client that has just come.
chat.on('connection', (webSocket, request) => {
  const name = new URL(request.url, 'http://localhost').searchParams.get('name') ?? `guest ${++guests}`;
  webSocket.send(`welcome, ${name}`);
  join(webSocket, { name, said: 0 });
});

// A client of the process before this one: no welcome.
handOverWebSockets(chat, {
  save: (webSocket) => members.get(webSocket),
  restore: (webSocket, _request, member) => join(webSocket, member),
});

const members = new WeakMap();

function join(webSocket, member) {
  members.set(webSocket, member);
  webSocket.on('error', () => {});
  webSocket.on('message', (text) => {
    member.said += 1;
    for (const other of chat.clients) other.send(`${member.name} #${member.said}: ${text}`);
  });
}

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1');
