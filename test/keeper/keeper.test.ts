import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { childrenOf, environmentOf, isAlive, type LogLine, parentOf, until, workspace } from '../e2e/harness/index.js';
import { failureOf, isRefused, program, scene, servesAs } from '../e2e/scene.js';
import * as chain from '../e2e/traffic.js';
import { FAULT, type Fault } from '../faults/inject.js';
import { crash, holds, kept } from './support.js';

describe('a keeper', () => {
  it('starts an instance that was killed with the listeners that it holds: no client is refused', async (test) => {
    const { stage, keeper } = await kept(test);
    const clients = { keepAlive: 4, fresh: 4, slow: 1, slowMs: 100 };
    const load = await chain.traffic({ port: stage.port, ...clients });
    const pids = [stage.mainPid];
    for (let round = 0; round < 3; round++) {
      await crash(stage, keeper);
      await chain.probe({ port: stage.port, fresh: 1 });
      pids.push(stage.mainPid);
    }
    chain.assertFlawless(await load.stop());
    assert.equal(new Set(pids).size, 4);
    assert.ok(pids.every((pid) => pid !== keeper.pid));
    const waits = keeper.logs.filter(({ event }) => event === 'instance-exit').map(({ inMs }) => inMs);
    assert.deepEqual(waits, [100, 200, 400]);
    keeper.kill();
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
  });

  it('starts the next one when the main one dies before it has handed over: its successor is not in the way', async (test) => {
    const stage = await scene(test);
    const [armed, record] = [stage.space.path('armed'), stage.space.path('record')];
    const fault: Fault = { side: 'incumbent', point: 'send OFFER', action: 'kill', armed, record };
    stage.space.nodeArgs.push('--import', import.meta.resolve('../faults/inject.js'));
    Object.assign(stage.space.env, { [FAULT]: JSON.stringify(fault) });
    const keeper = await stage.first(['--keeper']);
    await holds(keeper.pid, 1);
    stage.space.write('armed', '');
    assert.equal((await stage.upgrade()).code, 1);
    assert.equal((await stage.who()).generation, '1');
    await until(() => stage.mainPid !== undefined && isAlive(stage.mainPid), { what: 'the next main process' });
    const failures = () => keeper.logs.filter(({ level }) => level === 'error').map(({ event, code }) => code ?? event);
    await until(() => failures().includes('ERR_MOTYA_MANAGED'), {
      what: 'the successor to give way',
      instead: failures,
    });
    assert.deepEqual(failures().sort(), ['ERR_MOTYA_MANAGED', 'instance-exit'], 'it was started once');
  });

  it('is the way to five upgrades by SIGQUIT under load, and the parent of each generation', async (test) => {
    const { stage, keeper } = await kept(test, chain.NEVER_FORCED);
    const load = await chain.traffic({
      port: stage.port,
      keepAlive: 4,
      fresh: 3,
      slow: 1,
      upload: 1,
      slowMs: 100,
      uploadMs: 50,
    });
    for (let generation = 2; generation <= 6; generation++) {
      keeper.kill('SIGQUIT');
      await servesAs(keeper, generation);
      const main = stage.mainPid as number;
      assert.equal(parentOf(main), keeper.pid);
      const told = (line: LogLine) => line.event === 'keeper-main' && line.main === main;
      await keeper.waitFor(told, { what: `the keeper to know of ${main}` });
    }
    await chain.predecessorsEnd(keeper, 6);
    const report = await load.stop();
    chain.assertFlawless(report);
    assert.deepEqual(chain.generationsIn(report), [1, 2, 3, 4, 5, 6]);
    // Neither a zombie nor another instance is left, and the listener is there once.
    await until(() => childrenOf(keeper.pid).length === 1, {
      what: 'one child',
      instead: () => childrenOf(keeper.pid),
    });
    await holds(keeper.pid, 1);
    await crash(stage, keeper);
    assert.equal((await stage.who()).generation, '1');
  });

  it('keeps the listeners over a rollback: an instance that is killed afterwards is started with them', async (test) => {
    const stage = await scene(test);
    const keeper = await stage.first(['--keeper'], { MOTYA_PROBATION: '10m' });
    await holds(keeper.pid, 1);
    assert.equal((await stage.upgrade('--detach')).code, 0);
    const successor = stage.mainPid as number;
    assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
    await until(() => !isAlive(successor), { what: 'the end of the one that was taken back' });
    await holds(keeper.pid, 1);
    const load = await chain.traffic({ port: stage.port, fresh: 4 });
    await crash(stage, keeper);
    chain.assertFlawless(await load.stop());
  });

  it('lives on with its instance when a successor fails', async (test) => {
    const stage = await scene(test, '', program('one'));
    const keeper = await stage.first(['--keeper']);
    const { pid } = await stage.who();
    stage.space.write('server.cjs', 'throw new Error("broken")');
    keeper.kill('SIGQUIT');
    await keeper.waitFor('rejected');
    assert.equal((await stage.who()).pid, pid);
    assert.equal(keeper.exit, undefined);
    assert.ok(!keeper.logs.some(({ event }) => event === 'keeper-main'));
  });

  it('upgrades as soon as it can when SIGQUIT comes while no instance serves', async (test) => {
    const stage = await scene(test);
    const keeper = stage.start(['--keeper']);
    await keeper.waitFor('keeper');
    keeper.kill('SIGQUIT');
    await servesAs(keeper, 2);
    assert.equal((await stage.who()).generation, '2');
  });

  it('ends with the instance when the first start fails: its status, its message, no second try', async (test) => {
    const stage = await scene(test, 'throws.cjs');
    const keeper = stage.start(['--keeper']);
    assert.deepEqual(await keeper.waitForExit(), { code: 1, signal: null });
    assert.equal(failureOf(keeper).code, 'ERR_MOTYA_PROGRAM');
    assert.equal(keeper.logs.filter(({ event }) => event === 'failed').length, 1);
    const inUse = await kept(test);
    const other = inUse.stage.space.motya(['start', inUse.stage.script, '--name', 'other', '--keeper'], {
      env: { PORT: String(inUse.stage.port) },
    });
    assert.deepEqual(await other.waitForExit(), { code: 1, signal: null });
    assert.match(failureOf(other).message, /EADDRINUSE/);
    const wrong = await stage.space.run(['start', 'no-such.js', '--keeper']);
    assert.equal(wrong.code, 2);
  });

  it('says so when the first instance is killed before it serves', async (test) => {
    const stage = await scene(test, 'never-listens.mjs');
    const keeper = stage.start(['--keeper']);
    // The child that forks it, which is there for a moment, has the keeper's own environment.
    const isInstance = (pid: number): boolean => environmentOf(pid).has('NOTIFY_SOCKET');
    const instance = await until(() => childrenOf(keeper.pid).find(isInstance), { what: 'the instance' });
    process.kill(instance, 'SIGKILL');
    assert.deepEqual(await keeper.waitForExit(), { code: 137, signal: null });
    assert.match(failureOf(keeper).message, /signal SIGKILL/);
  });

  it('does not start what was stopped: `motya stop` ends it too, and clients are refused at once', async (test) => {
    const { stage, keeper } = await kept(test);
    const held = await stage.hold();
    const stop = stage.space.run(['stop', '--name', 'app']);
    await until(() => isRefused(stage.port), { what: 'clients to be refused while it drains' });
    assert.equal(keeper.exit, undefined);
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.equal((await stop).code, 0);
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
  });

  it('stops gracefully at SIGTERM, the predecessors that drain too; at a second one at once', async (test) => {
    const { stage, keeper } = await kept(test, chain.NEVER_FORCED);
    const first = await stage.hold();
    keeper.kill('SIGQUIT');
    await servesAs(keeper, 2);
    const second = await stage.hold();
    keeper.kill('SIGTERM');
    await until(() => isRefused(stage.port), { what: 'the stop' });
    first.finish();
    assert.equal((await first.answer).status, 200);
    keeper.kill('SIGINT');
    await assert.rejects(second.answer);
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
    await stage.space.nothingLeft();
  });

  it('is stopped while it waits to start again what crashes', async (test) => {
    const stage = await scene(test, '', program('one'));
    const keeper = await stage.first(['--keeper']);
    stage.space.write('server.cjs', 'throw new Error("broken")');
    process.kill(stage.mainPid as number, 'SIGKILL');
    const again = () => keeper.logs.filter(({ event }) => event === 'instance-exit').length;
    await until(() => again() >= 3, { what: 'two more crashes', instead: () => keeper.describe() });
    const client = stage.who();
    client.catch(() => {});
    stage.space.write('server.cjs', program('two'));
    assert.equal((await client).version, 'two', 'a client that came meanwhile has waited');
    // A worker may answer before its supervisor has written the pidfile.
    const main = await until(() => stage.mainPid !== undefined && isAlive(stage.mainPid) && stage.mainPid, {
      what: 'the pidfile of who serves',
    });
    process.kill(main, 'SIGKILL');
    stage.space.write('server.cjs', 'throw new Error("broken")');
    await until(() => again() >= 5, { what: 'more crashes', instead: () => keeper.describe() });
    keeper.kill();
    assert.ok((await keeper.waitForExit()).code !== null);
    await stage.space.nothingLeft();
  });

  it('kills at its end what programs have left behind and does not end by itself', async (test) => {
    const pidFile = workspace(test).path('orphan.pid');
    const before = `
if (!require('node:fs').existsSync(${JSON.stringify(pidFile)})) {
  const { spawn } = require('node:child_process');
  const code = "process.on('SIGTERM', () => {}); require('node:fs').writeFileSync(process.argv[1], String(process.pid)); setInterval(() => {}, 1000)";
  spawn(process.execPath, ['-e', code, ${JSON.stringify(pidFile)}], { detached: true, stdio: 'ignore' }).unref();
}`;
    const stage = await scene(test, '', program('one', before));
    const keeper = await stage.first(['--keeper']);
    const orphan = Number(
      await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8'), { what: 'the orphan' }),
    );
    // Its parent, the worker, ends with the upgrade.
    keeper.kill('SIGQUIT');
    await servesAs(keeper, 2);
    await until(() => parentOf(orphan) === keeper.pid, { what: 'the keeper to be its parent' });
    assert.ok(isAlive(orphan));
    keeper.kill();
    assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null });
    assert.ok(!isAlive(orphan));
  });

  it('passes SIGHUP on, after it has opened its own log again', async (test) => {
    const stage = await scene(test);
    const log = stage.space.path('motya.log');
    const keeper = stage.start(['--keeper', '--log-file', log]);
    const lines = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
    await until(() => /"serving"/.test(lines(log)), { what: 'serving in the log file' });
    renameSync(log, `${log}.1`);
    keeper.kill('SIGHUP');
    keeper.kill('SIGUSR1');
    keeper.kill('SIGUSR2');
    await until(() => existsSync(log), { what: 'a new log file' });
    keeper.kill('SIGQUIT');
    await until(() => /"handover"/.test(lines(log)) && /"keeper-main"/.test(lines(log)), {
      what: 'both in the new file',
    });
    assert.doesNotMatch(lines(`${log}.1`), /"handover"|"keeper-main"/);
    assert.equal(keeper.exit, undefined);
  });

  it('may be killed itself: the instance serves on, and commands reach it', async (test) => {
    const { stage, keeper } = await kept(test);
    const main = stage.mainPid as number;
    assert.equal((await stage.status()).keeper, keeper.pid);
    const load = await chain.traffic({ port: stage.port, keepAlive: 2, fresh: 2 });
    keeper.kill('SIGKILL');
    await keeper.waitForExit();
    const { pid, keeper: none } = await stage.status();
    assert.deepEqual([pid, none], [main, null]);
    assert.equal((await stage.upgrade()).code, 0);
    chain.assertFlawless(await load.stop());
    assert.equal((await stage.who()).generation, '2');
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
    await stage.space.nothingLeft();
  });

  it('gives up what the new version does not listen on', async (test) => {
    const stage = await scene(test, '', program('one'));
    const keeper = await stage.first(['--keeper']);
    await holds(keeper.pid, 1);
    const { port } = await scene(test);
    writeFileSync(stage.script, program('two').replaceAll('...address()', String(port)));
    keeper.kill('SIGQUIT');
    await servesAs(keeper, 2);
    await until(() => isRefused(stage.port), { what: 'the old port to be closed' });
    await holds(keeper.pid, 1);
    assert.equal(await isRefused(port), false);
  });
});
