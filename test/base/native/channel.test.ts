import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, keepsFds, openFds, outputOf, runModule, scratch, throwsSystemError, track } from './support.js';

const CLOSED = 1_000_000;
const bytes = (text: string) => Buffer.from(text);

function withPair(body: (a: number, b: number) => void): void {
  keepsFds(() => {
    const [a, b] = native.channel.pair();
    try {
      body(a, b);
    } finally {
      native.fd.close(a);
      native.fd.close(b);
    }
  });
}

function flagsOf(fd: number): number {
  return Number.parseInt(/^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '', 8);
}

test('socketpair: CLOEXEC, non-blocking, message borders kept, fds are the same files', () => {
  withPair((a, b) => {
    for (const fd of [a, b]) assert.equal(flagsOf(fd) & 0o2004000, 0o2004000);
    assert.equal(native.channel.receive(b, 100), null);
    const file = openSync('/dev/null', 'r');
    assert.equal(native.channel.send(a, bytes('one'), [file, file]), true);
    assert.equal(native.channel.send(a, bytes('two'), []), true);
    const first = native.channel.receive(b, 100);
    assert.equal(first?.data.toString(), 'one');
    assert.equal(first?.fds.length, 2);
    for (const fd of first?.fds ?? []) {
      assert.equal(fstatSync(fd).ino, fstatSync(file).ino);
      assert.ok(flagsOf(fd) & 0o2000000, 'CLOEXEC');
      native.fd.close(fd);
    }
    closeSync(file);
    assert.deepEqual({ ...native.channel.receive(b, 100) }, { data: bytes('two'), fds: [] });
    assert.equal(native.channel.receive(b, 100), null);
  });
});

test('pipe: both ends CLOEXEC and blocking', () => {
  keepsFds(() => {
    const ends = native.fd.pipe();
    for (const fd of ends) {
      assert.equal(flagsOf(fd) & 0o2004000, 0o2000000);
      native.fd.close(fd);
    }
  });
});

test('send: false when the buffer is full, true again when there is room', () => {
  withPair((a, b) => {
    let sent = 0;
    while (native.channel.send(a, Buffer.alloc(1000, 'x'), [])) sent += 1;
    assert.ok(sent > 0);
    assert.equal(native.channel.send(a, bytes('more'), []), false);
    while (native.channel.receive(b, 1000) !== null) sent -= 1;
    assert.equal(sent, 0, 'each message came once');
    assert.equal(native.channel.send(a, bytes('more'), []), true);
  });
});

test('send: 253 fds go, 254 are EINVAL', () => {
  withPair((a, b) => {
    const fds = Array.from({ length: 253 }, () => a);
    assert.equal(native.channel.send(a, bytes('x'), fds), true);
    const received = native.channel.receive(b, 10);
    assert.equal(received?.fds.length, 253);
    assert.equal(new Set(received?.fds).size, 253);
    for (const fd of received?.fds ?? []) native.fd.close(fd);
    throwsSystemError(() => native.channel.send(a, bytes('x'), [...fds, a]), 'EINVAL', 'sendmsg');
    assert.equal(native.channel.receive(b, 10), null);
  });
});

test('send: what it refuses', () => {
  withPair((a, b) => {
    throwsSystemError(() => native.channel.send(a, bytes(''), []), 'EINVAL', 'sendmsg');
    throwsSystemError(() => native.channel.send(a, Buffer.alloc(1 << 22), []), 'EMSGSIZE', 'sendmsg');
    throwsSystemError(() => native.channel.send(a, bytes('x'), [CLOSED]), 'EBADF', 'sendmsg');
    throwsSystemError(() => native.channel.send(CLOSED, bytes('x'), []), 'EBADF', 'sendmsg');
    assert.throws(() => native.channel.send(a, 'x' as unknown as Uint8Array, []), TypeError);
    assert.throws(() => native.channel.send(a, new Uint16Array(1) as unknown as Uint8Array, []), TypeError);
    assert.throws(() => native.channel.send(a, bytes('x'), [-1]), TypeError);
    assert.throws(() => native.channel.send(a, bytes('x'), 3 as unknown as number[]), TypeError);
    assert.equal(native.channel.receive(b, 10), null, 'nothing of all this was sent');
  });
  const [a, b] = native.channel.pair();
  native.fd.close(b);
  throwsSystemError(() => native.channel.send(a, bytes('x'), []), 'EPIPE', 'sendmsg');
  native.fd.close(a);
});

test('receive: a message that is too long is EMSGSIZE, and its fds are closed', () => {
  withPair((a, b) => {
    native.channel.send(a, bytes('four'), [a, a]);
    native.channel.send(a, bytes('fits'), []);
    throwsSystemError(() => native.channel.receive(b, 3), 'EMSGSIZE', 'recvmsg');
    assert.equal(native.channel.receive(b, 4)?.data.toString(), 'fits');
    throwsSystemError(() => native.channel.receive(CLOSED, 3), 'EBADF', 'recvmsg');
    assert.throws(() => native.channel.receive(b, 0), TypeError);
  });
});

test('receive: fds that the kernel dropped (RLIMIT_NOFILE) are ENOBUFS, and the others are closed', async (t) => {
  const [a, b] = native.channel.pair();
  native.channel.send(
    a,
    bytes('x'),
    Array.from({ length: 200 }, () => a),
  );
  const source = `${IMPORT_NATIVE}
    const { readdirSync } = await import('node:fs');
    const before = readdirSync('/proc/self/fd').length;
    let code = 'none';
    try { native.channel.receive(3, 10); } catch (error) { code = error.code; }
    console.log(JSON.stringify({ code, leaked: readdirSync('/proc/self/fd').length - before }));`;
  const child = track(
    t,
    spawn('sh', ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, source], {
      stdio: ['ignore', 'pipe', 'inherit', b],
    }),
  );
  assert.deepEqual(JSON.parse(await outputOf(child)), { code: 'ENOBUFS', leaked: 0 });
  native.fd.close(a);
  native.fd.close(b);
});

test('receive: the last words of a peer that left messages unread, then its end', () => {
  keepsFds(() => {
    const [a, b] = native.channel.pair();
    native.channel.send(b, bytes('never read'), []);
    native.channel.send(a, bytes('last words'), []);
    native.fd.close(a);
    assert.equal(native.channel.receive(b, 100)?.data.toString(), 'last words');
    assert.deepEqual({ ...native.channel.receive(b, 100) }, { data: bytes(''), fds: [] });
    native.fd.close(b);
  });
});

test('connectPath, accept: by path and by abstract name', (t) => {
  for (const path of [join(scratch(t), 's'), `\0motya-test-${process.pid}\0tail`]) {
    keepsFds(() => {
      const listener = native.listener.create({ family: 'unix', type: 'seqpacket', path });
      assert.equal(native.channel.accept(listener), null);
      const client = native.channel.connect(path);
      const server = native.channel.accept(listener);
      assert.ok(server !== null);
      for (const fd of [client, server]) assert.equal(flagsOf(fd) & 0o2004000, 0o2004000);
      native.channel.send(client, bytes('hello'), []);
      assert.equal(native.channel.receive(server, 100)?.data.toString(), 'hello');
      for (const fd of [client, server, listener]) native.fd.close(fd);
    });
  }
});

test('connectPath, accept: errors', (t) => {
  const path = join(scratch(t), 's');
  keepsFds(() => {
    throwsSystemError(() => native.channel.connect(path), 'ENOENT', 'connect');
    throwsSystemError(() => native.channel.connect(''), 'EINVAL', 'connect');
    throwsSystemError(() => native.channel.connect(`${path}\0x`), 'EINVAL', 'connect');
    throwsSystemError(() => native.channel.connect(`/${'x'.repeat(107)}`), 'ENAMETOOLONG', 'connect');
    assert.throws(() => native.channel.connect(1 as unknown as string), TypeError);
    native.fd.close(native.listener.create({ family: 'unix', type: 'seqpacket', path }));
    throwsSystemError(() => native.channel.connect(path), 'ECONNREFUSED', 'connect');
    throwsSystemError(() => native.channel.accept(CLOSED), 'EBADF', 'accept4');
    const [a, b] = native.channel.pair();
    throwsSystemError(() => native.channel.accept(a), 'EINVAL', 'accept4');
    native.fd.close(a);
    native.fd.close(b);
  });
});

test('connectPath: a listener whose queue is full is EAGAIN, not a hang', (t) => {
  const path = join(scratch(t), 's');
  keepsFds(() => {
    const listener = native.listener.create({ family: 'unix', type: 'seqpacket', path, backlog: 1 });
    const clients: number[] = [];
    throwsSystemError(
      () => {
        for (let i = 0; i < 10; i++) clients.push(native.channel.connect(path));
      },
      'EAGAIN',
      'connect',
    );
    for (const fd of [...clients, listener]) native.fd.close(fd);
  });
});

test('waitReadable: message, hang-up, timeout, bad fd', () => {
  keepsFds(() => {
    const [a, b] = native.channel.pair();
    assert.equal(native.fd.waitReadable(a, 0), false);
    const start = performance.now();
    assert.equal(native.fd.waitReadable(a, 20), false);
    assert.ok(performance.now() - start >= 19, 'waited');
    native.channel.send(b, bytes('x'), []);
    assert.equal(native.fd.waitReadable(a, 60_000), true);
    native.channel.receive(a, 10);
    native.fd.close(b);
    assert.equal(native.fd.waitReadable(a, 60_000), true, 'hung up');
    native.fd.close(a);
  });
  throwsSystemError(() => native.fd.waitReadable(CLOSED, 0), 'EBADF', 'poll');
  assert.throws(() => native.fd.waitReadable(0, -1), TypeError);
});

test('waitReadable: wakes up when another process writes', async (t) => {
  const before = openFds();
  const [a, b] = native.channel.pair();
  const child = runModule(t, `${IMPORT_NATIVE} native.channel.send(3, Buffer.from('hi'), []);`, {
    stdio: ['ignore', 'pipe', 'inherit', b],
  });
  const output = outputOf(child);
  assert.equal(native.fd.waitReadable(a, 60_000), true);
  assert.equal(native.channel.receive(a, 10)?.data.toString(), 'hi');
  await output;
  native.fd.close(a);
  native.fd.close(b);
  assert.equal(openFds(), before);
});

test('peerCredentials: the peer of a connection; nothing else', (t) => {
  const path = join(scratch(t), 's');
  keepsFds(() => {
    const listener = native.listener.create({ family: 'unix', type: 'seqpacket', path });
    const client = native.channel.connect(path);
    const server = native.channel.accept(listener);
    assert.ok(server !== null);
    const self = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    assert.deepEqual({ ...native.channel.peerCredentials(client) }, self);
    assert.deepEqual({ ...native.channel.peerCredentials(server) }, self);
    const tcp = native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
    throwsSystemError(() => native.channel.peerCredentials(tcp), 'ENOTCONN', 'getsockopt');
    for (const fd of [client, server, listener, tcp]) native.fd.close(fd);
  });
  throwsSystemError(() => native.channel.peerCredentials(CLOSED), 'EBADF', 'getsockopt');
  const file = openSync('/dev/null', 'r');
  throwsSystemError(() => native.channel.peerCredentials(file), 'ENOTSOCK', 'getsockopt');
  closeSync(file);
});
