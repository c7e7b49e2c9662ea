import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fingerprintOf, haveChanged } from '#src/daemon/program-files.js';
import { scratch } from '../native/support.js';

test('a deploy changes the fingerprint, and nothing else does', (t) => {
  const folder = scratch(t);
  const write = (name: string, text = ''): string => {
    const path = join(folder, name);
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
  const current = join(folder, 'current');
  symlinkSync('one', current);
  const files = { scripts: [join(current, 'server.js')], source };

  const swap = (): void => {
    symlinkSync('two', `${current}.new`);
    renameSync(`${current}.new`, current);
  };
  const keepsTime = (): void => {
    write('two/lib/routes.mjs', 'x');
    utimesSync(join(folder, 'two/lib/routes.mjs'), 1, 1);
  };
  const changes: Record<string, () => void> = {
    'the script': () => void write('one/server.js', 'x'),
    'a module': () => void write('one/lib/routes.mjs', 'y'),
    'a new module': () => void write('one/lib/new.ts'),
    'a removed one': () => rmSync(join(folder, 'one/lib/new.ts')),
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
  rmSync(join(folder, 'two/server.js'));
  assert.equal(haveChanged(files, before), false, 'nothing to compare with: another mount, say');
  assert.equal(haveChanged(files, '0:made in another way'), false);
});
