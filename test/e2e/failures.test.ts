import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { ErrorCode } from '#src/base/error-catalog.js';
import type { Details } from '#src/base/errors.js';
import { type Child, childrenOf, isAlive, type LogLine, listeningInodes, placesIn, until } from './harness/index.js';
import { ask, failureOf, get, isRefused, outcomeOf, program, type Scene, scene, servesAs, who } from './scene.js';

/** On the port of the program, too: says its generation, and goes on sending, as it may have something to say still. */
const UDP = `
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (_, peer) => udp.send(process.env.MOTYA_GENERATION, peer.port, peer.address));
udp.bind(Number(process.env.PORT), () => setInterval(() => udp.send('x', 9, '127.0.0.1'), 50));
`;

/** A first instance, whose successors are ready when `release` is called. */
async function readyOnce(test: TestContext) {
  const stage = await scene(test, 'ready-later.mjs');
  const ready = stage.space.path('ready');
  const release = () => void stage.space.write('ready', '');
  release();
  const first = await stage.first(['--ready', 'signal'], { READY_FILE: ready });
  rmSync(ready);
  return { stage, first, ready, release };
}

/** As {@link betweenAdoptedAndReady}, of a successor that `motya upgrade` has asked for. */
async function inTheMiddle(test: TestContext) {
  const { stage, first, release } = await readyOnce(test);
  const command = stage.space.motya(['upgrade', '--name', 'app', '--json']);
  const { successor } = await first.waitFor('successor');
  await first.waitFor(({ to }) => to === 'awaiting');
  return { stage, first, successor: Number(successor), command, release };
}

/**
 * A first instance, and an upgrade to a successor started by hand that has adopted everything and is ready when `release` is
 * called.
 */
async function betweenAdoptedAndReady(
  test: TestContext,
): Promise<{ stage: Scene; first: Child; second: Child; release: () => void }> {
  const { stage, first, ready, release } = await readyOnce(test);
  const second = await stage.waiting(['--ready', 'signal'], { READY_FILE: ready });
  first.kill('SIGQUIT');
  await second.waitFor(({ to }) => to === 'booting');
  await first.waitFor(({ to }) => to === 'awaiting');
  return { stage, first, second, release };
}

/** After a failed hand-over: the first one serves with what it had, and the next upgrade works at once. */
async function servesOnAndUpgrades(stage: Scene, first: Child, listeners: Map<number, string>): Promise<void> {
  assert.deepEqual([(await stage.who()).generation, stage.mainPid], ['1', first.pid]);
  assert.deepEqual(listeningInodes(first.pid), listeners);
  const { code, stderr } = await stage.upgrade();
  assert.equal(code, 0, stderr);
  assert.equal((await stage.who()).generation, '2');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
}

describe('the successor dies', () => {
  it('while it waits: the first does not care', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const listeners = listeningInodes(first.pid);
    const second = await stage.waiting();
    second.kill('SIGKILL');
    await second.waitForExit();
    // Its socket is left behind, and no obstacle.
    assert.equal(existsSync(stage.upgradeSocket), true);
    await servesOnAndUpgrades(stage, first, listeners);
  });

  it('while it boots: the first serves on', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    second.kill('SIGKILL');
    const { code, details } = await first.waitFor('rejected');
    assert.deepEqual([code, details], ['ERR_MOTYA_PEER_GONE', { pid: second.pid }]);
    release();
    await until(() => stage.status().then(({ phase }) => phase === 'serving'), { what: 'serving' });
    await servesOnAndUpgrades(stage, first, listeningInodes(first.pid));
  });

  it('a worker of the first one dies while it boots: it is started again and answers', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    for (const worker of childrenOf(first.pid)) process.kill(worker, 'SIGKILL');
    const signal = AbortSignal.timeout(10_000);
    const { body } = await ask({ port: stage.port, host: '127.0.0.1', signal });
    assert.equal(JSON.parse(body).generation, '1');
    release();
    await servesAs(second, 2);
  });

  it('its program dies while it waits: it gives up and says so', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    const [worker] = childrenOf(second.pid);
    process.kill(worker as number, 'SIGKILL');
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(second);
    assert.deepEqual(
      [code, details],
      ['ERR_MOTYA_PROGRAM', { service: 'http', worker: 0, end: 'signal SIGKILL', ready: false }],
    );
    await servesOnAndUpgrades(stage, first, listeningInodes(first.pid));
  });

  it('told to stop while it waits: it ends with 0, the first serves on', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    second.kill('SIGTERM');
    assert.deepEqual(await second.waitForExit(), { code: 0, signal: null });
    assert.equal(existsSync(stage.upgradeSocket), false);
    await servesOnAndUpgrades(stage, first, listeningInodes(first.pid));
  });

  it('told to stop under `motya upgrade`: that ends with 3, the first serves on', async (test) => {
    const { stage, first, successor, command } = await inTheMiddle(test);
    process.kill(successor, 'SIGTERM');
    assert.deepEqual(await command.waitForExit(), { code: 3, signal: null });
    const { code, details } = outcomeOf(command);
    assert.deepEqual([code, details], ['ERR_MOTYA_SUCCESSOR_STOPPED', { pid: successor }]);
    assert.equal((await stage.status()).pid, first.pid);
  });

  it('told to stop while it boots: it ends with 0, the first serves on', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    second.kill('SIGTERM');
    assert.deepEqual(await second.waitForExit(), { code: 0, signal: null });
    assert.equal((await first.waitFor('rejected')).code, 'ERR_MOTYA_STOPPING');
    release();
    await servesOnAndUpgrades(stage, first, listeningInodes(first.pid));
  });
});

describe('the incumbent dies', () => {
  it('while the successor waits: that one takes over alone and says so', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    first.kill('SIGKILL');
    await servesAs(second, 2);
    const alone = second.logs.find(({ event }) => event === 'alone');
    assert.deepEqual([alone?.incumbent, alone?.bound], [first.pid, true]);
    assert.deepEqual([(await stage.who()).generation, stage.mainPid], ['2', second.pid]);
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await stage.who()).generation, '3');
  });

  it('while the successor waits, and its workers finish what they have: UDP ports are free for that one all the same', async (test) => {
    const stage = await scene(test, '', `${program('one')}${UDP}`);
    const first = await stage.first();
    const held = await stage.hold();
    const second = await stage.waiting();
    first.kill('SIGKILL');
    await servesAs(second, 2);
    const client = createSocket('udp4').unref();
    const answer = once(client, 'message');
    const asking = setInterval(() => client.send('who', stage.port, '127.0.0.1'), 50);
    assert.equal(String((await answer)[0]), '2');
    clearInterval(asking);
    client.close();
    held.finish();
    assert.equal(JSON.parse((await held.answer).body).generation, '1');
  });

  it('after ADOPTED: the successor goes live alone, and no client is refused', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    first.kill('SIGKILL');
    await first.waitForExit();
    const clients = Array.from({ length: 50 }, () => who(stage.port));
    for (let more = 0; more < 50; more++) assert.equal(await isRefused(stage.port), false);
    release();
    for (const { generation } of await Promise.all(clients))
      assert.ok(['1', '2'].includes(generation ?? ''), String(generation));
    await servesAs(second, 2);
    const alone = second.logs.find(({ event }) => event === 'alone');
    assert.deepEqual([alone?.incumbent, alone?.bound], [first.pid, false]);
    assert.deepEqual([(await stage.who()).generation, stage.mainPid], ['2', second.pid]);
    assert.equal((await get(stage.port)).status, 200);
  });

  it('is stopped: an upgrade that is asked for while it drains ends with 1', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const client = connect(stage.port, '127.0.0.1');
    await once(client, 'connect');
    client.write('GET / HTTP/1.1\r\n');
    await until(async () => (await stage.status()).services[0]?.workers[0]?.connections === 1, {
      what: 'a connection',
    });
    first.kill('SIGTERM');
    await first.waitFor('stopping');
    const upgrade = await stage.upgrade('--json');
    assert.equal(upgrade.code, 1, upgrade.stdout);
    const { code, details } = outcomeOf(upgrade);
    assert.deepEqual([code, details], ['ERR_MOTYA_STOPPING', { pid: first.pid, phase: 'stopping' }]);
    client.destroy();
    await first.waitForExit();
  });

  for (const [end, code] of [
    ['SIGKILL', 'ERR_MOTYA_CONNECTION_LOST'],
    ['SIGTERM', 'ERR_MOTYA_STOPPING'],
  ] as const) {
    it(`${end} in the middle of \`motya upgrade\`: that ends with 1 and does not say that the old one serves on`, async (test) => {
      const { first, successor, command, release } = await inTheMiddle(test);
      first.kill(end);
      await first.waitForExit();
      release();
      assert.deepEqual(await command.waitForExit(), { code: 1, signal: null });
      const told = outcomeOf(command);
      const owner = end === 'SIGKILL' ? { serving: successor, generation: 2 } : {};
      assert.deepEqual([told.code, told.details], [code, { pid: first.pid, ...owner }]);
    });
  }
});

describe('the incumbent is wedged', () => {
  it('commands and successors say so within seconds, and change nothing', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    first.kill('SIGSTOP');
    const details = { pid: first.pid, path: `${stage.space.runtimeDir}/motya/app.control.sock` };
    for (const command of ['status', 'upgrade']) {
      const said = await stage.space.run([command, '--name', 'app', '--json']);
      const told = outcomeOf(said);
      assert.deepEqual([said.code, told.code, told.details], [5, 'ERR_MOTYA_NO_ANSWER', details]);
      assert.equal(said.stderr.split('\n').length, 2, said.stderr);
    }
    const second = stage.start(['--upgrade']);
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    assert.deepEqual([failureOf(second).code, failureOf(second).details], ['ERR_MOTYA_WEDGED', details]);
    // Its worker serves all the time, and nothing comes of all this when it wakes.
    assert.equal((await stage.who()).generation, '1');
    first.kill('SIGCONT');
    assert.deepEqual([(await stage.status()).generation, (await stage.status()).phase], [1, 'serving']);
    assert.equal(first.logs.filter(({ event }) => event === 'successor').length, 0);
  });
});

describe('the incumbent is stopped', () => {
  it('while a successor waits: both end, and the successor says why', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    first.kill();
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    assert.equal(failureOf(second).code, 'ERR_MOTYA_INCUMBENT_STOPPED');
    assert.equal(stage.mainPid, undefined);
    assert.equal(await isRefused(stage.port), true);
  });

  it('while the successor boots: the same', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    first.kill();
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(second);
    assert.deepEqual([code, details], ['ERR_MOTYA_STOPPING', { pid: first.pid }]);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    release();
    assert.equal(stage.mainPid, undefined);
    assert.equal(await isRefused(stage.port), true);
  });
});

describe('a successor that cannot wait', () => {
  /** It ends with 1, this code and these details. */
  async function refusedWith(second: Child, code: ErrorCode, details: Details): Promise<void> {
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null }, second.describe());
    const failure = failureOf(second);
    assert.deepEqual([failure.code, failure.details], [code, details]);
  }

  it('another one waits already', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    const details = { pid: second.pid, path: stage.upgradeSocket };
    await refusedWith(stage.start(['--upgrade']), 'ERR_MOTYA_SUCCESSOR_EXISTS', details);
    // The one that waits is none the worse for it.
    first.kill('SIGQUIT');
    await servesAs(second, 2);
    assert.equal((await stage.who()).generation, '2');
  });

  it('another one boots already', async (test) => {
    const { stage, first, second, release } = await betweenAdoptedAndReady(test);
    const details = { pid: second.pid, path: stage.upgradeSocket };
    await refusedWith(stage.start(['--upgrade']), 'ERR_MOTYA_SUCCESSOR_EXISTS', details);
    release();
    await servesAs(second, 2);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('there is nothing to take over from', async (test) => {
    const stage = await scene(test);
    await refusedWith(stage.start(['--upgrade']), 'ERR_MOTYA_NOTHING_TO_UPGRADE', { path: stage.upgradeSocket });
    assert.deepEqual([stage.mainPid, existsSync(stage.upgradeSocket)], [undefined, false]);
  });

  it('the upgrade socket differs', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const other = stage.space.path('other.sock');
    await refusedWith(stage.start(['--upgrade', '--upgrade-socket', other]), 'ERR_MOTYA_NOTHING_TO_UPGRADE', {
      path: other,
      pidfile: stage.pidfile,
      pid: first.pid,
    });
    assert.equal((await stage.who()).generation, '1');
  });

  it('its program throws', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const working = stage.script;
    stage.script = stage.space.write('broken.cjs', "throw new Error('broken on purpose')");
    const second = stage.start(['--upgrade']);
    await refusedWith(second, 'ERR_MOTYA_PROGRAM', {
      service: 'broken',
      worker: 0,
      end: 'exit status 1',
      ready: false,
      said: `Error: broken on purpose (${stage.script}:1:7)`,
    });
    stage.script = working;
    await servesOnAndUpgrades(stage, first, listeningInodes(first.pid));
  });

  it("a directory stands at the upgrade socket's lock", async (test) => {
    const stage = await scene(test);
    await stage.first();
    mkdirSync(`${stage.upgradeSocket}.lock`);
    await refusedWith(stage.start(['--upgrade']), 'ERR_MOTYA_SOCKET', {
      path: stage.upgradeSocket,
      reason: 'EISDIR',
      syscall: 'open',
    });
    assert.equal((await stage.who()).generation, '1');
  });

  it('a regular file is at the path of the upgrade socket: it is left alone', async (test) => {
    const stage = await scene(test);
    await stage.first();
    stage.space.write('run/motya/app.sock', 'precious');
    const details = { path: stage.upgradeSocket, reason: 'ENOTSOCK' };
    await refusedWith(stage.start(['--upgrade']), 'ERR_MOTYA_SOCKET', details);
    assert.equal(readFileSync(stage.upgradeSocket, 'utf8'), 'precious');
    // So says the incumbent that starts its own.
    const upgrade = await stage.upgrade('--json');
    assert.equal(upgrade.code, 3);
    const told = outcomeOf(upgrade);
    assert.deepEqual([told.code, told.details], ['ERR_MOTYA_SOCKET', details]);
    assert.equal((await stage.who()).generation, '1');
  });
});

describe('paths', () => {
  it('an upgrade socket path that is too long', async (test) => {
    const stage = await scene(test);
    const path = `${stage.space.dir}/${'s'.repeat(110)}.sock`;
    const { code, stderr } = await stage.space.run(['start', stage.script, '--upgrade-socket', path]);
    assert.equal(code, 2);
    // The control socket's path is longer still.
    const key = '--upgrade-socket';
    assert.deepEqual(placesIn(stderr), [{ key }, { key }], stderr);
    assert.ok(stderr.includes(path), stderr);
  });

  it("a runtime directory that others may write to, or somebody else's, is refused", async (test) => {
    const stage = await scene(test);
    const directory = `${stage.space.runtimeDir}/motya`;
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    const open = stage.start();
    assert.equal((await open.waitForExit()).code, 1);
    const codes = ({ code, details }: LogLine) => [code, details];
    const code = 'ERR_MOTYA_RUNTIME_DIRECTORY';
    assert.deepEqual(codes(failureOf(open)), [code, { path: directory, mode: '777' }]);
    chmodSync(directory, 0o700);
    if (process.getuid?.() !== 0) return;
    chownSync(directory, 65534, 65534);
    const foreign = stage.start();
    assert.equal((await foreign.waitForExit()).code, 1);
    assert.deepEqual(codes(failureOf(foreign)), [code, { path: directory, uid: 65534 }]);
    chownSync(directory, 0, 0);
  });

  it('the directory that we make is for us alone', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const { statSync } = await import('node:fs');
    assert.equal(statSync(`${stage.space.runtimeDir}/motya`).mode & 0o777, 0o700);
    assert.equal(statSync(`${stage.space.runtimeDir}/motya/app.control.sock`).mode & 0o777, 0o600);
    const second = await stage.waiting();
    assert.equal(statSync(stage.upgradeSocket).mode & 0o777, 0o600);
    assert.equal(isAlive(second.pid) && isAlive(first.pid), true);
  });
});
