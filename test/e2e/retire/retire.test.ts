import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { until, workspace } from '../harness/index.js';
import { ask } from '../scene.js';
import { Hammer } from './hammer.js';
import { type Stage, stageIn } from './stage.js';

const CLIENTS = 4;
/** Answers to each hammer, so that clients are everywhere: in the queue, in a handshake, in a worker. */
const ANSWERS = 100;

/** A hammer for each kind of listener that goes, once all of them have had answers. */
async function hammers(stage: Stage, test: TestContext): Promise<Map<string, Hammer>> {
  const all = stage.hammers(CLIENTS);
  test.after(() => Promise.all([...all.values()].map((hammer) => hammer.stop())));
  await more(all);
  return all;
}

async function more(all: ReadonlyMap<string, Hammer>): Promise<void> {
  const before = new Map([...all].map(([kind, { seen }]) => [kind, seen.answers]));
  const isMore = ([kind, { seen }]: [string, Hammer]): boolean => seen.answers >= (before.get(kind) ?? 0) + ANSWERS;
  await until(() => [...all].every(isMore), { what: 'answers', instead: () => [...all].map(([, { seen }]) => seen) });
}

/** Nobody was reset, and all were refused in the end. */
async function refusedCleanly(all: ReadonlyMap<string, Hammer>): Promise<void> {
  for (const [kind, { over, seen }] of all) {
    await over;
    assert.deepEqual(seen.failures, [], `${kind}, after ${seen.answers} answers`);
    assert.equal(
      Object.values(seen.refused).reduce((sum, count) => sum + count, 0),
      CLIENTS,
      kind,
    );
  }
}

/** Others have nothing to give up. */
const isRoot = process.getuid?.() === 0;
const at = (target: Stage['kept']) => ask('path' in target ? { socketPath: target.path } : target);

describe('listeners that nobody wants any more: clients are answered or refused, none is reset', () => {
  it('left out by an upgrade: the old generation serves them until it is sure that it goes, then they run dry', async (t) => {
    const stage = await stageIn(workspace(t));
    const first = await stage.start(['--probation', '10m']);
    const staying = new Hammer(stage.kept, CLIENTS);
    t.after(() => staying.stop());
    const going = await hammers(stage, t);

    stage.listen([stage.kept]);
    const upgraded = await stage.space.run(['upgrade', '--name', 'app', '--detach']);
    assert.equal(upgraded.code, 0, upgraded.stderr);
    await more(going);
    for (const target of Object.values(stage.going)) assert.equal((await at(target)).body, '1');
    assert.equal((await at(stage.kept)).body, '2');

    // The stop of the old one ends the probation, and it goes.
    process.kill(first.pid, 'SIGTERM');
    await refusedCleanly(going);
    await first.exited;
    await staying.stop();
    assert.deepEqual(staying.seen.failures, []);
    assert.deepEqual(staying.seen.refused, {});
  });

  it('left out by an upgrade that is rolled back: they are served all along', async (t) => {
    const stage = await stageIn(workspace(t));
    await stage.start(['--probation', '10m']);
    const going = await hammers(stage, t);
    stage.listen([stage.kept]);
    await stage.succeeds(['upgrade', '--name', 'app', '--detach']);
    await more(going);
    await stage.succeeds(['rollback', '--name', 'app']);
    await more(going);
    for (const [kind, hammer] of going) {
      await hammer.stop();
      assert.deepEqual([hammer.seen.failures, hammer.seen.refused], [[], {}], kind);
    }
  });

  it('new in an upgrade that is rolled back', async (t) => {
    const stage = await stageIn(workspace(t));
    const all = [stage.kept, ...Object.values(stage.going)];
    await stage.start(['--probation', '10m']);
    stage.listen([stage.kept]);
    await stage.succeeds(['upgrade', '--name', 'app', '--detach']);
    stage.listen(all);
    await stage.succeeds(['upgrade', '--name', 'app', '--detach']);
    const going = await hammers(stage, t);
    await stage.succeeds(['rollback', '--name', 'app']);
    await refusedCleanly(going);
    assert.equal((await at(stage.kept)).body, '2');
  });

  for (const [whose, under] of [
    ['', []],
    // Some kernels let nobody else attach a socket filter.
    [' of an instance without CAP_NET_ADMIN', isRoot ? ['setpriv', '--bounding-set=-net_admin,-net_raw'] : []],
  ] as const) {
    it(`at the last stop${whose}`, async (t) => {
      const stage = await stageIn(workspace(t));
      const first = await stage.start([], under);
      const going = await hammers(stage, t);
      const stopped = await stage.space.run(['stop', '--name', 'app']);
      assert.equal(stopped.code, 0, stopped.stderr);
      await refusedCleanly(going);
      await first.exited;
      assert.deepEqual(
        first.logs.filter(({ event }) => event === 'retire'),
        [],
      );
    });
  }
});
