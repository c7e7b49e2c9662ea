import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { app, CLI, codeOf, freePort, placesIn, type Workspace, workspace } from '../e2e/harness/index.js';
import { get, isRefused, program } from '../e2e/scene.js';

/** Commands that change what runs. */
const CHANGES = ['stop', 'upgrade', 'rollback'];

interface Started {
  readonly pid: number;
  readonly port: number;
  readonly cwd: string;
}

/** A program of its own in a directory of that name, started from there. */
async function startIn(space: Workspace, name: string, args: readonly string[] = ['server.cjs']): Promise<Started> {
  const cwd = space.path(name);
  space.write(`${name}/server.cjs`, program('one'));
  const port = await freePort();
  const child = space.motya(['start', ...args], { cwd, env: { PORT: String(port) } });
  await child.waitFor('serving');
  return { pid: child.pid, port, cwd };
}

const elsewhere = (space: Workspace): string => {
  mkdirSync(space.path('elsewhere'), { recursive: true });
  return space.path('elsewhere');
};

describe('a command without a name', () => {
  it('means the instance that was started from this directory, of two with the same script name', async (test) => {
    const space = workspace(test);
    const [one, other] = [await startIn(space, 'one'), await startIn(space, 'other')];
    for (const { cwd, pid } of [one, other]) assert.equal((await space.status([], { cwd })).pid, pid);
    const stopped = await space.run(['stop'], { cwd: other.cwd });
    assert.deepEqual([stopped.code, stopped.stderr], [0, '']);
    assert.match(stopped.stdout, new RegExp(`^server-[0-9a-f]{8} \\(pid ${other.pid}\\) has stopped\n$`));
    assert.deepEqual([(await get(one.port)).status, await isRefused(other.port)], [200, true]);
    // The other one is not taken in its place.
    const again = await space.run(['stop'], { cwd: other.cwd });
    assert.equal(again.code, 2, again.stderr);
    assert.equal((await get(one.port)).status, 200);
  });

  it('takes flags of its own there, as with a name', async (test) => {
    const space = workspace(test);
    const { cwd } = await startIn(space, 'one', ['server.cjs', '--probation', '0']);
    const { code, stderr } = await space.run(['upgrade', '--allow-removed'], { cwd });
    assert.equal(code, 0, stderr);
    assert.equal((await space.status([], { cwd })).generation, 2);
  });

  it('in a directory that has been removed: one line', async (test) => {
    const space = workspace(test);
    const cwd = space.path('gone');
    mkdirSync(cwd);
    for (const command of ['status', 'start', 'check']) {
      const script = `cd "${cwd}" && rmdir "${cwd}" && "${process.execPath}" "${CLI}" ${command}`;
      const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
      mkdirSync(cwd);
      assert.equal(status, 1);
      assert.equal(codeOf(stderr), 'ERR_MOTYA_FILE_MISSING');
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    }
  });

  it('changes nothing in a directory that none was started from, and lists what runs', async (test) => {
    const space = workspace(test);
    const cwd = elsewhere(space);
    const none = await space.run(['stop'], { cwd });
    assert.notEqual(none.code, 0);
    const first = await startIn(space, 'shop', ['server.cjs', '--name', 'shop']);
    const row = new RegExp(`^ +--name shop +${first.pid} +${process.getuid?.()} +${first.cwd}$`, 'm');
    for (const command of CHANGES) {
      const { code, stderr } = await space.run([command], { cwd });
      assert.equal(code, 2, stderr);
      assert.equal(codeOf(stderr), 'ERR_MOTYA_AMBIGUOUS');
      assert.ok(stderr.includes(` ${cwd};`), stderr);
      assert.match(stderr, row);
    }
    const { generation } = await space.status(['--name', 'shop'], { cwd });
    assert.equal(generation, 1);
    assert.equal((await space.run(['stop', '--name', 'shop'], { cwd })).code, 0);
    assert.ok(await isRefused(first.port));
  });

  it('does not take the welcome page for the program of this directory', async (test) => {
    const space = workspace(test);
    const cwd = elsewhere(space);
    mkdirSync(space.path('home'));
    const port = await freePort();
    const welcome = space.motya(['start'], { cwd: space.path('home'), env: { PORT: String(port) } });
    await welcome.waitFor('serving');
    assert.equal((await space.run(['stop'], { cwd })).code, 2);
    assert.equal((await get(port)).status, 200);
    const stopped = await space.run(['stop'], { cwd: space.path('home') });
    assert.deepEqual([stopped.code, stopped.stdout], [0, `welcome (pid ${welcome.pid}) has stopped\n`]);
  });

  it('means the instance of the settings file here, wherever it was started from and whatever its name', async (test) => {
    const space = workspace(test);
    const config = space.write('conf/motya.yaml', `services: { web: { script: ${app('http.cjs')} } }\n`);
    const port = await freePort();
    const args = ['start', '--config', config, '--name', 'named'];
    const first = space.motya(args, { cwd: elsewhere(space), env: { PORT: String(port) } });
    await first.waitFor('serving');
    assert.equal((await space.status([], { cwd: dirname(config) })).pid, first.pid);
    assert.equal((await space.status([], { cwd: elsewhere(space) })).pid, first.pid);
    assert.equal((await space.run(['stop'], { cwd: dirname(config) })).code, 0);
  });

  it('with a settings file here whose instance does not run: no other one is taken', async (test) => {
    const space = workspace(test);
    const first = await startIn(space, 'shop');
    space.write('mine/motya.yaml', `services: { web: { script: ${app('http.cjs')} } }\n`);
    for (const command of CHANGES) assert.equal((await space.run([command], { cwd: space.path('mine') })).code, 4);
    assert.equal((await get(first.port)).status, 200);
    space.write('mine/motya.yaml', 'services:\n  web: { script: nowhere.cjs }\n');
    const broken = await space.run(['stop'], { cwd: space.path('mine') });
    const [wrong = '', advice = ''] = broken.stderr.split('\n');
    assert.ok(advice.startsWith('--name '), advice);
    assert.deepEqual(placesIn(`${wrong}\n`), [{ file: 'motya.yaml', line: 2, column: 18, key: 'services.web.script' }]);
  });

  it('in a shell that has come by a link to a release, before and after the link leads to another', async (test) => {
    const space = workspace(test);
    for (const release of ['r1', 'r2']) {
      space.write(`releases/${release}/server.cjs`, program('one'));
    }
    const current = space.path('current');
    symlinkSync('releases/r1', current);
    const env = { PWD: current, PORT: String(await freePort()) };
    const first = space.motya(['start', 'server.cjs'], { cwd: current, env });
    await first.waitFor('serving');
    symlinkSync('releases/r2', space.path('next'));
    renameSync(space.path('next'), current);
    // The working directory of a shell stays the old release, and it still calls it by the link.
    const upgraded = await space.run(['upgrade'], { cwd: space.path('releases/r1'), env });
    assert.equal(upgraded.code, 0, upgraded.stderr);
    assert.equal((await space.status([], { cwd: current, env })).generation, 2);
    assert.equal((await space.run(['stop'], { cwd: space.path('releases/r2') })).code, 0);
  });

  it('does not believe a $PWD that a program has inherited', async (test) => {
    const space = workspace(test);
    const { cwd: PWD, port } = await startIn(space, 'shop');
    symlinkSync(PWD, space.path('link'));
    for (const shell of [PWD, space.path('link')]) {
      assert.equal((await space.run(['stop'], { cwd: elsewhere(space), env: { PWD: shell } })).code, 2);
    }
    assert.equal((await get(port)).status, 200);
  });

  it('an instance that does not answer is found by its directory all the same', async (test) => {
    const space = workspace(test);
    const { pid, cwd } = await startIn(space, 'shop');
    process.kill(pid, 'SIGSTOP');
    const { code, stderr } = await space.run(['status'], { cwd });
    assert.equal(code, 5, stderr);
    assert.equal(codeOf(stderr), 'ERR_MOTYA_NO_ANSWER');
    assert.ok(stderr.includes(`pid ${pid}`), stderr);
  });
});

describe('the second of two programs with the same name', () => {
  it('starts: directories tell them apart; with the same --name it is refused, and the first serves on', async (test) => {
    const space = workspace(test);
    const one = await startIn(space, 'one', ['server.cjs', '--name', 'shop']);
    await startIn(space, 'other');
    const { code, stderr } = await space.run(['start', 'server.cjs', '--name', 'shop'], {
      cwd: space.path('other'),
      env: { PORT: '0' },
    });
    assert.equal(code, 1);
    assert.ok(stderr.includes(`pid ${one.pid}`), stderr);
    assert.equal((await get(one.port)).status, 200);
  });
});

/** An instance in a real place of this user, with a name that no other has. */
async function started(
  test: TestContext,
  session: NodeJS.ProcessEnv,
): Promise<{ space: Workspace; name: string; port: number }> {
  const space = workspace(test);
  const name = `test-${space.id.replace(/[^\w]/g, '-')}`.slice(0, 40);
  const port = await freePort();
  const env = { RUNTIME_DIRECTORY: undefined, PORT: String(port), ...session };
  const child = space.motya(['start', app('http.cjs'), '--name', name], { env });
  await child.waitFor('serving');
  const { pidfile } = await space.status<{ pidfile: string } & Awaited<ReturnType<Workspace['status']>>>(
    ['--name', name],
    { env: { RUNTIME_DIRECTORY: undefined } },
  );
  test.after(() => rmSync(`${pidfile}.lock`, { force: true }));
  return { space, name, port };
}

describe('an instance that was started in a session', () => {
  it('is found, upgraded and stopped from another one, and by a successor that is started there', async (test) => {
    const scratch = workspace(test);
    mkdirSync(scratch.path('session'), { mode: 0o700 });
    const { space, name, port } = await started(test, { XDG_RUNTIME_DIR: scratch.path('session') });
    rmSync(scratch.path('session'), { recursive: true });
    // As cron, su and sudo do it: without a word of the session.
    const bare = { RUNTIME_DIRECTORY: undefined, XDG_RUNTIME_DIR: undefined, TMPDIR: undefined, HOME: '/' };
    assert.equal((await space.run(['upgrade', '--name', name], { env: bare })).code, 0);
    const successor = space.motya(['start', app('http.cjs'), '--name', name, '--upgrade'], {
      env: { ...bare, PORT: String(port), XDG_RUNTIME_DIR: space.dir },
    });
    await successor.waitFor('waiting');
    assert.equal((await space.run(['upgrade', '--name', name], { env: bare })).code, 0);
    await successor.waitFor('serving');
    assert.equal((await space.run(['stop', '--name', name], { env: bare })).code, 0);
    assert.ok(await isRefused(port));
  });
});
