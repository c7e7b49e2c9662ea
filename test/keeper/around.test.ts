import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { native } from '#src/base/os/native.js';
import { CLI, codeOf, isAlive, parentOf, placesIn, until } from '../e2e/harness/index.js';
import { isRefused, program, scene, servesAs } from '../e2e/scene.js';
import * as chain from '../e2e/traffic.js';
import { crash, holds, kept } from './support.js';

describe('a successor that is started by hand, from outside', () => {
  it('takes over; the keeper follows it, and starts another instance when it crashes', async (test) => {
    const { stage, keeper } = await kept(test);
    const load = await chain.traffic({ port: stage.port, keepAlive: 2, fresh: 2 });
    const outsider = await stage.waiting();
    keeper.kill('SIGQUIT');
    await outsider.waitFor('serving');
    await until(() => keeper.logs.some(({ event, generation }) => event === 'ended' && generation === 1), {
      what: 'the end of the first generation',
    });
    assert.equal(keeper.exit, undefined);
    assert.equal(parentOf(outsider.pid), process.pid);
    outsider.kill('SIGKILL');
    await until(() => stage.mainPid !== outsider.pid, { what: 'another instance', instead: () => keeper.describe() });
    chain.assertFlawless(await load.stop());
    assert.equal(parentOf(stage.mainPid as number), keeper.pid);
    keeper.kill();
    assert.equal((await keeper.waitForExit()).code, 0);
  });

  it('is stopped with the keeper, and by itself; the keeper ends with 0', async (test) => {
    for (const how of ['keeper', 'command'] as const) {
      const { stage, keeper } = await kept(test);
      const outsider = await stage.waiting();
      keeper.kill('SIGQUIT');
      await outsider.waitFor('serving');
      if (how === 'keeper') keeper.kill();
      else assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
      assert.deepEqual(await keeper.waitForExit(), { code: 0, signal: null }, how);
      assert.deepEqual(await outsider.waitForExit(), { code: 0, signal: null }, how);
    }
  });
});

describe('--keeper', () => {
  it('with --daemonize: the keeper is the daemon; the command tells of the first instance', async (test) => {
    const stage = await scene(test);
    const log = stage.space.path('motya.log');
    const { code, stdout, stderr } = await stage.space.run(
      ['start', stage.script, '--name', 'app', '--keeper', '--daemonize', '--log-file', log],
      { env: { PORT: String(stage.port) } },
    );
    assert.equal(code, 0, stderr);
    const main = stage.mainPid as number;
    assert.match(stdout, new RegExp(`^generation 1 \\(pid ${main}\\) serves in the background`));
    const keeper = parentOf(main) as number;
    await holds(keeper, 1);
    process.kill(main, 'SIGKILL');
    await until(() => stage.mainPid !== main, { what: 'another instance' });
    assert.equal((await stage.who()).generation, '1');
    process.kill(keeper, 'SIGTERM');
    await until(() => !isAlive(keeper), { what: 'the end of the keeper' });
    await stage.space.nothingLeft();
  });

  it('with --daemonize: a start that fails is told by the command', async (test) => {
    const stage = await scene(test, 'throws.cjs');
    const args = ['start', stage.script, '--name', 'app', '--keeper', '--daemonize'];
    const { code, stderr } = await stage.space.run(args);
    assert.equal(code, 1);
    assert.equal(codeOf(stderr), 'ERR_MOTYA_PROGRAM');
    await stage.space.nothingLeft();
  });

  it('with --upgrade: one clear line', async (test) => {
    const { stage } = await kept(test);
    const { code, stderr } = await stage.space.run(['start', stage.script, '--name', 'app', '--keeper', '--upgrade']);
    assert.equal(code, 2);
    assert.deepEqual(placesIn(stderr), [{ key: '--keeper' }]);
    assert.ok(stderr.includes('motya upgrade'), stderr);
  });

  it('comes by itself in a systemd unit that hears no notifications, and only there', async (test) => {
    const stage = await scene(test);
    // exec keeps the pid, as systemd's own exec does.
    const unit = (env: string, ...args: string[]) =>
      stage.space.start('/bin/sh', [
        '-c',
        `SYSTEMD_EXEC_PID=$$ ${env} exec "$@"`,
        'sh',
        process.execPath,
        CLI,
        ...args,
      ]);
    const args = ['start', stage.script, '--name', 'app'];
    const kept = unit(`PORT=${stage.port}`, ...args);
    await kept.waitFor('serving');
    assert.equal(parentOf(stage.mainPid as number), kept.pid);
    kept.kill();
    await kept.waitForExit();
    for (const [env, ...more] of [['NOTIFY_SOCKET=@nobody'], ['X=', '--no-keeper'], ['MOTYA_KEEPER=false']]) {
      const plain = unit(`PORT=${stage.port} ${env}`, ...args, ...more);
      await plain.waitFor('serving');
      assert.equal(stage.mainPid, plain.pid);
      plain.kill();
      await plain.waitForExit();
    }
  });
});

/** A keeper with more than stdin, stdout and stderr, or with a service manager of its own; it writes to `log`. */
function start(test: TestContext, command: string, env: NodeJS.ProcessEnv, fds: readonly number[]): ChildProcess {
  const child = spawn('/bin/sh', ['-c', command], { env, stdio: ['ignore', 'ignore', 'inherit', ...fds] });
  test.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, 'exit');
  });
  return child;
}

describe('what runs the keeper', () => {
  it('passes it sockets, which the instances get, under their names', async (test) => {
    const stage = await scene(test, '', program('one').replaceAll('...address()', "'systemd:http'"));
    const { port } = stage;
    const fd = native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port });
    const settings = 'name: app\nkeeper: true\nlog: { file: log }\nservices:\n  web: { script: server.cjs }\n';
    stage.space.write('motya.yaml', settings);
    const passed = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http';
    const command = `cd ${stage.space.dir} && ${passed} exec ${process.execPath} ${CLI} start`;
    const keeper = start(test, command, stage.space.env, [fd]);
    native.fd.close(fd);
    assert.equal((await stage.who()).generation, '1');
    const main = await until(() => stage.mainPid, { what: 'the instance' });
    await holds(keeper.pid as number, 1);
    process.kill(main, 'SIGKILL');
    await until(() => stage.mainPid !== main, { what: 'another instance' });
    assert.equal((await stage.who()).generation, '1');
    keeper.kill();
    await once(keeper, 'exit');
    await until(() => isRefused(port), { what: 'the end' });
  });

  it('is told what concerns the whole, by the keeper itself', async (test) => {
    const stage = await scene(test);
    const path = stage.space.path('notify');
    const socket = native.listener.create({ family: 'unix', type: 'dgram', path, passCredentials: true });
    test.after(() => native.fd.close(socket));
    const heard: string[] = [];
    const senders = new Set<number>();
    const listen = (): void => {
      for (
        let next = native.channel.receive(socket, 4096);
        next !== null;
        next = native.channel.receive(socket, 4096)
      ) {
        for (const fd of next.fds) native.fd.close(fd);
        senders.add(next.sender?.pid ?? 0);
        heard.push(...next.data.toString().split('\n'));
      }
    };
    const hears = async (pattern: RegExp) => {
      const found = () => {
        listen();
        return heard.findIndex((line) => pattern.test(line)) + 1;
      };
      // What comes after it may have come already.
      heard.splice(0, await until(found, { what: String(pattern), instead: () => heard }));
    };
    const keeper = stage.start(['--keeper'], { NOTIFY_SOCKET: path, WATCHDOG_USEC: '3000000' });
    await hears(/^READY=1$/);
    await hears(/^STATUS=.*generation 1/);
    await hears(/^WATCHDOG=1$/);
    keeper.kill('SIGQUIT');
    await hears(/^RELOADING=1$/);
    await hears(/^READY=1$/);
    await hears(/^STATUS=.*generation 2/);
    await hears(/^WATCHDOG=1$/);
    keeper.kill();
    await hears(/^STOPPING=1$/);
    await keeper.waitForExit();
    listen();
    assert.deepEqual([...senders], [keeper.pid]);
    assert.ok(!heard.some((line) => /^(MAINPID|FDSTORE)/.test(line)));
  });
});

it('crashes are told apart from upgrades also when they follow one another', async (test) => {
  const { stage, keeper } = await kept(test);
  keeper.kill('SIGQUIT');
  await servesAs(keeper, 2);
  await crash(stage, keeper);
  keeper.kill('SIGQUIT');
  await until(
    () => keeper.logs.filter(({ event, generation }) => event === 'serving' && generation === 2).length === 2,
    {
      what: 'the second upgrade',
      instead: () => keeper.describe(),
    },
  );
  assert.equal((await stage.who()).generation, '2');
});
