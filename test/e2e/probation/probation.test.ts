import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { STATS_SILENCE_MS } from '#src/base/deadlines.js';
import { crash, holds } from '../../keeper/support.js';
import { adminSocket, look, Scrape } from '../../status/admin/support.js';
import { childrenOf, codeOf, isAlive, killIfAlive, listeningInodes, until } from '../harness/index.js';
import { startLoadProcess } from '../load/index.js';
import { outcomeOf, program, rolledBack, type Scene, scene, who } from '../scene.js';

/** Longer than any test: what ends is ended by something else. */
const LONG = ['--probation', '10m'] as const;
/** A program whose code is read anew by each generation. */
async function stageOf(t: Parameters<typeof scene>[0], before = ''): Promise<Scene> {
  return scene(t, '', program('one', before));
}

const deploy = (stage: Scene, version: string, before = ''): void => {
  stage.space.write('server.cjs', program(version, before));
};

const versionOf = async (stage: Scene): Promise<string | null> => (await stage.who()).version;

/** Without the control socket, which is made anew. */
const programs = (listeners: Map<number, string>): Map<number, string> =>
  new Map([...listeners].filter(([, what]) => !what.includes('control')));

/** The first generation serves again, whole, and the next upgrade works. */
async function servesAgain(stage: Scene, first: number, listeners: Map<number, string>): Promise<void> {
  await until(async () => (await stage.status()).phase === 'serving', { what: 'serving' });
  assert.equal(await versionOf(stage), 'one');
  assert.equal(stage.mainPid, first);
  assert.deepEqual(programs(listeningInodes(first)), programs(listeners));
  deploy(stage, 'three');
  const { code, stderr } = await stage.upgrade('--detach');
  assert.equal(code, 0, stderr);
  assert.equal(await versionOf(stage), 'three');
}

test('a successor that passes: the command waits for it, then the first one lets go and drains', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first(['--probation', '10s']);
  deploy(stage, 'two');
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  // It keeps what it needs to serve again, accepts nothing, and says who serves.
  assert.equal(await versionOf(stage), 'two');
  assert.equal(listeningInodes(first.pid).size > 0, true);
  const { probation, pid } = await stage.status();
  assert.equal(probation?.incumbent, first.pid);
  assert.equal(stage.mainPid, pid);
  const { code, stdout } = await upgrading;
  assert.equal(code, 0, stdout);
  const told = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const { live } = told.find((line) => 'live' in line) as { live: { pid: number; generation: number } };
  assert.deepEqual([live.pid, live.generation], [pid, 2]);
  const { ok, code: outcome } = told.at(-1) ?? {};
  assert.deepEqual([ok, outcome], [true, 'LIVE']);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal((await stage.status()).probation, null);
});

test('connections that are open stay where they are, and are served on', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  const held = await stage.hold();
  deploy(stage, 'two');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  held.finish();
  assert.equal((await held.answer).status, 200);
  assert.equal(isAlive(first.pid), true);
});

test('the supervisor of the successor is killed: the first one accepts again at once', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  const listeners = listeningInodes(first.pid);
  deploy(stage, 'two');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  process.kill(stage.mainPid as number, 'SIGKILL');
  assert.equal((await first.waitFor('rolled-back')).code, 'ERR_MOTYA_PEER_GONE');
  await servesAgain(stage, first.pid, listeners);
});

test('under load, successors killed: no request is refused, and what fails was inside one of them', async (t) => {
  const stage = await scene(t);
  const first = await stage.first([...LONG]);
  const load = startLoadProcess({ port: stage.port, fresh: 16 });
  let isRunning = true;
  t.after(() => (isRunning ? load.stop() : undefined));
  await until(async () => ((await load.report()).answersByClient.fresh ?? 0) > 50, { what: 'answers' });
  for (let round = 1; round <= 3; round++) {
    const { code, stderr } = await stage.upgrade('--detach');
    assert.equal(code, 0, stderr);
    const pid = stage.mainPid as number;
    const answered = (await load.report()).answersByClient.fresh ?? 0;
    await until(async () => ((await load.report()).answersByClient.fresh ?? 0) > answered + 100, { what: 'answers' });
    const workers = childrenOf(pid);
    // The whole generation, in one go.
    for (const one of [pid, ...workers]) killIfAlive(one);
    await until(() => first.logs.filter(({ event }) => event === 'rolled-back').length === round, {
      what: 'a rollback',
    });
  }
  const answered = (await load.report()).answersByClient.fresh ?? 0;
  await until(async () => ((await load.report()).answersByClient.fresh ?? 0) > answered + 100, { what: 'answers' });
  isRunning = false;
  const report = await load.stop();
  const causes = JSON.stringify(report.details, undefined, 1);
  assert.equal(report.failuresByKind.refused ?? 0, 0, causes);
  // At most the one request that each client had inside a killed process.
  assert.ok(report.failures <= 3 * 16, causes);
});

test('workers that crash: rolled back by the successor itself, whose open requests are finished', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG, '--workers', '2', '--drain-timeout', '10m']);
  const listeners = listeningInodes(first.pid);
  deploy(stage, 'two', "process.on('SIGUSR2', () => process.exit(9));");
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  const { pid, services } = await stage.status();
  const held = await stage.hold();
  const workers = services.flatMap((service) => service.workers.map((worker) => worker.pid as number));
  assert.equal(workers.length, 2);
  // One worker crashes again and again; the other one has perhaps the request that is held, and keeps it.
  const victim = async (): Promise<number | null | undefined> =>
    (await stage.status()).services[0]?.workers.find(({ connections, state }) => connections === 0 && state === 'ready')
      ?.pid;
  for (let crashes = 0; crashes < 3; crashes++) {
    const one = await until(victim, { what: 'a worker without connections' });
    process.kill(one as number, 'SIGUSR2');
    await until(() => !isAlive(one as number), { what: 'its end' });
  }
  const { cause, crashes, service, reason } = rolledBack(await upgrading);
  assert.deepEqual([cause, crashes, service, reason], ['ERR_MOTYA_CRASHES', 3, 'server', 'exit status 9']);
  // The successor drains, and the first one follows that.
  const { draining } = await until(
    async () => {
      const status = await stage.status();
      return status.draining.length === 1 ? status : null;
    },
    { what: 'the drain of the successor' },
  );
  assert.equal(draining[0]?.pid, pid);
  held.finish();
  assert.equal((await held.answer).status, 200);
  await until(() => !isAlive(pid), { what: 'the end of the successor' });
  await servesAgain(stage, first.pid, listeners);
});

test('a worker that has crashed and is not back when the probation ends: rolled back', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first(['--probation', '10s', '--health-crashes', '100']);
  const listeners = listeningInodes(first.pid);
  const crashed = JSON.stringify(stage.space.path('crashed'));
  const stalls = `if (require('node:fs').existsSync(${crashed})) { setInterval(() => {}, 1e6); return; }
    process.on('SIGUSR2', () => { require('node:fs').writeFileSync(${crashed}, ''); process.exit(9); });`;
  deploy(stage, 'two', stalls);
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  process.kill((await stage.status()).services[0]?.workers[0]?.pid as number, 'SIGUSR2');
  const details = { cause: 'ERR_MOTYA_CRASHES', crashes: 1, missing: 'worker' };
  assert.deepEqual(rolledBack(await upgrading), details);
  await servesAgain(stage, first.pid, listeners);
});

test('a worker that has crashed and then listens only elsewhere: rolled back', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first(['--probation', '6s', '--health-crashes', '100']);
  const listeners = listeningInodes(first.pid);
  const crashed = JSON.stringify(stage.space.path('crashed'));
  const elsewhere = `if (require('node:fs').existsSync(${crashed})) { require('node:http').createServer().listen(0, '127.0.0.1'); return; }
    process.on('SIGUSR2', () => { require('node:fs').writeFileSync(${crashed}, ''); process.exit(9); });`;
  deploy(stage, 'two', elsewhere);
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  process.kill((await stage.status()).services[0]?.workers[0]?.pid as number, 'SIGUSR2');
  const details = { cause: 'ERR_MOTYA_CRASHES', crashes: 1, missing: 'listener' };
  assert.deepEqual(rolledBack(await upgrading), details);
  await servesAgain(stage, first.pid, listeners);
});

test('an HTTP path that must answer 2xx; a share of 5xx', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG, '--health-path', '/']);
  const listeners = listeningInodes(first.pid);
  const failing =
    "const { ServerResponse } = require('node:http');\nObject.defineProperty(ServerResponse.prototype, 'statusCode', { get: () => 503, set() {} });";
  deploy(stage, 'two', failing);
  const byPath = await stage.upgrade('--json');
  assert.deepEqual(rolledBack(byPath), { cause: 'ERR_MOTYA_UNHEALTHY', path: '/', status: 503 });
  assert.equal((await stage.status()).pid, first.pid);
  await until(async () => (await stage.status()).draining.length === 0, { what: 'the end of its drain' });
  await servesAgain(stage, first.pid, listeners);
});

test('answers with 5xx beyond the ceiling', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG, '--health-errors', '0.5']);
  const failing =
    "const { ServerResponse } = require('node:http');\nObject.defineProperty(ServerResponse.prototype, 'statusCode', { get: () => 500, set() {} });";
  deploy(stage, 'two', failing);
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  let stopped = false;
  t.after(() => {
    stopped = true;
  });
  const asking = (async () => {
    while (!stopped) await who(stage.port).catch(() => {});
  })();
  const result = await upgrading;
  stopped = true;
  await asking;
  const { cause, answers, failed } = rolledBack(result);
  assert.deepEqual([cause, failed], ['ERR_MOTYA_ERROR_RATE', answers]);
  assert.equal(await versionOf(stage), 'one');
});

test('motya rollback; too late, it says so', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  const rollback = () => stage.space.run(['rollback', '--name', 'app']);
  const early = await rollback();
  assert.deepEqual([early.code, early.stdout], [3, '']);
  assert.equal(codeOf(early.stderr), 'ERR_MOTYA_PROBATION_OVER');
  deploy(stage, 'two');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const { code, stdout } = await rollback();
  assert.deepEqual([code, stdout], [0, `pid ${first.pid} serves again\n`]);
  assert.equal(await versionOf(stage), 'one');
  const scrape = new Scrape((await look(adminSocket(stage), '/metrics')).body);
  assert.equal(scrape.get('motya_upgrades_total{outcome="rolled-back",reason="ERR_MOTYA_ROLLBACK_REQUESTED"}'), 1);
  const { lastUpgrade } = await stage.status();
  assert.deepEqual([lastUpgrade?.ok, lastUpgrade?.code], [false, 'ERR_MOTYA_ROLLBACK_REQUESTED']);
  assert.equal((await rollback()).code, 3);
});

test('listeners of either side: what the successor left out is there again, what it added is gone', async (t) => {
  const stage = await stageOf(t);
  const [left, added] = [stage.space.path('left.sock'), stage.space.path('added.sock')];
  const also = (path: string): string =>
    `require('node:net').createServer((s) => s.end('hello')).listen(${JSON.stringify(path)});`;
  deploy(stage, 'one', also(left));
  const first = await stage.first([...LONG]);
  deploy(stage, 'two', also(added));
  assert.equal((await stage.upgrade('--detach')).code, 0);
  assert.deepEqual([existsSync(left), existsSync(added)], [true, true]);
  assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
  await until(() => !existsSync(added), { what: 'the end of what was added' });
  const hello = await new Promise<string>((resolve, reject) => {
    createConnection(left)
      .on('data', (data) => resolve(String(data)))
      .on('error', reject);
  });
  assert.equal(hello, 'hello');
  // Settled, what is left out goes.
  assert.equal((await stage.upgrade('--detach')).code, 0);
  deploy(stage, 'three', also(added));
  const third = await stage.upgrade('--detach');
  assert.equal(third.code, 0, third.stderr);
  await first.waitForExit();
  assert.equal(existsSync(left), false);
});

test('the next upgrade ends the probation; a dry run does not', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  deploy(stage, 'two');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const second = stage.mainPid as number;
  const dry = await stage.upgrade('--dry-run', '--json');
  assert.equal(dry.code, 3);
  const { code, details } = outcomeOf(dry);
  assert.deepEqual([code, details], ['ERR_MOTYA_BUSY', { pid: second, phase: 'probation' }]);
  assert.equal((await stage.status()).probation?.incumbent, first.pid);
  deploy(stage, 'three');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal((await stage.status()).probation?.incumbent, second);
  assert.equal(await versionOf(stage), 'three');
});

test('stopped on probation: nobody serves again', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal(existsSync(stage.pidfile), false);
});

test('the incumbent is stopped while its successor is on probation: the successor serves on', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  first.kill('SIGTERM');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  const { probation, phase } = await stage.status();
  assert.deepEqual([probation, phase], [null, 'serving']);
  assert.equal(readFileSync(stage.pidfile, 'utf8').trim() === String(first.pid), false);
});

test('the incumbent is killed while its successor is on probation: the successor serves on, alone', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  first.kill('SIGKILL');
  await first.waitForExit();
  await until(async () => (await stage.status()).probation === null, { what: 'the end of the probation' });
  assert.equal((await stage.upgrade('--detach')).code, 0);
});

test('a wedged successor: the first one serves again, and the other gives way when it wakes', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first(['--probation', '5s']);
  const listeners = listeningInodes(first.pid);
  deploy(stage, 'two');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const second = stage.mainPid as number;
  const held = await stage.hold();
  process.kill(second, 'SIGSTOP');
  const { code } = await first.waitFor('rolled-back');
  assert.equal(code, 'ERR_MOTYA_SUCCESSOR_SILENT');
  process.kill(second, 'SIGCONT');
  // What it had to say before it hears that it is not wanted does not make the first one deaf for it.
  const drains = async () =>
    (await stage.status()).draining.some(({ pid, connections }) => pid === second && connections > 0);
  await until(drains, { what: 'what it drains' });
  held.finish();
  assert.equal(JSON.parse((await held.answer).body).version, 'two');
  await until(() => !isAlive(second), { what: 'the end of the successor' });
  await servesAgain(stage, first.pid, listeners);
});

test('an incumbent that sleeps for long: the successor does not take it for gone, and one of them owns all in the end', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const second = stage.mainPid as number;
  process.kill(first.pid, 'SIGSTOP');
  // Longer than a predecessor that drains may be silent. It is not settled by that: the next upgrade asks, and hears nothing.
  await delay(STATS_SILENCE_MS + 1_500);
  assert.equal((await stage.status()).probation?.incumbent, first.pid);
  const next = await stage.upgrade('--detach', '--json');
  assert.notEqual(next.code, 0);
  const { code, details } = outcomeOf(next);
  assert.deepEqual([code, details], ['ERR_MOTYA_WEDGED', { pid: first.pid }]);
  process.kill(first.pid, 'SIGCONT');
  // It reads that it is wanted no more.
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal(stage.mainPid, second);
  assert.equal((await stage.status()).probation, null);
});

test('an incumbent that dies when it has just had the pidfile back: the successor repairs it', async (t) => {
  const stage = await stageOf(t);
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const second = stage.mainPid as number;
  writeFileSync(stage.pidfile, `${first.pid}\n`);
  first.kill('SIGKILL');
  await first.waitForExit();
  await until(() => stage.mainPid === second, { what: 'its own pidfile' });
  assert.equal((await stage.upgrade('--detach')).code, 0);
});

test('an upgrade is taken back under a keeper: the keeper starts nothing', async (t) => {
  const stage = await scene(t);
  const keeper = await stage.first(['--keeper', ...LONG]);
  await holds(keeper.pid, 1);
  const first = stage.mainPid as number;
  assert.equal((await stage.upgrade('--detach')).code, 0);
  process.kill(stage.mainPid as number, 'SIGKILL');
  await keeper.waitFor('rolled-back');
  await until(() => stage.mainPid === first, { what: 'the first one' });
  assert.equal((await stage.who()).generation, '1');
  // It is the main one for the keeper, too: when it crashes another one starts.
  await crash(stage, keeper);
  assert.equal(keeper.logs.filter(({ event }) => event === 'instance-exit').length >= 1, true);
});

test('a conversation that breaks while both live: the successor serves, alone', async (t) => {
  const stage = await stageOf(t);
  const preload = stage.space.write(
    'break.mjs',
    `import { existsSync } from 'node:fs';
     if (process.env.MOTYA_WORKER === undefined && process.env.MOTYA_UPGRADE === undefined) {
       await import(${JSON.stringify(import.meta.resolve('../../faults/unbundled.js'))});
       const { Dialogue } = await import(${JSON.stringify(import.meta.resolve('#src/handover/dialogue.js'))});
       const { expect } = Dialogue.prototype;
       Dialogue.prototype.expect = function (types, ms) {
         if (types.includes('PROVING') && existsSync(process.env.BREAK)) this.close();
         return expect.call(this, types, ms);
       };
     }`,
  );
  stage.space.nodeArgs.push('--import', preload);
  Object.assign(stage.space.env, { BREAK: stage.space.path('break') });
  const first = await stage.first([...LONG]);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  const second = stage.mainPid as number;
  stage.space.write('break', '');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal(stage.mainPid, second);
  const { generation, phase, probation } = await stage.status();
  assert.deepEqual([generation, phase, probation], [2, 'serving', null]);
});
