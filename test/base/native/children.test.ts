import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, keepsFds, openFds, outputOf, runModule, throwsSystemError, track } from './support.js';

/** For a process of its own: here, `reap` would take the children of Node's test runner. */
const PRELUDE = `${IMPORT_NATIVE}
const { readFileSync } = await import('node:fs');
const sh = (text) => native.process.launch({ file: '/bin/sh', args: ['-c', text], env: [], cwd: '/', fds: [] });
// Counts the signals from here on, and keeps the loop alive.
let seen = () => {};
process.on('SIGCHLD', () => seen());
setTimeout(() => process.exit(9), 60_000);
/** The next child that has ended. */
const next = async () => {
  for (;;) {
    const { ended, left } = native.children.reap();
    if (ended.length > 0) return { ...ended[0], left };
    await new Promise((resolve) => { seen = resolve; });
  }
};
const say = (what) => { console.log(JSON.stringify(what)); process.exit(); };
`;

async function inProcess(t: TestContext, source: string): Promise<unknown> {
  return JSON.parse(await outputOf(runModule(t, PRELUDE + source, { stdio: ['ignore', 'pipe', 'inherit'] })));
}

test('a subreaper gets what it launches, and orphans, and learns how they ended', async (t) => {
  const { SIGKILL, SIGTERM } = constants.signals;
  const result = await inProcess(
    t,
    `native.children.becomeSubreaper();
    const pids = [sh('exit 7')];
    const ends = [await next()];
    pids.push(sh('kill -TERM $$'));
    ends.push(await next());
    pids.push(sh('sleep 60 & exit 0'));
    ends.push(await next());
    const orphan = Number(readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8'));
    pids.push(orphan);
    const told = native.children.signal(orphan, ${SIGKILL});
    ends.push(await next());
    const own = ends.every(({ pid }, index) => pid === pids[index]);
    say({ own, told, again: native.children.signal(orphan, 0), ends: ends.map(({ pid, ...end }) => end) });`,
  );
  assert.deepEqual(result, {
    own: true,
    told: true,
    again: false,
    ends: [
      { status: 7, signal: null, left: false },
      { status: null, signal: SIGTERM, left: false },
      { status: 0, signal: null, left: true },
      { status: null, signal: SIGKILL, left: false },
    ],
  });
});

test('without it, nothing that is launched becomes a child', async (t) => {
  const result = await inProcess(
    t,
    `const pid = sh('sleep 60');
    const told = native.children.signal(pid, 9);
    process.kill(pid, 9);
    say([told, native.children.reap()]);`,
  );
  assert.deepEqual(result, [false, { ended: [], left: false }]);
});

test('a zombie is a child still; a stranger never was one', async (t) => {
  const result = await inProcess(
    t,
    `native.children.becomeSubreaper();
    const pid = sh('exit 0');
    while (!/^State:\\tZ/m.test(readFileSync('/proc/' + pid + '/status', 'utf8')));
    const { length } = native.children.reap().ended;
    say([length, native.children.signal(pid, 0), native.children.signal(process.ppid, 0)]);`,
  );
  assert.deepEqual(result, [1, false, false]);
});

test('a pidfd tells of the end of any process, and signals it alone', async (t) => {
  const child = track(t, spawn('/bin/sleep', ['60'], { stdio: 'ignore' }));
  const before = openFds();
  const fd = native.pidfd.open(child.pid as number);
  assert.equal(native.fd.waitReadable(fd, 0), false);
  native.pidfd.signal(fd, constants.signals.SIGTERM);
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGTERM');
  assert.equal(native.fd.waitReadable(fd, 60_000), true);
  throwsSystemError(() => native.pidfd.signal(fd, 0), 'ESRCH', 'pidfd_send_signal');
  throwsSystemError(() => native.pidfd.open(child.pid as number), 'ESRCH', 'pidfd_open');
  native.fd.close(fd);
  assert.equal(openFds(), before);
});

test('copyFd: a listener of another process, while that is stopped', async (t) => {
  const child = runModule(
    t,
    `${IMPORT_NATIVE}
     const fd = native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
     console.log(JSON.stringify([fd, native.listener.describe(fd)]));
     setInterval(() => {}, 1_000_000);`,
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  assert.ok(child.stdout);
  const [fd, socket] = JSON.parse(String((await once(child.stdout, 'data'))[0])) as [number, { inode: number }];
  child.kill('SIGSTOP');
  const before = openFds();
  const pidfd = native.pidfd.open(child.pid as number);
  const copy = native.pidfd.copyFd(pidfd, fd);
  assert.deepEqual({ ...native.listener.describe(copy) }, socket);
  throwsSystemError(() => native.pidfd.copyFd(pidfd, 9999), 'EBADF', 'pidfd_getfd');
  throwsSystemError(() => native.pidfd.copyFd(copy, fd), 'EBADF', 'pidfd_getfd');
  native.fd.close(copy);
  native.fd.close(pidfd);
  assert.equal(openFds(), before);
});

test('wrong arguments', () => {
  keepsFds(() => {
    for (const pid of [0, -1, 1.5, '1', undefined]) {
      assert.throws(() => native.children.signal(pid as number, 0), TypeError);
      assert.throws(() => native.pidfd.open(pid as number), TypeError);
    }
    assert.throws(() => native.children.signal(1, 65), TypeError);
    assert.throws(() => native.pidfd.signal(-1, 0), TypeError);
    assert.throws(() => native.pidfd.copyFd(0, -1), TypeError);
    throwsSystemError(() => native.pidfd.signal(0, 0), 'EBADF', 'pidfd_send_signal');
  });
});
