import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Supervisor, SupervisorEvents } from 'motya';
import { app, type Child, freePort, ROOT, readPidfile, until, workspace } from './harness/index.js';
import { scene, servesAs, who } from './scene.js';

const fixture = (name: string): string => `${ROOT}test/fixtures/library/${name}`;

interface Line {
  readonly pid?: number;
  readonly event?: keyof SupervisorEvents;
  readonly from?: string;
  readonly to?: string;
  readonly [field: string]: unknown;
}
const linesOf = (child: Child): Line[] =>
  child.said.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);

describe("import { Supervisor } from 'motya'", () => {
  it('its events are typed', () => {
    // Checked by the compiler: what is wrong here does not build.
    const listen = (supervisor: Supervisor): void => {
      supervisor.on('serving', ({ generation, listeners }) => listeners.at(generation)?.toUpperCase());
      supervisor.on('handedOver', ({ successor, gapMs }) => (successor + gapMs).toFixed());
      supervisor.on('rejected', ({ code, message }) => code + message);
      supervisor.on('draining', ({ connections, leftMs }) => connections + leftMs);
      // @ts-expect-error there is no such event
      supervisor.on('nonsense', () => {});
      // @ts-expect-error a generation is a number
      supervisor.on('serving', ({ generation }) => generation.toUpperCase());
    };
    assert.equal(typeof listen, 'function');
  });

  it('a program of its own serves, is upgraded by a signal and stops; each phase is an event', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const first = space.node([fixture('supervise.mjs'), app('http.cjs')], { env: { PORT: String(port) } });
    await first.waitForStdout(/"started":1,"phase":"serving"/);
    assert.equal((await who(port)).generation, '1');
    assert.equal(readPidfile(`${space.runtimeDir}/motya/library.pid`), first.pid);
    first.kill('SIGQUIT');
    await first.waitForStdout(/"started":2,"phase":"probation"/, { evenAfterExit: true });
    assert.equal((await who(port)).generation, '2');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });

    const lines = linesOf(first);
    assert.equal(lines.find(({ started }) => started === 1)?.handlers, 0, 'handlers of the whole process');
    const of = (pid: number | undefined) => lines.filter((line) => line.pid === pid && line.event !== undefined);
    const second = lines.find(({ started }) => started === 2)?.pid as number;
    const phases = (pid: number | undefined) =>
      of(pid)
        .filter(({ event }) => event === 'phase')
        .map(({ to }) => to);
    assert.deepEqual(phases(first.pid), [
      'serving',
      'finding',
      'offering',
      'awaiting',
      'pausing',
      'committed',
      'standby',
      'draining',
      'ended',
    ]);
    assert.deepEqual(phases(second), ['adopting', 'booting', 'ready', 'taking', 'probation', 'serving']);
    assert.equal(of(first.pid).find(({ event }) => event === 'handedOver')?.successor, second);
    assert.deepEqual(of(second).find(({ event }) => event === 'serving')?.listeners, [`tcp://127.0.0.1:${port}`]);
    assert.deepEqual(lines.find(({ last }) => last !== undefined)?.last, { reason: 'handed-over', forced: 0 });

    process.kill(second, 'SIGTERM');
    await first.waitForStdout(/"last":\{"reason":"stopped","forced":0\}/, { evenAfterExit: true });
    await space.nothingLeft();
  });

  it('upgrade({ dryRun }) tells who could take over, and serves on', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const first = space.node([fixture('supervise.mjs'), app('http.cjs')], {
      env: { PORT: String(port), THEN: 'dry-run' },
    });
    await first.waitForStdout(/"dryRun"/);
    const [result] = linesOf(first).flatMap(({ dryRun }) => (dryRun === undefined ? [] : [dryRun]));
    const { generation, gapMs } = result as { generation: number; gapMs: number | null };
    assert.deepEqual([generation, gapMs, (await who(port)).generation], [2, null, '1']);
  });

  it('upgrade() that cannot be throws a HandoverError, and serves on', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const env = { PORT: String(port), THEN: 'fail' };
    const first = space.node([fixture('supervise.mjs'), app('http.cjs')], { env });
    await first.waitForStdout(/"name":"HandoverError","code":"ERR_MOTYA_NO_SUCCESSOR"/);
    assert.equal(linesOf(first).find(({ event }) => event === 'rejected')?.code, 'ERR_MOTYA_NO_SUCCESSOR');
    assert.equal((await who(port)).generation, '1');
  });

  it('worker crashes are events', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const first = space.node([fixture('supervise.mjs'), app('http.cjs')], { env: { PORT: String(port) } });
    await first.waitForStdout(/"started":1/);
    process.kill((await who(port)).pid, 'SIGKILL');
    await first.waitForStdout(/"event":"workerRestart"/);
    const crash = linesOf(first).find(({ event }) => event === 'workerExit');
    assert.deepEqual([crash?.service, crash?.index, crash?.reason], ['web', 0, 'signal SIGKILL']);
    assert.equal((await who(port)).generation, '1');
  });

  it('the example runs', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const first = space.node([`${ROOT}examples/supervise.mjs`], { env: { PORT: String(port) } });
    await first.waitForStdout(/^generation 1 serves/);
    first.kill('SIGQUIT');
    const second = await first.waitForStdout(/^generation 2 serves/, { evenAfterExit: true });
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.match(first.stdout, /^ended: handed-over, 0 connections closed by force$/m);
    process.kill(Number(/(\d+)$/.exec(second)?.[1]), 'SIGTERM');
    await first.waitForStdout(/^ended: stopped/, { evenAfterExit: true });
    await space.nothingLeft();
  });
});

describe('motya/worker', () => {
  for (const name of ['worker-api.cjs', 'worker-api.mjs']) {
    it(`${name}: ready(), onDrain(), generation`, async (test) => {
      const stage = await scene(test);
      stage.script = fixture(name);
      const ready = stage.space.path('ready');
      const env = { READY_FILE: ready };
      const first = stage.start(['--ready', 'signal', '--drain-timeout', '20s'], env);
      await first.waitForStdout(/"listening"/);
      // It listens, and is not ready for all that.
      assert.deepEqual(servingLines(first), []);
      assert.equal(stage.mainPid, undefined);
      stage.space.write('ready', '');
      await first.waitFor('serving');
      const [identity] = linesOf(first);
      assert.deepEqual(identity, { isWorker: true, generation: 1, service: 'worker-api', workerIndex: 0 });

      rmSync(ready);
      const upgrade = stage.space.motya(['upgrade', '--name', 'app']);
      await first.waitFor(({ to }) => to === 'awaiting');
      await until(() => linesOf(first).filter(({ listening }) => listening !== undefined).length === 2, {
        what: 'the second one to believe that it listens',
      });
      assert.equal((await stage.who()).generation, '1');
      stage.space.write('ready', '');
      assert.deepEqual(await upgrade.waitForExit(), { code: 0, signal: null });
      await servesAs(first, 2);
      assert.equal((await stage.who()).generation, '2');
      await first.waitForExit();
      const drained = linesOf(first).filter(({ draining }) => draining !== undefined);
      assert.deepEqual(
        drained.map(({ draining }) => draining),
        [1],
      );
      const left = Number(drained[0]?.left);
      assert.ok(left > 10_000 && left <= 20_000, String(left));
      assert.ok(!first.stdout.includes('never'));
    });

    it(`${name} under bare node`, async (test) => {
      const space = workspace(test);
      const bare = space.node([fixture(name)], { env: { READY_FILE: space.path('ready') } });
      await bare.waitForStdout(/"listening"/);
      assert.deepEqual(linesOf(bare)[0], { isWorker: false, generation: 1, service: '', workerIndex: 0 });
    });
  }

  it("process.send('ready') of a program that has it", async (test) => {
    const stage = await scene(test, 'ready-later.mjs');
    const first = stage.start(['--ready', 'signal'], { READY_FILE: stage.space.path('ready') });
    await first.waitForStdout(/"listening"/);
    assert.deepEqual(servingLines(first), []);
    stage.space.write('ready', '');
    await first.waitFor('serving');
    assert.equal((await stage.who()).generation, '1');
  });
});

const servingLines = (child: Child) => child.logs.filter(({ event }) => event === 'serving');
