import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { ErrorCode } from '#src/base/error-catalog.js';
import type { Details } from '#src/base/errors.js';
import { type Child, freePort, until, type Workspace, workspace } from '../harness/index.js';
import { get, outcomeOf } from '../scene.js';

const API = JSON.stringify(import.meta.resolve('motya/worker'));

/**
 * Counts its requests, over upgrades; answers with the count and what else it knows. `how` is what it does for the next
 * generation.
 */
const program = (how: string): string => `
import { createServer } from 'node:http';
import { inherited, inheritedAll, onHandover, workerIndex } from ${API};
let count = 0;
let undone = 0;
let early = true;
const { MOTYA_GENERATION: generation } = process.env;
const known = { all: [] };
const server = createServer((_, response) => {
  response.end(JSON.stringify({ count: ++count, generation, worker: workerIndex, undone, early, ...known }));
});
server.listen(Number(process.env.PORT));
${how}
const state = await inherited();
early = false;
if (state !== undefined) count = state.count;
known.all = (await inheritedAll()).map(({ from }) => from);
`;
const GIVES = `onHandover(async () => ({ count, from: workerIndex, at: new Map([[1, new Date()]]) }), () => { undone += 1; });`;

interface Said {
  readonly count: number;
  readonly generation: string;
  readonly worker: number;
  readonly undone: number;
  /** It was asked before it had heard of what it inherits. */
  readonly early: boolean;
  /** The workers whose values it has got. */
  readonly all: readonly number[];
}

class Stage {
  readonly space: Workspace;
  readonly port: number;
  first!: Child;

  constructor(space: Workspace, port: number) {
    this.space = space;
    this.port = port;
  }

  release(how = GIVES): string {
    return this.space.write('server.mjs', program(how));
  }

  async start(how?: string, args: readonly string[] = []): Promise<void> {
    Object.assign(this.space.env, { PORT: String(this.port) });
    this.first = this.space.motya(['start', this.release(how), '--name', 'app', ...args]);
    await this.first.waitFor('serving');
  }

  async said(): Promise<Said> {
    return JSON.parse((await get(this.port)).body) as Said;
  }

  upgrade(...args: readonly string[]) {
    return this.space.run(['upgrade', '--name', 'app', ...args]);
  }

  /** @returns the details of the rejection */
  async rejected(code: ErrorCode): Promise<Details> {
    const upgrade = await this.upgrade('--json');
    const told = outcomeOf(upgrade);
    assert.deepEqual([upgrade.code, told.code], [3, code], told.text);
    return told.details ?? {};
  }
}

async function stageFor(test: TestContext): Promise<Stage> {
  return new Stage(workspace(test), await freePort());
}

describe('state of a program', () => {
  it('goes on over upgrades under load: nothing is counted twice, nothing is lost', async (t) => {
    const stage = await stageFor(t);
    await stage.start();
    let asked = 0;
    let stopped = false;
    const clients = Array.from({ length: 4 }, async () => {
      while (!stopped) {
        asked += 1;
        assert.equal((await stage.said()).early, false);
      }
    });
    for (const generation of ['2', '3']) {
      assert.equal((await stage.upgrade()).code, 0);
      await until(async () => (await stage.said()).generation === generation && ++asked, { what: generation });
    }
    stopped = true;
    await Promise.all(clients);
    // A request that was inside the old generation when it handed on is counted by that one alone.
    const { count } = await stage.said();
    assert.ok(count <= asked + 1 && count > asked - 20, `${count} counted of ${asked + 1}`);
  });

  it('is taken back when the upgrade is rolled back, or rejected', async (t) => {
    const stage = await stageFor(t);
    await stage.start(GIVES, ['--probation', '10m']);
    assert.deepEqual([(await stage.said()).count, (await stage.said()).undone], [1, 0]);
    assert.equal((await stage.upgrade('--detach')).code, 0);
    assert.equal((await stage.said()).count, 3);
    assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
    const back = await stage.said();
    assert.deepEqual([back.generation, back.count, back.undone], ['1', 3, 1]);
    assert.equal((await stage.upgrade('--dry-run')).code, 0);
    assert.equal((await stage.said()).undone, 1, 'nothing was given for a dry run');
  });

  /** `said`: what the reason holds; null: none comes in time. */
  const UNFIT = {
    'an error': ["onHandover(() => { throw new Error('no state today'); }, () => { undone += 1; });", 'no state today'],
    'a function': ['onHandover(() => () => {}, () => { undone += 1; });', 'could not be cloned'],
    'more than is allowed': [
      'onHandover(() => Buffer.alloc(17 * 1024 * 1024), () => { undone += 1; });',
      String(16 * 1024 * 1024),
    ],
    'a value that never comes': ['onHandover(() => new Promise(() => {}), () => { undone += 1; });', null],
    'a busy loop': ['onHandover(() => { const end = Date.now() + 3000; while (Date.now() < end); });', null],
  } as const;
  for (const [what, [how, said]] of Object.entries(UNFIT)) {
    it(`${what} rejects the upgrade; the incumbent serves on`, async (t) => {
      const stage = await stageFor(t);
      await stage.start(how);
      const worker = (await stage.space.ask('app')).services[0]?.workers[0]?.pid ?? null;
      const details = await stage.rejected('ERR_MOTYA_STATE');
      if (said === null) {
        assert.deepEqual(details, { service: 'server', worker: 0, awaits: 'handover', ms: 1_000 });
      } else {
        assert.deepEqual([details.service, details.pid], ['server', worker]);
        assert.ok(String(details.said).includes(said), String(details.said));
      }
      const now = await stage.said();
      assert.equal(now.generation, '1');
      if (what !== 'a busy loop') assert.equal(now.undone, 1);
    });
  }

  it('workers: the one with the same index has it; of fewer each has those of several', async (t) => {
    const stage = await stageFor(t);
    await stage.start(GIVES, ['--workers', '4']);
    const second = stage.space.motya(['start', stage.release(), '--name', 'app', '--workers', '2', '--upgrade']);
    await second.waitFor('waiting');
    stage.first.kill('SIGQUIT');
    await second.waitFor('serving');
    const all = new Map<number, readonly number[]>();
    await until(
      async () => {
        const { worker, all: got } = await stage.said();
        return all.set(worker, got).size === 2;
      },
      { what: 'both workers' },
    );
    assert.deepEqual([...all].sort(), [
      [0, [0, 2]],
      [1, [1, 3]],
    ]);
  });

  it('megabytes', async (t) => {
    const stage = await stageFor(t);
    await stage.start("onHandover(() => ({ count: 7, from: 'x'.repeat(15 * 1024 * 1024) }));");
    assert.equal((await stage.upgrade()).code, 0);
    const said = await stage.said();
    assert.deepEqual([said.count, String(said.all[0]).length], [8, 15 * 1024 * 1024]);
  });

  it('waited for before listen(): the upgrade is rejected, and says what is wrong', async (t) => {
    const stage = await stageFor(t);
    await stage.start(GIVES, ['--ready-timeout', '6s']);
    stage.space.write(
      'server.mjs',
      `import { inherited } from ${API};
await inherited();
(await import('node:http')).createServer((_, response) => response.end()).listen(Number(process.env.PORT));
`,
    );
    const { awaits, first } = await stage.rejected('ERR_MOTYA_NOT_READY');
    assert.deepEqual([awaits, first], ['inherited', 'listen']);
  });

  it('waited for before ready(), with ready: signal: the upgrade is rejected, and says what is wrong', async (t) => {
    const stage = await stageFor(t);
    await stage.start("process.send('ready');", ['--ready', 'signal', '--ready-timeout', '3s']);
    stage.space.write('server.mjs', program("await inherited();\nprocess.send('ready');"));
    const { awaits, first } = await stage.rejected('ERR_MOTYA_NOT_READY');
    assert.deepEqual([awaits, first], ['inherited', 'signal']);
  });

  it('is not there in a worker that was started again after a crash, such as that of a second onHandover()', async (t) => {
    const stage = await stageFor(t);
    await stage.start(`${GIVES}
process.once('SIGUSR2', () => { onHandover(() => 1); });`);
    await stage.said();
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await stage.said()).count, 2);
    const { services } = await stage.space.ask('app');
    process.kill(services[0]?.workers[0]?.pid as number, 'SIGUSR2');
    // Whoever is inside the worker when it crashes has no answer.
    const count = () =>
      stage.said().then(
        (said) => said.count,
        () => Number.POSITIVE_INFINITY,
      );
    await until(async () => (await count()) < 3, { what: 'the worker that is started again' });
  });

  it('harmless under plain node', async (t) => {
    const stage = await stageFor(t);
    const child = stage.space.node([stage.release()], { env: { PORT: String(stage.port) } });
    await until(() => stage.said().catch(() => null), { what: 'an answer' });
    assert.equal((await stage.said()).count, 2);
    child.kill('SIGTERM');
    await child.waitForExit();
  });
});
