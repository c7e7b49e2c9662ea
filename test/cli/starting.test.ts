import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { codeOf, until } from '../e2e/harness/index.js';
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
      assert.equal(codeOf(stderr), 'ERR_MOTYA_NOT_RUNNING', name);
      assert.ok(stderr.includes(` ${first.pid} `), stderr);
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

test('an instance with the usual pidfile and another upgrade socket is found by its name and its directory', async (t) => {
  const stage = await scene(t, '', program('one'));
  mkdirSync(stage.space.path('else'), { mode: 0o700 });
  const socket = stage.space.path('else', 'x.sock');
  const first = await stage.first(['--upgrade-socket', socket], { MOTYA_PROBATION: '0' });
  for (const named of [['--name', 'app'], []]) {
    const { code, stdout, stderr } = await stage.space.run(['status', '--json', ...named]);
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).pid, first.pid);
  }
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await stage.space.status(['--name', 'app'])).generation, 2);
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  await until(() => stage.space.processes().length === 0, { what: 'the end' });
});

test('what a lock names is no proof: an instance that does not hold it is left alone', async (t) => {
  const stage = await scene(t, '', program('one'));
  const first = await stage.first();
  const { pidfile } = await stage.status();
  writeFileSync(pidfile.replace(/app\.pid$/, 'other.pid.lock'), pidfile.replace(/pid$/, 'control.sock'));
  const { code } = await stage.space.run(['stop', '--name', 'other']);
  assert.equal(code, 4);
  assert.equal((await stage.status()).pid, first.pid);
});
