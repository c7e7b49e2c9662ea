import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import {
  codeOf,
  fdList,
  isAlive,
  parentOf,
  placesIn,
  readLogFile,
  readPidfile,
  sessionOf,
  untagged,
  until,
} from './harness/index.js';
import { isRefused, program, type Scene, scene } from './scene.js';

/** `motya start --daemonize` to its end. */
async function daemonize(stage: Scene, args: readonly string[] = []) {
  const child = stage.start(['--daemonize', ...args]);
  const { code } = await child.waitForExit();
  return { code, pid: child.pid, stdout: child.stdout, stderr: child.stderr };
}

describe('--daemonize', () => {
  it('returns 0 when the daemon serves, and tells its pid', async (test) => {
    const stage = await scene(test);
    const { code, stdout, stderr } = await daemonize(stage);
    // The first request after the command's end is answered.
    assert.equal((await stage.who()).generation, '1');
    const mute = 'warning: it writes no log: a daemon has no output of its own; --log-file says where to\n';
    assert.deepEqual([code, stderr], [0, mute]);
    assert.equal(stdout, `generation 1 (pid ${stage.mainPid}) serves in the background\n`);
    assert.equal((await stage.status()).pid, stage.mainPid);
  });

  it('the daemon is nobody’s child, in a session of its own, with its stdio elsewhere', async (test) => {
    const stage = await scene(test);
    const { pid: command } = await daemonize(stage);
    const pid = stage.mainPid as number;
    const parent = parentOf(pid) as number;
    assert.ok(parent !== command && parent !== process.pid && (parent === 1 || isAlive(parent)), `parent ${parent}`);
    assert.notEqual(sessionOf(pid), sessionOf(process.pid));
    // Not the leader: it can never get a terminal back.
    assert.notEqual(sessionOf(pid), pid);
    for (const fd of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), '/dev/null');
    // The pipe on which it said that it serves is closed.
    assert.deepEqual(
      fdList(pid).filter(({ target }) => target.startsWith('pipe:') && isInherited(pid, target)),
      [],
    );
    assert.equal(umaskOf(pid), '0022');
    assert.equal(readlinkSync(`/proc/${pid}/cwd`), stage.space.dir);
  });

  it('relative paths, a log file, a umask', async (test) => {
    const stage = await scene(test, '', program('one', "console.log('program speaks')"));
    const dir = stage.space.path('directory');
    mkdirSync(dir);
    const args = ['--pidfile', 'a.pid', '--log-file', 'a.log', '--upgrade-socket', 'a.sock', '--umask', '027'];
    const command = stage.space.motya(['start', '../server.cjs', '--daemonize', ...args], {
      cwd: dir,
      env: { PORT: String(stage.port) },
    });
    assert.equal((await command.waitForExit()).code, 0, command.stderr);
    assert.equal((await stage.who()).version, 'one');
    const pid = readPidfile(`${dir}/a.pid`) as number;
    assert.equal(umaskOf(pid), '0027');
    assert.equal(readlinkSync(`/proc/${pid}/fd/1`), `${dir}/a.log`);
    const said = () => untagged(readFileSync(`${dir}/a.log`, 'utf8').split('\n')).includes('program speaks');
    await until(said, { what: "the program's line" });
    assert.ok(readLogFile(`${dir}/a.log`).some(({ event }) => event === 'serving'));
    assert.equal(statSync(`${dir}/a.log`).mode & 0o777, 0o640);
    assert.equal(existsSync(`${dir}/a.control.sock`), true);

    // The upgrade resolves them against the same directory.
    const { code, stderr } = await stage.space.run(['upgrade', '--upgrade-socket', 'a.sock'], { cwd: dir });
    assert.equal(code, 0, stderr);
    assert.notEqual(readPidfile(`${dir}/a.pid`), pid);
    assert.equal((await stage.who()).generation, '2');
    const next = readPidfile(`${dir}/a.pid`) as number;
    assert.deepEqual([umaskOf(next), readlinkSync(`/proc/${next}/fd/1`)], ['0027', `${dir}/a.log`]);
  });

  it('is upgraded by motya upgrade, to another daemon', async (test) => {
    const stage = await scene(test);
    await daemonize(stage);
    const first = stage.mainPid as number;
    assert.equal((await stage.upgrade()).code, 0);
    const second = stage.mainPid as number;
    assert.notEqual(second, first);
    assert.notEqual(parentOf(second), first);
    assert.notEqual(sessionOf(second), sessionOf(first));
    await until(() => !isAlive(first), { what: 'the end of the first daemon' });
    assert.equal((await stage.who()).generation, '2');
  });

  it('is upgraded by start --upgrade --daemonize and SIGQUIT; that command returns when its daemon serves', async (test) => {
    const stage = await scene(test);
    const log = stage.space.path('a.log');
    await daemonize(stage, ['--log-file', log]);
    const first = stage.mainPid as number;
    const command = stage.start(['--upgrade', '--daemonize', '--log-file', log]);
    const waiting = await until(() => readLogFile(log).find(({ event }) => event === 'waiting'), {
      what: 'the second one',
    });
    assert.equal(command.exit, undefined);
    process.kill(first, 'SIGQUIT');
    assert.deepEqual(await command.waitForExit(), { code: 0, signal: null });
    assert.equal(stage.mainPid, waiting.pid);
    assert.equal(command.stdout, `generation 2 (pid ${stage.mainPid}) serves in the background\n`);
    assert.equal((await stage.who()).generation, '2');
  });

  it('a settings file can say it', async (test) => {
    const stage = await scene(test, '', program('one'));
    stage.space.write('motya.yaml', 'name: app\ndaemonize: true\nservices:\n  web: { script: server.cjs }\n');
    const result = await stage.space.run(['start'], { env: { PORT: String(stage.port) } });
    assert.equal(result.code, 0, result.stderr);
    assert.equal((await stage.who()).version, 'one');
  });
});

describe('a daemon that cannot serve', () => {
  it('its program throws: not 0, and why', async (test) => {
    const stage = await scene(test, '', "throw new Error('broken on purpose')");
    const { code, stdout, stderr } = await daemonize(stage);
    assert.deepEqual([code, stdout], [1, '']);
    assert.deepEqual([codeOf(stderr), stderr.split('\n').length], ['ERR_MOTYA_PROGRAM', 2], stderr);
    assert.ok(stderr.includes(`broken on purpose (${stage.script}:1:7)`) && stderr.includes('--log-file'), stderr);
    assert.equal(stage.mainPid, undefined);
    await stage.space.nothingLeft();
  });

  it('its program is killed', async (test) => {
    const stage = await scene(test, '', "process.kill(process.pid, 'SIGKILL')");
    const { code, stderr } = await daemonize(stage);
    assert.equal(code, 1);
    assert.equal(codeOf(stderr), 'ERR_MOTYA_PROGRAM');
    assert.ok(stderr.includes('signal SIGKILL') && stderr.includes('--log-file'), stderr);
  });

  it('its port is in use: the address and the holder', async (test) => {
    const stage = await scene(test);
    const server = createServer().listen(stage.port, '127.0.0.1');
    await once(server, 'listening');
    test.after(() => server.close());
    const { code, stderr } = await daemonize(stage);
    assert.deepEqual([code, codeOf(stderr)], [1, 'ERR_MOTYA_PROGRAM'], stderr);
    for (const fact of ['EADDRINUSE', `tcp://127.0.0.1:${stage.port}`, `pid ${process.pid}`]) {
      assert.ok(stderr.includes(fact), stderr);
    }
  });

  it('its pidfile cannot be written', async (test) => {
    const stage = await scene(test);
    const path = stage.space.path('no/such/a.pid');
    const { code, stderr } = await daemonize(stage, ['--pidfile', path]);
    assert.deepEqual([code, codeOf(stderr)], [1, 'ERR_MOTYA_PIDFILE'], stderr);
    for (const fact of [path, 'ENOENT']) assert.ok(stderr.includes(fact), stderr);
    assert.equal(await isRefused(stage.port), true);
  });

  it('its log file cannot be opened', async (test) => {
    const stage = await scene(test);
    const path = stage.space.path('no/such/a.log');
    const { code, stderr } = await daemonize(stage, ['--log-file', path]);
    assert.deepEqual([code, codeOf(stderr)], [1, 'ERR_MOTYA_LOG_FILE'], stderr);
    for (const fact of [path, 'ENOENT']) assert.ok(stderr.includes(fact), stderr);
  });

  it('another instance runs: its pid', async (test) => {
    const stage = await scene(test);
    await daemonize(stage);
    const { code, stderr } = await daemonize(stage);
    assert.deepEqual([code, codeOf(stderr)], [1, 'ERR_MOTYA_RUNNING'], stderr);
    for (const fact of [`pid ${stage.mainPid}`, stage.pidfile]) assert.ok(stderr.includes(fact), stderr);
    assert.equal((await stage.who()).generation, '1');
  });

  it('there is nothing to take over from', async (test) => {
    const stage = await scene(test);
    const { code, stderr } = await daemonize(stage, ['--upgrade']);
    assert.deepEqual([code, codeOf(stderr)], [1, 'ERR_MOTYA_NOTHING_TO_UPGRADE'], stderr);
  });

  it('its settings are wrong: 2', async (test) => {
    const stage = await scene(test);
    const { code, stderr } = await daemonize(stage, ['--drain-timeout', 'soon']);
    assert.equal(code, 2);
    assert.deepEqual(placesIn(stderr), [{ key: '--drain-timeout' }]);
  });
});

function umaskOf(pid: number): string {
  return /^Umask:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}

/** Whether this process has the same pipe: then it was passed on to the daemon. */
function isInherited(pid: number, target: string): boolean {
  return pid !== process.pid && fdList(process.pid).some((file) => file.target === target);
}
