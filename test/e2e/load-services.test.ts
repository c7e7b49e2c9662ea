import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { app, freePorts, isAlive, until, workspace } from './harness/index.js';
import { type LoadOptions, type LoadReport, startLoad } from './load/index.js';
import { get, scene } from './scene.js';
import * as chain from './traffic.js';

const HTTP: LoadOptions = { keepAlive: 6, fresh: 2, slow: 1, upload: 1, thinkMs: 10, slowMs: 200, uploadMs: 100 };

it('two workers: upgrades in a row under load, both workers of each generation answer', async (test) => {
  const stage = await scene(test);
  const first = await stage.first(['--workers', '2', ...chain.NEVER_FORCED]);
  const load = await chain.traffic({ ...HTTP, fresh: 6, port: stage.port });
  let report: LoadReport;
  try {
    for (const generation of [2, 3]) {
      await chain.upgradeByCommand(stage.space);
      const answered = async () => {
        const { servers, failures } = await load.report();
        return failures > 0 || servers.filter((server) => Number(server.generation) === generation).length === 2;
      };
      await until(answered, { what: `answers of both workers of generation ${generation}` });
    }
    await chain.predecessorsEnd(first, 3);
  } finally {
    report = await load.stop();
  }
  chain.assertFlawless(report);
  chain.assertNewOnesAreTheSuccessors(first, load, report);
  assert.deepEqual(chain.generationsIn(report), [1, 2, 3]);
});

it('several services of every kind in one instance: upgrades in a row under load', async (test) => {
  const space = workspace(test);
  const [web = 0, echo = 0, dns = 0, h2 = 0] = await freePorts(4);
  const path = space.path('app.sock');
  const loads: Readonly<Record<string, LoadOptions>> = {
    web: { ...HTTP, port: web },
    local: { ...HTTP, path },
    echo: { tcp: 4, port: echo },
    dns: { udp: 4, port: dns },
    h2: { http2: 3, port: h2 },
  };
  space.write(
    'motya.yaml',
    `name: app
drainTimeout: 10m
services:
  web: { script: ${app('http.cjs')}, args: ['${web}'], workers: 2 }
  local: { script: ${app('unix.cjs')}, args: [${path}], listeners: ['unix:${path}'], workers: 2 }
  echo: { script: ${app('net-echo.cjs')}, env: { PORT: ${echo} } }
  dns: { script: ${app('udp-echo.cjs')}, env: { PORT: ${dns} } }
  h2: { script: ${app('http2-h2c.mjs')}, args: ['${h2}'] }
`,
  );
  const first = space.motya(['start']);
  await first.waitFor('serving');
  const names = Object.keys(loads);
  // One event loop for all drivers: as many processes would take the time of the upgrade.
  const started = await Promise.all(names.map((name) => chain.traffic(loads[name] as LoadOptions, startLoad)));
  let reports: LoadReport[];
  try {
    for (const generation of [2, 3]) {
      await chain.upgrade(space);
      for (const name of names) {
        const { slow: _, upload: __, ...brief } = loads[name] as LoadOptions;
        const after = await chain.probe(brief);
        chain.assertFlawless(after, name);
        assert.deepEqual(chain.generationsIn(after), [generation], name);
      }
    }
  } finally {
    reports = await Promise.all(started.map((load) => load.stop()));
  }
  await chain.predecessorsEnd(first, 3);
  for (const [index, report] of reports.entries()) {
    chain.assertFlawless(report, names[index]);
    const load = started[index] as chain.Traffic;
    chain.assertNewOnesAreTheSuccessors(first, load, report);
    const lasting = names[index] === 'echo' ? [1] : [1, 2, 3];
    assert.deepEqual(chain.generationsIn(report), lasting, names[index]);
  }
});

describe('a worker that crashes under load', () => {
  it('one of two: only its own connections fail', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first(['--workers', '2']);
    const load = await chain.traffic({ ...HTTP, keepAlive: 10, port: stage.port });
    let report: LoadReport;
    let victim: number;
    let survivor: number | undefined;
    try {
      const both = async () => {
        const { servers } = await load.report();
        return servers.length === 2 && servers.every(({ connections }) => connections > 0);
      };
      await until(both, { what: 'connections to both workers' });
      victim = (await stage.who()).pid;
      survivor = (await load.report()).servers.find(({ pid }) => pid !== victim)?.pid;
      process.kill(victim, 'SIGKILL');
      const { worker } = await first.waitFor('worker-restart');
      const back = async () => (await load.report()).servers.some(({ pid }) => pid === worker);
      await until(back, { what: 'answers of the new worker' });
    } finally {
      report = await load.stop();
    }
    assert.ok(survivor !== undefined && isAlive(survivor));
    // It held some of the clients' connections, each of which fails at most once; nobody was refused.
    const clients = 10 + 2 + 1 + 1;
    assert.ok(report.failures <= clients, JSON.stringify(report.failuresByKind));
    for (const { kind, text } of report.details) assert.match(kind, /^(reset|truncated)$/, text);
    assert.equal(report.failuresByPhase.connect, undefined, JSON.stringify(report.details));
    const exits = chain.linesOf(first, 'worker-exit');
    assert.deepEqual(
      exits.map(({ worker, reason }) => [worker, reason]),
      [[victim, 'signal SIGKILL']],
    );
  });

  it('the only one: clients that connect meanwhile wait and are answered', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first();
    const { pid } = await stage.who();
    process.kill(pid, 'SIGKILL');
    await first.waitFor('worker-exit');
    const waiting = Array.from({ length: 20 }, () => get(stage.port));
    const answers = await Promise.all(waiting);
    const { worker } = await first.waitFor('worker-restart');
    for (const { status, body } of answers) assert.deepEqual([status, JSON.parse(body).pid], [200, worker]);
  });

  it('during an upgrade: the upgrade goes on', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first(['--workers', '2']);
    const upgrading = stage.space.motya(['upgrade', '--name', 'app']);
    await first.waitFor(({ to }) => to === 'finding');
    const { pid } = await stage.who();
    process.kill(pid, 'SIGKILL');
    assert.deepEqual(await upgrading.waitForExit(), { code: 0, signal: null }, upgrading.stderr);
    assert.equal((await stage.who()).generation, '2');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});
