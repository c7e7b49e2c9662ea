import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { SettingsError } from '#src/base/errors.js';
import { type Flags, loadSettings } from '#src/config/load.js';
import type { Settings } from '#src/config/settings.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'motya-account-'));
  writeFileSync(join(cwd, 'server.js'), '');
});
afterEach(() => rmSync(cwd, { recursive: true }));

const settings = (flags: Flags = {}, env: NodeJS.ProcessEnv = {}): Settings => loadSettings({ flags, env, cwd });
const load = (flags: Flags, env: NodeJS.ProcessEnv = {}): Settings => settings({ script: 'server.js', ...flags }, env);
const yaml = (text: string): void =>
  writeFileSync(join(cwd, 'motya.yaml'), `services: {web: {script: server.js}}\n${text}\n`);
function problem(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.message;
  }
  assert.fail('the settings are valid');
}
/** A uid and a gid that no account has. */
const NAMELESS = '3999999999';

describe('user and group', () => {
  test('by name or by number, from a flag, a variable or the file', () => {
    const { uid, gid, username, homedir } = userInfo();
    const self = { name: username, uid, gid };
    const { groups: _, home, ...byName } = load({ user: username }).user ?? {};
    assert.deepEqual([byName, home], [self, homedir]);
    assert.deepEqual(load({}, { MOTYA_USER: String(uid) }).user, load({ user: username }).user);
    yaml(`user: ${uid}`);
    assert.equal(settings().user?.name, username);
    assert.equal(load({}).user, null);
  });

  test('the groups are those of the user database, the primary one among them', () => {
    const daemon = load({ user: 'daemon' }).user;
    assert.deepEqual([daemon?.uid, daemon?.gid, daemon?.groups], [1, 1, [1]]);
    const other = load({ user: 'daemon', group: 'bin' }).user;
    assert.deepEqual([other?.uid, other?.gid, other?.groups], [1, 2, [2]]);
    assert.equal(load({ user: 'daemon', group: NAMELESS }).user?.gid, Number(NAMELESS));
  });

  test('a uid without a name needs a group', () => {
    const account = { name: NAMELESS, uid: Number(NAMELESS), gid: 7, groups: [7], home: null };
    assert.deepEqual(load({ user: NAMELESS, group: '7' }).user, account);
    assert.equal(
      problem(() => load({ user: NAMELESS })),
      `--user: uid ${NAMELESS} has no name, and so no group; name a group too`,
    );
  });

  test('what is unknown or impossible: one line with its place', () => {
    yaml('user: no-such-user');
    assert.equal(problem(settings), 'motya.yaml:2:7: user: there is no user no-such-user');
    yaml('user: daemon\ngroup: no-such-group');
    assert.equal(problem(settings), 'motya.yaml:3:8: group: there is no group no-such-group');
    yaml('group: daemon');
    assert.equal(problem(settings), 'motya.yaml:2:8: group: cannot be changed alone; name a user too');
    yaml('user: true');
    assert.equal(problem(settings), 'motya.yaml:2:7: user: must be a name or a number, not true');
    assert.equal(
      problem(() => load({}, { MOTYA_USER: '4294967295' })),
      'MOTYA_USER: there is no user 4294967295',
    );
  });

  test("the runtime directory is the user's own, whoever asks and whatever session that is", () => {
    const env = { XDG_RUNTIME_DIR: '/run/user/0', TMPDIR: '/var/tmp' };
    assert.equal(load({ user: 'daemon' }, env).runtimeDirectory, '/tmp/motya-1');
    assert.equal(load({ user: 'root' }, env).runtimeDirectory, '/run/motya');
    assert.equal(load({ user: 'daemon' }, { ...env, RUNTIME_DIRECTORY: '/run/shop' }).runtimeDirectory, '/run/shop');
  });
});
