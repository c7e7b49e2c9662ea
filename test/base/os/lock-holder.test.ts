import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { lockHolder } from '#src/base/os/lock-holder.js';
import { native } from '#src/base/os/native.js';
import { ROOT } from '../../e2e/harness/index.js';
import { scratch } from '../native/support.js';

const LOCKS = `
import { native } from '${ROOT}dist/base/os/native.js';
native.lock.acquire(process.argv[1]);
console.log('locked');
setInterval(() => {}, 1000);
`;

test('tells the process that holds a lock', (t) => {
  const path = join(scratch(t), 'app.pid.lock');
  assert.equal(lockHolder(path), null);
  const fd = native.lock.acquire(path) as number;
  try {
    assert.equal(lockHolder(path), process.pid);
  } finally {
    native.fd.close(fd);
  }
  assert.equal(lockHolder(path), null);
});

test('and not one that holds a file of the same inode on another file system', async (t) => {
  const directories = [scratch(t), scratch(t)].filter(mounted);
  try {
    if (directories.length < 2) return t.skip('may not mount');
    const [ours, theirs] = directories.map((directory) => join(directory, 'app.pid.lock')) as [string, string];
    for (const path of [ours, theirs]) writeFileSync(path, '');
    // The first file of every tmpfs has the same inode.
    assert.equal(statSync(ours).ino, statSync(theirs).ino);
    const args = ['--input-type=module', '-e', LOCKS, theirs];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const fd = native.lock.acquire(ours) as number;
    try {
      await once(child.stdout, 'data');
      assert.deepEqual([lockHolder(ours), lockHolder(theirs)], [process.pid, child.pid]);
    } finally {
      native.fd.close(fd);
      child.kill('SIGKILL');
      await ended;
    }
  } finally {
    for (const directory of directories) execFileSync('umount', [directory]);
  }
});

/** Whether the directory is a file system of its own now: root may do that. */
function mounted(directory: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'none', directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
