import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program, scene } from '../e2e/scene.js';

test('upgrade says what the caller has otherwise than the instance, and the new version has not', async (t) => {
  const stage = await scene(t, '', program('one'));
  await stage.first([], { APP_MODE: 'a', APP_SAME: 'x' });
  const env = { APP_MODE: 'b', APP_SAME: 'x', APP_NEW: 'c', OLDPWD: '/', SSH_TTY: '/dev/pts/1', LC_ALL: 'C' };
  const json = await stage.space.run(['upgrade', '--name', 'app', '--json'], { env });
  assert.equal(json.code, 0, json.stderr);
  const [first] = json.stdout.split('\n');
  assert.deepEqual(JSON.parse(first ?? ''), { differs: { environment: ['APP_MODE', 'APP_NEW'], node: null } });
  const people = await stage.space.run(['upgrade', '--name', 'app'], { env });
  assert.match(people.stderr, /APP_MODE, APP_NEW/);
  const same = await stage.space.run(['upgrade', '--name', 'app'], { env: { APP_MODE: 'a', APP_SAME: 'x' } });
  assert.equal(same.stderr, '');
});
