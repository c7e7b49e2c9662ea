import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { isSystemError } from '#src/base/errors.js';

/** Source line that gives a child process or worker thread the same addon. */
export const IMPORT_NATIVE = `const { native } = await import(${JSON.stringify(import.meta.resolve('#src/base/os/native.js'))});`;

export function throwsSystemError(call: () => unknown, code: string, syscall: string): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(isSystemError(error), `not a system error: ${String(error)}`);
    assert.equal(`${error.syscall} ${error.code}`, `${syscall} ${code}`);
    assert.ok(error.errno < 0);
    assert.ok(error.message.startsWith(`${syscall} ${code}: `), error.message);
    return true;
  });
}

export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Runs `body` and checks that it leaves as many fds open as there were. */
export function keepsFds(body: () => void): void {
  const before = openFds();
  body();
  assert.equal(openFds(), before, 'fds left open (or closed too many)');
}

/** Empty directory that goes with the test. */
export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'motya-native-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Child that runs an ES module given as text; killed with the test if it still runs. */
export function runModule(t: TestContext, source: string, options: SpawnOptions = {}): ChildProcess {
  return track(t, spawn(process.execPath, ['--input-type=module', '-e', source], options));
}

export function track(t: TestContext, child: ChildProcess): ChildProcess {
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Everything that the child writes to stdout until it ends; fails unless it ends with status 0. */
export async function outputOf(child: ChildProcess): Promise<string> {
  assert.ok(child.stdout);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const [status, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject).once('close', (code, by) => resolve([code, by]));
  });
  assert.deepEqual([status, signal], [0, null], text);
  return text;
}
