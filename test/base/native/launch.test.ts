import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { type LaunchSpec, native } from '#src/base/os/native.js';
import { keepsFds, scratch, throwsSystemError } from './support.js';

/** A program that lives until its stdin ends. */
const CAT: LaunchSpec = { file: '/bin/cat', args: ['-'], env: ['MARK=1', 'TWO=a b'], cwd: '/', fds: [] };

function childrenOfUs(): string {
  const threads = readdirSync('/proc/self/task');
  return threads.map((thread) => readFileSync(`/proc/self/task/${thread}/children`, 'utf8')).join('');
}

/** Fields of /proc/PID/stat from the third on: state, ppid, pgrp, session … (proc(5)). */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function statusOf(pid: number, field: string): string | undefined {
  return new RegExp(`^${field}:\\s+(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
}

interface Cat {
  readonly pid: number;
  /** Sends a text through it. */
  echo(text: string): string;
}

/** Launches a cat between two pipes, hands it to `body`, then ends it and waits for its end. */
function withCat(spec: Partial<LaunchSpec>, body: (cat: Cat) => void): void {
  keepsFds(() => {
    const before = childrenOfUs();
    const [input, say] = native.fd.pipe();
    const [hear, output] = native.fd.pipe();
    const errors = openSync('/dev/null', 'w');
    const pid = native.process.launch({ ...CAT, fds: [input, output, errors], ...spec });
    native.fd.close(input);
    native.fd.close(output);
    closeSync(errors);
    const listen = () => {
      assert.equal(native.fd.waitReadable(hear, 60_000), true);
      const data = Buffer.alloc(1000);
      return data.toString('utf8', 0, readSync(hear, data));
    };
    try {
      const echo = (text: string) => {
        writeSync(say, text);
        return listen();
      };
      body({ pid, echo });
      assert.equal(childrenOfUs(), before, 'no child, no zombie');
    } finally {
      native.fd.close(say);
      // The program alone held the other end, so the end of file is its end.
      assert.equal(listen(), '');
      native.fd.close(hear);
    }
  });
}

test('the program is the child of no process, leads no session, and runs with what it was given', (t) => {
  const cwd = scratch(t);
  withCat({ cwd, umask: 0o137 }, ({ pid, echo }) => {
    assert.equal(echo('hello'), 'hello');
    const [, parent, group, session] = statOf(pid);
    assert.notEqual(Number(parent), process.pid);
    assert.notEqual(Number(session), pid, 'not a session leader');
    assert.equal(session, group);
    assert.notEqual(session, statOf(process.pid)[3], 'not in our session');
    assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '/bin/cat\0-\0');
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), 'MARK=1\0TWO=a b\0');
    assert.equal(readlinkSync(`/proc/${pid}/cwd`), cwd);
    assert.equal(Number.parseInt(statusOf(pid, 'Umask') ?? '', 8), 0o137);
  });
});

test('signals are at their defaults (Node itself ignores SIGPIPE), nothing is blocked here or there', () => {
  assert.notEqual(Number.parseInt(statusOf(process.pid, 'SigIgn') ?? '', 16), 0, 'there is something to reset');
  const blocked = statusOf(process.pid, 'SigBlk');
  withCat({}, ({ pid }) => {
    for (const field of ['SigIgn', 'SigBlk', 'SigCgt']) assert.equal(statusOf(pid, field), '0000000000000000', field);
  });
  assert.equal(statusOf(process.pid, 'SigBlk'), blocked);
});

test('umask is inherited when it is left out', () => {
  withCat({}, ({ pid }) => assert.equal(statusOf(pid, 'Umask'), statusOf(process.pid, 'Umask')));
});

test('fds become 0, 1, 2 … in their order, also when the numbers overlap; no other fd gets through', (t) => {
  // An fd that an exec would keep.
  const leaky = openSync('/dev/zero', 'r');
  const target = openSync('/dev/null', 'r');
  native.fd.redirect(leaky, target);
  t.after(() => {
    closeSync(leaky);
    closeSync(target);
  });
  keepsFds(() => {
    const sockets = native.channel.pair();
    const [input, say] = native.fd.pipe();
    // 1 and 2 swapped, one fd twice, and sources that are targets of others.
    const [ended, alive] = native.fd.pipe();
    const spec = { ...CAT, fds: [input, 2, 1, sockets[1], sockets[0], 0, sockets[0], alive] };
    const pid = native.process.launch(spec);
    const own = spec.fds.map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
    const fdsOf = () => readdirSync(`/proc/${pid}/fd`).sort((a, b) => Number(a) - Number(b));
    let its = fdsOf();
    // Right after the exec the dynamic linker has a library open; what got through from us would stay.
    for (const end = performance.now() + 60_000; its.length > 8 && performance.now() < end; ) its = fdsOf();
    assert.deepEqual(its, ['0', '1', '2', '3', '4', '5', '6', '7']);
    assert.deepEqual(
      its.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)),
      own,
    );
    native.fd.close(alive);
    native.fd.close(say);
    // The program alone holds the other end now: a hang-up is its end.
    assert.equal(native.fd.waitReadable(ended, 60_000), true);
    for (const fd of [input, ended, ...sockets]) native.fd.close(fd);
  });
});

test('a variable with the program’s own pid, which only the fork decides', () => {
  withCat({ pidVariable: 'LISTEN_PID' }, ({ pid }) => {
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')[2], `LISTEN_PID=${pid}`);
  });
});

test('no fds at all', () => {
  keepsFds(() => {
    const pid = native.process.launch({ ...CAT, file: '/bin/true' });
    assert.ok(pid > 0);
  });
});

test('what fails is thrown, and leaves no process', () => {
  const before = childrenOfUs();
  keepsFds(() => {
    throwsSystemError(() => native.process.launch({ ...CAT, file: '/nonexistent/program' }), 'ENOENT', 'execve');
    throwsSystemError(() => native.process.launch({ ...CAT, file: '/etc/passwd' }), 'EACCES', 'execve');
    throwsSystemError(() => native.process.launch({ ...CAT, cwd: '/nonexistent' }), 'ENOENT', 'chdir');
    throwsSystemError(() => native.process.launch({ ...CAT, cwd: '/etc/passwd' }), 'ENOTDIR', 'chdir');
    throwsSystemError(() => native.process.launch({ ...CAT, fds: [0, 1_000_000] }), 'EBADF', 'fcntl');
    throwsSystemError(() => native.process.launch({ ...CAT, args: ['x'.repeat(1 << 18)] }), 'E2BIG', 'execve');
    const wrong: object[] = [
      { file: 1 },
      { file: '/bin/cat\0' },
      { args: 'x' },
      { args: ['a\0b'] },
      { args: [1] },
      // Room for as many as an array says it has would be 100 GB.
      { args: new Array(2 ** 32 - 1) },
      { args: ['x'.repeat((2 << 20) + 1)] },
      { env: undefined },
      { cwd: undefined },
      { umask: 0o1000 },
      { fds: [-1] },
      { fds: new Array(2 ** 32 - 1) },
      { fds: undefined },
      { pidVariable: 1 },
    ];
    for (const part of wrong) {
      assert.throws(
        () => native.process.launch({ ...CAT, ...part } as LaunchSpec),
        TypeError,
        Object.keys(part).join(),
      );
    }
    assert.throws(() => native.process.launch(undefined as unknown as LaunchSpec), TypeError);
  });
  assert.equal(childrenOfUs(), before);
});
