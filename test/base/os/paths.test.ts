import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { controlSocketOf, defaultName, ensureRuntimeDirectory, socketPathProblem, stemOf } from '#src/base/os/paths.js';
import { namePattern } from '#src/config/settings-schema.js';

describe('making the runtime directory', () => {
  let parent: string;
  before(() => {
    parent = mkdtempSync(join(tmpdir(), 'motya-paths-'));
  });
  after(() => rmSync(parent, { recursive: true }));
  const modeOf = (path: string): number => lstatSync(path).mode & 0o777;
  const refused = (path: string, reason: RegExp): void =>
    assert.throws(() => ensureRuntimeDirectory(path), { code: 'ERR_MOTYA_RUNTIME_DIRECTORY', message: reason });

  test('it is 0700, and taken as it is the second time', () => {
    const path = join(parent, 'new');
    ensureRuntimeDirectory(path);
    assert.equal(modeOf(path), 0o700);
    chmodSync(path, 0o755);
    ensureRuntimeDirectory(path);
    assert.equal(modeOf(path), 0o755);
  });
  test('a directory that others may write to is refused', () => {
    for (const mode of [0o770, 0o702]) {
      const path = join(parent, `open-${mode}`);
      mkdirSync(path);
      chmodSync(path, mode);
      refused(path, /has mode 7[70][02]: others may write/);
    }
  });
  test('a file and a symlink are refused', () => {
    const file = join(parent, 'file');
    writeFileSync(file, '');
    refused(file, /is not a directory/);
    const link = join(parent, 'link');
    symlinkSync(parent, link);
    refused(link, /is a symlink/);
  });
  test("another user's directory is refused", { skip: process.getuid?.() !== 0 && 'only root can make one' }, () => {
    const path = join(parent, 'foreign');
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, 4711, 4711);
    refused(path, /belongs to uid 4711/);
  });
  test('without a parent it says what failed', () => refused(join(parent, 'no', 'such'), /cannot be made: ENOENT/));
});

test('any path gives a name that may stand in settings and in file names', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      assert.match(stemOf(`/srv/${text}`), namePattern);
      assert.match(defaultName(`/srv/${text}.js`), namePattern);
    }),
  );
  assert.equal(stemOf('/srv/my server.test.js'), 'my-server.test');
  assert.notEqual(defaultName('/srv/a/server.js'), defaultName('/srv/b/server.js'));
});

test('the control socket lies beside the upgrade socket', () => {
  assert.equal(controlSocketOf('/run/app.sock'), '/run/app.control.sock');
  assert.equal(controlSocketOf('/run/upgrade'), '/run/upgrade.control.sock');
});

test('the kernel takes 107 bytes, not characters', () => {
  assert.equal(socketPathProblem(`/${'x'.repeat(106)}`), null);
  assert.match(socketPathProblem(`/${'x'.repeat(107)}`) ?? '', /has 108 bytes/);
  assert.match(socketPathProblem(`/${'é'.repeat(54)}`) ?? '', /has 109 bytes/);
});
