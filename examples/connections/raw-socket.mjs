// A small message broker on raw sockets, as MQTT is one. A client sends lines: `SUB topic`, `PUB topic text`. Each is answered with
// `OK` and the number of its line; what is published goes to the subscribers of this process as `MSG topic text`.
// At an upgrade the clients keep their connections: their topics, and the half line that may have come, go to the new process.
import { createServer } from 'node:net';
import { handOver, onAdopt } from 'motya/worker';

const sessions = new Set();

function serve(socket, { topics, count, rest }) {
  const session = { socket, topics: new Set(topics), count, rest };
  sessions.add(session);
  const leave = () => sessions.delete(session);
  socket.on('data', (data) => read(session, data));
  socket.on('error', () => {});
  socket.on('close', leave);
  // Called when nothing waits to be written: `session` is all that there is of the client. Once it has moved, no event comes.
  handOver('client', socket, () => ({ topics: [...session.topics], count: session.count, rest: session.rest }), leave);
}

function read(session, data) {
  // latin1: a character of UTF-8 may be cut.
  const lines = (session.rest + data.toString('latin1')).split('\n');
  session.rest = lines.pop();
  for (const line of lines) obey(session, line);
}

function obey(session, line) {
  const [command, topic, ...words] = line.split(' ');
  if (command === 'SUB') session.topics.add(topic);
  if (command === 'PUB') publish(topic, words.join(' '));
  session.count += 1;
  session.socket.write(`OK ${session.count}\n`);
}

function publish(topic, text) {
  for (const { socket, topics } of sessions) {
    if (topics.has(topic)) socket.write(`MSG ${topic} ${text}\n`, 'latin1');
  }
}

// From the process before this one. New clients come below.
onAdopt('client', (socket, saved) => serve(socket, saved));

createServer((socket) => {
  socket.setNoDelay();
  serve(socket, { topics: [], count: 0, rest: '' });
}).listen(Number(process.env.PORT ?? 1884), process.env.HOST ?? '127.0.0.1');
