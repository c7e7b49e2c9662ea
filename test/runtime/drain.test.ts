import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { WebSocket } from 'ws';
import { allKinds } from '#src/base/drain-kinds.js';
import { certificate } from './certificate.js';
import { H2Client } from './h2-client.js';
import { HttpClient } from './http-client.js';
import { supervised, type TestSupervisor, type TestWorker } from './supervisor.js';

const none = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
const drain = { type: 'DRAIN', times: allKinds(60_000) } as const;
const count = async (worker: TestWorker) => (await worker.ask({ type: 'COUNT' }, 'COUNTS')).connections;
const isDrained = (worker: TestWorker) => worker.messages.some(({ type }) => type === 'DRAINED');

/** Waits until the worker counts what is expected: a client knows of its connection before the server does. */
async function counts(worker: TestWorker, expected: Partial<typeof none>): Promise<void> {
  const wanted = JSON.stringify({ ...none, ...expected });
  for (let round = 0; round < 1000; round++) if (JSON.stringify(await count(worker)) === wanted) return;
  assert.deepEqual(await count(worker), { ...none, ...expected });
}

async function secureConnect(port: number, ALPNProtocols: string[]): Promise<tls.TLSSocket> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols });
  await once(socket, 'secureConnect');
  return socket;
}

async function secureWorker(supervisor: TestSupervisor, kind: string): Promise<{ worker: TestWorker; port: number }> {
  const worker = supervisor.spawn('secure.cjs', { args: [kind], env: certificate(supervisor.directory) });
  return { worker, port: (await worker.address()).port };
}

test(
  'nothing open: drained at once, and the program can still close its server',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    await worker.address();
    assert.deepEqual((await worker.ask(drain, 'DRAINED')).forced, none);
    worker.child.kill('SIGTERM');
    assert.equal((await worker.line('server.close')).error, undefined);
    assert.deepEqual(await worker.exited, [0, null]);
    assert.equal(
      worker.messages.some(({ type }) => type === 'RELEASE'),
      false,
    );
  }),
);

test(
  'HTTP/1: idle and silent connections stay until their next request, which is answered with Connection: close',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const { port } = await worker.address();
    const paths = ['/', '/set-header', '/head-object', '/head-flat', '/head-both'];
    const idle = await Promise.all(paths.map(() => HttpClient.connect(port)));
    for (const client of idle) assert.equal((await client.get('/')).closes, false);
    const silent = await HttpClient.connect(port);
    const half = await HttpClient.connect(port);
    half.socket.write('GET / HTT');
    await counts(worker, { idle: 7 });
    worker.send(drain);
    await counts(worker, { idle: 7 });
    half.socket.write('P/1.1\r\nHost: test\r\n\r\n');
    for (const [client, path] of [...idle.map((c, i) => [c, paths[i]] as const), [silent, '/'] as const]) {
      assert.ok(!client.isClosed && !isDrained(worker));
      const answer = await client.get(path ?? '');
      assert.deepEqual([path, answer.body, answer.closes], [path, 'ok', true]);
      assert.doesNotMatch(answer.head, /keep-alive/i);
      await client.closed;
    }
    assert.equal((await half.answer()).closes, true);
    assert.deepEqual((await worker.message('DRAINED')).forced, none);
  }),
);

test(
  'HTTP/1: what is in flight finishes; with Connection: close if its head was still to come',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const { port } = await worker.address();
    const [waiting, streaming] = [await HttpClient.connect(port), await HttpClient.connect(port)];
    waiting.write('/hold');
    await worker.line('held');
    streaming.write('/stream');
    await streaming.until((text) => text.includes('first'));
    await counts(worker, { http1: 2 });
    worker.send(drain);
    await counts(worker, { http1: 2 });
    worker.child.kill('SIGUSR2');
    const answer = await waiting.answer();
    assert.deepEqual([answer.body, answer.closes], ['held', true]);
    await waiting.closed;
    assert.equal((await streaming.answer()).body, 'firstafter');
    await counts(worker, { idle: 1 });
    assert.ok(!isDrained(worker));
    assert.equal((await streaming.get('/')).closes, true);
    await worker.message('DRAINED');
  }),
);

test(
  'HTTP/1: requests that were pipelined behind the one in flight are answered too',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const { port } = await worker.address();
    const client = await HttpClient.connect(port);
    client.write('/hold');
    await worker.line('held');
    worker.send(drain);
    await counts(worker, { http1: 1 });
    client.write('/hold');
    client.write('/hold');
    await worker.until('three held', () => worker.lines.filter(({ event }) => event === 'held').length === 3);
    worker.child.kill('SIGUSR2');
    const answers = [await client.answer(), await client.answer(), await client.answer()];
    assert.deepEqual(
      answers.map(({ closes }) => closes),
      [false, false, true],
    );
    await worker.message('DRAINED');
  }),
);

test(
  'upgraded connections go on until FORCE, which counts them',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const { port } = await worker.address();
    const upgraded = await HttpClient.connect(port);
    upgraded.write('/', 'Connection: Upgrade\r\nUpgrade: echo\r\n');
    assert.equal((await upgraded.answer()).status, 101);
    const idle = await HttpClient.connect(port);
    await idle.get('/');
    await counts(worker, { upgraded: 1, idle: 1 });
    worker.send(drain);
    await counts(worker, { upgraded: 1, idle: 1 });
    upgraded.socket.write('still here');
    await upgraded.until((text) => text === 'still here');
    assert.deepEqual((await worker.ask({ type: 'FORCE' }, 'DRAINED')).forced, { ...none, upgraded: 1, idle: 1 });
    await Promise.all([upgraded.closed, idle.closed]);
  }),
);

test(
  'ws: a WebSocket is served until FORCE',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('frameworks.mjs', { args: ['ws'] });
    const { port } = await worker.address();
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const closed = once(socket, 'close');
    await once(socket, 'open');
    worker.send(drain);
    await counts(worker, { upgraded: 1 });
    socket.send('there?');
    assert.equal(String((await once(socket, 'message'))[0]), 'echo there?');
    assert.ok(!isDrained(worker));
    await worker.ask({ type: 'FORCE' }, 'DRAINED');
    await closed;
  }),
);

test(
  'net: connections go on until they are closed',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('net.cjs', { args: [JSON.stringify([0, '127.0.0.1'])] });
    const { port } = await worker.address();
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    await counts(worker, { other: 1 });
    worker.send(drain);
    await counts(worker, { other: 1 });
    socket.end('bye');
    assert.equal(String((await once(socket, 'data'))[0]), 'bye');
    assert.deepEqual((await worker.message('DRAINED')).forced, none);
  }),
);

test(
  'h2c: no request is lost, however close it comes to the drain',
  supervised(async (supervisor) => {
    for (let round = 0; round < 5; round++) {
      const { worker, port } = await secureWorker(supervisor, 'h2c');
      const clients = await Promise.all([1, 2, 3, 4].map(() => H2Client.connect(port)));
      for (const client of clients) client.request();
      await Promise.all(clients.map((client) => client.allAnswered()));
      await counts(worker, { http2: 4 });
      const racing = () => {
        for (const client of clients) client.request();
        if (clients.some(({ goaways, socket }) => goaways.length === 0 && !socket.destroyed)) setImmediate(racing);
      };
      racing();
      worker.send(drain);
      await worker.message('DRAINED');
      await Promise.all(clients.map(({ closed }) => closed));
      for (const { goaways, answered, opened } of clients) {
        assert.equal(goaways[0], 2 ** 31 - 1);
        assert.equal(answered.size, opened);
        assert.ok(opened > 1);
      }
      await worker.kill();
    }
  }),
);

test(
  'TLS: http/1.1, http/2 and plain streams are told apart and drained, each its way',
  supervised(async (supervisor) => {
    const { worker, port } = await secureWorker(supervisor, 'h2');
    const http1 = new HttpClient(await secureConnect(port, ['http/1.1']));
    assert.equal((await http1.get('/')).status, 200);
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    const sessionClosed = once(session, 'close');
    const [headers] = await once(session.request({ ':path': '/' }).resume(), 'response');
    assert.equal(headers[':status'], 200);
    await counts(worker, { idle: 1, http2: 1 });
    worker.send(drain);
    await sessionClosed;
    await counts(worker, { idle: 1 });
    assert.ok(!isDrained(worker));
    assert.equal((await http1.get('/')).closes, true);
    await worker.message('DRAINED');

    const plain = await secureWorker(supervisor, 'tls');
    const socket = await secureConnect(plain.port, []);
    await counts(plain.worker, { other: 1 });
    plain.worker.send(drain);
    await counts(plain.worker, { other: 1 });
    socket.end('bye');
    assert.equal(String((await once(socket, 'data'))[0]), 'bye');
    await plain.worker.message('DRAINED');

    const https = await secureWorker(supervisor, 'https');
    const silent = new HttpClient(await secureConnect(https.port, ['http/1.1']));
    https.worker.send(drain);
    await counts(https.worker, { idle: 1 });
    assert.equal((await silent.get('/')).closes, true);
    await https.worker.message('DRAINED');
  }),
);

test(
  'TLS: FORCE closes sessions in the middle of what they do',
  supervised(async (supervisor) => {
    const { worker, port } = await secureWorker(supervisor, 'h2');
    const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    session.on('error', () => {});
    const closed = once(session, 'close').catch(() => {});
    await once(session, 'connect');
    await counts(worker, { http2: 1 });
    worker.send(drain);
    assert.equal((await worker.ask({ type: 'FORCE' }, 'DRAINED')).forced.http2, 1);
    await closed;
    assert.equal(worker.child.signalCode, null);
  }),
);
