import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { readPid } from '#src/base/os/pidfile.js';
import { isAlive, workspace } from '../harness/index.js';
import { program, scene } from '../scene.js';

/** Pid of a process that has nothing to do with the instance. */
function strangerOf(test: TestContext): number {
  const space = workspace(test);
  const stranger = space.node(['-e', 'setInterval(() => {}, 1000)']);
  return stranger.pid;
}

describe('a pidfile that does not name the instance', () => {
  it('is no reason to refuse an upgrade: it is written anew, with a warning', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    const stranger = strangerOf(test);
    const ended = stage.space.node(['-e', '']);
    await ended.waitForExit();
    const contents: Record<string, string | null> = {
      'a living stranger': `${stranger}\n`,
      'a process of root, or the init of the container': '1\n',
      'a dead process': `${ended.pid}\n`,
      'no pid': 'server\n',
      nothing: '',
      'no file': null,
    };
    let generation = 1;
    for (const [what, content] of Object.entries(contents)) {
      rmSync(stage.pidfile);
      if (content !== null) writeFileSync(stage.pidfile, content);
      const { code, stderr } = await stage.upgrade();
      assert.equal(code, 0, `${what}: ${stderr}`);
      generation += 1;
      const status = await stage.status();
      assert.deepEqual([status.generation, status.pid], [generation, readPid(stage.pidfile)], what);
    }
    const isTold = ({ event, level }: { event?: string; level?: string }) => event === 'pidfile' && level === 'warn';
    assert.ok(first.logs.some(isTold), first.describe());
    assert.ok(isAlive(stranger));
  });

  it('names a living stranger at a stop: the requests finish, and the file goes', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    const held = await stage.hold();
    writeFileSync(stage.pidfile, `${strangerOf(test)}\n`);
    first.kill('SIGTERM');
    await first.waitFor('stopping');
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.ok(
      first.logs.some(({ event, reason }) => event === 'ended' && reason === 'stopped'),
      first.describe(),
    );
    assert.equal(existsSync(stage.pidfile), false);
  });

  it('is a directory: the upgrade is rejected, with its path, before anything has changed', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    rmSync(stage.pidfile);
    mkdirSync(stage.pidfile);
    const { code, stdout } = await stage.upgrade('--json');
    assert.equal(code, 3);
    const told = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { code: string; text: string };
    assert.equal(told.code, 'ERR_MOTYA_PIDFILE');
    assert.ok(told.text.includes(stage.pidfile), told.text);
    assert.deepEqual([(await stage.status()).pid, (await stage.who()).generation], [first.pid, '1']);
    rmdirSync(stage.pidfile);
    assert.equal((await stage.upgrade()).code, 0);
  });
});
