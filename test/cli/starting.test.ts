import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../e2e/harness/index.js';
import { program, scene } from '../e2e/scene.js';

test('commands to an instance that starts: they say so, and stop ends it', async (t) => {
  const stage = await scene(t, '', 'setInterval(() => {}, 1000);');
  const first = stage.start();
  const commands = ['status', 'upgrade', 'rollback'] as const;
  await until(async () => (await stage.space.run(['status', '--name', 'app'])).stderr.includes(String(first.pid)), {
    what: 'the instance to be known',
  });
  for (const name of commands) {
    // By its name, and by the directory that it was started from.
    for (const named of [['--name', 'app'], []]) {
      const { code, stderr } = await stage.space.run([name, ...named]);
      assert.equal(code, 4, `${name} ${named}: ${stderr}`);
      assert.match(stderr, new RegExp(`^motya: pid ${first.pid} is starting`), name);
    }
  }
  const stop = await stage.space.run(['stop']);
  assert.equal(stop.code, 0, stop.stderr);
  await first.waitForExit();
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 4);
  stage.space.write('server.cjs', program('two'));
  await stage.first();
  assert.equal((await stage.who()).version, 'two');
});
