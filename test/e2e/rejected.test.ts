import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAlive, until } from './harness/index.js';
import { program, scene } from './scene.js';

test('a rejected successor that does not end by itself is killed, and is not in the way of the next', async (t) => {
  const stage = await scene(t, '', program('one'));
  const first = await stage.first(['--probation', '0', '--ready-timeout', '1s']);
  stage.space.write('server.cjs', 'setInterval(() => {}, 1000);');
  const upgrading = stage.upgrade('--json');
  const { successor } = (await first.waitFor('successor')) as unknown as { successor: number };
  await first.waitFor((line) => line.event === 'phase' && line.to === 'awaiting');
  process.kill(successor, 'SIGSTOP');
  const { code, stdout } = await upgrading;
  assert.equal(code, 3, stdout);
  await until(() => !isAlive(successor), { what: 'the successor to be killed' });
  stage.space.write('server.cjs', program('two'));
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await stage.who()).version, 'two');
});
