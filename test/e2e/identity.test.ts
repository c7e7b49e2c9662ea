import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  commandLineOf,
  environmentOf,
  freePort,
  isAlive,
  killIfAlive,
  parentOf,
  readPidfile,
  until,
  workspace,
} from './harness/index.js';
import { failureOf, isRefused, program, scene, servesAs, who } from './scene.js';

describe('the pidfile', () => {
  it('is never absent, torn or wrong during ten upgrades, and changes only when the new one serves', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const seen: number[] = [];
    let reads = 0;
    let reading = true;
    const reader = (async () => {
      while (reading) {
        for (let read = 0; read < 50; read++) {
          const pid = readPidfile(stage.pidfile);
          reads += 1;
          assert.ok(pid !== undefined, 'the pidfile is absent');
          if (seen.at(-1) === pid) continue;
          assert.equal(isAlive(pid), true, `the pidfile names ${pid}, which does not run`);
          seen.push(pid);
        }
        await turn();
      }
    })();
    const upgrades = (async () => {
      for (let generation = 2; generation <= 11; generation++) {
        const { code, stderr, stdout } = await stage.upgrade('--json');
        assert.equal(code, 0, stderr);
        const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { generation: number; pid: number };
        assert.deepEqual([outcome.generation, outcome.pid], [generation, readPidfile(stage.pidfile)]);
        assert.equal((await stage.who()).generation, String(generation));
      }
    })();
    await Promise.race([reader, upgrades]).finally(() => {
      reading = false;
    });
    await Promise.all([reader, upgrades]);
    assert.equal(seen.length, 11, `${seen}`);
    assert.equal(new Set(seen).size, 11);
    assert.ok(reads > 1000);
    // The log tells for each when its COMMIT came: no earlier line of it has the pid in the pidfile.
    assert.equal(first.logs.filter(({ event }) => event === 'serving').length, 11);
  });

  it('still names the incumbent while the successor is ready but not committed; a failed one never gets it', async (test) => {
    const stage = await scene(test, 'ready-later.mjs');
    const ready = stage.space.write('ready', '');
    const first = await stage.first(['--ready', 'signal'], { READY_FILE: ready });
    rmSync(ready);
    const second = await stage.waiting(['--ready', 'signal'], { READY_FILE: ready });
    first.kill('SIGQUIT');
    await second.waitFor(({ to }) => to === 'booting');
    assert.equal(stage.mainPid, first.pid);
    second.kill('SIGKILL');
    await first.waitFor('rejected');
    assert.equal(stage.mainPid, first.pid);
  });

  it('a second start says which pid holds it', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = stage.start();
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    assert.equal(
      failureOf(second).message,
      `the instance with pid ${first.pid} holds ${stage.pidfile}; to replace it use \`motya upgrade\`, or give this one a --name or --pidfile of its own`,
    );
    assert.deepEqual([stage.mainPid, (await stage.who()).generation], [first.pid, '1']);
  });

  it('what a kill -9 of everything leaves behind is no obstacle', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting();
    for (const pid of stage.space.processes()) killIfAlive(pid);
    await Promise.all([first.waitForExit(), second.waitForExit(), stage.space.nothingLeft()]);
    assert.equal(stage.mainPid, first.pid);
    const third = await stage.first();
    assert.deepEqual([stage.mainPid, (await stage.who()).generation], [third.pid, '1']);
    assert.equal((await stage.upgrade()).code, 0);
  });

  it('a stale one that names a living process which is not ours is no obstacle, and gets no signal', async (test) => {
    const stage = await scene(test);
    const bystander = stage.space.node(['-e', 'process.stdout.write("up\\n"); setInterval(() => {}, 1000)']);
    await bystander.waitForStdout(/up/);
    stage.space.write('a.pid', `${bystander.pid}\n`);
    const args = ['--pidfile', stage.space.path('a.pid')];
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 4);
    const first = await stage.first(args);
    assert.equal(readPidfile(stage.space.path('a.pid')), first.pid);
    assert.equal(bystander.exit, undefined);
  });

  it('works in the foreground at a path of its own; garbage in it is no obstacle', async (test) => {
    const stage = await scene(test);
    const path = stage.space.write('own.pid', 'garbage');
    const first = await stage.first(['--pidfile', 'own.pid']);
    assert.equal(readPidfile(path), first.pid);
    first.kill();
    await first.waitForExit();
    assert.equal(readPidfile(path), undefined);
  });
});

describe('an instance that starts its own successor', () => {
  it('follows a symlink that was swapped, with arguments and environment as they were', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const echo = (version: string) =>
      program(
        version,
        'console.log(JSON.stringify({ args: process.argv.slice(2), kept: process.env.KEPT, pwd: process.env.PWD }));',
      );
    space.write('releases/1/server.cjs', echo('one').replace('...address()', 'Number(process.env.PORT)'));
    space.write('releases/2/server.cjs', echo('two').replace('...address()', 'Number(process.env.PORT)'));
    const current = space.path('current');
    symlinkSync('releases/1', current);
    const first = space.motya(['start', 'server.cjs', '--name', 'app', '--', '--verbose', 'a b'], {
      cwd: current,
      env: { PORT: String(port), KEPT: 'as it was' },
    });
    await first.waitFor('serving');
    assert.equal((await who(port)).version, 'one');
    const typed = commandLineOf(first.pid);
    // As a deployment does it: a new link, renamed over the old one.
    symlinkSync('releases/2', space.path('next'));
    renameSync(space.path('next'), current);
    first.kill('SIGQUIT');
    const { pid } = await servesAs(first, 2);
    assert.equal((await who(port)).version, 'two');
    assert.notEqual(parentOf(pid as number), first.pid);
    const told = first.said.filter((line) => line.includes('"args"')).map((line) => JSON.parse(line) as object);
    const expected = { args: ['--verbose', 'a b'], kept: 'as it was', pwd: current };
    assert.deepEqual(told, [expected, expected]);
    assert.deepEqual(commandLineOf(pid as number), typed);
    assert.equal(environmentOf(pid as number).get('KEPT'), 'as it was');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    // And once more, from the second to a third.
    space.write('releases/3/server.cjs', echo('three').replace('...address()', 'Number(process.env.PORT)'));
    symlinkSync('releases/3', space.path('next'));
    renameSync(space.path('next'), current);
    process.kill(pid as number, 'SIGQUIT');
    await servesAs(first, 3);
    assert.equal((await who(port)).version, 'three');
  });

  it('takes the node that is at the path as it was typed', async (test) => {
    const stage = await scene(test);
    const node = stage.space.path('node');
    symlinkSync(process.execPath, node);
    const first = stage.space.motya(['start', stage.script, '--name', 'app'], {
      node,
      env: { PORT: String(stage.port) },
    });
    await first.waitFor('serving');
    first.kill('SIGQUIT');
    const { pid } = await servesAs(first, 2);
    assert.equal(commandLineOf(pid as number)[0], node);
  });
});

describe('status, stop and which instance they mean', () => {
  it('status --json has all there is to know', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--workers', '2']);
    const status = await stage.status();
    const { uptime, phaseMs, startedAt, services, listeners, supervisor, phases, generations, ...rest } = status;
    assert.ok(uptime > phaseMs && phaseMs > 0);
    assert.ok(Math.abs(Date.parse(startedAt) + uptime - Date.now()) < 10_000, startedAt);
    assert.ok((supervisor.memory ?? 0) > 1e7);
    assert.deepEqual(
      phases.map(({ phase }) => phase),
      ['starting'],
    );
    assert.deepEqual(
      generations.map(({ generation, pid, startedAt: at }) => [generation, pid, at]),
      [[1, first.pid, startedAt]],
    );
    assert.deepEqual(rest, {
      name: 'app',
      pid: first.pid,
      keeper: null,
      generation: 1,
      version: (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
        .version,
      node: process.version,
      phase: 'serving',
      draining: [],
      probation: null,
      successor: null,
      admin: `unix:${stage.upgradeSocket.replace(/sock$/, 'admin.sock')}`,
      lastUpgrade: null,
      upgrades: [],
      pidfile: stage.pidfile,
      upgradeSocket: stage.upgradeSocket,
      directory: stage.space.dir,
      config: null,
    });
    assert.deepEqual(
      services.map(({ name, workers }) => [name, workers.length]),
      [['http', 2]],
    );
    for (const { pid, state, restarts } of services[0]?.workers ?? []) {
      assert.deepEqual([state, restarts, parentOf(pid ?? 0)], ['ready', 0, first.pid]);
    }
    const [listener] = listeners;
    assert.deepEqual(
      { ...listener },
      {
        key: `tcp://127.0.0.1:${stage.port}`,
        service: 'http',
        backlog: 511,
        inherited: false,
        declared: false,
        waiting: 0,
      },
    );
    const text = await stage.space.run(['status', '--name', 'app']);
    assert.equal(text.code, 0);
    assert.match(text.stdout, new RegExp(`^app: generation 1, pid ${first.pid}, serving, up \\d+ m?s\\n`));
    assert.match(text.stdout, /^http 0 {5}\s*\d+ {2}ready .* MiB .* 0\nhttp 1 /m);
    assert.match(text.stdout, new RegExp(`^tcp://127.0.0.1:${stage.port} {2}http {5}0 of 511$`, 'm'));
  });

  it('status counts connections and tells what still drains', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    await until(async () => (await stage.status()).services[0]?.workers[0]?.connections === 1, {
      what: 'it to be counted',
    });
    assert.match((await stage.space.run(['status', '--name', 'app'])).stdout, /^http 0 .* ready .* 1: 1 http1$/m);
    assert.equal((await stage.upgrade()).code, 0);
    const draining = await until(
      async () => (await stage.status()).draining.find(({ connections }) => connections === 1),
      {
        what: 'the first one among those that drain',
      },
    );
    assert.deepEqual([draining.pid, draining.generation], [first.pid, 1]);
    const text = await stage.space.run(['status', '--name', 'app']);
    assert.match(
      text.stdout,
      new RegExp(`^generation 1 +${first.pid} {2}\\d\\d:\\d\\d:\\d\\d {2}\\d+ s {2}1: 1 http1$`, 'm'),
    );
    held.finish();
    assert.equal((await held.answer).status, 200);
    await until(async () => (await stage.status()).draining.length === 0, { what: 'the end of the drain' });
  });

  it('stop lets what is in flight finish, and returns when the instance has ended', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    const stop = stage.space.motya(['stop', '--name', 'app']);
    await until(() => isRefused(stage.port), { what: 'new connections to be refused' });
    assert.deepEqual([stop.exit, first.exit], [undefined, undefined]);
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.deepEqual(await stop.waitForExit(), { code: 0, signal: null });
    assert.equal(stop.stdout, `app (pid ${first.pid}) has stopped\n`);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(stage.mainPid, undefined);
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 4);
  });

  it('stop --now closes what is open', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--drain-timeout', '10m']);
    const held = await stage.hold();
    const { code, stdout } = await stage.space.run(['stop', '--now', '--name', 'app']);
    assert.deepEqual([code, stdout], [0, `app (pid ${first.pid}) has stopped\n`]);
    await assert.rejects(held.answer);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('stop --now after a stop that waits', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--drain-timeout', '10m']);
    const held = await stage.hold();
    const gentle = stage.space.motya(['stop', '--name', 'app']);
    await first.waitFor('stopping');
    assert.equal((await stage.space.run(['stop', '--now', '--name', 'app'])).code, 0);
    await assert.rejects(held.answer);
    assert.deepEqual(await gentle.waitForExit(), { code: 0, signal: null });
  });
});
