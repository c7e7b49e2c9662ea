import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StartError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { Pidfile, readPid } from '#src/base/os/pidfile.js';
import { keepsFds, openFds, outputOf, runModule, scratch } from '../native/support.js';

const PIDFILE = `const { Pidfile } = await import(${JSON.stringify(import.meta.resolve('#src/base/os/pidfile.js'))});`;
const ours = `${process.pid}\n`;

function throwsCode(call: () => unknown, code: string, text: RegExp): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof StartError);
    assert.equal(error.code, code);
    assert.match(error.message, text);
    return true;
  });
}

test('readPid: only a whole pid counts', (t) => {
  const path = join(scratch(t), 'pid');
  assert.equal(readPid(path), null);
  for (const [text, pid] of [
    ['123\n', 123],
    ['123', 123],
    ['', null],
    ['0\n', null],
    ['-1\n', null],
    ['12 \n', null],
    ['12\n13\n', null],
    ['0x10\n', null],
    ['pid\n', null],
  ] as const) {
    writeFileSync(path, text);
    assert.equal(readPid(path), pid, JSON.stringify(text));
  }
});

test('acquire, publish, release: the lock’s file alone stays', (t) => {
  const directory = scratch(t);
  const path = join(directory, 'pid');
  keepsFds(() => {
    const pidfile = new Pidfile(path);
    assert.throws(() => pidfile.lockFd);
    pidfile.acquire();
    assert.equal(existsSync(path), false, 'no instance serves yet');
    pidfile.prepare();
    assert.equal(existsSync(path), false);
    pidfile.publish();
    assert.equal(readFileSync(path, 'utf8'), ours);
    assert.equal(statSync(path).mode & 0o133, 0, 'readable, no more');
    assert.equal(pidfile.isOurs, true);
    pidfile.release();
    pidfile.release();
    assert.deepEqual(readdirSync(directory), ['pid.lock']);
  });
});

test('the lock is of a process that has its file open, whatever the pidfile says', async (t) => {
  const path = join(scratch(t), 'pid');
  const pidfile = new Pidfile(path);
  pidfile.acquire();
  pidfile.publish();
  assert.equal(pidfile.isLockedBy(process.pid), true);
  const other = spawn('sleep', ['1000']);
  await once(other, 'spawn');
  writeFileSync(path, `${other.pid}\n`);
  assert.equal(pidfile.isLockedBy(other.pid ?? 0), false);
  throwsCode(() => new Pidfile(path).acquire(), 'ERR_MOTYA_RUNNING', /^another instance holds/);
  other.kill('SIGKILL');
  await once(other, 'exit');
  assert.equal(pidfile.isLockedBy(other.pid ?? 0), false);
  pidfile.letGo();
});

test('a second instance is told who runs; a stale pidfile is no obstacle', (t) => {
  const path = join(scratch(t), 'pid');
  keepsFds(() => {
    writeFileSync(path, '1\n');
    const first = new Pidfile(path);
    first.acquire();
    const second = new Pidfile(path);
    first.publish();
    throwsCode(
      () => second.acquire(),
      'ERR_MOTYA_RUNNING',
      new RegExp(`the instance with pid ${process.pid} holds .*motya upgrade`),
    );
    second.letGo();
    assert.equal(readFileSync(path, 'utf8'), ours, 'unharmed');
    first.release();
    const fd = native.lock.acquire(`${path}.lock`);
    assert.ok(fd !== null);
    throwsCode(() => second.acquire(), 'ERR_MOTYA_RUNNING', /^another instance holds/);
    native.fd.close(fd);
  });
});

test('a pidfile that names another process by now is left to that one', (t) => {
  const path = join(scratch(t), 'pid');
  keepsFds(() => {
    for (const end of ['release', 'letGo'] as const) {
      const pidfile = new Pidfile(path);
      pidfile.acquire();
      pidfile.publish();
      writeFileSync(path, '1\n');
      assert.equal(pidfile.isOurs, false);
      pidfile[end]();
      assert.equal(readFileSync(path, 'utf8'), '1\n');
    }
  });
});

test('a directory that does not take it: one clear error', (t) => {
  const directory = scratch(t);
  keepsFds(() => {
    throwsCode(
      () => new Pidfile(join(directory, 'none', 'pid')).acquire(),
      'ERR_MOTYA_PIDFILE',
      /none\/pid cannot be used: .*ENOENT/,
    );
    throwsCode(
      () => new Pidfile(join(directory, 'none', 'pid')).prepare(),
      'ERR_MOTYA_PIDFILE',
      /cannot be written: .*ENOENT/,
    );
  });
});

test('a directory without the right to write', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const directory = scratch(t);
  chmodSync(directory, 0o755);
  const child = runModule(
    t,
    `${PIDFILE} process.setgid(65534); process.setuid(65534);
    try { new Pidfile(${JSON.stringify(join(directory, 'pid'))}).acquire(); } catch (error) { console.log(error.code, error.message); }`,
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  assert.match(await outputOf(child), /^ERR_MOTYA_PIDFILE the pidfile .*pid cannot be used: .*EACCES/);
});

test('readers never find it absent, empty or wrong while it is replaced again and again', async (t) => {
  const path = join(scratch(t), 'pid');
  const pidfile = new Pidfile(path);
  pidfile.acquire();
  pidfile.publish();
  const child = runModule(
    t,
    `import { readFileSync } from 'node:fs';
    const wrong = new Set();
    let reads = 0;
    let stop = false;
    process.stdin.once('data', () => { stop = true; });
    console.log('go');
    for (;;) {
      for (let n = 0; n < 200; n += 1) {
        reads += 1;
        let text;
        try { text = readFileSync(${JSON.stringify(path)}, 'utf8'); } catch (error) { text = error.code; }
        if (text !== ${JSON.stringify(ours)}) wrong.add(text);
      }
      if (reads === 1000) console.log('often');
      await new Promise(setImmediate);
      if (stop) break;
    }
    console.log(...wrong);
    process.stdin.destroy();`,
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data');
  const output = outputOf(child);
  let hasRead = false;
  child.stdout?.once('data', () => {
    hasRead = true;
  });
  for (let n = 0; n < 1000 || !hasRead; n += 1) {
    pidfile.publish();
    // So that the reader gets its turns on a machine with few CPUs.
    if (n % 20 === 0) await new Promise(setImmediate);
  }
  child.stdin?.write('stop');
  assert.equal(await output, 'often\n\n');
  pidfile.release();
});

test('the lock passes over a channel: from there on it is the successor’s', (t) => {
  const path = join(scratch(t), 'pid');
  keepsFds(() => {
    const incumbent = new Pidfile(path);
    incumbent.acquire();
    incumbent.publish();
    const [a, b] = native.channel.pair();
    native.channel.send(a, Buffer.from('lock'), [incumbent.lockFd]);
    const [lockFd] = native.channel.receive(b, 100)?.fds ?? [];
    assert.ok(lockFd !== undefined);
    native.fd.close(a);
    native.fd.close(b);
    const successor = new Pidfile(path);
    successor.inherit(lockFd);
    assert.equal(successor.lockFd, lockFd);
    incumbent.letGo();
    assert.equal(native.lock.acquire(`${path}.lock`), null);
    assert.equal(readFileSync(path, 'utf8'), ours, 'letGo leaves the pidfile');
    successor.release();
    assert.equal(existsSync(path), false);
  });
});

test('settings that name another pidfile by now: its own lock is taken, the old one given back', (t) => {
  const directory = scratch(t);
  keepsFds(() => {
    const incumbent = new Pidfile(join(directory, 'old'));
    incumbent.acquire();
    const successor = new Pidfile(join(directory, 'new'));
    successor.inherit(native.fd.dup(incumbent.lockFd));
    assert.equal(native.lock.acquire(join(directory, 'new.lock')), null);
    const other = new Pidfile(join(directory, 'new'));
    throwsCode(() => other.inherit(native.fd.dup(incumbent.lockFd)), 'ERR_MOTYA_RUNNING', /holds/);
    incumbent.release();
    const fd = native.lock.acquire(join(directory, 'old.lock'));
    assert.ok(fd !== null, 'no copy of it is left');
    native.fd.close(fd);
    successor.release();
  });
});

test('acquireAfterDeath waits for the dead one’s lock, but not for ever', async (t) => {
  const path = join(scratch(t), 'pid');
  const before = openFds();
  const dead = new Pidfile(path);
  dead.acquire();
  const next = new Pidfile(path);
  await assert.rejects(next.acquireAfterDeath(60), { code: 'ERR_MOTYA_RUNNING' });
  const acquiring = next.acquireAfterDeath(60_000);
  dead.letGo();
  await acquiring;
  next.letGo();
  assert.equal(openFds(), before);
});
