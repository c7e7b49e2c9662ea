import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { allKinds } from '#src/base/drain-kinds.js';
import { native } from '#src/base/os/native.js';
import { freePort } from '../e2e/harness/ports.js';
import { HttpClient } from './http-client.js';
import { supervised, type TestSupervisor, type TestWorker, workerNode } from './supervisor.js';

const listenArgs = (...args: unknown[]) => ({ args: [JSON.stringify(args)] });

async function talk(target: net.NetConnectOpts): Promise<string> {
  const socket = net.connect(target);
  socket.end('hello');
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

test(
  'an unchanged CommonJS program: main module, environment, return value, address',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const called = await worker.line('called');
    const { address, family, port } = await worker.address();
    await worker.message('READY');
    assert.deepEqual(
      [called.main, called.parent, called.env, called.same, called.listening],
      [true, null, undefined, true, true],
    );
    assert.deepEqual(called.address, { address, family, port });
    assert.deepEqual([address, family], ['::', 'IPv6']);
    const client = await HttpClient.connect(port);
    assert.equal((await client.get('/')).body, 'ok');
    client.close();
    assert.equal(worker.stderr, '');
    assert.equal(worker.lines.filter(({ event }) => event === 'listening').length, 1);
  }),
);

test(
  'listen(): every way to say it reaches the supervisor as Node understands it',
  supervised(async (supervisor) => {
    const free = await freePort();
    const socketPath = path.join(supervisor.directory, 'a.sock');
    const abstract = `\0motya-test-${process.pid}`;
    const onNode20 = execFileSync(workerNode, ['-v'], { encoding: 'utf8' }).startsWith('v20.');
    // Backlog 0: the program names none.
    const tcp = { kind: 'tcp', address: null, port: 0, v6only: false, backlog: 0, ordinal: 0 };
    const cases: [unknown[], object][] = [
      [[], tcp],
      [[0, '127.0.0.1'], { ...tcp, address: '127.0.0.1' }],
      [[{ port: 0, host: '127.0.0.1', backlog: 7 }], { ...tcp, address: '127.0.0.1', backlog: 7 }],
      [[0, '127.0.0.1', 9], { ...tcp, address: '127.0.0.1', backlog: 9 }],
      [[`${free}`, '127.0.0.1'], { ...tcp, address: '127.0.0.1', port: free }],
      [[{ port: 0, host: '::', ipv6Only: true }], { ...tcp, address: '::', v6only: true }],
      [[{ port: 0, host: '::1' }], { ...tcp, address: '::1' }],
      [[socketPath, 3], { kind: 'unix', path: socketPath, backlog: 3 }],
      [[{ path: abstract }], { kind: 'unix', path: onNode20 ? abstract.padEnd(108, '\0') : abstract, backlog: 0 }],
    ];
    for (const [args, request] of cases) {
      const worker = supervisor.spawn('net.cjs', listenArgs(...args));
      const address = (await worker.line('listening')).address as string | { address: string; port: number };
      assert.deepEqual(supervisor.requests.at(-1), request);
      if (address === abstract && workerNode !== process.execPath) continue; // Clients pad the name as their Node does.
      const target = typeof address === 'string' ? { path: address } : { host: address.address, port: address.port };
      assert.equal(await talk(target), 'hello');
      await worker.kill();
    }
  }),
);

test(
  'dual stack: IPv4 clients reach a server that named no host, but not one that asked for IPv6 only',
  supervised(async (supervisor) => {
    const both = await supervisor.spawn('net.cjs').address();
    assert.equal(await talk({ host: '127.0.0.1', port: both.port }), 'hello');
    assert.equal(await talk({ host: '::1', port: both.port }), 'hello');
    const only = await supervisor.spawn('net.cjs', listenArgs({ port: 0, host: '::', ipv6Only: true })).address();
    assert.equal(await talk({ host: '::1', port: only.port }), 'hello');
    // At 127.0.0.1 the server of another test may have this port.
    await assert.rejects(talk({ host: '127.9.9.9', port: only.port }), { code: 'ECONNREFUSED' });
  }),
);

test(
  'a path keeps its inode over generations, and readableAll and writableAll open it',
  supervised(async (supervisor) => {
    const file = path.join(supervisor.directory, 'mode.sock');
    const before = process.umask(0o077);
    const first = supervisor.spawn('net.cjs', listenArgs({ path: file, readableAll: true, writableAll: true }));
    await first.line('listening');
    process.umask(before);
    const { ino, mode } = fs.statSync(file);
    assert.equal(mode & 0o666, 0o666);
    await first.ask({ type: 'DRAIN', times: allKinds(1000) }, 'DRAINED');
    first.child.kill('SIGTERM');
    await first.exited;
    const held = { role: { held: true }, ...listenArgs({ path: file, readableAll: true }) };
    const second = supervisor.spawn('net.cjs', held);
    await second.line('listening');
    assert.equal(fs.statSync(file).ino, ino);
    await second.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    assert.equal(await talk({ path: file }), 'hello');
  }),
);

test(
  'port 0 keeps its port over generations, by its place in the order of requests',
  supervised(async (supervisor) => {
    const first = await supervisor.spawn('net.cjs').address();
    const second = await supervisor.spawn('net.cjs', { role: { held: true, generation: 2 } }).address();
    assert.equal(second.port, first.port);
  }),
);

test(
  'a refused listener is the error that Node would emit',
  supervised(async (supervisor) => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    try {
      for (const args of [[port, '127.0.0.1'], [path.join(supervisor.directory, 'no', 'directory.sock')]]) {
        const ours = await supervisor.spawn('net.cjs', listenArgs(...args)).line('error');
        assert.deepEqual(ours, await nodesOwnError(args));
      }
    } finally {
      taken.close();
    }
  }),
);

test(
  'a listener with reusePort is left alone; an exclusive one on a port is not',
  supervised(async (supervisor) => {
    const shared = supervisor.spawn('net.cjs', listenArgs({ port: 0, host: '127.0.0.1', exclusive: true }));
    await shared.message('READY');
    assert.equal(supervisor.requests.length, 1);
    supervisor.requests.length = 0;
    const worker = supervisor.spawn('net.cjs', listenArgs({ port: 0, host: '127.0.0.1', reusePort: true }));
    const { port } = await worker.address();
    assert.equal(await talk({ port, host: '127.0.0.1' }), 'hello');
    await worker.message('READY');
    assert.deepEqual(supervisor.requests, []);
  }),
);

test(
  'held: the program believes that it listens, and clients wait',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('net.cjs', { role: { held: true } });
    const { port } = await worker.address();
    await worker.message('READY');
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.end('queued');
    assert.deepEqual((await worker.ask({ type: 'COUNT' }, 'COUNTS')).connections, noConnections);
    assert.equal(waiting(supervisor), 1);
    await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    const [data] = await once(socket, 'data');
    assert.equal(String(data), 'queued');
    assert.equal(worker.lines.filter(({ event }) => event === 'listening').length, 1);
  }),
);

test(
  'pending: listening is announced when the listener comes; the address of a fixed port is known before',
  supervised(async (supervisor) => {
    supervisor.mode = 'pending';
    const port = await freePort();
    const fixed = supervisor.spawn('http.cjs', { ...listenArgs(port, '127.0.0.1'), role: { held: true } });
    const chosen = supervisor.spawn('http.cjs', { ...listenArgs(0), role: { held: true } });
    const called = [await fixed.line('called'), await chosen.line('called')];
    assert.deepEqual(called[0]?.address ?? null, null); // The name is still being looked up.
    assert.equal(called[1]?.address, null);
    for (const worker of [fixed, chosen]) {
      await worker.message('LISTEN');
      assert.deepEqual((await worker.ask({ type: 'COUNT' }, 'COUNTS')).connections, noConnections);
      assert.deepEqual(
        worker.lines.map(({ event }) => event),
        ['called'],
      );
      assert.equal(
        worker.messages.some(({ type }) => type === 'READY'),
        false,
      );
      worker.grantPending();
      await worker.line('listening');
      await worker.message('READY');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    }
    const client = await HttpClient.connect(port);
    assert.equal((await client.get('/')).status, 200);
    client.close();
  }),
);

test(
  'pending: a server that is closed meanwhile releases the listener that comes',
  supervised(async (supervisor) => {
    supervisor.mode = 'pending';
    const worker = supervisor.spawn('net.cjs', { role: { held: true }, env: { STAY: '1' } });
    await worker.line('called');
    worker.child.kill('SIGUSR2');
    await worker.line('closed');
    assert.equal(worker.messages.at(-1)?.type, 'LISTEN');
    worker.grantPending();
    assert.equal((await worker.message('RELEASE')).key, 'tcp null 0#0');
    assert.equal(
      worker.lines.some(({ event }) => event === 'listening'),
      false,
    );
  }),
);

test(
  'a listener that comes too late is released',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('net.cjs', listenArgs(0, '127.0.0.1'));
    const { address, port } = await worker.address();
    await worker.message('READY');
    const fds = () => fs.readdirSync(`/proc/${worker.child.pid}/fd`).length;
    const before = fds();
    // As if the worker had asked, and the supervisor had been stopped for longer than listen() waits.
    const late = { type: 'LISTENER', id: 99, key: 'late', family: 'inet', address, port, path: null } as const;
    worker.send(late, [lastListener(supervisor)]);
    assert.equal((await worker.message('RELEASE')).key, 'late');
    await worker.ask({ type: 'COUNT' }, 'COUNTS');
    assert.equal(fds(), before);
    assert.equal(await talk({ port, host: '127.0.0.1' }), 'hello');
  }),
);

test(
  'server.close() by the program releases the listener, accepting or held',
  supervised(async (supervisor) => {
    for (const held of [false, true]) {
      const worker = supervisor.spawn('net.cjs', { ...listenArgs(0, '127.0.0.1'), role: { held } });
      await worker.line('listening');
      worker.child.kill('SIGUSR2');
      assert.equal((await worker.message('RELEASE')).key, 'tcp 127.0.0.1 0#0');
      await worker.line('closed');
      assert.deepEqual(await worker.exited, [0, null]);
    }
  }),
);

test(
  'PAUSE and ACCEPT as often as one likes: one listening event, no connection lost',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('net.cjs', listenArgs(0, '127.0.0.1'));
    const { port } = await worker.address();
    for (let round = 0; round < 20; round++) {
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      const answer = talk({ port, host: '127.0.0.1' });
      // The second pair in one turn: nothing of the first may be left over.
      worker.send({ type: 'ACCEPT' });
      worker.send({ type: 'PAUSE' });
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      assert.equal(await answer, 'hello');
    }
    assert.equal(worker.lines.filter(({ event }) => event === 'listening').length, 1);
    // The server's end of the last connection closes after the client's.
    while ((await worker.ask({ type: 'COUNT' }, 'COUNTS')).connections.other > 0);
    const fds = () => fs.readdirSync(`/proc/${worker.child.pid}/fd`).length;
    const before = fds();
    for (let round = 0; round < 20; round++) {
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    }
    assert.equal(fds(), before);
  }),
);

test(
  'the events of a server are in the async context of its listen(), held or not',
  supervised(async (supervisor) => {
    for (const mode of ['accepting', 'held', 'pending'] as const) {
      supervisor.mode = mode === 'pending' ? 'pending' : 'grant';
      const worker = supervisor.spawn('context.cjs', {
        ...listenArgs(0, '127.0.0.1'),
        role: { held: mode !== 'accepting' },
      });
      await worker.message('LISTEN');
      worker.grantPending();
      const { port, store } = (await worker.line('listening')) as unknown as { port: number; store: string };
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      const answers = [store, await talk({ port, host: '127.0.0.1' })];
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      answers.push(await talk({ port, host: '127.0.0.1' }));
      assert.deepEqual(answers, ['of listen()', 'of listen()', 'of listen()'], mode);
      await worker.kill();
    }
    supervisor.mode = 'pending';
    const worker = supervisor.spawn('context.cjs', { ...listenArgs('/no/directory/a.sock'), role: { held: true } });
    await worker.message('LISTEN');
    worker.grantPending();
    assert.equal((await worker.line('error')).store, 'of listen()');
  }),
);

test(
  'the backlog is in force after every ACCEPT',
  supervised(async (supervisor) => {
    const worker: TestWorker = supervisor.spawn('net.cjs', listenArgs(0, '127.0.0.1', 17));
    await worker.address();
    assert.equal(backlog(supervisor), 17);
    await worker.ask({ type: 'PAUSE' }, 'PAUSED');
    await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    assert.equal(backlog(supervisor), 17);
  }),
);

const noConnections = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };

function lastListener(supervisor: TestSupervisor): number {
  const request = supervisor.requests.at(-1);
  assert.ok(request);
  return supervisor.listener(request).fd;
}
const waiting = (supervisor: TestSupervisor) => native.listener.queueLength(lastListener(supervisor)).waiting;
const backlog = (supervisor: TestSupervisor) => native.listener.queueLength(lastListener(supervisor)).backlog;

async function nodesOwnError(args: unknown[]): Promise<object> {
  const server = net.createServer();
  (server.listen as (...args: unknown[]) => unknown)(...args);
  const [error] = await once(server, 'error').catch((thrown) => [thrown]);
  const { message, code, errno, syscall, address, port } = error;
  return { event: 'error', message, code, errno, syscall, address, port };
}
