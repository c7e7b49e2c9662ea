import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { allKinds } from '#src/base/drain-kinds.js';
import { freePort } from '../e2e/harness/ports.js';
import { supervised, type TestWorker } from './supervisor.js';

const bindArgs = (type: string, ...args: unknown[]) => ({ args: [type, JSON.stringify(args)] });

/** The first answer to one datagram. */
async function ask(client: dgram.Socket, port: number, text: string, host = '127.0.0.1'): Promise<string> {
  const answer = once(client, 'message');
  client.send(text, port, host);
  return String((await answer)[0]);
}

async function withClient(type: dgram.SocketType, body: (client: dgram.Socket) => Promise<void>): Promise<void> {
  const client = dgram.createSocket(type);
  try {
    await body(client);
  } finally {
    client.close();
  }
}

test(
  'bind(): every way to say it reaches the supervisor as Node understands it',
  supervised(async (supervisor) => {
    const udp = {
      kind: 'udp',
      family: 'inet',
      address: '0.0.0.0',
      port: 0,
      v6only: false,
      reuseAddr: false,
      ordinal: 0,
    };
    const inet6 = { ...udp, family: 'inet6', address: '::' };
    const cases: [string, unknown[], object][] = [
      ['udp4', [], udp],
      ['udp4', [0, '127.0.0.1'], { ...udp, address: '127.0.0.1' }],
      ['udp4', [{ port: 0, address: 'localhost' }], { ...udp, address: '127.0.0.1' }],
      ['udp6', [{ port: 0 }], inet6],
    ];
    for (const [type, args, request] of cases) {
      const worker = supervisor.spawn('dgram.cjs', bindArgs(type, ...args));
      const { port } = await worker.address();
      await worker.message('READY');
      assert.deepEqual(supervisor.requests.at(-1), request);
      assert.deepEqual(
        worker.lines.map(({ event }) => event),
        ['called', 'listening'],
      );
      await withClient('udp4', async (client) => assert.equal(await ask(client, port, 'hello'), 'hello'));
      await worker.kill();
    }
    const before = supervisor.requests.length;
    const alone = supervisor.spawn('dgram.cjs', bindArgs('udp4', { port: 0, exclusive: true }));
    await alone.address();
    assert.equal(supervisor.requests.length, before);
  }),
);

test(
  'a refused socket is the error that Node would emit',
  supervised(async (supervisor) => {
    await withClient('udp4', async (client) => {
      client.bind(0, '127.0.0.1');
      await once(client, 'listening');
      const { port } = client.address();
      const { message, ...error } = await supervisor
        .spawn('dgram.cjs', bindArgs('udp4', port, '127.0.0.1'))
        .line('error');
      const node = dgram.createSocket('udp4').bind(port, '127.0.0.1');
      const [expected] = (await once(node, 'listening').catch((thrown) => [thrown])) as [NodeJS.ErrnoException];
      node.close();
      assert.equal(message, expected.message);
      const { code, errno, syscall } = expected;
      assert.deepEqual(error, { event: 'error', code, errno, syscall, address: '127.0.0.1', port });
    });
  }),
);

test(
  'datagrams always have a reader, and after the drain began it is the next generation',
  supervised(async (supervisor) => {
    const first = supervisor.spawn('dgram.cjs', { ...bindArgs('udp4', 0, '127.0.0.1'), env: { NAME: 'first ' } });
    const { port } = await first.address();
    const held = { ...bindArgs('udp4', 0, '127.0.0.1'), env: { NAME: 'second ' }, role: { held: true } };
    const second: TestWorker = supervisor.spawn('dgram.cjs', held);
    assert.equal((await second.address()).port, port);
    await second.message('READY');
    await withClient('udp4', async (client) => {
      for (let index = 0; index < 20; index++) assert.equal(await ask(client, port, 'hello'), 'first hello');
      await first.ask({ type: 'PAUSE', lease: 60_000 }, 'PAUSED');
      // A socket always reads: a queue without a reader may overflow.
      assert.equal(await ask(client, port, 'paused'), 'first paused');
      await second.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      // The probation, which may end with the first one again.
      await first.ask({ type: 'PAUSE' }, 'PAUSED');
      for (let index = 0; index < 20; index++) assert.equal(await ask(client, port, 'hello'), 'second hello');
      await second.ask({ type: 'PAUSE' }, 'PAUSED');
      await first.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      for (let index = 0; index < 20; index++) assert.equal(await ask(client, port, 'hello'), 'first hello');
      await second.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      await first.ask({ type: 'DRAIN', times: allKinds(1000) }, 'DRAINED');
      for (let index = 0; index < 20; index++) assert.equal(await ask(client, port, 'hello'), 'second hello');
    });
    first.child.kill('SIGUSR2');
    await first.line('closed');
    assert.equal(
      first.messages.some(({ type }) => type === 'RELEASE'),
      false,
    );
    second.child.kill('SIGUSR2');
    assert.equal((await second.message('RELEASE')).key, 'udp 127.0.0.1 0#0');
    assert.deepEqual(await second.exited, [0, null]);
  }),
);

test(
  'a multicast group is joined by every generation and left by the last',
  supervised(async (supervisor) => {
    const group = '224.0.0.114';
    const joining = { ...bindArgs('udp4', 0), env: { GROUP: group } };
    const first = supervisor.spawn('dgram.cjs', joining);
    const { port } = await first.address();
    const second = supervisor.spawn('dgram.cjs', { ...joining, role: { held: true } });
    assert.equal((await second.address()).port, port);
    await second.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    await first.ask({ type: 'DRAIN', times: allKinds(1000) }, 'DRAINED');
    first.child.kill('SIGUSR1');
    await first.line('left');
    await withClient('udp4', async (client) => {
      client.bind(0, '127.0.0.1');
      await once(client, 'listening');
      client.setMulticastInterface('127.0.0.1');
      assert.equal(await ask(client, port, 'hello', group), 'hello');
    });
  }),
);

test(
  'a socket of its own makes a program ready, but not one that only asks',
  supervised(async (supervisor) => {
    const port = await freePort();
    const alone = supervisor.spawn('dgram.cjs', bindArgs('udp4', { port, address: '127.0.0.1', exclusive: true }));
    await alone.message('READY');
    const asks = supervisor.spawn('dgram.cjs', bindArgs('udp4', { port: 0, exclusive: true }));
    await asks.address();
    await asks.ask({ type: 'COUNT' }, 'COUNTS');
    assert.ok(!asks.messages.some(({ type }) => type === 'READY'));
    assert.deepEqual(supervisor.requests, []);
  }),
);

test(
  'pending: an unanswered bind is an unfinished one',
  supervised(async (supervisor) => {
    supervisor.mode = 'pending';
    const worker = supervisor.spawn('dgram.cjs', bindArgs('udp4', 0, '127.0.0.1'));
    await worker.message('LISTEN');
    await worker.ask({ type: 'COUNT' }, 'COUNTS');
    assert.deepEqual(
      worker.lines.map(({ event }) => event),
      ['called'],
    );
    worker.grantPending();
    const { port } = await worker.address();
    await worker.message('READY');
    await withClient('udp4', async (client) => assert.equal(await ask(client, port, 'hello'), 'hello'));
  }),
);
