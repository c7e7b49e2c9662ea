import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ErrorCode } from '#src/base/error-catalog.js';
import type { Details } from '#src/base/errors.js';
import { readPidfile, until } from './harness/index.js';
import { failureOf, outcomeOf, program, type Scene, scene } from './scene.js';

const skip = process.getuid?.() === 0 ? false : 'needs root, to mount a small file system';

/** Says a line at each request, too. */
const TALKS = program('one', "setImmediate(() => server.on('request', () => console.log('asked')));");

for (const [what, fill] of [
  ['a full disk at the pidfile refuses the upgrade, and nothing else', fillAndUpgrade],
  ['a read-only pidfile refuses the upgrade, and nothing else, not even the end', readOnly],
  ['a full disk at the log loses lines, says so once, and hinders nothing else', fillTheLog],
] as const) {
  test(what, { skip }, async (context) => {
    const stage = await scene(context, '', TALKS);
    const disk = stage.space.path('disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=20k,mode=700', 'tmpfs', disk]);
    try {
      await fill(stage, disk);
    } finally {
      // Before the workspace goes, whose processes may still have files open there.
      execFileSync('umount', ['--all-targets', '--lazy', disk]);
    }
  });
}

test('a disk without room for the lock or a socket: the start says the path and the numbers', {
  skip,
}, async (context) => {
  const stage = await scene(context, '', TALKS);
  const disk = stage.space.path('disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=1,mode=700', 'tmpfs', disk]);
  try {
    for (const [flag, path, code] of [
      ['--pidfile', `${disk}/app.pid`, 'ERR_MOTYA_PIDFILE'],
      ['--upgrade-socket', `${disk}/app.sock`, 'ERR_MOTYA_SOCKET'],
    ] as const) {
      const child = stage.start([flag, path], { MOTYA_ADMIN: 'off' });
      assert.equal((await child.waitForExit()).code, 1);
      const { code: said, message, ...rest } = failureOf(child);
      const details = rest.details as Details;
      assert.deepEqual([said, details.reason, details.inodes], [code, 'ENOSPC', 0], message);
      assert.ok(String(details.path).startsWith(disk), message);
    }
  } finally {
    execFileSync('umount', ['--all-targets', '--lazy', disk]);
  }
});

/** @returns the details */
async function rejectedFor(stage: Scene, code: ErrorCode): Promise<Details> {
  const upgrade = await stage.upgrade('--json');
  const told = outcomeOf(upgrade);
  assert.deepEqual([upgrade.code, told.code], [3, code], told.text);
  return told.details ?? {};
}

async function fillAndUpgrade(stage: Scene, disk: string): Promise<void> {
  const pidfile = `${disk}/app.pid`;
  const first = await stage.first(['--pidfile', pidfile]);
  const before = readdirSync(disk).sort();

  const filler = `${disk}/filler`;
  assert.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' });
  const { path, reason, free } = await rejectedFor(stage, 'ERR_MOTYA_PIDFILE');
  assert.deepEqual([path, reason, free], [pidfile, 'ENOSPC', 0]);
  assert.deepEqual([(await stage.who()).generation, readPidfile(pidfile)], ['1', first.pid]);

  rmSync(filler);
  const left = () => readdirSync(disk).sort();
  await until(() => left().join() === before.join(), { what: 'the end of the one that failed', instead: left });
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await stage.who()).generation, '2');
  assert.notEqual(readPidfile(pidfile), first.pid);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
}

async function readOnly(stage: Scene, disk: string): Promise<void> {
  const pidfile = `${disk}/app.pid`;
  const first = await stage.first(['--pidfile', pidfile]);
  // Over the mount that has the lock open for writing, and so cannot become read-only itself.
  execFileSync('mount', ['--bind', disk, disk]);
  execFileSync('mount', ['-o', 'remount,bind,ro', disk]);
  const { path, reason } = await rejectedFor(stage, 'ERR_MOTYA_PIDFILE');
  assert.deepEqual([path, reason], [pidfile, 'EROFS']);
  assert.equal((await stage.who()).generation, '1');

  first.kill('SIGTERM');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  // It could not be removed. What says that it is true is the lock, which has ended with its process.
  assert.equal(readPidfile(pidfile), first.pid);
  execFileSync('umount', [disk]);
  const next = await stage.first(['--pidfile', pidfile]);
  assert.equal(readPidfile(pidfile), next.pid);
  assert.equal((await stage.upgrade()).code, 0);
}

async function fillTheLog(stage: Scene, disk: string): Promise<void> {
  const log = `${disk}/app.log`;
  const first = stage.start(['--log-file', log]);
  await until(() => stage.who().catch(() => false), { what: 'an answer', instead: () => first.describe() });

  const filler = `${disk}/filler`;
  assert.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' });
  // Until the last page of the log is full as well.
  await until(async () => (await stage.who()) && first.stderrLines.length > 0, { what: 'a line on stderr' });
  for (let request = 0; request < 20; request++) assert.equal((await stage.who()).generation, '1');
  const [said, ...more] = first.logs;
  assert.deepEqual([said?.level, said?.event, more], ['error', 'log-file', []]);
  assert.deepEqual([said?.code, said?.path], ['ENOSPC', log]);

  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await stage.who()).generation, '2');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  for (let request = 0; request < 20; request++) assert.equal((await stage.who()).generation, '2');
  // The successor, whose output is the same, has said it too.
  assert.deepEqual([first.logs.length, first.stderrLines.length], [2, 2]);

  rmSync(filler);
  const text = () => readFileSync(log, 'utf8');
  const notice = /"level":"warn","message":"log lines were lost","lost":[1-9]\d*\}\n.*asked/;
  await until(async () => (await stage.who()) && notice.test(text()), { what: 'how many were lost', instead: text });
  assert.equal(first.logs.length, 2);
}
