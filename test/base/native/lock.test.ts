import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, keepsFds, openFds, runModule, scratch, throwsSystemError } from './support.js';

test('one holder at a time; mode 0600; released by close', (t) => {
  const path = join(scratch(t), 'lock');
  keepsFds(() => {
    const first = native.lock.acquire(path);
    assert.ok(first !== null);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(native.lock.acquire(path), null);
    const copy = native.fd.dup(first);
    native.fd.close(first);
    assert.equal(native.lock.acquire(path), null, 'a duplicate holds it too');
    native.fd.close(copy);
    const second = native.lock.acquire(path);
    assert.ok(second !== null);
    native.fd.close(second);
  });
});

test('errors', (t) => {
  const directory = scratch(t);
  symlinkSync('elsewhere', join(directory, 'link'));
  keepsFds(() => {
    throwsSystemError(() => native.lock.acquire(join(directory, 'none', 'lock')), 'ENOENT', 'open');
    throwsSystemError(() => native.lock.acquire(join(directory, 'link')), 'ELOOP', 'open');
    throwsSystemError(() => native.lock.acquire(directory), 'EISDIR', 'open');
    assert.throws(() => native.lock.acquire(`${directory}/a\0b`), TypeError);
  });
});

test('moves to another process over a channel, and ends with that process', async (t) => {
  const path = join(scratch(t), 'lock');
  const before = openFds();
  const [ours, theirs] = native.channel.pair();
  const child = runModule(
    t,
    `${IMPORT_NATIVE}
    native.fd.waitReadable(3, 60_000);
    native.channel.receive(3, 10);
    native.channel.send(3, Buffer.from('held'), []);
    native.fd.waitReadable(3, 2_000_000_000);`,
    { stdio: ['ignore', 'inherit', 'inherit', theirs] },
  );
  native.fd.close(theirs);
  const lock = native.lock.acquire(path);
  assert.ok(lock !== null);
  native.channel.send(ours, Buffer.from('lock'), [lock]);
  native.fd.close(lock);
  assert.equal(native.lock.acquire(path), null, 'in flight it is held too');
  assert.equal(native.fd.waitReadable(ours, 60_000), true);
  assert.equal(native.channel.receive(ours, 10)?.data.toString(), 'held');
  assert.equal(native.lock.acquire(path), null);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const again = native.lock.acquire(path);
  assert.ok(again !== null);
  native.fd.close(again);
  native.fd.close(ours);
  assert.equal(openFds(), before);
});
