// Clients of programs that do not speak HTTP: each conversation on a connection of its own.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** ms for each answer. */
const ANSWER_MS = 10_000;
const THINK_MS = 20;

/** One conversation, or one datagram and its answer. Rejects unless the answers begin as they should. */
export function converse(port, place) {
  return place.datagram === undefined ? overTcp(port, place.talk) : overUdp(port, place);
}

async function overTcp(port, talk) {
  const socket = connect(port, '127.0.0.1');
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    await once(socket, 'connect', { signal });
    for (const { send, expect } of talk) {
      if (send !== undefined) socket.write(send, 'latin1');
      const [bytes] = await Promise.race([once(socket, 'data', { signal }), closed(socket)]);
      const text = bytes.toString('latin1');
      if (!text.startsWith(expect)) throw new Error(`answer ${JSON.stringify(text)}`);
    }
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}

async function closed(socket) {
  await once(socket, 'close');
  throw new Error('closed before the answer');
}

async function overUdp(port, { datagram, expect }) {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.send(Buffer.from(datagram, 'latin1'));
    const [bytes] = await once(socket, 'message', { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!bytes.toString('latin1').startsWith(expect)) throw new Error('another answer');
  } finally {
    socket.close();
  }
}

/** Clients that do so until they are stopped; the report is as that of the HTTP load. */
export function startTalk(port, place, clients) {
  const report = { answers: 0, failures: 0, details: [], longestStall: 0 };
  let stopped = false;
  let last = performance.now();
  const client = async () => {
    while (!stopped) {
      try {
        await converse(port, place);
        report.answers += 1;
        report.longestStall = Math.max(report.longestStall, performance.now() - last);
        last = performance.now();
      } catch (error) {
        report.failures += 1;
        report.details.push({ kind: error.code ?? error.name, text: error.message });
      }
      await wait(THINK_MS);
    }
  };
  const running = Promise.all(Array.from({ length: clients }, client));
  return {
    report: async () => report,
    stop: async () => {
      stopped = true;
      await running;
      return report;
    },
  };
}
