import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isAlive, until } from '../harness/index.js';
import { isRefused } from '../scene.js';
import { DROPPED, idsOf, needsRoot, privilegedScene } from './support.js';

describe('a keeper that root starts for a user', needsRoot, () => {
  it('stays root; its instances do not, and a port below 1024 outlives them', async (test) => {
    const scene = await privilegedScene(test);
    const keeper = scene.start(['--keeper']);
    await keeper.waitFor('serving');
    const first = (await scene.status()).pid;
    assert.notEqual(first, keeper.pid);
    assert.deepEqual(idsOf(keeper.pid).uids, [0, 0, 0, 0]);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);

    process.kill(first, 'SIGKILL');
    await until(() => !isAlive(first), { what: 'the end of the first instance' });
    assert.equal(await isRefused(scene.port), false, 'the keeper has a copy');
    await until(() => scene.mainPid !== first && isAlive(scene.mainPid), { what: 'the next instance' });
    await scene.who();
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);

    const second = scene.mainPid;
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    assert.notEqual(scene.mainPid, second);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    const third = scene.mainPid;
    keeper.kill('SIGQUIT');
    await until(() => scene.mainPid !== third, { what: 'an upgrade by the keeper' });
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    keeper.kill();
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
    assert.equal(await isRefused(scene.port), true);
  });
});
