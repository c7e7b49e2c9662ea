import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { isAlive, until } from './harness/index.js';
import { isRefused, type Scene, scene } from './scene.js';

interface Generations {
  readonly stage: Scene;
  /** Pids of those that drain, each with a request that only the test ends; and of the one that serves. */
  readonly pids: readonly [number, number, number];
}

/** Three generations, of which the first two drain for minutes. */
async function three(test: TestContext): Promise<Generations> {
  const stage = await scene(test);
  const first = await stage.first(['--drain-timeout', '5m']);
  await stage.hold();
  assert.equal((await stage.upgrade()).code, 0);
  const second = stage.mainPid as number;
  await stage.hold();
  assert.equal((await stage.upgrade()).code, 0);
  const drains = async () => (await stage.status()).draining.map(({ pid }) => pid).join() === `${first.pid},${second}`;
  await until(drains, { what: 'two generations that drain' });
  return { stage, pids: [first.pid, second, stage.mainPid as number] };
}

async function nothingIsLeft({ stage, pids }: Generations): Promise<void> {
  for (const pid of pids) await until(() => !isAlive(pid), { what: `the end of pid ${pid}` });
  await stage.space.nothingLeft();
  const files = readdirSync(`${stage.space.runtimeDir}/motya`).filter((name) => !name.endsWith('.lock'));
  assert.deepEqual(files, []);
  assert.ok(await isRefused(stage.port));
}

describe('stop ends all generations, and says which', () => {
  for (const args of [[], ['--now']]) {
    it(`motya stop ${args.join()}`, async (test) => {
      const all = await three(test);
      const { code, stdout } = await all.stage.space.run(['stop', '--name', 'app', ...args]);
      assert.equal(code, 0);
      const [first, second, third] = all.pids;
      // It has waited for them.
      assert.deepEqual(all.pids.filter(isAlive), []);
      assert.deepEqual(stdout.trimEnd().split('\n').sort(), [
        `app (pid ${third}) has stopped`,
        `generation 1 (pid ${first}), which was draining, has ended`,
        `generation 2 (pid ${second}), which was draining, has ended`,
      ]);
      await nothingIsLeft(all);
    });
  }

  it('SIGTERM, and again', async (test) => {
    const all = await three(test);
    const [, , third] = all.pids;
    process.kill(third, 'SIGTERM');
    await nothingIsLeft(all);
  });

  it('with the main process killed: status says what drains, stop ends it', async (test) => {
    const all = await three(test);
    const [first, second, third] = all.pids;
    process.kill(third, 'SIGKILL');
    await until(() => !isAlive(third), { what: 'its end' });
    const status = await all.stage.space.run(['status', '--name', 'app']);
    assert.equal(status.code, 4);
    for (const pid of [first, second]) assert.ok(status.stderr.includes(String(pid)), status.stderr);
    // It is known by its directory, too.
    const { code, stdout, stderr } = await all.stage.space.run(['stop', '--now']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^generation 1 \\(pid ${first}\\), which was draining, has ended$`, 'm'));
    assert.match(stdout, new RegExp(`^generation 2 \\(pid ${second}\\), which was draining, has ended$`, 'm'));
    for (const pid of [first, second]) assert.ok(!isAlive(pid));
    assert.equal((await all.stage.space.run(['stop', '--name', 'app'])).code, 4);
  });

  it('on probation: the one that could serve again, and the one before it', async (test) => {
    const { stage, first, second, third } = await onProbation(test);
    const { code, stdout } = await stage.space.run(['stop', '--name', 'app', '--now']);
    assert.equal(code, 0);
    for (const pid of [first, second, third]) assert.ok(!isAlive(pid), `${pid} lives: ${stdout}`);
    await nothingIsLeft({ stage, pids: [first, second, third] });
  });

  it('a generation that drains is found again when the directory is removed', async (test) => {
    const all = await three(test);
    const directory = `${all.stage.space.runtimeDir}/motya`;
    const { rmSync } = await import('node:fs');
    rmSync(directory, { recursive: true });
    const [first, second] = all.pids;
    const isBack = () => [first, second].every((pid) => entries(directory).includes(`app~${pid}.sock`));
    await until(isBack, { what: 'their sockets', instead: () => entries(directory) });
    assert.equal((await all.stage.space.run(['stop', '--name', 'app', '--now'])).code, 0);
    assert.deepEqual(all.pids.filter(isAlive), []);
  });
});

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The first generation drains, the second can serve again, the third is on probation. */
async function onProbation(test: TestContext) {
  const stage = await scene(test);
  const first = await stage.first(['--drain-timeout', '5m']);
  await stage.hold();
  assert.equal((await stage.upgrade()).code, 0);
  const second = stage.mainPid as number;
  await stage.hold();
  const third = await stage.waiting(['--probation', '5m', '--drain-timeout', '5m']);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  return { stage, first: first.pid, second, third: third.pid };
}

describe('status while a generation is on probation', () => {
  it('shows all generations, and how long each one has', async (test) => {
    const { stage, first, second } = await onProbation(test);
    const draining = await until(
      async () => {
        const { draining } = await stage.status();
        return draining.length === 2 && draining.every(({ left }) => left !== null) ? draining : null;
      },
      { what: 'two generations beside it', instead: async () => (await stage.status()).draining },
    );
    assert.deepEqual(
      draining.map(({ generation, pid, connections }) => [generation, pid, connections]),
      [
        [1, first, 1],
        [2, second, 1],
      ],
    );
    const [old, incumbent] = draining;
    assert.equal(old?.probation ?? null, null);
    assert.ok((old?.left ?? 0) > 60_000);
    assert.ok((incumbent?.probation ?? 0) > 60_000 && (incumbent?.left ?? 0) > (incumbent?.probation ?? 0));
    const { stdout } = await stage.space.run(['status', '--name', 'app']);
    assert.match(stdout, new RegExp(`^generation 1 +${first} .* [45] min.* 1: 1 http1$|^generation 1 +${first} `, 'm'));
    assert.match(stdout, new RegExp(`^generation 2 +${second} .*drains in [45] min.* 1: 1 http1$`, 'm'));
    assert.doesNotMatch(stdout, /(?<![.\d])0 ms/);
    const watch = stage.space.motya(['status', '--name', 'app', '--watch', '100ms']);
    const line = await watch.waitForStdout(/on probation/);
    assert.match(
      line,
      /generation 1 drains 1 connection, .* left; generation 2 has 1 connection and can serve again for/,
    );
  });
});
