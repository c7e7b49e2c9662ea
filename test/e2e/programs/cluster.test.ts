import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { app, childrenOf, isAlive, type LogLine, untagged, until } from '../harness/index.js';
import type { LoadReport } from '../load/index.js';
import { type Scene, scene, servesAs } from '../scene.js';
import * as chain from '../traffic.js';

/** A program that uses `node:cluster` itself: `worker` is what each worker does, `primary` what the primary does beside forking. */
const program = (worker: string, primary = ''): string => `'use strict';
const cluster = require('node:cluster');
const { announce, handler, identity } = require(${JSON.stringify(app('shared/handler.cjs'))});
const port = Number(process.env.PORT);
if (cluster.isPrimary) {
  ${primary}
  cluster.on('listening', (worker, { port }) => console.log(JSON.stringify({ worker: worker.process.pid, port })));
  for (let index = 0; index < 2; index++) cluster.fork();
} else {
  ${worker}
}
`;
const SERVER =
  "const server = require('node:http').createServer(handler); server.listen(port, '127.0.0.1', () => announce(server));";
const REFORK =
  "cluster.on('exit', (worker) => { console.log(JSON.stringify({ gone: worker.process.pid })); cluster.fork(); });";
const QUICK = ['--probation', '1s', '--drain-timeout', '10s'];

const clusterOf = (stage: Scene): Promise<{ primary: number; workers: number[] }> =>
  until(
    async () => {
      const { services } = await stage.status();
      const primary = services[0]?.workers[0]?.pid ?? 0;
      const workers = childrenOf(primary);
      return workers.length === 2 ? { primary, workers } : undefined;
    },
    { what: 'a primary and its two workers' },
  );

/** What the program has said as lines of JSON. */
const said = (lines: readonly string[]): Record<string, unknown>[] =>
  untagged(lines).flatMap((line) => (line.startsWith('{"') ? [JSON.parse(line) as Record<string, unknown>] : []));

async function underLoad(test: TestContext, policy: string, last: number): Promise<void> {
  const stage = await scene(test, '', program(SERVER));
  const first = await stage.first(['--probation', '1s', ...chain.NEVER_FORCED], { NODE_CLUSTER_SCHED_POLICY: policy });
  // It is ready once each of them listens, and the primary has been told.
  const { workers } = await clusterOf(stage);
  const told = () =>
    said(first.stdoutLines).flatMap(({ worker, port }) => (port === stage.port ? [Number(worker)] : []));
  await until(() => told().length === 2, { what: 'both workers to listen' });
  assert.deepEqual(told().sort(), workers.sort());
  const load = await chain.traffic({ keepAlive: 6, fresh: 3, slow: 2, port: stage.port, thinkMs: 10, slowMs: 300 });
  let report: LoadReport;
  try {
    for (let generation = 2; generation <= last; generation++) {
      const upgraded = await chain.upgrade(stage.space);
      assert.equal(upgraded.generation, generation);
      await until(async () => chain.generationsIn(await load.report()).includes(generation), {
        what: `answers of generation ${generation}`,
      });
    }
    await chain.predecessorsEnd(first, last);
  } finally {
    report = await load.stop();
  }
  chain.assertFlawless(report);
  chain.assertNewOnesAreTheSuccessors(first, load, report);
  const left = await clusterOf(stage);
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  await until(() => ![left.primary, ...left.workers].some(isAlive), { what: 'the end of all' });
}

describe('a program that uses node:cluster', () => {
  it('upgrades three times under load without a failure (round robin)', (test) => underLoad(test, 'rr', 4));
  it('and with the scheduling left to the system', (test) => underLoad(test, 'none', 2));

  it('drains what its workers have; its primary replaces a worker that crashes', async (test) => {
    const stage = await scene(test, '', program(SERVER, REFORK));
    const first = await stage.first(QUICK);
    const held = await stage.hold();
    const upgraded = await stage.upgrade('--detach');
    assert.equal(upgraded.code, 0, upgraded.stderr);
    await servesAs(first, 2);
    assert.equal((await stage.who()).generation, '2');
    const ended = (line: LogLine) => line.event === 'ended' && line.generation === 1;
    const open = async () => (await stage.status()).draining.find(({ generation }) => generation === 1)?.connections;
    await until(async () => (await open()) === 1, { what: 'generation 1 to drain one connection' });
    assert.ok(!first.logs.some(ended), 'it has ended with a request open');
    held.finish();
    const answer = await held.answer;
    assert.deepEqual([answer.status, JSON.parse(answer.body).generation], [200, '1']);
    const { forced } = await first.waitFor(ended, { evenAfterExit: true });
    assert.equal(forced, 0);

    const before = await clusterOf(stage);
    const [victim = 0] = before.workers;
    process.kill(victim, 'SIGKILL');
    await until(() => said(first.stdoutLines).some(({ gone }) => gone === victim), { what: 'the primary to notice' });
    const after = await clusterOf(stage);
    assert.equal(after.primary, before.primary);
    assert.equal((await stage.who()).generation, '2');
    const [fresh = 0] = after.workers.filter((pid) => !before.workers.includes(pid));
    await until(async () => (await stage.who()).pid === fresh, { what: 'an answer of the new worker' });
  });

  it('serves again after a rollback, without a failure', async (test) => {
    const stage = await scene(test, '', program(SERVER));
    const first = await stage.first(['--probation', '1m', '--drain-timeout', '10s']);
    const load = await chain.traffic({ keepAlive: 4, fresh: 2, port: stage.port, thinkMs: 10 });
    const upgrading = stage.upgrade();
    await servesAs(first, 2);
    assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
    assert.equal((await upgrading).code, 6);
    assert.equal((await stage.who()).generation, '1');
    chain.assertFlawless(await load.stop());
  });

  it('worker.disconnect() lets a worker finish and end, as in plain Node', async (test) => {
    const disconnect = "process.on('SIGUSR2', () => Object.values(cluster.workers)[0].disconnect());";
    const stage = await scene(test, '', program(SERVER, REFORK + disconnect));
    const first = await stage.first(QUICK);
    const { primary, workers } = await clusterOf(stage);
    const holds = [await stage.hold(), await stage.hold(), await stage.hold(), await stage.hold()];
    process.kill(primary, 'SIGUSR2');
    for (const { finish } of holds) finish();
    for (const { answer } of holds) assert.equal((await answer).status, 200);
    await until(() => workers.filter(isAlive).length === 1, { what: 'the end of one worker' });
    await until(() => said(first.stdoutLines).filter(({ worker }) => worker !== undefined).length === 3, {
      what: 'a third worker to listen',
    });
    assert.equal((await stage.who()).generation, '1');
  });

  it('port 0 is one port in all workers and generations, and so is a UDP port', async (test) => {
    const udp = `const socket = require('node:dgram').createSocket('udp4');
    socket.bind(port, '127.0.0.1', () => console.log(JSON.stringify({ udp: process.pid, port: socket.address().port })));`;
    const server =
      "const server = require('node:http').createServer(handler); server.listen(0, () => announce(server));";
    const stage = await scene(test, '', program(server + udp));
    const first = await stage.first(QUICK);
    await stage.upgrade();
    const ports = () =>
      said(first.stdoutLines).flatMap((line) => {
        const { listening } = line as { listening?: { port: number } };
        return listening === undefined ? [] : [listening.port];
      });
    await until(() => ports().length === 4, { what: 'four servers' });
    assert.equal(new Set(ports()).size, 1);
    const bound = () => said(first.stdoutLines).filter(({ udp: pid }) => pid !== undefined);
    await until(() => bound().length === 4, { what: 'four UDP sockets' });
    assert.deepEqual(new Set(bound().map(({ port }) => port)), new Set([stage.port]));
  });
});
