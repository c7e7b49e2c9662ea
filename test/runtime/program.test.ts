import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allKinds } from '#src/base/drain-kinds.js';
import { native } from '#src/base/os/native.js';
import { HttpClient } from './http-client.js';
import { supervised } from './supervisor.js';

test(
  'an ESM program learns who it is, says when it is ready, and is told of the drain',
  supervised(async (supervisor) => {
    const role = { service: 'api', index: 3, generation: 7, ready: 'signal' } as const;
    const worker = supervisor.spawn('esm.mjs', { role, args: ['signal'] });
    const { event, address, ...who } = await worker.line('listening');
    assert.deepEqual(who, { generation: 7, isWorker: true, service: 'api', workerIndex: 3 });
    await worker.ask({ type: 'COUNT' }, 'COUNTS');
    assert.equal(
      worker.messages.some(({ type }) => type === 'READY'),
      false,
    );
    worker.child.kill('SIGUSR2');
    await worker.message('READY');
    worker.send({ type: 'DRAIN', times: allKinds(50_000) });
    const { left } = await worker.line('drain');
    // In the last fifth what is still open is closed.
    assert.ok(Number(left) > 30_000 && Number(left) <= 40_000, `${left} ms`);
    await worker.ask({ type: 'COUNT' }, 'COUNTS');
    assert.equal(
      worker.messages.some(({ type }) => type === 'DRAINED'),
      false,
    );
    worker.child.kill('SIGUSR2');
    await worker.message('DRAINED');
  }),
);

test(
  'motya/worker from CommonJS; and harmless outside a worker',
  supervised(async (supervisor) => {
    const api = await supervisor.spawn('cjs-api.cjs', { role: { generation: 2 } }).line('api');
    assert.deepEqual(api, { event: 'api', generation: 2, isWorker: true, service: 'web' });
    const script = fileURLToPath(new URL('../../test/fixtures/runtime/cjs-api.cjs', import.meta.url));
    const alone = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' }));
    assert.deepEqual(alone, { event: 'api', generation: 1, isWorker: false, service: '' });
  }),
);

test(
  "process.send('ready') means ready()",
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('ready.cjs', { role: { ready: 'signal' } });
    const { send, connected } = await worker.line('listening');
    assert.deepEqual([send, connected], ['function', true]);
    worker.child.kill('SIGUSR2');
    await worker.message('READY');
    assert.equal((await worker.line('sent')).error, null);
    assert.deepEqual(await worker.exited, [0, null]);
  }),
);

test(
  'the paths of its listeners survive a program that unlinks them',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('unlink.mjs', { args: [supervisor.directory], role: { held: true } });
    assert.deepEqual(await worker.line('done'), {
      event: 'done',
      address: 'app.sock',
      kept: true,
      plain: false,
      foreign: false,
      missing: 'ENOENT',
    });
  }),
);

test(
  'a program that has nothing left to do ends',
  supervised(async (supervisor) => {
    for (const held of [false, true]) {
      const worker = supervisor.spawn('ends.cjs', { role: { held } });
      assert.deepEqual(await worker.exited, [0, null], worker.stderr);
      await worker.line('closed');
    }
  }),
);

test(
  'children and threads of the program are none of ours',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('children.cjs');
    const { channel, spawned, message, code, text } = await worker.line('children');
    const { sockets, ipc } = spawned as { sockets: string; ipc: string };
    assert.match(String(channel), /^socket:/);
    assert.ok(!sockets.includes(String(channel)) && sockets.includes('->'));
    assert.equal(ipc, 'undefined');
    assert.ok((message as { port: number }).port > 0);
    assert.deepEqual([code, text], [0, 'ok']);
    assert.deepEqual(supervisor.requests, []);
  }),
);

test(
  'so are those that were started before the runtime was',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs', { early: 'early-children.cjs' });
    const early = await worker.line('early');
    assert.deepEqual(early, { event: 'early', spawned: 0, forked: 0, threads: [0, 0] }, worker.stderr);
    await worker.message('READY');
    assert.equal(supervisor.requests.length, 1);
  }),
);

test(
  'an orphan stops accepting, finishes what is open, and ends by SIGTERM',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    const { port } = await worker.address();
    const client = await HttpClient.connect(port);
    client.write('/hold');
    await worker.line('held');
    worker.channel.close();
    await once(worker.channel, 'close');
    const late = await HttpClient.connect(port);
    late.write('/');
    worker.child.kill('SIGUSR2');
    assert.equal((await client.answer()).body, 'held');
    await client.closed;
    assert.deepEqual(await worker.exited, [0, null]);
    await worker.line('server.close');
    const [request] = supervisor.requests;
    assert.ok(request);
    assert.equal(native.listener.queueLength(supervisor.listener(request).fd).waiting, 1);
    late.close();
  }),
);

test(
  'an orphan that cannot open /dev/null finishes what is open all the same',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs', { role: { tagged: true } });
    const client = await HttpClient.connect((await worker.address()).port);
    client.write('/hold');
    await worker.line('held');
    // Nothing can be opened from here on, not even where the channel was.
    execFileSync('prlimit', ['--pid', String(worker.child.pid), '--nofile=3']);
    worker.channel.close();
    await once(worker.channel, 'close');
    worker.child.kill('SIGUSR2');
    assert.equal((await client.answer()).body, 'held');
    assert.deepEqual(await worker.exited, [0, null]);
    assert.equal(worker.stderr, '');
  }),
);

test(
  'OUTPUT: stdout and stderr go to the new file',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs');
    await worker.address();
    const file = path.join(supervisor.directory, 'out.log');
    const fd = fs.openSync(file, 'a');
    worker.send({ type: 'OUTPUT' }, [fd]);
    fs.closeSync(fd);
    await worker.ask({ type: 'COUNT' }, 'COUNTS');
    worker.child.kill('SIGTERM');
    await worker.exited;
    assert.match(fs.readFileSync(file, 'utf8'), /server\.close/);
  }),
);

for (const name of ['express', 'fastify', 'koa']) {
  test(
    `${name}: an unchanged app is held, accepts, pauses and drains`,
    supervised(async (supervisor) => {
      const worker = supervisor.spawn('frameworks.mjs', { args: [name], role: { held: true } });
      const { port } = await worker.address();
      await worker.message('READY');
      const client = await HttpClient.connect(port);
      client.write('/');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      assert.equal((await client.answer()).body, name);
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      assert.equal((await client.get('/')).body, name);
      worker.send({ type: 'DRAIN', times: allKinds(60_000) });
      await worker.ask({ type: 'COUNT' }, 'COUNTS');
      assert.equal((await client.get('/')).closes, true);
      await client.closed;
      await worker.message('DRAINED');
    }),
  );
}
