// `npm run bench:goaway`: which HTTP/2 streams a Node client without retries loses at a GOAWAY, and whether they were on the wire.
// Two servers, h2c: one under Motya that is upgraded, and one that only sends the first notice (last stream 2^31-1, RFC 9113 §6.8) and
// goes on serving. A proxy between client and server reads the frames.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { app, freePort, Workspace } from '../../dist-test/e2e/harness/index.js';
import { startTap } from './tap.mjs';

/** Requests of one client at a time. */
const BATCH = 4;
const CLIENTS = 8;

const { values } = parseArgs({
  options: { upgrades: { type: 'string', default: '20' }, seconds: { type: 'string', default: '20' } },
});
print('a server that only sends the notice', await noticesOnly(Number(values.seconds)));
print('Motya, upgrades', await upgrades(Number(values.upgrades)));

/** Batches of requests, on a new session after each GOAWAY; nothing is repeated. */
function startClients(port) {
  const lost = [];
  let [requests, stopped] = [0, false];
  const client = async () => {
    while (!stopped) {
      const session = connect(`http://127.0.0.1:${port}`).on('error', () => {});
      await once(session, 'connect');
      const connection = session.socket.localPort;
      while (!stopped && !session.closed && !session.destroyed) {
        await Promise.all(Array.from({ length: BATCH }, () => ask(session, connection)));
        await wait(Math.random());
      }
      session.close();
    }
  };
  const ask = async (session, connection) => {
    // After a GOAWAY the session takes no request: none is made, and none lost.
    if (session.closed || session.destroyed) return;
    requests += 1;
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {}).resume();
    await once(stream, 'close').catch(() => {});
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR)
      lost.push({ connection, stream: stream.id, code: stream.rstCode });
  };
  const running = Promise.all(Array.from({ length: CLIENTS }, client));
  return async () => {
    stopped = true;
    await running;
    return { requests, lost };
  };
}

async function noticesOnly(seconds) {
  const port = await freePort();
  const server = fork(new URL('./notices.mjs', import.meta.url), { env: { ...process.env, PORT: String(port) } });
  try {
    await once(server, 'message');
    const tap = await startTap(port);
    const stop = startClients(tap.port);
    await wait(seconds * 1000);
    const result = await stop();
    tap.close();
    return { ...result, frames: tap.frames };
  } finally {
    server.kill();
  }
}

async function upgrades(rounds) {
  const space = new Workspace();
  try {
    const port = await freePort();
    const first = space.motya(['start', app('http2-h2c.mjs'), '--name', 'app'], { env: { PORT: String(port) } });
    await first.waitFor('serving');
    const tap = await startTap(port);
    const stop = startClients(tap.port);
    for (let round = 0; round < rounds; round++) {
      const { code, stderr } = await space.run(['upgrade', '--name', 'app']);
      if (code !== 0) throw new Error(stderr);
    }
    const result = await stop();
    tap.close();
    return { ...result, frames: tap.frames };
  } finally {
    await space.close();
  }
}

function print(what, { requests, lost, frames }) {
  const onWire = new Set(
    frames.filter(({ stream }) => stream !== undefined).map(({ connection, stream }) => `${connection} ${stream}`),
  );
  const goaways = frames.filter(({ lastStream }) => lastStream !== undefined);
  const first = new Map();
  for (const { connection, lastStream } of goaways) if (!first.has(connection)) first.set(connection, lastStream);
  const sent = lost.filter(({ connection, stream }) => onWire.has(`${connection} ${stream}`)).length;
  const refused = lost.filter(({ code }) => code === constants.NGHTTP2_REFUSED_STREAM).length;
  const notices = [...first.values()].filter((lastStream) => lastStream === 0x7fffffff).length;
  console.log(
    `${what}: ${requests} requests, ${goaways.length} GOAWAYs on ${first.size} connections, the first one the notice on ${notices}`,
  );
  console.log(
    `  lost ${lost.length}: ${refused} REFUSED_STREAM, ${lost.length - refused} other; of them on the wire: ${sent}`,
  );
}
