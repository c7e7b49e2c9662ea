import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HandoverError, StartError } from '#src/base/errors.js';
import { type Launched, launch, outcomeError } from '#src/base/os/launch.js';
import { until } from '../../e2e/harness/until.js';
import { openFds, scratch } from '../native/support.js';

const LAUNCH = JSON.stringify(import.meta.resolve('#src/base/os/launch.js'));

/** Launches a module with its output in a file; returns what the file holds once the program has ended. */
async function launchModule(
  t: TestContext,
  source: string,
  options: { env?: NodeJS.ProcessEnv; umask?: number } = {},
): Promise<{ launched: Launched; directory: string; output: () => Promise<string> }> {
  const directory = scratch(t);
  const file = join(directory, 'output');
  const output = openSync(file, 'a');
  const invocation = { file: process.execPath, args: ['--input-type=module', '-e', source], cwd: directory };
  const umask = options.umask === undefined ? {} : { umask: options.umask };
  // Whatever the tests' runner marks its processes with goes along.
  const launched = launch(invocation, { env: { ...process.env, ...options.env }, output, ...umask });
  closeSync(output);
  return {
    launched,
    directory,
    output: async () => {
      await until(() => !isAlive(launched.pid), { what: 'the end of the program' });
      return readFileSync(file, 'utf8');
    },
  };
}

/** A zombie is as good as gone: the process that adopted it may be slow to reap. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Checks that the test leaves as many fds as it found. */
async function keepsFds(body: () => Promise<void>): Promise<void> {
  const before = openFds();
  await body();
  await until(() => openFds() === before, { what: 'fds as before', instead: () => openFds() - before });
}

test('a program that reports success is still there afterwards', async (t) => {
  await keepsFds(async () => {
    const { launched, output } = await launchModule(
      t,
      `const { isLaunched, report, takeReportPipe } = await import(${LAUNCH});
      console.log(isLaunched());
      takeReportPipe();
      console.log(isLaunched(), process.env.MOTYA_READY_FD, process.env.EXTRA);
      report({ ok: true, pid: process.pid, generation: 3 });
      report({ ok: false, code: 'LATE', text: 'only the first counts' });
      console.error('to the same file');`,
      { env: { EXTRA: 'a=b c', GONE: undefined } },
    );
    assert.deepEqual(await launched.outcome, { ok: true, pid: launched.pid, generation: 3 });
    assert.equal(await output(), 'true\nfalse undefined a=b c\nto the same file\n');
  });
});

test('a failure comes with its code and its reason', async (t) => {
  await keepsFds(async () => {
    const { launched, output } = await launchModule(
      t,
      `const { report, takeReportPipe } = await import(${LAUNCH});
      takeReportPipe();
      report({ ok: false, code: 'ERR_MOTYA_LISTENER', text: 'port 80 – in use' });`,
    );
    const outcome = await launched.outcome;
    assert.deepEqual(outcome, { ok: false, code: 'ERR_MOTYA_LISTENER', text: 'port 80 – in use' });
    assert.ok(!outcome.ok);
    const error = outcomeError(outcome);
    assert.ok(error instanceof HandoverError);
    assert.deepEqual([error.code, error.message], ['ERR_MOTYA_LISTENER', 'port 80 – in use']);
    await output();
  });
});

test('an end without a word is a death, also in the middle of the word', async (t) => {
  await keepsFds(async () => {
    for (const last of ['', `const fs = await import('node:fs'); fs.writeSync(3, '{"ok":tr');`]) {
      const { launched, output } = await launchModule(t, `${last} process.kill(process.pid, 'SIGKILL');`);
      const text = `the instance (pid ${launched.pid}) ended without a word; its output says more`;
      assert.deepEqual(await launched.outcome, { ok: false, code: 'ERR_MOTYA_INSTANCE_DIED', text });
      await output();
    }
  });
});

test('what cannot be executed is an error at once', async (t) => {
  const directory = scratch(t);
  await keepsFds(async () => {
    const none = join(directory, 'none');
    const right = { file: process.execPath, args: [], cwd: directory };
    for (const [wrong, code, part] of [
      [{ file: directory }, 'ERR_MOTYA_LAUNCH', 'execve EACCES'],
      [{ file: none }, 'ERR_MOTYA_FILE_MISSING', none],
      [{ cwd: none }, 'ERR_MOTYA_FILE_MISSING', none],
      [{ entry: none }, 'ERR_MOTYA_FILE_MISSING', none],
    ] as const) {
      assert.throws(
        () => launch({ ...right, ...wrong }, { env: {}, output: 'inherit' }),
        (error: unknown) => error instanceof StartError && error.code === code && error.message.includes(part),
      );
    }
  });
});

test('it is the child of no process, has /dev/null for stdin, its own umask and directory, and no fd of ours', async (t) => {
  await keepsFds(async () => {
    const leaky = openSync('/dev/zero', 'r');
    const { launched, directory, output } = await launchModule(
      t,
      `import { readdirSync, readlinkSync, readFileSync } from 'node:fs';
      import { spawnSync } from 'node:child_process';
      const files = (pid) => readdirSync('/proc/' + pid + '/fd').flatMap((fd) => {
        try { return [readlinkSync('/proc/' + pid + '/fd/' + fd)]; } catch { return []; }
      });
      const { takeReportPipe } = await import(${LAUNCH});
      takeReportPipe();
      const child = spawnSync('/bin/ls', ['-l', '/proc/self/fd'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
      console.log(JSON.stringify({
        parent: process.ppid,
        session: Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ')[3]),
        umask: process.umask(),
        cwd: process.cwd(),
        stdin: readlinkSync('/proc/self/fd/0'),
        zero: files('self').includes('/dev/zero'),
        childHasPipe3: / 3 -> pipe:/.test(child.stdout),
      }));`,
      { umask: 0o027 },
    );
    assert.equal((await launched.outcome).ok, false);
    const told = JSON.parse(await output()) as Record<string, unknown>;
    closeSync(leaky);
    const { parent, session, ...rest } = told;
    assert.notEqual(parent, process.pid);
    assert.ok(parent === 1 || readdirSync('/proc').includes(String(parent)), 'PID 1, or a subreaper');
    assert.notEqual(session, launched.pid, 'no session leader');
    assert.deepEqual(rest, { umask: 0o027, cwd: directory, stdin: '/dev/null', zero: false, childHasPipe3: false });
  });
});

test('without an umask it keeps ours; several at a time have a pipe each', async (t) => {
  await keepsFds(async () => {
    const all = await Promise.all(
      [1, 2, 3].map((generation) =>
        launchModule(
          t,
          `const { report, takeReportPipe } = await import(${LAUNCH});
          takeReportPipe();
          console.log(process.umask());
          report({ ok: true, pid: process.pid, generation: ${generation} });`,
        ),
      ),
    );
    const outcomes = await Promise.all(all.map(({ launched }) => launched.outcome));
    assert.deepEqual(
      outcomes,
      all.map(({ launched }, index) => ({ ok: true, pid: launched.pid, generation: index + 1 })),
    );
    for (const { output } of all) assert.equal(await output(), `${process.umask()}\n`);
  });
});
