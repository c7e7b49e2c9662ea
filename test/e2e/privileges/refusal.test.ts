import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { app, CLI, codeOf, freePort, ROOT, workspace } from '../harness/index.js';
import { DROPPED, GROUP, idsOf, needsRoot, privilegedScene, USER } from './support.js';

const asRoot = { skip: process.getuid?.() !== 0 && 'needs root' };
/** One line: its place first, the code, and each of the facts. */
function isRefusal(stderr: string, place: string, ...facts: string[]): void {
  assert.deepEqual([codeOf(stderr), stderr.split('\n').length], ['ERR_MOTYA_SETTINGS', 2], stderr);
  assert.ok(stderr.startsWith(`${place}: `), stderr);
  for (const fact of facts) assert.ok(stderr.includes(fact), stderr);
}

describe('root', asRoot, () => {
  it('is refused for a program unless asked for: exit 2, one line, nothing made', async (test) => {
    const space = workspace(test);
    const env = { MOTYA_USER: undefined };
    for (const more of [[], ['--daemonize', '--log-file', 'motya.log'], ['--upgrade']]) {
      const { code, stdout, stderr } = await space.run(['start', app('http.cjs'), ...more], { env });
      assert.deepEqual([code, stdout], [2, ''], stderr);
      isRefusal(stderr, '--user', 'motya.yaml');
    }
    const config = space.write('motya.yaml', `services: {web: {script: ${app('http.cjs')}}}\n`);
    for (const command of ['start', 'check']) {
      const { code, stderr } = await space.run([command], { env });
      assert.equal(code, 2, stderr);
      isRefusal(stderr, `${config}: user`, '--user');
    }
    assert.equal(existsSync(`${space.runtimeDir}/motya`), false);
    assert.equal(existsSync(space.path('motya.log')), false);
  });

  it('is refused for a program by the library too', async (test) => {
    const space = workspace(test);
    const first = space.node([`${ROOT}test/fixtures/library/supervise.mjs`, app('http.cjs')], {
      env: { MOTYA_USER: undefined },
    });
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    // As Node prints an error that is thrown.
    assert.match(first.stderr, /^SettingsError: /m);
    assert.ok(first.stderr.includes("code: 'ERR_MOTYA_SETTINGS'"), first.stderr);
  });

  it('may run the embedded welcome page, and may stop anything; check refuses what start refuses', async (test) => {
    const space = workspace(test);
    const env = { MOTYA_USER: undefined, PORT: String(await freePort()) };
    const first = space.motya(['start'], { env });
    await first.waitFor('serving');
    assert.equal((await space.run(['check'], { env })).code, 0);
    assert.equal((await space.run(['check', app('http.cjs')], { env })).code, 2);
    assert.equal((await space.run(['check', app('http.cjs'), '--user', 'root'], { env })).code, 0);
    assert.equal((await space.run(['stop'], { env })).code, 0);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});

describe('another user', needsRoot, () => {
  it('cannot become anybody, but may name itself', async (test) => {
    const scene = await privilegedScene(test);
    const asUser = ['--reuid', String(USER), '--regid', String(GROUP), '--clear-groups', process.execPath, CLI];
    const start = (...args: string[]) =>
      scene.space.start('setpriv', [...asUser, 'start', ...args], { env: scene.env, cwd: scene.temporary });
    const refused = start(app('http.cjs'), '--user', 'root');
    assert.deepEqual(await refused.waitForExit(), { code: 2, signal: null });
    isRefusal(refused.stderr, 'user', `uid ${USER}`);
    const port = await freePort();
    scene.configure({ listeners: [], listen: String(port) });
    const first = start('--config', scene.config);
    await first.waitFor('serving');
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid).uids, DROPPED.uids);
  });
});
