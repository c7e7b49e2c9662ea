import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLI, codeOf, ROOT, workspace } from '../e2e/harness/index.js';

/** Runs the command as if this Node were another one. */
function runAs(version: string, directory: string): Promise<{ code: number; stderr: string }> {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`;
  const preload = `data:text/javascript,${encodeURIComponent(pretend)}`;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', preload, CLI, 'start', 'missing.js'],
      { cwd: directory },
      (error, _, stderr) => {
        resolve({ code: Number(error?.code ?? 0), stderr });
      },
    );
  });
}

test('a Node that is not supported gets one line that names it, and status 1', async (t) => {
  const { dir } = workspace(t);
  for (const version of ['12.22.12', '18.20.8', '20.18.3', '21.7.3', '22.11.0']) {
    const { code, stderr } = await runAs(version, dir);
    assert.equal(code, 1, version);
    assert.equal(codeOf(stderr), 'ERR_MOTYA_PLATFORM');
    assert.equal(stderr.trimEnd().split('\n').length, 1);
    assert.ok(stderr.includes(` ${version} (${process.execPath})`), stderr);
  }
});

test('those that are supported go on', async (t) => {
  const { dir } = workspace(t);
  for (const version of ['20.19.0', '22.12.0', '23.0.0', '24.0.0', '26.1.0']) {
    // The program is missing.
    assert.equal((await runAs(version, dir)).code, 2, version);
  }
});

test('the file that is loaded first has no syntax of its own time', () => {
  const { bin } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { bin: { motya: string } };
  assert.equal(CLI.endsWith(bin.motya.slice(1)), true);
  // Each of these ends an older Node with a SyntaxError.
  assert.doesNotMatch(readFileSync(CLI, 'utf8'), /\?\.|\?\?|\basync\b|\.\.\.|^import |#\w/m);
});
