import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { allKinds, DRAIN_KINDS, type PerKind } from '#src/base/drain-kinds.js';
import { HttpClient } from './http-client.js';
import { supervised, type TestSupervisor, type TestWorker } from './supervisor.js';

/** ms of a worker that nothing ends in a test. */
const LONG = 60_000;
const NONE = { http: 0, streams: 0, webSockets: 0, tcp: 0 };

async function kindsWorker(supervisor: TestSupervisor, options = '{}') {
  const worker = supervisor.spawn('kinds.cjs', { args: [options] });
  const { port } = await worker.address();
  const { address } = await worker.line('tcp');
  return { worker, port, tcpPort: (address as net.AddressInfo).port };
}

/** While it drains: what it counts of each kind. */
async function kinds(worker: TestWorker, expected: Partial<PerKind<number>>): Promise<void> {
  const wanted = { ...NONE, ...expected };
  const ask = async () => (await worker.ask({ type: 'COUNT' }, 'COUNTS')).kinds;
  for (let round = 0; round < 1000; round++) if (JSON.stringify(await ask()) === JSON.stringify(wanted)) return;
  assert.deepEqual(await ask(), wanted);
}

async function webSocket(port: number, options = {}): Promise<{ socket: WebSocket; closed: Promise<unknown[]> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, options);
  const closed = once(socket, 'close');
  await once(socket, 'open');
  return { socket, closed };
}

async function upgradeByHand(port: number, path: string): Promise<HttpClient> {
  const client = await HttpClient.connect(port);
  const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n';
  client.write(path, `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}`);
  assert.equal((await client.answer()).status, 101);
  return client;
}

async function streaming(port: number, path: string): Promise<HttpClient> {
  const client = await HttpClient.connect(port);
  client.write(path);
  await client.until((text) => text.includes('begun'));
  return client;
}

async function tcpSocket(port: number): Promise<{ closed: Promise<unknown> }> {
  const socket = net.connect(port, '127.0.0.1').resume();
  await once(socket, 'connect');
  socket.write('x');
  await once(socket, 'data');
  return { closed: once(socket, 'close') };
}

/** The names of what has closed, in that order. */
function inOrder(ends: Readonly<Record<string, Promise<unknown>>>): Promise<string[]> {
  const order: string[] = [];
  const closed = Object.entries(ends).map(([name, end]) => end.then(() => order.push(name)));
  return Promise.all(closed).then(() => order);
}

describe('each kind of connection has its own time', () => {
  test(
    'what is open of it ends with that, as the protocol has it; the drain is over with the last',
    supervised(async (supervisor) => {
      const { worker, port, tcpPort } = await kindsWorker(supervisor);
      const idle = await HttpClient.connect(port);
      await idle.get('/');
      const waiting = await HttpClient.connect(port);
      waiting.write('/wait');
      await worker.line('waits');
      const download = await streaming(port, '/download');
      const stream = await streaming(port, '/stream');
      const raw = await upgradeByHand(port, '/raw');
      const { closed } = await webSocket(port);
      const tcp = await tcpSocket(tcpPort);
      const times = { http: 400, tcp: 900, streams: 1400, webSockets: 2000 };
      const began = performance.now();
      worker.send({ type: 'DRAIN', times });
      await kinds(worker, { http: 3, streams: 1, webSockets: 2, tcp: 1 });
      const order = inOrder({
        http: Promise.all([idle.closed, waiting.closed, download.closed]),
        streams: stream.closed,
        webSockets: Promise.all([closed, raw.closed]),
        tcp: tcp.closed,
      });
      const { forced } = await worker.message('DRAINED');
      assert.ok(performance.now() - began >= times.webSockets * 0.8, 'before the longest');
      assert.deepEqual(await order, ['http', 'tcp', 'streams', 'webSockets']);
      assert.equal((await closed)[0], 1012);
      assert.deepEqual(forced, { http1: 3, idle: 1, http2: 0, upgraded: 2, other: 1 });
    }),
  );

  test(
    'onDrain is told from when on each is closed',
    supervised(async (supervisor) => {
      const { worker } = await kindsWorker(supervisor);
      const times = { http: 10_000, streams: 20_000, webSockets: LONG, tcp: 300_000 };
      worker.send({ type: 'DRAIN', times });
      const { now, deadline, deadlines } = (await worker.line('drain')) as unknown as {
        now: number;
        deadline: number;
        deadlines: PerKind<number>;
      };
      const lefts = { http: 8000, streams: 16_000, webSockets: 48_000, tcp: 280_000 };
      for (const kind of DRAIN_KINDS) assert.ok(Math.abs(deadlines[kind] - now - lefts[kind]) < 1000, kind);
      assert.equal(deadline, deadlines.tcp);
    }),
  );

  test(
    'a stop in the middle cuts all of them to the same time; what is shorter stays so',
    supervised(async (supervisor) => {
      const { worker, port, tcpPort } = await kindsWorker(supervisor);
      const idle = await HttpClient.connect(port);
      await idle.get('/');
      const stream = await streaming(port, '/stream');
      const { closed } = await webSocket(port);
      const tcp = await tcpSocket(tcpPort);
      worker.send({ type: 'DRAIN', times: { ...allKinds(LONG), tcp: 300 } });
      await kinds(worker, { http: 1, streams: 1, webSockets: 1, tcp: 1 });
      worker.send({ type: 'SHORTEN', timeout: 1500 });
      const rest = Promise.all([idle.closed, stream.closed, closed]);
      assert.deepEqual(await inOrder({ tcp: tcp.closed, rest }), ['tcp', 'rest']);
      assert.equal((await closed)[0], 1012);
      await worker.message('DRAINED');
    }),
  );

  test(
    'HTTP/2: a session is a stream while a response of it goes on that has no length',
    supervised(async (supervisor) => {
      const worker = supervisor.spawn('h2-kinds.cjs');
      const { port } = await worker.address();
      const sessions = ['/stream', '/wait', '/download'].map((path) => {
        const session = http2.connect(`http://127.0.0.1:${port}`).on('error', () => {});
        const request = session.request({ ':path': path }).on('error', () => {});
        return { path, session, request: request.resume(), closed: once(session, 'close') };
      });
      const [streams, waiting, download] = sessions;
      assert.ok(streams !== undefined && waiting !== undefined && download !== undefined);
      await Promise.all([worker.line('waits'), once(streams.request, 'response'), once(download.request, 'response')]);
      worker.send({ type: 'DRAIN', times: { ...allKinds(300), streams: 1200 } });
      await kinds(worker, { http: 2, streams: 1 });
      const http = Promise.all([waiting.closed, download.closed]);
      assert.deepEqual(await inOrder({ http, streams: streams.closed }), ['http', 'streams']);
      assert.equal((await worker.message('DRAINED')).forced.http2, 3);
    }),
  );
});

describe('a WebSocket of ws that stays', () => {
  for (const options of ['{"perMessageDeflate":false}', '{"perMessageDeflate":{"threshold":0}}']) {
    test(
      `ends with the close frame 1012: ${options}`,
      supervised(async (supervisor) => {
        const { worker, port } = await kindsWorker(supervisor, options);
        const { socket, closed } = await webSocket(port);
        assert.equal(socket.extensions !== '', options.includes('threshold'));
        const echoes: string[] = [];
        socket.on('message', (data) => echoes.push(String(data)));
        worker.send({ type: 'DRAIN', times: { ...allKinds(LONG), webSockets: 200 } });
        const sent = Array.from({ length: 20 }, (_, index) => `${index} ${'x'.repeat(2000)}`);
        for (const text of sent) socket.send(text);
        const [code, reason] = await closed;
        assert.deepEqual([code, String(reason)], [1012, 'service restart']);
        // What the server has not read by then is not answered; nothing is lost in between.
        const answers = sent.map((text) => `echo ${text}`);
        assert.deepEqual(echoes, answers.slice(0, echoes.length));
        // The answer of the client has come.
        assert.equal((await worker.line('ws-closed')).code, 1012);
        assert.equal((await worker.message('DRAINED')).forced.upgraded, 1);
      }),
    );
  }

  test(
    'FORCE sends it too; a client that does not answer is cut after a moment, and so is any other upgraded socket',
    supervised(async (supervisor) => {
      const { worker, port } = await kindsWorker(supervisor);
      const { closed } = await webSocket(port);
      const deaf = await upgradeByHand(port, '/');
      const raw = await upgradeByHand(port, '/raw');
      worker.send({ type: 'DRAIN', times: allKinds(LONG) });
      await kinds(worker, { webSockets: 3 });
      worker.send({ type: 'FORCE' });
      // RFC 6455 §5.2: FIN and opcode 8, 17 bytes, not masked; then the code.
      const frame = Buffer.concat([Buffer.from([0x88, 0x11, 0x03, 0xf4]), Buffer.from('service restart')]);
      await deaf.until((text) => text === frame.toString('latin1'));
      assert.equal((await closed)[0], 1012);
      // The answer of the one that is not deaf has been waited for.
      await worker.until('the answer', () =>
        worker.lines.some(({ event, code }) => event === 'ws-closed' && code === 1012),
      );
      assert.equal((await worker.message('DRAINED')).forced.upgraded, 3);
      await Promise.all([deaf.closed, raw.closed]);
    }),
  );
});
