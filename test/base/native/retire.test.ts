import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ListenerSpec, native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, outputOf, runModule, scratch, throwsSystemError } from './support.js';

async function connected(options: { host: string; port: number } | { path: string }): Promise<Socket> {
  const socket = connect(options);
  await once(socket, 'connect');
  return socket;
}

const TCP = [
  ['inet', '127.0.0.1'],
  ['inet6', '::1'],
] as const;

/** Takes who waits, as a worker would. */
function acceptAll(listener: number): number {
  let count = 0;
  for (let fd = native.channel.accept(listener); fd !== null; fd = native.channel.accept(listener)) {
    native.fd.close(fd);
    count += 1;
  }
  return count;
}

for (const [family, address] of TCP) {
  test(`dropSyns (${family}): who waits can be accepted; who comes hears nothing, and is refused once it is closed`, async () => {
    const listener = native.listener.create({ family, type: 'stream', address, port: 0 });
    const { port } = native.listener.describe(listener);
    const target = { host: address, port: port as number };
    const waiting = await connected(target);
    native.retire.dropSyns(listener);
    const late = connect(target);
    const refused = once(late, 'error') as Promise<[NodeJS.ErrnoException]>;
    // Node calls connect(2) in its next tick.
    await nextTurn();
    assert.deepEqual([native.listener.queueLength(listener).waiting, acceptAll(listener)], [1, 1]);
    native.fd.close(listener);
    // Its SYN is sent again after a second (tcp(7), tcp_syn_retries).
    assert.equal((await refused)[0].code, 'ECONNREFUSED');
    waiting.destroy();
  });
}

for (const [family, address] of TCP) {
  test(`leaveInterfaces (${family}): who waits can be accepted, who comes is refused at once`, async () => {
    const listener = native.listener.create({ family, type: 'stream', address, port: 0 });
    const target = { host: address, port: native.listener.describe(listener).port as number };
    const waiting = await connected(target);
    native.retire.leaveInterfaces(listener);
    const [error] = (await once(connect(target), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    const accepted = native.channel.accept(listener) as number;
    const server = new Socket({ fd: accepted });
    server.end('served');
    assert.equal(String((await once(waiting, 'data'))[0]), 'served');
    waiting.destroy();
    native.fd.close(listener);
  });
}

test('shutdownReceive: who waits can be accepted, who comes is refused at once; in every process that has the listener', async (t) => {
  // Of the full length, as Node 20 reaches it.
  for (const path of [join(scratch(t), 's'), `\0${join(scratch(t), 's')}`.padEnd(108, '\0')]) {
    const spec: ListenerSpec = { family: 'unix', type: 'stream', path };
    const listener = native.listener.create(spec);
    const waiting = runModule(
      t,
      `${IMPORT_NATIVE}
       import { connect } from 'node:net';
       const socket = connect(${JSON.stringify({ path })});
       socket.on('connect', () => console.log('waits')).on('close', () => process.exit());`,
    );
    const said = outputOf(waiting);
    assert.ok(waiting.stdout);
    await once(waiting.stdout, 'data');
    native.retire.shutdownReceive(listener);
    const [error] = (await once(connect({ path }), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    assert.equal(acceptAll(listener), 1);
    assert.match(await said, /waits/);
    native.fd.close(listener);
  }
});

test('what is no listener', () => {
  const [one, other] = native.fd.pipe();
  throwsSystemError(() => native.retire.dropSyns(one), 'ENOTSOCK', 'setsockopt');
  throwsSystemError(() => native.retire.leaveInterfaces(one), 'ENOTSOCK', 'setsockopt');
  throwsSystemError(() => native.retire.shutdownReceive(other), 'ENOTSOCK', 'shutdown');
  native.fd.close(one);
  native.fd.close(other);
});
