import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fingerprintOf, haveChanged, PROGRAM_DIRECTORY_ENTRIES } from '#src/supervisor/program-files.js';
import { scratch } from '../base/native/support.js';

test('a deploy changes the fingerprint, and nothing else does', (t) => {
  const directory = scratch(t);
  const write = (name: string, text = ''): string => {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  for (const release of ['one', 'two']) {
    write(`${release}/package.json`, '{}');
    write(`${release}/server.js`);
    write(`${release}/lib/routes.mjs`);
    write(`${release}/node_modules/.package-lock.json`);
    write(`${release}/node_modules/x/index.js`);
    write(`${release}/data/state.json`);
  }
  const source = write('motya.yaml');
  const current = join(directory, 'current');
  symlinkSync('one', current);
  const files = { scripts: [join(current, 'server.js')], source };

  const swap = (): void => {
    symlinkSync('two', `${current}.new`);
    renameSync(`${current}.new`, current);
  };
  const keepsTime = (): void => {
    write('two/lib/routes.mjs', 'x');
    utimesSync(join(directory, 'two/lib/routes.mjs'), 1, 1);
  };
  const changes: Record<string, () => void> = {
    'the script': () => void write('one/server.js', 'x'),
    'a module': () => void write('one/lib/routes.mjs', 'y'),
    'a new module': () => void write('one/lib/new.ts'),
    'a removed one': () => rmSync(join(directory, 'one/lib/new.ts')),
    'what npm has installed': () => void write('one/node_modules/.package-lock.json', 'x'),
    'package.json': () => void write('one/package.json', '{"a":1}'),
    'the settings': () => void write('motya.yaml', 'x'),
    'another release': swap,
    'a copy with an old time': keepsTime,
  };
  for (const [what, change] of Object.entries(changes)) {
    const before = fingerprintOf(files);
    assert.equal(haveChanged(files, before), false);
    change();
    assert.equal(haveChanged(files, before), true, what);
  }
  const before = fingerprintOf(files);
  write('two/data/state.json', 'x');
  write('two/server.log', 'x');
  assert.equal(haveChanged(files, before), false, 'what a program writes');
  rmSync(join(directory, 'two/server.js'));
  assert.equal(haveChanged(files, before), false, 'nothing to compare with: another mount, say');
  assert.equal(haveChanged(files, '0:made in another way'), false);
});

/** A package of one script in a directory that data of it is in as well. */
function packageIn(t: TestContext) {
  const directory = realpathSync(scratch(t));
  writeFileSync(join(directory, 'package.json'), '{}');
  writeFileSync(join(directory, 'server.js'), '');
  return { directory, files: { scripts: [join(directory, 'server.js')], source: null } };
}

test('what cannot be looked at has a fingerprint all the same', (t) => {
  const { directory, files } = packageIn(t);
  const modules = join(directory, 'node_modules');
  symlinkSync(modules, modules);
  const source = join(directory, 'motya.yaml');
  symlinkSync(source, source);
  const before = fingerprintOf({ ...files, source });
  assert.equal(haveChanged({ ...files, source }, before), false);
  rmSync(source);
  writeFileSync(source, '');
  assert.equal(haveChanged({ ...files, source }, before), true);
});

test('the files of a program in node_modules are those of the package that has it installed', (t) => {
  const { directory } = packageIn(t);
  const next = join(directory, 'node_modules/next');
  mkdirSync(join(next, 'bin'), { recursive: true });
  writeFileSync(join(next, 'package.json'), '{}');
  writeFileSync(join(next, 'bin/next.js'), '');
  const files = { scripts: [join(next, 'bin/next.js')], source: null };
  const before = fingerprintOf(files);
  writeFileSync(join(directory, 'page.js'), '');
  assert.equal(haveChanged(files, before), true);
  const built = fingerprintOf(files);
  mkdirSync(join(directory, '.next/cache'), { recursive: true });
  writeFileSync(join(directory, '.next/cache/page.js'), '');
  assert.equal(haveChanged(files, built), false);
  writeFileSync(join(directory, '.next/BUILD_ID'), '2');
  assert.equal(haveChanged(files, built), true);
  // Installed globally: there is no other package.
  for (const name of ['package.json', 'page.js']) rmSync(join(directory, name));
  const global = fingerprintOf(files);
  writeFileSync(join(next, 'server.js'), '');
  assert.equal(haveChanged(files, global), true);
});

test('with workspaces, those of a program at the root are also what is built in its working directory', (t) => {
  const { directory } = packageIn(t);
  for (const path of ['node_modules/next/bin', 'apps/web/.next', 'apps/api/.next'])
    mkdirSync(join(directory, path), { recursive: true });
  for (const path of ['node_modules/next/package.json', 'apps/web/package.json', 'apps/api/package.json'])
    writeFileSync(join(directory, path), '{}');
  const script = join(directory, 'node_modules/next/bin/next.js');
  writeFileSync(script, '');
  symlinkSync('apps/web', join(directory, 'current'));
  const files = { scripts: [script], cwds: [join(directory, 'current')], source: null };
  const before = fingerprintOf(files);
  writeFileSync(join(directory, 'apps/api/.next/BUILD_ID'), '1');
  assert.equal(haveChanged(files, before), false);
  writeFileSync(join(directory, 'apps/web/.next/BUILD_ID'), '1');
  assert.equal(haveChanged(files, before), true);
  const built = fingerprintOf(files);
  rmSync(join(directory, 'current'));
  symlinkSync('apps/api', join(directory, 'current'));
  assert.equal(haveChanged(files, built), true);
});

test('a directory with thousands of entries holds data', (t) => {
  const { directory, files } = packageIn(t);
  for (const name of ['data', 'lib']) mkdirSync(join(directory, name));
  for (let index = 0; index <= PROGRAM_DIRECTORY_ENTRIES; index++)
    writeFileSync(join(directory, 'data', `${index}.js`), '');
  const before = fingerprintOf(files);
  writeFileSync(join(directory, 'data', '0.js'), 'x');
  assert.equal(haveChanged(files, before), false);
  writeFileSync(join(directory, 'lib', '0.js'), 'x');
  assert.equal(haveChanged(files, before), true);
});

test('files of another file system are not the program’s', (t) => {
  const { directory, files } = packageIn(t);
  const before = fingerprintOf(files);
  mkdirSync(join(directory, 'volume'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(directory, 'volume')], { stdio: 'ignore' });
  } catch {
    t.skip('may not mount');
    return;
  }
  try {
    writeFileSync(join(directory, 'volume', 'module.js'), '');
    assert.equal(haveChanged(files, before), false);
  } finally {
    execFileSync('umount', [join(directory, 'volume')]);
  }
});
