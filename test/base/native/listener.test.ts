import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, existsSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ListenerSpec, native, type SocketDescription } from '#src/base/os/native.js';
import { IMPORT_NATIVE, keepsFds, outputOf, runModule, scratch, throwsSystemError } from './support.js';

const CLOSED = 1_000_000;
const ANY_PORT = { type: 'stream', port: 0 } as const;

function describeNew(spec: ListenerSpec): SocketDescription {
  const fd = native.listener.create(spec);
  try {
    return { ...native.listener.describe(fd) };
  } finally {
    native.fd.close(fd);
  }
}

test('listener.create, describe: every family and type', (t) => {
  keepsFds(() => {
    const v4 = describeNew({ family: 'inet', address: '127.0.0.1', ...ANY_PORT });
    assert.ok(v4.port !== null && v4.port > 0 && v4.inode > 0);
    const rest = { port: v4.port, inode: v4.inode, path: null, v6only: false, listening: true };
    assert.deepEqual(v4, { family: 'inet', type: 'stream', address: '127.0.0.1', ...rest });

    const v6 = describeNew({ family: 'inet6', address: '::', v6only: false, ...ANY_PORT });
    assert.deepEqual([v6.family, v6.address, v6.v6only, v6.listening], ['inet6', '::', false, true]);
    assert.equal(describeNew({ family: 'inet6', address: '::1', v6only: true, ...ANY_PORT }).v6only, true);

    const udp = describeNew({ family: 'inet', type: 'dgram', address: '127.0.0.1', port: 0 });
    assert.deepEqual([udp.type, udp.listening, udp.address], ['dgram', false, '127.0.0.1']);
    assert.equal(describeNew({ family: 'inet6', type: 'dgram', address: '::1', port: 0 }).family, 'inet6');

    const directory = scratch(t);
    for (const type of ['stream', 'seqpacket'] as const) {
      const path = join(directory, type);
      const unix = describeNew({ family: 'unix', type, path });
      const expected = { address: null, port: null, v6only: false, listening: true, inode: unix.inode };
      assert.deepEqual(unix, { family: 'unix', type, path, ...expected });
    }
    const abstract = `\0motya-test-${process.pid}\0end\0`;
    assert.equal(describeNew({ family: 'unix', type: 'stream', path: abstract }).path, abstract);
  });
});

test('describe: the inode is the same for every duplicate; unnamed sockets have an empty path', () => {
  keepsFds(() => {
    const [a, b] = native.channel.pair();
    const copy = native.fd.dup(a);
    assert.equal(native.listener.describe(copy).inode, native.listener.describe(a).inode);
    assert.equal(native.listener.describe(a).inode, fstatSync(a).ino);
    assert.notEqual(native.listener.describe(b).inode, native.listener.describe(a).inode);
    const { family, type, listening, path } = native.listener.describe(a);
    assert.deepEqual(
      { family, type, listening, path },
      { family: 'unix', type: 'seqpacket', listening: false, path: '' },
    );
    for (const fd of [a, b, copy]) native.fd.close(fd);
  });
});

test('describe: what is not a socket, or none of ours', () => {
  keepsFds(() => {
    const file = openSync('/dev/null', 'r');
    throwsSystemError(() => native.listener.describe(file), 'ENOTSOCK', 'getsockname');
    closeSync(file);
    throwsSystemError(() => native.listener.describe(CLOSED), 'EBADF', 'getsockname');
    assert.throws(() => native.listener.describe('1' as unknown as number), TypeError);
  });
});

test('listener.create: Node serves connections and datagrams on what it made', async (t) => {
  const fd = native.listener.create({ family: 'inet6', address: '::', v6only: false, ...ANY_PORT });
  const server = createServer((socket) => socket.resume().end('served')).listen({ fd });
  t.after(() => server.close());
  await once(server, 'listening');
  const client = connect(native.listener.describe(fd).port ?? 0, '127.0.0.1');
  const [data] = (await once(client, 'data')) as [Buffer];
  assert.equal(data.toString(), 'served', 'IPv4 reaches a dual-stack socket');
  client.destroy();

  const udp = native.listener.create({ family: 'inet', type: 'dgram', address: '127.0.0.1', port: 0 });
  const socket = createSocket('udp4');
  const sender = createSocket('udp4');
  t.after(() => {
    socket.close();
    sender.close();
  });
  // Emitted inside of bind, as there is no name to look up.
  const listening = once(socket, 'listening');
  socket.bind({ fd: udp });
  await listening;
  sender.send('ping', socket.address().port, '127.0.0.1');
  const [message] = (await once(socket, 'message')) as [Buffer];
  assert.equal(message.toString(), 'ping');
});

test('listener.create: scope of a link-local address, by name and by number', (t) => {
  const found = Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) => (addresses ?? []).map((each) => ({ name, ...each })))
    .find((each) => each.family === 'IPv6' && each.scopeid);
  const anywhere = { family: 'inet6', ...ANY_PORT } as const;
  throwsSystemError(
    () => native.listener.create({ ...anywhere, address: 'fe80::1%nosuchif' }),
    'ENODEV',
    'if_nametoindex',
  );
  throwsSystemError(() => native.listener.create({ ...anywhere, address: 'fe80::1%' }), 'ENODEV', 'if_nametoindex');
  if (found === undefined) {
    t.skip('no interface with a link-local address');
    return;
  }
  const { name, address, scopeid } = found as typeof found & { scopeid: number };
  assert.equal(describeNew({ ...anywhere, address: `${address}%${name}` }).address, `${address}%${name}`);
  assert.equal(describeNew({ ...anywhere, address: `${address}%${scopeid}` }).address, `${address}%${name}`);
});

test('listener.create: errors leave nothing', () => {
  keepsFds(() => {
    const fd = native.listener.create({ family: 'inet', address: '127.0.0.1', ...ANY_PORT });
    const port = native.listener.describe(fd).port ?? 0;
    throwsSystemError(
      () => native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port }),
      'EADDRINUSE',
      'bind',
    );
    native.fd.close(fd);
    const foreign = { family: 'inet', address: '192.0.2.1', ...ANY_PORT } as const;
    throwsSystemError(() => native.listener.create(foreign), 'EADDRNOTAVAIL', 'bind');
    for (const address of ['', 'localhost', '::1', '127.0.0.1 ', '256.0.0.1']) {
      throwsSystemError(() => native.listener.create({ family: 'inet', address, ...ANY_PORT }), 'EINVAL', 'inet_pton');
    }
    for (const address of ['', '127.0.0.1', '::g']) {
      throwsSystemError(() => native.listener.create({ family: 'inet6', address, ...ANY_PORT }), 'EINVAL', 'inet_pton');
    }
    const good = { family: 'inet', address: '127.0.0.1', ...ANY_PORT };
    const wrong: object[] = [
      { ...good, port: 65536 },
      { ...good, port: -1 },
      { ...good, port: '80' },
      { ...good, family: 'inet5' },
      { ...good, type: 'seqpacket' },
      { ...good, backlog: -1 },
      { ...good, address: undefined },
      { ...good, address: '127.0.0.1\0' },
      { ...good, reuseAddr: 1 },
      { family: 'unix', type: 'raw', path: '/x' },
      { family: 'unix', type: 'dgram', path: '/x', passCredentials: 1 },
      { family: 'unix', type: 'stream', path: '/x', mode: 0o1777 },
      { family: 'unix', type: 'stream' },
    ];
    for (const spec of wrong) {
      assert.throws(() => native.listener.create(spec as ListenerSpec), TypeError, JSON.stringify(spec));
    }
    assert.throws(() => native.listener.create(undefined as unknown as ListenerSpec), TypeError);
  });
});

test('listener.create: a stream port can be bound while old connections are in TIME_WAIT', async () => {
  const spec = { family: 'inet', type: 'stream', address: '127.0.0.1' } as const;
  const fd = native.listener.create({ ...spec, port: 0 });
  const port = native.listener.describe(fd).port ?? 0;
  const client = connect(port, '127.0.0.1').resume();
  await once(client, 'connect');
  const accepted = native.channel.accept(fd);
  assert.ok(accepted !== null);
  // The side that closes first keeps the port in TIME_WAIT.
  native.fd.close(accepted);
  native.fd.close(fd);
  await once(client, 'close');
  native.fd.close(native.listener.create({ ...spec, port }));
});

test('listener.create: reuseAddr shares a datagram port', () => {
  keepsFds(() => {
    const udp = { family: 'inet', type: 'dgram', address: '127.0.0.1', reuseAddr: true } as const;
    const first = native.listener.create({ ...udp, port: 0 });
    const port = native.listener.describe(first).port ?? 0;
    const second = native.listener.create({ ...udp, port });
    throwsSystemError(() => native.listener.create({ ...udp, port, reuseAddr: false }), 'EADDRINUSE', 'bind');
    native.fd.close(first);
    native.fd.close(second);
  });
});

test('listener.create: unix paths that cannot be', (t) => {
  const directory = scratch(t);
  keepsFds(() => {
    const make = (path: string) => native.listener.create({ family: 'unix', type: 'stream', path, mode: 0o600 });
    throwsSystemError(() => make(`/${'x'.repeat(107)}`), 'ENAMETOOLONG', 'bind');
    throwsSystemError(() => make(`\0${'x'.repeat(108)}`), 'ENAMETOOLONG', 'bind');
    throwsSystemError(() => make(''), 'EINVAL', 'bind');
    throwsSystemError(() => make(`${directory}/a\0b`), 'EINVAL', 'bind');
    throwsSystemError(() => make(join(directory, 'none', 's')), 'ENOENT', 'bind');
    const taken = join(directory, 'taken');
    writeFileSync(taken, 'precious');
    throwsSystemError(() => make(taken), 'EADDRINUSE', 'bind');
    assert.ok(existsSync(taken), 'a path of another process stays');
    const longest = join(directory, 'x'.repeat(106 - directory.length));
    assert.equal(longest.length, 107);
    assert.equal(describeNew({ family: 'unix', type: 'stream', path: longest }).path, longest);
  });
});

test('listener.create: mode is exact under any umask, and without it the umask decides', async (t) => {
  const directory = scratch(t);
  const source = `${IMPORT_NATIVE}
    const { statSync } = await import('node:fs');
    const seen = [];
    for (const [umask, mode] of [[0, 0o600], [0, 0o660], [0o077, 0o660], [0o022, 0o777], [0o027, undefined]]) {
      process.umask(umask);
      const path = ${JSON.stringify(directory)} + '/' + seen.length;
      native.listener.create({ family: 'unix', type: 'stream', path, ...(mode === undefined ? {} : { mode }) });
      seen.push((statSync(path).mode & 0o777).toString(8));
      if (process.umask() !== umask) throw new Error('umask was changed');
    }
    console.log(seen.join(' '));`;
  const child = runModule(t, source, { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.equal((await outputOf(child)).trim(), '600 660 660 777 750');
});

test('listener.create: mode holds from the first instant (a thread watches the path all the time)', async (t) => {
  const directory = scratch(t);
  const source = `${IMPORT_NATIVE}
    const { Worker } = await import('node:worker_threads');
    const { once } = await import('node:events');
    const { unlinkSync } = await import('node:fs');
    process.umask(0);
    const path = ${JSON.stringify(directory)} + '/s';
    const flags = new Int32Array(new SharedArrayBuffer(8));
    const watcher = new Worker(\`
      const { workerData: { path, flags }, parentPort } = require('node:worker_threads');
      const { lstatSync } = require('node:fs');
      const modes = {};
      parentPort.postMessage('watching');
      while (Atomics.load(flags, 0) === 0) {
        const found = lstatSync(path, { throwIfNoEntry: false });
        if (found === undefined) continue;
        const mode = (found.mode & 0o777).toString(8);
        modes[mode] = (modes[mode] ?? 0) + 1;
        Atomics.add(flags, 1, 1);
      }
      parentPort.postMessage(modes);
    \`, { eval: true, execArgv: [], workerData: { path, flags } });
    await once(watcher, 'message');
    const result = once(watcher, 'message');
    for (let made = 0; made < 500 || Atomics.load(flags, 1) < 100; made++) {
      native.fd.close(native.listener.create({ family: 'unix', type: 'seqpacket', path, mode: 0o600 }));
      unlinkSync(path);
    }
    Atomics.store(flags, 0, 1);
    console.log(Object.keys((await result)[0]).join(' '));`;
  const child = runModule(t, source, { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.equal((await outputOf(child)).trim(), '600');
});

test('setBacklog, queueLength', async (t) => {
  const fd = native.listener.create({ family: 'inet', address: '127.0.0.1', backlog: 7, ...ANY_PORT });
  assert.deepEqual({ ...native.listener.queueLength(fd) }, { waiting: 0, backlog: 7 });
  native.listener.setBacklog(fd, 9);
  assert.equal(native.listener.queueLength(fd).backlog, 9);
  const client = connect(native.listener.describe(fd).port ?? 0, '127.0.0.1');
  t.after(() => client.destroy());
  await once(client, 'connect');
  assert.deepEqual({ ...native.listener.queueLength(fd) }, { waiting: 1, backlog: 9 });
  const accepted = native.channel.accept(fd);
  assert.ok(accepted !== null);
  assert.equal(native.listener.queueLength(fd).waiting, 0);
  throwsSystemError(() => native.listener.queueLength(accepted), 'EINVAL', 'getsockopt');
  throwsSystemError(() => native.listener.setBacklog(accepted, 5), 'EINVAL', 'listen');
  native.fd.close(accepted);
  native.fd.close(fd);

  const udp = native.listener.create({ family: 'inet', type: 'dgram', address: '127.0.0.1', port: 0 });
  throwsSystemError(() => native.listener.queueLength(udp), 'ENOTSUP', 'getsockopt');
  throwsSystemError(() => native.listener.setBacklog(udp, 5), 'EINVAL', 'listen');
  native.fd.close(udp);
  throwsSystemError(() => native.listener.queueLength(CLOSED), 'EBADF', 'getsockopt');
  throwsSystemError(() => native.listener.setBacklog(CLOSED, 5), 'EBADF', 'getsockopt');
  assert.throws(() => native.listener.setBacklog(0, -1), TypeError);
});

test('bindOnly: connections are refused and datagrams dropped, until startListening', async (t) => {
  const spec = { family: 'inet', type: 'stream', address: '127.0.0.1', port: 0, bindOnly: true } as const;
  const tcp = native.listener.create(spec);
  const { port, listening } = native.listener.describe(tcp);
  assert.equal(listening, false);
  const refused = connect(port ?? 0, '127.0.0.1');
  const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
  native.listener.startListening(tcp, 7);
  assert.deepEqual([native.listener.describe(tcp).listening, native.listener.queueLength(tcp).backlog], [true, 7]);
  native.fd.close(tcp);

  const path = join(scratch(t), 'deaf');
  const unix = native.listener.create({ family: 'unix', type: 'seqpacket', path, mode: 0o600, bindOnly: true });
  throwsSystemError(() => native.channel.connect(path), 'ECONNREFUSED', 'connect');
  native.listener.startListening(unix, 1);
  native.fd.close(native.channel.connect(path));
  native.fd.close(unix);

  const udp = native.listener.create({ ...spec, type: 'dgram' });
  const client = createSocket('udp4');
  const send = (text: string) =>
    new Promise((resolve) => client.send(text, native.listener.describe(udp).port ?? 0, '127.0.0.1', resolve));
  await send('early');
  native.listener.startListening(udp, 0);
  await send('late');
  assert.ok(native.fd.waitReadable(udp, 10_000));
  assert.equal(String(native.channel.receive(udp, 100)?.data), 'late');
  assert.equal(native.channel.receive(udp, 100), null);
  client.close();
  native.fd.close(udp);
  throwsSystemError(() => native.listener.startListening(CLOSED, 5), 'EBADF', 'getsockopt');
});
