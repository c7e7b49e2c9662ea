import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext, test } from 'node:test';
import { app, type Child, type LogLine, ROOT, until } from '../e2e/harness/index.js';
import { ask, type Scene, scene } from '../e2e/scene.js';
import { FAILING, type Failing } from './failing-work.js';

/** The name of each piece of background work, as the source has it. */
function namesInSource(): string[] {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const sources = files.map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'));
  const calls = sources.flatMap((source) => [...source.matchAll(/[iI]nBackground\(\s*(?:'([^']+)'|"([^"]+)"|(\w))/g)]);
  return [...new Set(calls.map(([, single, double, other]) => single ?? double ?? `${other}…`))]
    .filter((name) => name !== 'd…')
    .sort();
}

/** In the processes of programs, where the supervisor's injection does not reach: test/runtime/background.test.ts. */
const IN_WORKERS = ['handing state on', 'opening the inspector', 'waiting for onDrain()'];

/** What the tests below do not come to, and why. */
const NOT_REACHED: Readonly<Record<string, string>> = {
  "looking at the unit's settings": 'only below systemd',
  'closing what programs hand on': 'its failure would be that of close(2)',
  'declining an offer that comes too late': 'an offer has to come in the moment in which a successor gives up',
  'disconnecting from the primary': 'in a worker of a cluster; it has the same owner as IN_WORKERS',
  'loading the log transports': 'its failures are taken where they occur',
  'pausing a worker': 'a worker has to crash while its generation stands by for listeners that are left out',
  'the end': 'nothing serves any more',
  'the end of upkeep': 'nothing serves any more',
  'watching the owner of the sandbox': 'a drill, which ends with it',
};

/** While an instance drains or stops: the defect is logged, and it ends. Its programs finish what they have. */
const ENDING = [
  'accepting until the stop',
  'clearing up after a worker',
  'cutting a listener off',
  'ending other generations',
  'hearing what has become of connections',
  'telling how the drain goes',
  'the drain',
  'the stop',
];
/** Of those, what belongs to the drain after a hand-over. */
const HANDED_OVER: readonly string[] = ['hearing what has become of connections', 'the drain'];

const PROGRAM = `'use strict';
const { address, announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const { createServer } = require('node:http');
if (process.argv[2] === 'child') createServer(handler).listen(process.env.CHILD_SOCKET);
else {
  const start = () => require('node:child_process').fork(__filename, ['child']).once('exit', start);
  if (process.env.CHILD_SOCKET) start();
  const server = createServer(handler);
  server.listen(...address(), () => announce(server));
}
`;

async function failing(test: TestContext, names: readonly string[], when: Failing['when'] = 'last'): Promise<Scene> {
  const stage = await scene(test, '', PROGRAM);
  stage.space.nodeArgs.push('--import', import.meta.resolve('./failing-work.js'));
  Object.assign(stage.space.env, { [FAILING]: JSON.stringify({ names, when }) });
  return stage;
}

const defectsOf = (child: Child): LogLine[] => child.logs.filter(({ event }) => event === 'defect');

function assertStacks(lines: readonly LogLine[]): void {
  for (const { code, during, stack, level } of lines) {
    assert.equal(code, 'ERR_MOTYA_INTERNAL');
    assert.equal(level, 'error');
    assert.match(String(stack), new RegExp(`injected: ${during}\\n +at `));
  }
}

const reached = new Set<string>();

function note(child: Child): void {
  const defects = defectsOf(child);
  assertStacks(defects);
  for (const { during } of defects) reached.add(String(during));
}

describe('background work that fails', { concurrency: 4 }, () => {
  it('in an instance that serves, upgrades, rolls back and starts workers again: it serves on', async (test) => {
    const stage = await failing(
      test,
      namesInSource().filter((name) => !ENDING.includes(name)),
    );
    const admin = stage.space.path('admin.sock');
    const env = { CHILD_SOCKET: stage.space.path('child.sock'), MOTYA_ADMIN: `unix:${admin}`, MOTYA_HEALTH_PATH: '/' };
    // The settings file is read again by each generation.
    const settings = (probation: string, script = stage.script) =>
      stage.space.write('motya.yaml', `name: app\nprobation: ${probation}\nservices: { web: { script: ${script} } }\n`);
    const config = settings('60s');
    const first = stage.space.motya(['start', '--config', config], {
      env: { PORT: String(stage.port), MOTYA_PROBATION: undefined, ...env },
    });
    await first.waitFor('serving');
    assert.equal((await ask({ socketPath: admin, path: '/healthz', host: 'localhost' })).status, 200);
    const { pid } = await stage.who();
    const ofChild = () => ask({ socketPath: env.CHILD_SOCKET }).catch(() => null);
    const { body } = await until(ofChild, { what: 'the process that the program has started' });
    const child = JSON.parse(body) as { pid: number };
    process.kill(child.pid, 'SIGKILL');
    await first.waitFor(({ during }) => during === "the end of a worker's child");
    process.kill(pid, 'SIGKILL');
    await first.waitFor('worker-restart');
    await until(async () => (await stage.who().catch(() => ({ pid }))).pid !== pid, {
      what: 'another worker to answer',
    });
    assert.equal((await stage.upgrade('--dry-run')).code, 0);
    assert.equal((await stage.upgrade('--detach')).code, 0);
    await first.waitFor(({ during }) => during === 'telling the successor how many connections are open');
    await first.waitFor(({ during }) => during === 'looking whether the programs accept');
    await first.waitFor(({ during }) => during === 'the health check');
    assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
    await first.waitFor('rolled-back');
    assert.equal((await stage.who()).generation, '1');
    settings('60s', stage.space.write('fails.cjs', 'process.exit(3)'));
    assert.equal((await stage.upgrade()).code, 3);
    await first.waitFor(({ during }) => during === 'reclaiming the files of a successor');
    assert.equal((await stage.who()).generation, '1');
    settings('2s');
    assert.equal((await stage.upgrade()).code, 0);
    await first.waitFor(({ during }) => during === 'the end of the probation');
    assert.equal((await stage.who()).generation, '2');
    // It ends with the drain of the generation before.
    await first.waitFor(({ during }) => during === 'the probation');
    note(first);
  });

  for (const name of ENDING) {
    it(`${name}: the instance ends, and leaves nothing behind`, async (test) => {
      const stage = await failing(test, [name], 'first');
      Object.assign(stage.space.env, { MOTYA_PROBATION: '0' });
      const first = await stage.first();
      if (HANDED_OVER.includes(name)) await stage.upgrade();
      else first.kill('SIGTERM');
      await first.waitForExit();
      assert.deepEqual(
        defectsOf(first).map(({ during }) => during),
        [name],
      );
      note(first);
      if (HANDED_OVER.includes(name)) assert.equal((await stage.who()).generation, '2');
    });
  }

  it('in a keeper: it keeps its instance', async (test) => {
    const stage = await failing(test, namesInSource());
    const keeper = await stage.first(['--supervise'], { WATCHDOG_USEC: '600000' });
    await keeper.waitFor(({ during }) => during === 'the watchdog');
    await keeper.waitFor(({ during }) => during === 'the report of an instance');
    assert.equal((await stage.who()).generation, '1');
    note(keeper);
    keeper.kill('SIGTERM');
    await keeper.waitForExit();
    const script = stage.space.write('fails.cjs', 'process.exit(3)');
    const failed = stage.space.motya(['start', script, '--name', 'other', '--supervise']);
    assert.equal((await failed.waitForExit()).code, 1);
    note(failed);
  });
});

test('every piece of background work has failed in one of these tests', () => {
  const missing = namesInSource().filter(
    (name) => !reached.has(name) && !(name in NOT_REACHED) && !IN_WORKERS.includes(name),
  );
  assert.deepEqual(missing, []);
});
