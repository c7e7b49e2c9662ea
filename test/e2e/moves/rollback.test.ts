import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { until } from '../harness/index.js';
import * as chain from '../traffic.js';
import { Fleet } from './clients/index.js';
import { allAt, type MoveStage, moveStage, type StageOptions } from './stage.js';

/** Nothing has moved before the probation is over: a rollback has nothing to bring back. */

type Failure = (stage: MoveStage) => unknown;

/** Deploys that fail on their probation, one after the other, in the ways of `failures`. */
async function rolledBack(test: TestContext, options: StageOptions, failures: Readonly<Record<string, Failure>>) {
  const stage = await moveStage(test, { ...options, env: { UNHEALTHY_FILE: 'unhealthy' } });
  const fleet = new Fleet({ port: stage.port, idle: 10, busy: 10, upload: 3, pieces: 3, pipelined: 3 });
  const rollbacks = (): number => chain.linesOf(stage.first, 'rolled-back').length;
  try {
    await allAt(fleet, 1);
    for (const [how, fail] of Object.entries(failures)) {
      const before = rollbacks();
      await chain.upgrade(stage.scene.space);
      await fail(stage);
      await until(() => rollbacks() > before, { what: `a rollback: ${how}`, instead: () => stage.first.describe() });
      const answers = fleet.report().answers + 2 * fleet.connections.length;
      await until(() => fleet.report().answers > answers, { what: `answers after the rollback: ${how}` });
      await allAt(fleet, 1);
    }
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
}

it('by a successor that is killed, by a worker that crashes, and by motya rollback', async (test) => {
  await rolledBack(
    test,
    { probation: '10m', args: ['--health-crashes', '1'] },
    {
      'the successor is killed': async ({ scene }) => process.kill((await scene.status()).pid, 'SIGKILL'),
      'the worker crashes': async (stage) => process.kill((await stage.facts()).pid, 'SIGKILL'),
      'motya rollback': async ({ scene }) => {
        const { code, stderr } = await scene.space.run(['rollback', '--name', 'app']);
        assert.equal(code, 0, stderr);
      },
    },
  );
});

it('by a health path that fails', async (test) => {
  // It is asked at the end of the probation, too.
  await rolledBack(
    test,
    { probation: '1s', args: ['--health-path', '/healthz'] },
    {
      'the health path fails': ({ scene }) => scene.space.write('unhealthy', ''),
    },
  );
});
