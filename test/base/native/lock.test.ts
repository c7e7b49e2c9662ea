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
    const first = native.lockFile(path);
    assert.ok(first !== null);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(native.lockFile(path), null);
    const copy = native.dup(first);
    native.close(first);
    assert.equal(native.lockFile(path), null, 'a duplicate holds it too');
    native.close(copy);
    const second = native.lockFile(path);
    assert.ok(second !== null);
    native.close(second);
  });
});

test('errors', (t) => {
  const directory = scratch(t);
  symlinkSync('elsewhere', join(directory, 'link'));
  keepsFds(() => {
    throwsSystemError(() => native.lockFile(join(directory, 'none', 'lock')), 'ENOENT', 'open');
    throwsSystemError(() => native.lockFile(join(directory, 'link')), 'ELOOP', 'open');
    throwsSystemError(() => native.lockFile(directory), 'EISDIR', 'open');
    assert.throws(() => native.lockFile(`${directory}/a\0b`), TypeError);
  });
});

test('moves to another process over a channel, and ends with that process', async (t) => {
  const path = join(scratch(t), 'lock');
  const before = openFds();
  const [ours, theirs] = native.socketpair();
  const child = runModule(
    t,
    `${IMPORT_NATIVE}
    native.waitReadable(3, 60_000);
    native.receive(3, 10);
    native.send(3, Buffer.from('held'), []);
    native.waitReadable(3, 2_000_000_000);`,
    { stdio: ['ignore', 'inherit', 'inherit', theirs] },
  );
  native.close(theirs);
  const lock = native.lockFile(path);
  assert.ok(lock !== null);
  native.send(ours, Buffer.from('lock'), [lock]);
  native.close(lock);
  assert.equal(native.lockFile(path), null, 'in flight it is held too');
  assert.equal(native.waitReadable(ours, 60_000), true);
  assert.equal(native.receive(ours, 10)?.data.toString(), 'held');
  assert.equal(native.lockFile(path), null);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const again = native.lockFile(path);
  assert.ok(again !== null);
  native.close(again);
  native.close(ours);
  assert.equal(openFds(), before);
});
