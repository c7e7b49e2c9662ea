import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { CLI, environmentOf, isAlive, until } from '../harness/index.js';
import { failureOf, isRefused, outcomeOf, servesAs } from '../scene.js';
import { DROPPED, GROUP, idsOf, needsRoot, OURS, ownerOf, privilegedScene, USER } from './support.js';

describe('root starts an instance for a user', needsRoot, () => {
  it('binds as root, then nobody of it is root; its files are the user’s; root’s commands find it', async (test) => {
    const scene = await privilegedScene(test);
    const socket = scene.space.path('shop.sock');
    scene.configure({
      listeners: [`tcp://127.0.0.1:${scene.port}`, `unix:${socket}`],
      listen: `${scene.port} ${socket}`,
    });
    const first = await scene.first();
    const processes = await scene.processes();
    assert.equal(processes.length, 2);
    for (const pid of processes) assert.deepEqual(idsOf(pid), DROPPED);
    assert.equal(processes[0], first.pid);

    const files = readdirSync(scene.runtime).sort();
    assert.deepEqual(files, ['app.admin.sock', 'app.control.sock', 'app.pid', 'app.pid.lock']);
    for (const file of ['', ...files]) assert.equal(ownerOf(`${scene.runtime}/${file}`), OURS, file);
    // Only root may write to its directory.
    assert.equal(ownerOf(socket), OURS);
    assert.equal(existsSync(`${scene.space.runtimeDir}/motya`), false);

    const environment = environmentOf((await scene.who()).pid);
    const own = ['HOME', 'USER', 'LOGNAME', 'XDG_RUNTIME_DIR'].map((name) => environment.get(name));
    assert.deepEqual(own, ['/', String(USER), String(USER), undefined]);

    const again = scene.start();
    assert.deepEqual(await again.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(again);
    assert.deepEqual([code, (details as Details).pid], ['ERR_MOTYA_RUNNING', first.pid]);
    assert.equal((await scene.who()).generation, '1');

    const stopped = await scene.run('stop', '--name', 'app');
    assert.deepEqual([stopped.code, stopped.stdout], [0, `app (pid ${first.pid}) has stopped\n`]);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.deepEqual(readdirSync(scene.runtime), ['app.pid.lock']);
  });

  it('is upgraded as that user, on the same port below 1024, whoever asks', async (test) => {
    const scene = await privilegedScene(test);
    const first = await scene.first();
    const upgraded = await scene.run('upgrade', '--name', 'app');
    assert.equal(upgraded.code, 0, upgraded.stderr);
    assert.equal((await scene.who()).generation, '2');
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });

    const second = scene.mainPid;
    process.kill(second, 'SIGQUIT');
    await servesAs(first, 3);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    await until(() => !isAlive(second), { what: 'the end of the second' });
    for (const file of readdirSync(scene.runtime)) assert.equal(ownerOf(`${scene.runtime}/${file}`), OURS, file);
    assert.equal((await scene.run('stop', '--name', 'app')).code, 0);
    assert.equal(await isRefused(scene.port), true);
  });

  it('by flags, as a daemon', async (test) => {
    const scene = await privilegedScene(test);
    const { code, stdout, stderr } = await scene.run(
      'start',
      ...['--config', scene.config, '--daemonize', '--log-file', scene.space.path('app.log')],
      ...['--user', String(USER), '--group', String(GROUP)],
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^generation 1 \(pid \d+\) serves in the background\n$/);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    assert.equal(ownerOf(scene.space.path('app.log')), OURS);
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    assert.equal((await scene.run('stop', '--name', 'app')).code, 0);
  });

  it('the supplementary groups are the user’s, none of root’s', async (test) => {
    const scene = await privilegedScene(test);
    const first = scene.space.start(
      'setpriv',
      ['--groups', '0,4,61239', process.execPath, CLI, 'start', '--config', scene.config],
      { env: scene.env },
    );
    await first.waitFor('serving');
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
  });

  it('after kill -9 the next one starts', async (test) => {
    const scene = await privilegedScene(test);
    const socket = `${scene.runtime}/shop.sock`;
    scene.configure({
      listeners: [`tcp://127.0.0.1:${scene.port}`, `unix:${socket}`],
      listen: `${scene.port} ${socket}`,
    });
    const first = await scene.first();
    first.kill('SIGKILL');
    await first.waitForExit();
    await until(() => isRefused(scene.port), { what: 'the end of the orphaned worker' });
    assert.equal(existsSync(socket), true);
    const second = await scene.first();
    assert.equal(scene.mainPid, second.pid);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
  });
});

describe('what root cannot do for a user', needsRoot, () => {
  it('a port below 1024 that is not declared: the reason says what to do', async (test) => {
    const scene = await privilegedScene(test);
    scene.configure({ listeners: [] });
    const first = scene.start();
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const listener = `tcp://127.0.0.1:${scene.port}`;
    const { message, details } = failureOf(first);
    const failure = details as Details;
    assert.deepEqual([failure.syscall, failure.reason, failure.listener], ['bind', 'EACCES', listener]);
    // What to do: the setting's name.
    assert.ok(message.includes('under listeners in the settings'), message);
    const denied = first.logs.find(({ event }) => event === 'denied');
    const where = [denied?.service, denied?.index, denied?.syscall, denied?.reason, denied?.listener];
    assert.deepEqual(where, ['web', 0, 'bind', 'EACCES', listener]);
  });

  it('a pidfile where the user may not write: one line, before anything is bound', async (test) => {
    const scene = await privilegedScene(test);
    const directory = scene.space.path('closed');
    mkdirSync(directory);
    const first = scene.start(['--pidfile', `${directory}/app.pid`]);
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const { code, details, message } = failureOf(first);
    const { path, reason } = details as Details;
    assert.deepEqual([code, path, reason], ['ERR_MOTYA_PIDFILE', `${directory}/app.pid`, 'EACCES']);
    assert.ok(message.includes(`uid ${USER}`), message);
    assert.deepEqual(readdirSync(directory), []);
    assert.equal(await isRefused(scene.port), true);
  });

  it('a program that the user cannot read: one line', async (test) => {
    const scene = await privilegedScene(test);
    const script = scene.space.write('closed/server.cjs', '');
    chmodSync(scene.space.path('closed'), 0o700);
    scene.configure({ script });
    const first = scene.start();
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(first);
    assert.deepEqual([code, details], ['ERR_MOTYA_PRIVILEGES', { path: script, user: String(USER) }]);
    assert.equal(await isRefused(scene.port), true);
    assert.deepEqual(readdirSync(scene.runtime), ['app.pid.lock']);
  });

  it('settings that only root can read: it serves, and warns of the next upgrade', async (test) => {
    const scene = await privilegedScene(test);
    chmodSync(scene.config, 0o600);
    const first = await scene.first();
    const warning = first.logs.find(({ event }) => event === 'privileges');
    assert.equal(warning?.path, scene.config);
    assert.ok(warning?.message.includes('motya start --upgrade'));
    const refused = await scene.run('upgrade', '--name', 'app', '--json');
    const { code, text, details } = outcomeOf(refused);
    assert.deepEqual([refused.code, code, details?.reason], [3, 'ERR_MOTYA_SETTINGS', 'EACCES'], text);
    assert.ok(text.includes('motya.yaml'), text);
    const second = scene.start(['--upgrade']);
    await second.waitFor('waiting');
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    assert.equal((await scene.who()).generation, '2');
  });

  it('capabilities that stay (SECBIT_NO_SETUID_FIXUP): it does not start', async (test) => {
    const scene = await privilegedScene(test);
    const first = scene.space.start(
      'setpriv',
      ['--securebits', '+no_setuid_fixup', process.execPath, CLI, 'start', '--config', scene.config],
      { env: scene.env },
    );
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(first);
    const { uid, field } = details as Details;
    assert.deepEqual([code, uid], ['ERR_MOTYA_PRIVILEGES', USER]);
    assert.ok(['CapPrm', 'CapEff'].includes(String(field)), String(field));
    assert.equal(first.stdout, '', 'no worker has run');
  });

  it('root without CAP_SETUID: it does not start, and says why', async (test) => {
    const scene = await privilegedScene(test);
    const first = scene.space.start(
      'setpriv',
      ['--bounding-set', '-setuid', process.execPath, CLI, 'start', '--config', scene.config],
      { env: scene.env },
    );
    assert.deepEqual(await first.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(first);
    const { uid, reason } = details as Details;
    assert.deepEqual([code, uid, reason], ['ERR_MOTYA_PRIVILEGES', USER, 'EPERM']);
  });
});
