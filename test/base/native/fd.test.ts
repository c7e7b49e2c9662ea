import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { keepsFds, throwsSystemError } from './support.js';

const O_CLOEXEC = 0o2000000;
const CLOSED = 1_000_000;

function isCloexec(fd: number): boolean {
  const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  return (Number.parseInt(flags ?? '', 8) & O_CLOEXEC) !== 0;
}

test('dup gives a CLOEXEC copy that outlives the original', () => {
  keepsFds(() => {
    const [reader, writer] = native.fd.pipe();
    const copy = native.fd.dup(writer);
    assert.notEqual(copy, writer);
    assert.ok(isCloexec(copy));
    native.fd.close(writer);
    writeSync(copy, 'x');
    const data = Buffer.alloc(2);
    assert.equal(readSync(reader, data), 1);
    native.fd.close(copy);
    native.fd.close(reader);
  });
  throwsSystemError(() => native.fd.dup(CLOSED), 'EBADF', 'fcntl');
  assert.throws(() => native.fd.dup(-1), TypeError);
  assert.throws(() => native.fd.dup(1.5), TypeError);
  assert.throws(() => native.fd.dup(Number.NaN), TypeError);
  assert.throws(() => native.fd.dup('1' as unknown as number), TypeError);
});

test('close closes once', () => {
  const fd = openSync('/dev/null', 'r');
  native.fd.close(fd);
  throwsSystemError(() => native.fd.close(fd), 'EBADF', 'close');
  assert.throws(() => native.fd.close(undefined as unknown as number), TypeError);
});

test('redirect makes a copy that an exec keeps, and setCloexec takes that back', () => {
  keepsFds(() => {
    const source = openSync('/dev/zero', 'r');
    const target = openSync('/dev/null', 'r');
    native.fd.redirect(source, target);
    assert.ok(!isCloexec(target));
    const data = Buffer.alloc(4, 1);
    assert.equal(readSync(target, data), 4, 'reads from /dev/zero now');
    native.fd.setCloexec(target);
    assert.ok(isCloexec(target));
    native.fd.redirect(target, target);
    assert.ok(!isCloexec(target), 'onto itself too');
    closeSync(source);
    closeSync(target);
  });
  throwsSystemError(() => native.fd.redirect(CLOSED, CLOSED + 1), 'EBADF', 'dup2');
  throwsSystemError(() => native.fd.redirect(CLOSED, CLOSED), 'EBADF', 'dup2');
  throwsSystemError(() => native.fd.setCloexec(CLOSED), 'EBADF', 'fcntl');
});

test('widenPipe lets a pipe hold more', () => {
  const [reader, writer] = native.fd.pipe();
  const fill = (): number => {
    let bytes = 0;
    for (; native.fd.isWritable(writer); bytes += 4096) writeSync(writer, Buffer.alloc(4096));
    return bytes;
  };
  const before = fill();
  native.fd.setPipeSize(writer, 4 * before);
  assert.equal(before + fill(), 4 * before);
  for (const fd of [reader, writer]) native.fd.close(fd);
  throwsSystemError(() => native.fd.setPipeSize(CLOSED, before), 'EBADF', 'fcntl');
});
