import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, workspace } from '../e2e/harness/index.js';
import { program, scene } from '../e2e/scene.js';

const THROWS = 'throw new Error("first\\nsecond");';

test('a command that fails says the code at the end of its first line', async (test) => {
  const space = workspace(test);
  space.write('ok.js', 'require("node:http").createServer().listen(0, "127.0.0.1")');
  space.write('throws.js', THROWS);
  space.write('two.yaml', 'workres: 1\nservices: { web: { script: gone.js } }\n');
  for (const [args, status, code] of [
    [['status', '--name', 'none'], 4, 'ERR_MOTYA_NOT_RUNNING'],
    [['upgrade', '--name', 'none'], 4, 'ERR_MOTYA_NOT_RUNNING'],
    [['start', '--workers', 'many', 'ok.js'], 2, 'ERR_MOTYA_SETTINGS'],
    [['start', '--no-such-flag', 'ok.js'], 2, 'ERR_MOTYA_SETTINGS'],
    [['check', '--config', 'two.yaml'], 2, 'ERR_MOTYA_SETTINGS'],
    [['init', 'ok.js', '--output', 'throws.js'], 1, 'ERR_MOTYA_FILE_EXISTS'],
    [['drill', 'throws.js'], 1, 'ERR_MOTYA_PROGRAM'],
    [['start', '--daemonize', 'throws.js'], 1, 'ERR_MOTYA_PROGRAM'],
    [['start', '--log-file', 'log', 'throws.js'], 1, 'ERR_MOTYA_PROGRAM'],
    [['start', '--keeper', '--log-file', 'log', 'throws.js'], 1, 'ERR_MOTYA_PROGRAM'],
  ] as const) {
    const result = await space.run(args);
    assert.equal(result.code, status, result.stderr);
    assert.equal(codeOf(result.stderr.split('\n', 1)[0] ?? ''), code, result.stderr);
  }
});

test('so does one that an instance refuses', async (test) => {
  const stage = await scene(test, '', program('one'));
  await stage.first();
  for (const [command, code] of [
    [['rollback'], 'ERR_MOTYA_PROBATION_OVER'],
    [['start', stage.script, '--daemonize'], 'ERR_MOTYA_RUNNING'],
  ] as const) {
    const { stderr } = await stage.space.run([...command, '--name', 'app']);
    assert.equal(codeOf(stderr), code, stderr);
  }
  stage.space.write('server.cjs', THROWS);
  const { code, stderr } = await stage.upgrade();
  assert.equal(code, 3, stderr);
  assert.equal(codeOf(stderr.split('\n', 1)[0] ?? ''), 'ERR_MOTYA_PROGRAM', stderr);
});
