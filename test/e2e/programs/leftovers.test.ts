import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Child, freePort, isAlive, killIfAlive, type LogLine, until } from '../harness/index.js';
import { failureOf, isRefused, program, type Scene, scene } from '../scene.js';

/**
 * A program with a helper that has a port of its own ($HELPER_PORT), which Motya does not know of: an environment of its own. `helper`
 * is what that does beside listening.
 */
const withHelper = (helper: string, { detached = false, before = '' } = {}): string => {
  const code = `${helper}; require('node:net').createServer().listen(Number(process.env.HELPER_PORT), '127.0.0.1', () => console.log('helper ' + process.pid))`;
  const env = '{ HELPER_PORT: process.env.HELPER_PORT, SUPERVISED_TEST_ID: process.env.SUPERVISED_TEST_ID }';
  return program(
    'one',
    `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(code)}], { stdio: 'inherit', detached: ${detached}, env: ${env} });${before}`,
  );
};
const STUBBORN = "process.on('SIGTERM', () => {})";

async function started(
  stage: Scene,
): Promise<{ first: Child; helper: number; port: number; stop: () => Promise<unknown> }> {
  const port = await freePort();
  const first = await stage.first(['--drain-timeout', '2s'], { HELPER_PORT: String(port) });
  const [, pid] = /^helper (\d+)$/.exec(await first.waitForSaid(/^helper \d+$/)) ?? [];
  return { first, helper: Number(pid), port, stop: () => stage.space.run(['stop', '--name', 'app']) };
}

describe('what a program leaves behind ends with it', () => {
  it('a child with a port, at a stop', async (test) => {
    const stage = await scene(test, '', withHelper(''));
    const { helper, port, stop } = await started(stage);
    await stop();
    assert.ok(!isAlive(helper));
    assert.ok(await isRefused(port));
  });

  it('a child that ignores SIGTERM, after its grace', async (test) => {
    const stage = await scene(test, '', withHelper(STUBBORN));
    stage.space.write('motya.yaml', 'services: { server: { script: server.cjs, killGrace: 300ms } }\n');
    stage.script = '';
    const port = await freePort();
    const config = stage.space.path('motya.yaml');
    const first = stage.space.motya(['start', '--config', config, '--name', 'app'], {
      env: { PORT: String(stage.port), HELPER_PORT: String(port) },
    });
    await first.waitFor('serving');
    const [, pid] = /^helper (\d+)$/.exec(await first.waitForSaid(/^helper \d+$/)) ?? [];
    await stage.space.run(['stop', '--name', 'app']);
    await until(() => !isAlive(Number(pid)), { what: 'the end of the helper' });
  });

  it('a child of a program that crashes', async (test) => {
    const stage = await scene(test, '', withHelper(''));
    const { helper } = await started(stage);
    process.kill((await stage.who()).pid, 'SIGKILL');
    await until(() => !isAlive(helper), { what: 'the end of the helper' });
    await until(() => stage.who().catch(() => undefined), { what: 'the worker to be back' });
  });

  it('a child of a program that does not start', async (test) => {
    const port = await freePort();
    const fail = "setTimeout(() => { throw new Error('no'); }, 800);";
    const source = withHelper('', { before: fail }).replace(/server\.listen.*/, '');
    const stage = await scene(test, '', source);
    const first = stage.start([], { HELPER_PORT: String(port) });
    assert.equal((await first.waitForExit()).code, 1);
    assert.equal(failureOf(first).code, 'ERR_MOTYA_PROGRAM');
    assert.ok(await isRefused(port));
  });

  it('a child of a successor that is rejected', async (test) => {
    const port = await freePort();
    const stage = await scene(test, '', program('one'));
    const first = await stage.first([], { HELPER_PORT: String(port) });
    const fail = "setTimeout(() => { throw new Error('no'); }, 800);";
    stage.space.write('server.cjs', withHelper('', { before: fail }).replace(/server\.listen.*/, ''));
    assert.equal((await stage.upgrade()).code, 3);
    await first.waitForSaid(/^helper \d+$/);
    await until(() => isRefused(port), { what: 'the end of the helper' });
    assert.equal((await stage.who()).generation, '1');
  });

  it('a child with a port that is not handed over is told of', async (test) => {
    const stage = await scene(test, '', withHelper(''));
    const { first, helper, port } = await started(stage);
    const { pid, listens } = await first.waitFor('outside');
    assert.deepEqual([pid, listens], [helper, `port ${port}`]);
  });

  it('one in a session of its own is named, and goes on', async (test) => {
    const source = withHelper('', { detached: true }).replace('env: {', 'env: { ...process.env, NODE_OPTIONS: "",');
    const stage = await scene(test, '', source);
    const { first, helper, stop } = await started(stage);
    const named = (line: LogLine) => line.event === 'strayed' && line.pid === helper;
    try {
      await stop();
      assert.ok(isAlive(helper));
    } finally {
      killIfAlive(helper);
    }
    assert.ok(first.logs.some(named));
  });
});
