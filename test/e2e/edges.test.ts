import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { CLI, lacks, until } from './harness/index.js';
import { failureOf, isRefused, program, scene, servesAs, who } from './scene.js';

/** What was once found to take a service down, or to keep it from being upgraded, although nothing was wrong with it. */
describe('edges', { concurrency: false }, () => {
  it('a program may ask for any backlog: the most there can be, or more', async (test) => {
    for (const backlog of ['-1', '1e10']) {
      const source = program('1').replace(
        'server.listen(...address()',
        `server.listen({ port: process.env.PORT, host: '127.0.0.1', backlog: ${backlog} }`,
      );
      const stage = await scene(test, '', source);
      const first = await stage.first();
      assert.equal((await stage.who()).version, '1');
      first.kill('SIGTERM');
      assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    }
  });

  for (const [what, failure] of Object.entries({
    'a promise of the supervisor that rejects unhandled': "Promise.reject(new Error('left alone'))",
    'an exception in a callback of the supervisor': "{ throw new Error('left alone'); }",
  })) {
    it(`${what} is logged with its stack, and ends nothing`, async (test) => {
      const stage = await scene(test);
      const defect = stage.space.write(
        'defect.mjs',
        `if (!process.env.MOTYA_WORKER) process.on('SIGUSR2', () => ${failure});`,
      );
      const options = { env: { PORT: String(stage.port) } };
      for (const keeper of [[], ['--supervise']]) {
        const args = ['--import', defect, CLI, 'start', stage.script, '--name', 'app', ...keeper];
        const first = stage.space.node(args, options);
        await first.waitFor('serving');
        first.kill('SIGUSR2');
        const { code, stack } = await first.waitFor('defect');
        assert.equal(code, 'ERR_MOTYA_INTERNAL');
        assert.match(String(stack), /^Error: left alone\n +at /);
        assert.equal((await stage.who()).generation, '1');
        first.kill('SIGTERM');
        assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
      }
    });
  }

  it('an exception in a callback during a start ends the start, which may wait for what never comes', async (test) => {
    const stage = await scene(test, '', 'setInterval(() => {}, 1000)');
    const defect = stage.space.write(
      'defect.mjs',
      `if (!process.env.MOTYA_WORKER) process.on('SIGUSR2', () => { throw new Error('cut short'); });`,
    );
    const args = ['--import', defect, CLI, 'start', stage.script, '--name', 'app'];
    const first = stage.space.node(args, { env: { PORT: String(stage.port) } });
    await until(() => stage.space.processes().length > 1, { what: 'the program' });
    first.kill('SIGUSR2');
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const { stack } = await first.waitFor('defect', { evenAfterExit: true });
    assert.ok(String(stack).startsWith('Error: cut short\n'), String(stack));
  });

  it('a worker that has closed its channel is replaced', async (test) => {
    const cut = `process.on('SIGUSR2', () => require('node:fs').closeSync(3));`;
    const stage = await scene(test, '', program('1', cut));
    const first = await stage.first();
    const { pid } = await stage.who();
    process.kill(pid, 'SIGUSR2');
    await first.waitFor('worker-restart');
    await until(async () => (await stage.who().catch(() => ({ pid }))).pid !== pid, {
      what: 'another worker to answer',
    });
  });

  it('a successor that comes while the incumbent stops is told so, and does not serve', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    first.kill('SIGTERM');
    await until(() => isRefused(stage.port), { what: 'new connections to be refused' });
    const late = stage.start(['--upgrade']);
    assert.equal((await late.waitForExit()).code, 1);
    assert.equal(failureOf(late).code, 'ERR_MOTYA_INCUMBENT_STOPPED');
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(await isRefused(stage.port), true);
  });

  it('a second instance with another pidfile but the same name is refused; the first stays in reach', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = stage.start(['--pidfile', stage.space.path('other.pid')], { PORT: '0' });
    assert.equal((await second.waitForExit()).code, 1);
    assert.equal(failureOf(second).code, 'ERR_MOTYA_RUNNING');
    assert.equal((await stage.status()).pid, first.pid);
  });

  it('a longer readyTimeout counts from the upgrade that brings it', async (test) => {
    const stage = await scene(test, '', program('1'));
    const settings = (seconds: number, ready: string) =>
      `name: app\nreadyTimeout: ${seconds}\nservices: { web: { script: server.cjs, ready: ${ready} } }\n`;
    const config = stage.space.write('motya.yaml', settings(5, 'listen'));
    const env = { PORT: String(stage.port) };
    const first = stage.space.motya(['start', '--config', config], { env });
    await first.waitFor('serving');
    // Longer than the incumbent's 5 s and its margin of 5 s.
    const slow = program('2', `setTimeout(() => process.send('ready'), 11_000);`);
    stage.space.write('server.cjs', slow);
    stage.space.write('motya.yaml', settings(60, 'signal'));
    const { code, stderr } = await stage.upgrade();
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal((await stage.who()).version, '2');
  });

  it('the backlog of a declared listener is in force, and a new one after an upgrade', async (test) => {
    const ss = () => spawnSync('ss', ['-Hltn', `sport = :${stage.port}`], { encoding: 'utf8' });
    const stage = await scene(test, '', program('1'));
    const noCommand = lacks('ss');
    if (noCommand !== false) {
      test.skip(noCommand);
      return;
    }
    const settings = (backlog: number) => `name: app
services:
  web: { script: server.cjs, listeners: [{ listen: 'tcp://127.0.0.1:${stage.port}', backlog: ${backlog} }] }
`;
    const config = stage.space.write('motya.yaml', settings(77));
    const first = stage.space.motya(['start', '--config', config], { env: { PORT: String(stage.port) } });
    await first.waitFor('serving');
    const inForce = () => ss().stdout.trim().split(/\s+/)[2];
    assert.equal(inForce(), '77');
    stage.space.write('motya.yaml', settings(99));
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal(inForce(), '99');
  });

  it('declared listeners of an incumbent that dies are bound anew, even while its worker still holds them', async (test) => {
    const busy = `process.on('SIGUSR2', () => { const end = Date.now() + 500; while (Date.now() < end); });`;
    const stage = await scene(test, '', program('1', busy));
    const config = stage.space.write(
      'motya.yaml',
      `name: app\nservices: { web: { script: server.cjs, listeners: ['tcp://127.0.0.1:${stage.port}'] } }\n`,
    );
    const env = { PORT: String(stage.port) };
    const first = stage.space.motya(['start', '--config', config], { env });
    await first.waitFor('serving');
    const second = stage.space.motya(['start', '--config', config, '--upgrade'], { env });
    await second.waitFor('waiting');
    const { pid } = await who(stage.port);
    // It spins, holding the listener, while its supervisor dies.
    process.kill(pid, 'SIGUSR2');
    process.kill(first.pid, 'SIGKILL');
    await servesAs(second, 2);
    assert.equal((await who(stage.port)).generation, '2');
  });
});
