import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Invocation } from '#src/base/os/invocation.js';

const fixtures = fileURLToPath(new URL('../../../test/fixtures/config', import.meta.url));
let directory: string;
before(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'motya-invocation-')));
  mkdirSync(join(directory, 'bin'));
  symlinkSync(process.execPath, join(directory, 'bin/node'));
  symlinkSync(fixtures, join(directory, 'current'));
});
after(() => rmSync(directory, { recursive: true }));

/** Runs a shell line in `cwd`, as typed there. */
function typed(line: string, cwd = directory, env: NodeJS.ProcessEnv = {}): Invocation {
  const path = `${join(directory, 'bin')}:/usr/bin:/bin`;
  // The shell sets PWD to the directory's name as it was typed in cd.
  return JSON.parse(
    execFileSync('/bin/sh', ['-c', `cd '${cwd}' && ${line}`], { encoding: 'utf8', env: { PATH: path, ...env } }),
  ) as Invocation;
}

test('node is found in PATH as the shell found it, the symlink unresolved', () => {
  assert.equal(typed('exec node invocation.mjs -', join(directory, 'current')).file, join(directory, 'bin/node'));
});

test('the directory, the script and the arguments stay as they were typed', () => {
  const { cwd, args } = typed("exec node --no-warnings ./invocation.mjs - '' 'a b' --x=1", join(directory, 'current'));
  assert.equal(cwd, join(directory, 'current'));
  assert.deepEqual(args, ['--no-warnings', './invocation.mjs', '-', '', 'a b', '--x=1']);
});

test('node typed with a path is that path, from the directory', () => {
  const script = join(fixtures, 'invocation.mjs');
  assert.equal(typed(`exec ./bin/node '${script}' -`).file, join(directory, 'bin/node'));
  assert.equal(typed(`exec '${directory}/bin/node' '${script}' -`).file, join(directory, 'bin/node'));
});

test('a later change of directory and of the title changes nothing', () => {
  const { cwd, args, file } = typed('exec node invocation.mjs /', join(directory, 'current'));
  assert.deepEqual(
    { cwd, args, file },
    { cwd: join(directory, 'current'), args: ['invocation.mjs', '/'], file: join(directory, 'bin/node') },
  );
});

test('a PWD that is another directory counts for nothing', () => {
  const script = join(fixtures, 'invocation.mjs');
  assert.equal(typed(`PWD=/usr exec node '${script}' -`).cwd, directory);
  assert.equal(typed(`unset PWD; exec env -u PWD node '${script}' -`).cwd, directory);
});

test('without PWD, a path of the command line that leads through a symlink to the directory names it', () => {
  const link = join(directory, 'current');
  const run = (...args: string[]): string =>
    (
      JSON.parse(
        spawnSync(process.execPath, args, { encoding: 'utf8', cwd: fixtures, env: { PATH: '/usr/bin' } }).stdout,
      ) as Invocation
    ).cwd;
  assert.equal(run(join(link, 'invocation.mjs'), '-'), link);
  assert.equal(run('invocation.mjs', '-', '--config', join(link, 'motya.yaml')), link);
  assert.equal(run('invocation.mjs', '-', `--config=${link}/motya.yaml`), link);
  assert.equal(run('invocation.mjs', '-', '/usr/bin/env'), realpathSync(fixtures));
});

test('a name that PATH does not lead to this Node with is not believed', () => {
  const script = join(fixtures, 'invocation.mjs');
  const run = (argv0: string, PATH: string): Invocation =>
    JSON.parse(
      spawnSync(process.execPath, [script, '-'], {
        encoding: 'utf8',
        argv0,
        cwd: directory,
        env: { PATH, PWD: directory },
      }).stdout,
    ) as Invocation;
  assert.equal(run('sh', '/usr/bin:/bin').file, process.execPath);
  assert.equal(run('no-such-command', '/usr/bin').file, process.execPath);
  assert.equal(
    run('node', 'bin').file,
    join(directory, 'bin/node'),
    'relative entries of PATH count from the directory',
  );
  copyFileSync('/bin/true', join(directory, 'bin/impostor'));
  assert.equal(run('impostor', join(directory, 'bin')).file, process.execPath);
  unlinkSync(join(directory, 'bin/impostor'));
  assert.equal(dirname(run('./bin/node', '').file), join(directory, 'bin'));
});
