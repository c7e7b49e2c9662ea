import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { IMPORT_NATIVE, outputOf, runModule } from '../../base/native/support.js';
import { DEADLINE_MS } from '../harness/index.js';
import { failureOf, outcomeOf } from '../scene.js';
import { GROUP, needsRoot, privilegedScene, THIRD, USER } from './support.js';

/** ms in which whoever is not wanted is hung up on; nothing else can be waited for where a connection stays. */
const STAYS_MS = 1_000;

/** Connects as a user: is it hung up on without a word, within `waitMs`? */
async function connectAs(test: TestContext, uid: number, path: string, waitMs: number): Promise<string> {
  const source = `${IMPORT_NATIVE} process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});
    const fd = native.channel.connect(${JSON.stringify(path)});
    console.log(native.fd.waitReadable(fd, ${waitMs}) && native.channel.receive(fd, 65536)?.data.length === 0 ? 'hung up' : 'stays');`;
  return (await outputOf(runModule(test, source, { stdio: ['ignore', 'pipe', 'inherit'] }))).trim();
}

describe('who may speak to an instance of a user’s', needsRoot, () => {
  it('the user and root, and nobody else, whatever the modes of the files say', async (test) => {
    const scene = await privilegedScene(test);
    const first = await scene.first();
    const second = scene.start(['--upgrade']);
    await second.waitFor('waiting');
    for (const [child, name] of [
      [first, 'app.control.sock'],
      [second, 'app.sock'],
    ] as const) {
      const path = `${scene.runtime}/${name}`;
      assert.equal(await connectAs(test, 0, path, STAYS_MS), 'stays', name);
      assert.equal(await connectAs(test, USER, path, STAYS_MS), 'stays', name);
      chmodSync(scene.runtime, 0o755);
      chmodSync(path, 0o666);
      assert.equal(await connectAs(test, THIRD, path, DEADLINE_MS), 'hung up', name);
      const socket = name === 'app.sock' ? 'upgrade' : 'control';
      await child.waitFor((line) => line.event === 'peer' && line.socket === socket && line.uid === THIRD);
    }
  });

  it('root’s commands speak to the user in whose directory the socket is, and to no third one', async (test) => {
    const scene = await privilegedScene(test);
    const directories = { squatted: `motya-${USER}`, 'another’s': 'shop' };
    for (const [what, name] of Object.entries(directories)) {
      const directory = `${scene.temporary}/${name}`;
      const path = `${directory}/app.control.sock`;
      mkdirSync(directory);
      chownSync(directory, name === 'shop' ? USER : THIRD, GROUP);
      chmodSync(directory, 0o777);
      const fake = runModule(
        test,
        `${IMPORT_NATIVE} process.setgroups([]); process.setgid(${THIRD}); process.setuid(${THIRD});
        native.listener.create({ family: 'unix', type: 'seqpacket', path: ${JSON.stringify(path)} });
        console.log('listens'); setInterval(() => {}, 1000);`,
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      await new Promise((resolve) => fake.stdout?.once('data', resolve));
      const env = { ...scene.env, RUNTIME_DIRECTORY: undefined };
      for (const command of ['status', 'stop']) {
        const { code } = await scene.space.run([command, '--name', 'app'], { env, cwd: scene.temporary });
        assert.equal(code, 4, `${what}: ${command}`);
      }
      const named = await scene.run('status', '--json', '--upgrade-socket', `${directory}/app.sock`);
      const { code, details } = outcomeOf(named);
      assert.deepEqual([named.code, code, details], [1, 'ERR_MOTYA_FOREIGN_PEER', { path, pid: fake.pid, uid: THIRD }]);
      fake.kill('SIGKILL');
    }
    const refused = scene.start();
    assert.deepEqual(await refused.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(refused);
    assert.equal(code, 'ERR_MOTYA_RUNTIME_DIRECTORY');
    assert.equal((details as Details).uid, THIRD);
  });

  it('root is told of a user’s instance, and asked whether it is meant; it is taken by its name', async (test) => {
    const scene = await privilegedScene(test);
    const first = await scene.first();
    const options = { env: { ...scene.env, RUNTIME_DIRECTORY: undefined }, cwd: scene.temporary };
    for (const command of ['stop', 'upgrade', 'rollback']) {
      const { code, stderr } = await scene.space.run([command], options);
      assert.equal(code, 2, stderr);
      const row = new RegExp(`^ +--name app +${first.pid} +${USER} +${scene.space.dir}$`, 'm');
      assert.match(stderr, row, command);
    }
    // Where it was started from says it, too.
    const here = await scene.space.run(['status', '--json'], { ...options, cwd: scene.space.dir });
    assert.equal(JSON.parse(here.stdout).pid, first.pid);
    const named = await scene.space.run(['stop', '--name', 'app'], options);
    assert.equal(named.code, 0, named.stderr);
  });
});
