import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { readPidfile, until } from './harness/index.js';
import { type Scene, scene } from './scene.js';

const skip = process.getuid?.() === 0 ? false : 'needs root, to mount a small file system';

test('a full disk at the pidfile refuses the upgrade, and nothing else', { skip }, async (context) => {
  const stage = await scene(context);
  const disk = stage.space.path('disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=700', 'tmpfs', disk]);
  try {
    await fillAndUpgrade(stage, disk);
  } finally {
    // Before the workspace goes, whose processes may still have files open there.
    execFileSync('umount', ['--lazy', disk]);
  }
});

async function fillAndUpgrade(stage: Scene, disk: string): Promise<void> {
  const pidfile = `${disk}/app.pid`;
  const first = await stage.first(['--pidfile', pidfile]);
  const before = readdirSync(disk).sort();

  const filler = `${disk}/filler`;
  assert.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' });
  const refused = await stage.upgrade();
  assert.equal(refused.code, 3);
  assert.match(
    refused.stderr,
    /^motya: the upgrade was rejected: the pidfile .*app\.pid cannot be written: ENOSPC: .*; pid \d+ serves on\n$/,
  );
  assert.deepEqual([(await stage.who()).generation, readPidfile(pidfile)], ['1', first.pid]);

  rmSync(filler);
  const left = () => readdirSync(disk).sort();
  await until(() => left().join() === before.join(), { what: 'the end of the one that failed', instead: left });
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await stage.who()).generation, '2');
  assert.notEqual(readPidfile(pidfile), first.pid);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
}
