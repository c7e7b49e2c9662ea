import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { SUCCESSOR_GRACE_MS } from '#src/base/deadlines.js';
import type { Details } from '#src/base/errors.js';
import { type Child, childrenOf, cpuTimeOf, isAlive, parentOf, readLogFile, until } from './harness/index.js';
import { isRefused, program, scene, servesAs } from './scene.js';

describe('hand-over by hand', () => {
  it('successor first: it waits, SIGQUIT hands over, the first drains and ends with 0', async (test) => {
    const stage = await scene(test);
    const first = await stage.first([], { APP_VERSION: 'one' });
    const second = await stage.waiting([], { APP_VERSION: 'two' });
    const [told] = second.logs.filter(({ event }) => event === 'waiting');
    assert.deepEqual([told?.generation, told?.pid, told?.incumbent], [2, second.pid, first.pid]);

    // While it waits the first one serves, and the second does nothing.
    assert.deepEqual([(await stage.who()).version, stage.mainPid], ['one', first.pid]);
    await until(
      async () => {
        const before = cpuOf(second.pid);
        for (let request = 0; request < 100; request++) assert.equal((await stage.who()).version, 'one');
        return cpuOf(second.pid) - before < 1;
      },
      { what: '100 requests to the first in which the second uses less than 1 ms' },
    );

    const held = await stage.hold();
    first.kill('SIGQUIT');
    await servesAs(second, 2);
    assert.deepEqual([(await stage.who()).version, (await stage.who()).generation], ['two', '2']);
    assert.equal(stage.mainPid, second.pid);
    // The first serves what it has, and ends as soon as that is done.
    assert.equal(first.exit, undefined);
    held.finish();
    assert.equal(JSON.parse((await held.answer).body).version, 'one');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(second.exit, undefined);
    assert.equal(stage.mainPid, second.pid);
  });

  it('SIGQUIT first, with --on-quit wait: the successor that comes in time takes over', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--on-quit', 'wait', '--upgrade-wait', '60s']);
    first.kill('SIGQUIT');
    await first.waitFor(({ to }) => to === 'finding');
    const second = stage.start(['--upgrade']);
    await servesAs(second, 2);
    assert.equal((await stage.who()).generation, '2');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(first.logs.filter(({ event }) => event === 'successor').length, 0);
  });

  it('SIGQUIT first, with --on-quit wait, and nobody comes: it serves on and says so; the next one works', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--on-quit', 'wait', '--upgrade-wait', '300ms']);
    first.kill('SIGQUIT');
    const { code, details } = await first.waitFor('rejected');
    assert.deepEqual([code, details], ['ERR_MOTYA_NO_SUCCESSOR', { path: stage.upgradeSocket, ms: 300 }]);
    assert.deepEqual([(await stage.who()).generation, stage.mainPid], ['1', first.pid]);
    const second = await stage.waiting();
    first.kill('SIGQUIT');
    await servesAs(second, 2);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('SIGQUIT first, default: a successor that somebody starts within the grace is taken, none is started', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    // It announces itself before it listens; so the incumbent knows of it however slow this machine is.
    const second = stage.start(['--upgrade']);
    first.kill('SIGQUIT');
    const took = await first.waitFor('handover', { evenAfterExit: true });
    const finding = await first.waitFor(({ to }) => to === 'finding', { evenAfterExit: true });
    const started = first.logs.filter(({ event }) => event === 'successor');
    // On a slow machine the grace may end before the one by hand is there. Then one is started, and whichever comes second goes.
    for (const { time, successor } of started) {
      assert.ok(Date.parse(time) - Date.parse(finding.time) >= SUCCESSOR_GRACE_MS - 10, 'not within the grace');
      if (took.successor !== successor) await until(() => !isAlive(successor as number), { what: 'its end' });
    }
    if (took.successor !== second.pid) assert.equal((await second.waitForExit()).code, 1);
    assert.equal((await stage.who()).generation, '2');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('SIGQUIT alone: the incumbent starts its own successor, which is not its child', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    first.kill('SIGQUIT');
    const { pid } = await servesAs(first, 2);
    assert.notEqual(parentOf(pid as number), first.pid);
    assert.equal(stage.mainPid, pid);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(isAlive(pid as number), true);
    assert.equal((await stage.who()).generation, '2');
  });

  it('SIGQUIT while it drains, and to one that waits, is harmless', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    second.kill('SIGQUIT');
    const refused = async (child: Child, code: string, phases: readonly string[]): Promise<void> => {
      const busy = await child.waitFor('busy');
      const { pid, phase } = busy.details as Details;
      assert.deepEqual([busy.code, pid, phases.includes(String(phase))], [code, child.pid, true], busy.message);
    };
    await refused(second, 'ERR_MOTYA_BUSY', ['waiting']);
    const held = await stage.hold();
    first.kill('SIGQUIT');
    await servesAs(second, 2);
    await first.waitFor('handover');
    first.kill('SIGQUIT');
    await refused(first, 'ERR_MOTYA_BUSY', ['standby', 'draining']);
    assert.equal((await stage.who()).pid, (await stage.status()).services[0]?.workers[0]?.pid);
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});

/** CPU time in ms of an instance and its workers. */
const cpuOf = (pid: number): number => [pid, ...childrenOf(pid)].reduce((sum, one) => sum + cpuTimeOf(one), 0);

describe('stopping by signal', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal}: no new connections, what is in flight is finished, exit 0`, async (test) => {
      const stage = await scene(test);
      const first = await stage.first();
      const held = await stage.hold();
      first.kill(signal);
      await until(() => isRefused(stage.port), { what: 'new connections to be refused' });
      assert.equal(first.exit, undefined);
      held.finish();
      assert.equal((await held.answer).status, 200);
      assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
      assert.equal(first.logs.find(({ event }) => event === 'drained')?.forced, 0);
      assert.equal(stage.mainPid, undefined);
    });

    it(`a second ${signal}: now`, async (test) => {
      const stage = await scene(test);
      const first = await stage.first(['--drain-timeout', '10m']);
      const held = await stage.hold();
      first.kill(signal);
      await first.waitFor('stopping');
      first.kill(signal);
      await assert.rejects(held.answer);
      assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
      assert.equal(first.logs.find(({ event }) => event === 'drained')?.forced, 1);
    });
  }

  it("the program's own clean-up runs", async (test) => {
    const stage = await scene(test, 'graceful.cjs');
    const first = await stage.first();
    first.kill();
    await first.waitForSaid(/cleanedUp/, { evenAfterExit: true });
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('SIGTERM while it drains after a hand-over shortens the drain', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--drain-timeout', '10m']);
    const held = await stage.hold();
    await stage.waiting();
    first.kill('SIGQUIT');
    await first.waitFor('handover');
    first.kill();
    await assert.rejects(held.answer);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(first.logs.find(({ event }) => event === 'drained')?.forced, 1);
    assert.equal((await stage.who()).generation, '2');
  });
});

describe('SIGHUP', () => {
  it('opens the log file again after it was renamed', async (test) => {
    const stage = await scene(test);
    const log = stage.space.path('motya.log');
    const first = stage.start(['--log-file', log]);
    await until(() => readLogFile(log).find(({ event }) => event === 'serving'), { what: 'serving in the log file' });
    // Its program's own lines come by another way.
    await until(() => readFileSync(log, 'utf8').includes('listening'), { what: 'the line of its program' });
    renameSync(log, `${log}.1`);
    first.kill('SIGHUP');
    await until(() => existsSync(log), { what: 'a new log file' });
    first.kill();
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.ok(readLogFile(log).some(({ event }) => event === 'ended'));
    assert.ok(!readLogFile(`${log}.1`).some(({ event }) => event === 'ended'));
    assert.equal(first.stdout, '');
  });

  for (const programs of ['tagged', 'inherit']) {
    it(`a daemon's programs follow to the new file (log.programs: ${programs})`, (test) => follows(test, programs));
  }

  async function follows(test: TestContext, programs: string): Promise<void> {
    const stage = await scene(test, '', program('one', "process.on('SIGUSR2', () => console.log('program speaks'));"));
    const log = stage.space.path('motya.log');
    const { code } = await stage.start(['--daemonize', '--log-file', log, '--log-programs', programs]).waitForExit();
    assert.equal(code, 0);
    renameSync(log, `${log}.1`);
    process.kill(stage.mainPid as number, 'SIGHUP');
    const { pid } = await stage.who();
    await until(() => existsSync(log), { what: 'a new log file' });
    await until(
      () => {
        process.kill(pid, 'SIGUSR2');
        return readFileSync(log, 'utf8').includes('program speaks');
      },
      { what: "the program's line in the new file" },
    );
    // The program's own line.
    assert.match(readFileSync(`${log}.1`, 'utf8'), /listening/);
  }
});
