import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program, scene } from './scene.js';

/** More than one answer about the listeners of a worker has room for (limits.ts, MESSAGE_BYTES). */
const LISTENERS = 1_500;

test('a worker with thousands of listeners goes through an upgrade', async (t) => {
  const source = (version: string): string =>
    program(
      version,
      `for (let n = 0; n < ${LISTENERS}; n++) require('node:net').createServer().listen('\\0thousands-' + process.env.PORT + '-' + n);`,
    );
  const stage = await scene(t, '', source('one'));
  const first = await stage.first(['--probation', '0']);
  stage.space.write('server.cjs', source('two'));
  const { code, stdout, stderr } = await stage.upgrade('--json');
  assert.equal(code, 0, stdout + stderr);
  assert.equal((await stage.who()).version, 'two');
  assert.equal(
    first.logs.filter(({ event }) => event === 'worker-exit' || event === 'defect').length,
    0,
    first.describe(),
  );
});
