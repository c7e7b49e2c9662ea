import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { codeOf, until } from '../e2e/harness/index.js';
import { isRefused, program, scene } from '../e2e/scene.js';
import { holds } from './support.js';

describe('a keeper whose instance crashes again and again', () => {
  it('is found by the commands, says why, and can be stopped', async (test) => {
    const stage = await scene(test, '', program('one'));
    const keeper = await stage.first(['--keeper']);
    await holds(keeper.pid, 1);
    stage.space.write('server.cjs', 'oops(');
    process.kill(stage.mainPid as number, 'SIGKILL');
    const told = await until(
      async () => {
        const { code, stderr } = await stage.space.run(['status', '--name', 'app']);
        return code === 4 && stderr.includes('the keeper') ? stderr : null;
      },
      { what: 'word of the keeper' },
    );
    assert.equal(codeOf(told), 'ERR_MOTYA_NOT_RUNNING');
    assert.ok(told.includes(`(pid ${keeper.pid})`) && told.includes('`motya stop`'), told);
    assert.equal(told.trimEnd().split('\n').length, 1, told);
    assert.equal((await stage.upgrade()).code, 4);

    const other = await stage.space.run(['start', stage.script, '--name', 'app']);
    assert.equal(other.code, 1);
    assert.ok(other.stderr.includes(`the keeper (pid ${keeper.pid})`), other.stderr);

    const { code, stdout } = await stage.space.run(['stop']);
    assert.deepEqual([code, stdout], [0, `the keeper (pid ${keeper.pid}) has stopped\n`]);
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
    assert.ok(await isRefused(stage.port));
    assert.ok(!existsSync(`${stage.space.runtimeDir}/motya/app.keeper.sock`));
  });
});
