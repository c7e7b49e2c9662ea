import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { allPlaces, placesOf, runtimeDirectory } from '#src/base/os/places.js';

const uid = process.geteuid?.() ?? 0;

describe('the runtime directory', () => {
  test('is the one that systemd has made, whoever the user is', () => {
    const env = { RUNTIME_DIRECTORY: '/run/a:/run/b', XDG_RUNTIME_DIR: '/run/user/7' };
    assert.equal(runtimeDirectory(env), '/run/a');
    assert.equal(runtimeDirectory(env, { uid: 4711 }), '/run/a');
  });

  test('else depends on the user alone: not on a session, $TMPDIR or a home', () => {
    const envs = [{}, { XDG_RUNTIME_DIR: '/run/user/7', TMPDIR: '/var/tmp', HOME: '/root', RUNTIME_DIRECTORY: '' }];
    for (const env of envs) {
      assert.equal(runtimeDirectory(env, { uid: 4711 }), '/tmp/motya-4711');
      assert.equal(runtimeDirectory(env, { uid: 0 }), uid === 0 ? '/run/motya' : runtimeDirectory({}, { uid: 0 }));
    }
  });

  test('is the next one where another user has the first', { skip: uid !== 0 && 'only root can make one' }, (t) => {
    const squatted = '/tmp/motya-4712';
    assert.ok(!existsSync(squatted));
    mkdirSync(squatted);
    t.after(() => rmSync(squatted, { recursive: true }));
    chownSync(squatted, 4711, 4711);
    const parent = mkdtempSync(join(tmpdir(), 'motya-places-'));
    t.after(() => rmSync(parent, { recursive: true }));
    chmodSync(parent, 0o1777);
    assert.equal(runtimeDirectory({ TMPDIR: parent }, { uid: 4712 }), `${parent}/motya-4712`);
    // With nothing better, it is refused by what is wrong with the first.
    assert.equal(runtimeDirectory({}, { uid: 4712 }), squatted);
  });

  test('instances are looked for in those of sessions, too, which older versions have used', () => {
    const env = { XDG_RUNTIME_DIR: '/run/user/7', TMPDIR: '/var/tmp' };
    for (const place of ['/run/user/7/motya', `/tmp/motya-${uid}`, `/var/tmp/motya-${uid}`, `/run/user/${uid}/motya`]) {
      assert.ok(placesOf(env, uid).includes(place), place);
      assert.ok(allPlaces(env).includes(place), place);
    }
  });
});
