import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { holds } from '../../keeper/support.js';
import { app, CLI, codeOf, commandLineOf, isAlive, parentOf, pids, until } from '../harness/index.js';
import { isRefused, program, servesAs } from '../scene.js';
import * as chain from '../traffic.js';
import { containers, noContainer } from './container.js';

const start = (script: string, ...args: string[]) => [process.execPath, CLI, 'start', script, '--name', 'app', ...args];

/** A program that leaves a process behind, under PID 1, when it is asked to: it sleeps for `seconds`. */
const leaving = (seconds: string): string =>
  program('one', `require('node:child_process').execSync('(trap "" TERM; exec sleep ${seconds}) > /dev/null 2>&1 &');`);

const sleeper = (seconds: string): number | undefined =>
  pids().find((pid) => commandLineOf(pid).join(' ') === `sleep ${seconds}`);

describe('as PID 1 of a container', { skip: noContainer }, () => {
  it('a keeper comes by itself: upgrades and a crash under load; a stop ends all with 0', async (test) => {
    const { stage, contain } = await containers(test, () => app('http.cjs'));
    const container = await contain(start(stage.script, '--drain-timeout', '10m'));
    const { unshare } = container;
    await unshare.waitFor('serving');
    await holds(container.init, 1);
    const load = await chain.traffic({ port: stage.port, keepAlive: 2, fresh: 2, slow: 1, slowMs: 50 });
    for (let generation = 2; generation <= 4; generation++) {
      container.signal('SIGQUIT');
      await servesAs(unshare, generation);
      await until(() => container.children().length === 1, { what: 'the predecessor to end' });
    }
    const [instance] = container.children();
    process.kill(instance as number, 'SIGKILL');
    const again = () => unshare.logs.filter(({ event, generation }) => event === 'serving' && generation === 1);
    await until(() => again().length === 2, { what: 'an instance that is started again' });
    await chain.probe({ port: stage.port, fresh: 1 });
    chain.assertFlawless(await load.stop());
    container.signal('SIGTERM');
    assert.deepEqual(await unshare.waitForExit(), { code: 0, signal: null });
    assert.ok(await isRefused(stage.port));
    await stage.space.nothingLeft();
  });

  it('reaps orphans that are not its own business, and ends them with itself', async (test) => {
    const [one, two] = ['3601.25', '3602.25'];
    const { stage, contain } = await containers(test, (space) => space.write('server.cjs', leaving(one)));
    const container = await contain(start(stage.script));
    await container.unshare.waitFor('serving');
    const orphan = await until(() => sleeper(one), { what: 'the orphan' });
    assert.equal(parentOf(orphan), container.init);
    process.kill(orphan, 'SIGKILL');
    // A zombie would still have its entry.
    await until(() => !existsSync(`/proc/${orphan}`), { what: 'the zombie to be reaped' });
    stage.space.write('server.cjs', leaving(two));
    container.signal('SIGQUIT');
    await servesAs(container.unshare, 2);
    const stubborn = await until(() => sleeper(two), { what: 'an orphan that ignores SIGTERM' });
    container.signal('SIGTERM');
    assert.deepEqual(await container.unshare.waitForExit(), { code: 0, signal: null });
    assert.ok(!isAlive(stubborn));
  });

  it('is not left by --daemonize, which would end the container', async (test) => {
    const { stage, contain } = await containers(test, () => app('http.cjs'));
    const { unshare } = await contain(start(stage.script, '--daemonize'));
    assert.equal((await unshare.waitForExit()).code, 1);
    assert.equal(codeOf(unshare.stderr), 'ERR_MOTYA_PID_1_DAEMONIZE', unshare.stderr);
  });

  it('ends with the status of a first start that fails', async (test) => {
    const { stage, contain } = await containers(test, () => app('throws.cjs'));
    const { unshare } = await contain(start(stage.script));
    assert.equal((await unshare.waitForExit()).code, 1);
    assert.match(readFileSync(unshare.stderrFile, 'utf8'), /ERR_MOTYA_PROGRAM/);
  });

  it('without a keeper, an upgrade ends the container: what --no-keeper means there', async (test) => {
    const { stage, contain } = await containers(test, () => app('http.cjs'));
    const container = await contain(start(stage.script, '--no-keeper'));
    await container.unshare.waitFor('serving');
    container.signal('SIGQUIT');
    assert.ok((await container.unshare.waitForExit()).code !== null);
    await stage.space.nothingLeft();
  });
});
