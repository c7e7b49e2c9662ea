import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, keepsFds, scratch, throwsSystemError } from './support.js';

const receiver = (path: string, passCredentials = true): number =>
  native.listener.create({ family: 'unix', type: 'dgram', path, mode: 0o600, passCredentials });

test('a datagram comes with its fds and with who has sent it, in the order of sending', (t) => {
  const path = join(scratch(t), 'notify');
  keepsFds(() => {
    const fd = receiver(path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(
      [native.listener.describe(fd).type, native.listener.describe(fd).listening, native.listener.describe(fd).path],
      ['dgram', false, path],
    );
    assert.equal(native.channel.receive(fd, 100), null);
    const [one, other] = native.channel.pair();
    native.notify.send(path, 'READY=1', []);
    native.notify.send(path, 'FDSTORE=1', [one, other]);
    const own = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    assert.deepEqual(native.channel.receive(fd, 100), { data: Buffer.from('READY=1'), fds: [], sender: own });
    const second = native.channel.receive(fd, 100);
    assert.deepEqual(second?.sender, own);
    const inode = (of: number | undefined) => native.listener.describe(of as number).inode;
    assert.deepEqual(second?.fds.map(inode), [inode(one), inode(other)]);
    for (const each of [fd, one, other, ...(second?.fds ?? [])]) native.fd.close(each);
  });
});

test('253 fds fit beside the credentials', () => {
  keepsFds(() => {
    const name = `\0motya-test-${process.pid}`;
    const fd = receiver(name);
    const file = openSync('/dev/null', 'r');
    native.notify.send(name, 'FDSTORE=1', new Array<number>(253).fill(file));
    const message = native.channel.receive(fd, 100);
    assert.equal(message?.fds.length, 253);
    assert.equal(message?.sender?.pid, process.pid);
    for (const each of [fd, file, ...(message?.fds ?? [])]) native.fd.close(each);
  });
});

test('the sender is told by the kernel: another process, which may have ended since', (t) => {
  const path = join(scratch(t), 'notify');
  const fd = receiver(path);
  t.after(() => native.fd.close(fd));
  const source = `${IMPORT_NATIVE} native.notify.send(${JSON.stringify(path)}, 'MAINPID=1', []);`;
  const { pid, status } = spawnSync(process.execPath, ['--input-type=module', '-e', source]);
  assert.equal(status, 0);
  assert.equal(native.channel.receive(fd, 100)?.sender?.pid, pid);
});

test('without SO_PASSCRED there is no sender; what is too long is an error, and the next one comes all the same', (t) => {
  const path = join(scratch(t), 'notify');
  keepsFds(() => {
    const fd = receiver(path, false);
    native.notify.send(path, 'x'.repeat(101), [0]);
    native.notify.send(path, 'next', []);
    throwsSystemError(() => native.channel.receive(fd, 100), 'EMSGSIZE', 'recvmsg');
    assert.deepEqual(native.channel.receive(fd, 100), { data: Buffer.from('next'), fds: [] });
    native.fd.close(fd);
  });
});
