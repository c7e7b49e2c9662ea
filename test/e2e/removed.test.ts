import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { childrenOf, readPidfile, until } from './harness/index.js';
import { ask, failureOf, program, type Scene, scene } from './scene.js';

const directoryOf = (stage: Scene): string => `${stage.space.runtimeDir}/motya`;

/** Removes files of a running instance, all or those with these names, and waits until they are there again. */
async function lose(stage: Scene, names: readonly string[] = []): Promise<void> {
  const directory = directoryOf(stage);
  const before = readdirSync(directory).sort();
  const lost = names.length === 0 ? [directory] : names.map((name) => `${directory}/${name}`);
  for (const path of lost) rmSync(path, { recursive: true });
  const now = (): string[] => {
    try {
      return readdirSync(directory).sort();
    } catch {
      return [];
    }
  };
  const isBack = () => before.filter((name) => !name.endsWith('.sock.lock')).every((name) => now().includes(name));
  await until(isBack, { what: `${lost.join(', ')} to be there again`, instead: now });
}

describe('a running instance whose directory is removed', () => {
  it('makes it anew: it is found, upgraded and stopped, and no second one can start', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    await lose(stage);
    const { lost } = await first.waitFor('restored');
    assert.ok((lost as string[]).includes(stage.pidfile), String(lost));
    assert.equal(stage.mainPid, first.pid);
    const again = stage.start();
    assert.equal((await again.waitForExit()).code, 1);
    const { code, details } = failureOf(again);
    assert.deepEqual([code, details], ['ERR_MOTYA_RUNNING', { path: stage.pidfile, pid: first.pid }]);
    const admin = await ask({ socketPath: `${directoryOf(stage)}/app.admin.sock`, path: '/healthz' });
    assert.equal(admin.status, 200);

    assert.equal((await stage.upgrade()).code, 0);
    await first.waitForExit();
    const second = stage.mainPid as number;
    assert.notEqual(second, first.pid);
    // What it has inherited is made anew as well.
    await lose(stage);
    assert.equal(readPidfile(stage.pidfile), second);
    const stopped = await stage.space.run(['stop', '--name', 'app']);
    assert.deepEqual([stopped.code, stopped.stdout], [0, `app (pid ${second}) has stopped\n`]);
    assert.deepEqual(readdirSync(directoryOf(stage)), ['app.pid.lock']);
  });

  it('with a successor that waits: the upgrade takes that one', async (test) => {
    const stage = await scene(test, '', program('one'));
    await stage.first();
    const second = await stage.waiting();
    await lose(stage);
    await until(() => readdirSync(directoryOf(stage)).includes('app.sock'), { what: 'the upgrade socket' });
    assert.equal((await stage.upgrade()).code, 0);
    await second.waitFor('serving');
    assert.equal(stage.mainPid, second.pid);
  });

  for (const name of ['app.pid', 'app.pid.lock', 'app.control.sock', 'app.admin.sock']) {
    it(`${name} alone`, async (test) => {
      const stage = await scene(test, '', program('one'));
      const first = await stage.first();
      await lose(stage, [name]);
      assert.equal((await stage.status()).pid, first.pid);
      assert.equal(stage.mainPid, first.pid);
      assert.equal((await stage.upgrade()).code, 0);
    });
  }

  const needsRoot = { skip: process.getuid?.() !== 0 && 'only root can give a directory away' };
  it('not in the place of another user’s directory; that is said once', needsRoot, async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    rmSync(directoryOf(stage), { recursive: true });
    mkdirSync(directoryOf(stage), { mode: 0o777 });
    chownSync(directoryOf(stage), 4711, 4711);
    const { code, details } = await first.waitFor('unreachable');
    assert.deepEqual([code, details], ['ERR_MOTYA_RUNTIME_DIRECTORY', { path: directoryOf(stage), uid: 4711 }]);
    assert.deepEqual(readdirSync(directoryOf(stage)), []);
    rmSync(directoryOf(stage), { recursive: true });
    await first.waitFor('restored');
    assert.equal((await stage.status()).pid, first.pid);
    assert.equal(first.logs.filter(({ event }) => event === 'unreachable').length, 1);
  });
});

describe('an address that an instance of Motya has', () => {
  it('is said to be that one’s, with what to do', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    const env = { PORT: String(stage.port) };
    const other = stage.space.motya(['start', stage.script, '--name', 'other'], { env });
    assert.equal((await other.waitForExit()).code, 1);
    const { message, details } = failureOf(other);
    const { holder } = details as Details;
    assert.ok([first.pid, ...childrenOf(first.pid)].includes(Number(holder)), message);
    // Where it was started, and a command to type.
    for (const part of [`pid ${first.pid}`, stage.space.dir, 'motya upgrade --name app']) {
      assert.ok(message.includes(part), message);
    }
  });
});
