import assert from 'node:assert/strict';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { app, type Child, isAlive, parentOf, placesIn, until } from '../harness/index.js';
import type { LoadReport } from '../load/index.js';
import { ask, outcomeOf, program, type Scene, scene } from '../scene.js';
import * as chain from '../traffic.js';

/** On a TCP port and on a unix path; a file makes its supervisor spin (see SPIN). */
const PROGRAM = (version: string): string => `
${program(version)}
require('node:http').createServer(handler).listen(process.env.SOCKET);
`;
/** Preloaded into a supervisor: spins from the moment in which a file is there. */
const SPIN = `
import { existsSync } from 'node:fs';
if (process.env.MOTYA_WORKER === undefined && process.argv.includes('start') && process.env.MOTYA_UPGRADE === undefined)
  setInterval(() => { while (existsSync(process.env.SPIN_FILE)); }, 20).unref();
`;
const LOAD = { keepAlive: 4, fresh: 4, thinkMs: 5 } as const;

async function stageFor(test: TestContext, before?: (stage: Scene) => void): Promise<{ stage: Scene; first: Child }> {
  const stage = await scene(test, '', PROGRAM('one'));
  Object.assign(stage.space.env, { SOCKET: stage.space.path('app.sock') });
  before?.(stage);
  const first = await stage.first(chain.NEVER_FORCED);
  return { stage, first };
}

const force = (stage: Scene) => stage.space.run(['upgrade', '--name', 'app', '--force', '--json']);

/** Whoever takes over has everything, and can be upgraded in its turn. */
async function serves(stage: Scene, old: number): Promise<void> {
  await until(() => !isAlive(old), { what: 'the end of the old one' });
  const status = await stage.status();
  assert.deepEqual([status.generation, status.phase, status.pid], [2, 'serving', stage.mainPid]);
  const socketPath = stage.space.path('app.sock');
  for (const target of [{ port: stage.port, host: '127.0.0.1' }, { socketPath }]) {
    assert.equal(JSON.parse((await ask(target)).body).generation, '2');
  }
  const next = await stage.space.run(['upgrade', '--name', 'app']);
  assert.equal(next.code, 0, next.stderr);
  const words = ['cmdline', 'environ'].flatMap((file) =>
    readFileSync(`/proc/${stage.mainPid}/${file}`, 'utf8').split('\0'),
  );
  assert.equal(words.includes('--force') || words.includes('MOTYA_FORCE=true'), false, 'it has not come by force');
  assert.ok(existsSync(socketPath));
  assert.equal(JSON.parse((await ask({ socketPath })).body).generation, '3');
}

describe('an incumbent that answers nothing is replaced by force', () => {
  const WEDGES = {
    stopped: { by: (first: Child) => first.kill('SIGSTOP'), before: () => {} },
    spinning: {
      by: (_: Child, stage: Scene) => void stage.space.write('spin', ''),
      before: (stage: Scene) => {
        const preload = stage.space.write('spin.mjs', SPIN);
        stage.space.nodeArgs.push('--import', preload);
        Object.assign(stage.space.env, { SPIN_FILE: stage.space.path('spin') });
      },
    },
  };
  for (const [how, { by, before }] of Object.entries(WEDGES)) {
    it(`${how}: under load no request fails`, async (t) => {
      const { stage, first } = await stageFor(t, before);
      const load = await chain.traffic({ ...LOAD, port: stage.port });
      let report: LoadReport;
      try {
        by(first, stage);
        const forced = await force(stage);
        assert.equal(forced.code, 0, forced.stderr);
        const { code, generation, pid } = outcomeOf(forced);
        assert.deepEqual([code, generation, pid], ['LIVE', 2, stage.mainPid]);
        assert.equal(isAlive(first.pid), false, 'it says that it is ended when it is');
        assert.notEqual(parentOf(stage.mainPid ?? 0), first.pid);
      } finally {
        report = await load.stop();
      }
      assert.deepEqual([report.failures, report.failuresByKind], [0, {}], JSON.stringify(report.details));
      await serves(stage, first.pid);
    });
  }

  it('one that wakes finds that it was replaced: it drains, and takes nothing away', async (t) => {
    const { stage, first } = await stageFor(t);
    const held = await stage.hold();
    first.kill('SIGSTOP');
    const forcing = force(stage);
    await until(() => stage.mainPid !== first.pid, { what: 'the new one' });
    first.kill('SIGCONT');
    // It has WEDGED_GRACE_MS to end by itself, and finishes what it has in that.
    held.finish();
    await first.waitFor(({ event }) => event === 'replaced');
    assert.equal((await forcing).code, 0);
    assert.equal((await held.answer).status, 200, 'what it has is finished');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    await serves(stage, first.pid);
  });

  it('by hand, and its pidfile lies behind a symlink: motya start --upgrade --force', async (t) => {
    const { stage, first } = await stageFor(t, ({ space }) => {
      symlinkSync(space.runtimeDir, space.path('link'));
      Object.assign(space.env, { RUNTIME_DIRECTORY: space.path('link', 'motya') });
    });
    first.kill('SIGSTOP');
    const second = stage.start(['--upgrade', '--force']);
    await second.waitFor('serving');
    await serves(stage, first.pid);
  });

  it('a new version that cannot start: nothing has changed, and the old one can wake', async (t) => {
    const { stage, first } = await stageFor(t);
    first.kill('SIGSTOP');
    stage.space.write('server.cjs', 'oops(');
    const forced = await force(stage);
    const { code, details } = outcomeOf(forced);
    assert.deepEqual(
      [forced.code, code, details?.cause, details?.said],
      [1, 'ERR_MOTYA_FORCE_FAILED', 'ERR_MOTYA_PROGRAM', `SyntaxError: Unexpected end of input (${stage.script}:1)`],
    );
    assert.equal(stage.mainPid, first.pid);
    first.kill('SIGCONT');
    const status = await stage.status();
    assert.deepEqual([status.generation, status.pid, status.phase], [1, first.pid, 'serving']);
    assert.equal((await stage.who()).generation, '1');
  });

  it('one that answers is upgraded as ever', async (t) => {
    const { stage, first } = await stageFor(t);
    const { code, stdout } = await force(stage);
    assert.equal(code, 0);
    const phases = stdout.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line).phase ?? [])));
    assert.ok(phases.includes('offering'), stdout);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('below a keeper: refused, with what to do instead; which works', async (t) => {
    const { stage, first: keeper } = await stageFor(t, (scene) => {
      Object.assign(scene.space.env, { MOTYA_KEEPER: 'true' });
    });
    const old = stage.mainPid ?? 0;
    assert.notEqual(old, keeper.pid);
    process.kill(old, 'SIGSTOP');
    const forced = await force(stage);
    const { code, text, details } = outcomeOf(forced);
    assert.deepEqual(
      [forced.code, code, details],
      [1, 'ERR_MOTYA_FORCE_FAILED', { cause: 'ERR_MOTYA_MANAGED', pid: old, by: 'keeper' }],
    );
    // The command to type.
    assert.ok(text.includes(`kill -KILL ${old},`), text);
    process.kill(old, 'SIGKILL');
    await until(() => stage.mainPid !== old, { what: 'the next one' });
    assert.equal((await stage.who()).version, 'one');
    assert.equal(keeper.exit, undefined);
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
    await keeper.waitForExit();
  });

  it('--force without --upgrade: one line', async (t) => {
    const stage = await scene(t);
    const { code, stderr } = await stage.space.run(['start', app('http.cjs'), '--force']);
    assert.deepEqual([code, stderr.split('\n').length], [2, 2]);
    assert.deepEqual(placesIn(stderr), [{ key: '--force' }]);
  });
});
