import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import type { Details } from '#src/base/errors.js';
import {
  app,
  type Child,
  childrenOf,
  freePort,
  isAlive,
  ROOT,
  sessionOf,
  untagged,
  until,
  workspace,
} from './harness/index.js';
import { failureOf, get, isRefused, program, type Scene, scene, who } from './scene.js';

describe('motya start', () => {
  it('runs an unchanged program with its arguments; its output is passed through', async (test) => {
    const stage = await scene(
      test,
      '',
      program('one', "console.log(JSON.stringify(process.argv.slice(2))); console.error('to stderr')").replace(
        '...address()',
        'Number(process.env.PORT)',
      ),
    );
    const first = stage.start(['--', '--workers', '7', '-x', '']);
    await first.waitFor('serving');
    assert.equal((await stage.who()).version, 'one');
    await first.waitForSaid(/^\["--workers","7","-x",""\]$/);
    await until(() => untagged(first.stderrLines).includes('to stderr'), { what: 'the line on stderr' });
    await first.waitForSaid(/"listening":\{"address":/);
    const { message, generation, pid } = await first.waitFor('serving');
    assert.deepEqual([generation, pid], [1, first.pid]);
    assert.equal(message, `generation 1 (pid ${first.pid}) serves on tcp://[::]:${stage.port}`);
  });

  it('--workers: so many processes, each in a session of its own', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--workers', '3']);
    const workers = childrenOf(first.pid);
    assert.equal(workers.length, 3);
    assert.equal(new Set(workers.map(sessionOf)).size, 3);
    const { services } = await stage.status();
    assert.deepEqual(
      services[0]?.workers.map(({ pid }) => pid),
      workers,
    );
  });

  it('a script without its ending, and a directory with a main file', async (test) => {
    const stage = await scene(test, '', program('one'));
    stage.space.write('site/package.json', '{ "main": "lib/main.cjs" }');
    stage.space.write('site/lib/main.cjs', program('main'));
    stage.script = 'site';
    await stage.first();
    assert.equal((await stage.who()).version, 'main');
  });

  it('mistakes of the command line: exit 2, one line that says which', async (test) => {
    const space = workspace(test);
    for (const [args, named] of [
      [['start', 'nope.js'], 'nope.js'],
      [['start', app('http.cjs'), '--nonsense'], 'nonsense'],
      [['bogus'], 'bogus'],
      [[], 'motya --help'],
      [['start', app('http.cjs'), '--on-quit', 'never'], '--on-quit'],
      [['start', app('http.cjs'), '--workers'], 'workers'],
      [['start', app('http.cjs'), '--config', 'no.yaml'], 'no.yaml'],
    ] as const) {
      const { code, stdout, stderr } = await space.run(args);
      assert.deepEqual([code, stdout], [2, ''], stderr);
      assert.equal(stderr.split('\n').length, 2, stderr);
      assert.ok(stderr.includes(named), stderr);
    }
    assert.equal((await space.run(['--version'])).code, 0);
    const help = await space.run(['start', '--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--upgrade/);
  });
});

describe('a program that cannot start fails the start, and nothing is left', () => {
  const ended = (end: string, said?: string) => ({
    code: 'ERR_MOTYA_PROGRAM',
    details: { service: 'server', worker: 0, end, ready: false, ...(said === undefined ? {} : { said }) },
  });
  const cases: Record<string, { source: string; failure: { code: string; details: Details }; args?: string[] }> = {
    'it throws': {
      source: "throw new Error('on purpose')",
      failure: ended('exit status 1', 'Error: on purpose (SCRIPT:1:7)'),
    },
    'a syntax error': {
      source: 'oops(',
      failure: ended('exit status 1', 'SyntaxError: Unexpected end of input (SCRIPT:1)'),
    },
    'it ends': { source: '', failure: ended('exit status 0') },
    'it is killed': { source: "process.kill(process.pid, 'SIGKILL')", failure: ended('signal SIGKILL') },
    'it never listens': {
      source: 'setInterval(() => {}, 1000)',
      failure: { code: 'ERR_MOTYA_NOT_READY', details: { awaits: 'listen', ms: 500 } },
      args: ['--ready-timeout', '500ms'],
    },
  };
  for (const [name, { source, failure, args }] of Object.entries(cases)) {
    it(name, async (test) => {
      const stage = await scene(test, '', source);
      const start = stage.start(args);
      assert.deepEqual(await start.waitForExit(), { code: 1, signal: null });
      const { code, details } = JSON.parse(JSON.stringify(failureOf(start)).replaceAll(stage.script, 'SCRIPT'));
      assert.deepEqual({ code, details }, failure);
      assert.equal(stage.mainPid, undefined);
      await stage.space.nothingLeft();
    });
  }

  it('one of several workers, one of several services', async (test) => {
    const stage = await scene(
      test,
      '',
      "if (process.env.MOTYA_WORKER_INDEX === '2') process.exit(3); setInterval(() => {}, 1000)",
    );
    const start = stage.start(['--workers', '3']);
    assert.deepEqual(await start.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(start);
    assert.deepEqual(
      [code, details],
      ['ERR_MOTYA_PROGRAM', { service: 'server', worker: 2, end: 'exit status 3', ready: false }],
    );
    await stage.space.nothingLeft();
  });

  it('its port is in use: the address and who has it', async (test) => {
    const stage = await scene(test);
    const server = createServer().listen(stage.port, '127.0.0.1');
    await once(server, 'listening');
    test.after(() => server.close());
    const start = stage.start();
    assert.deepEqual(await start.waitForExit(), { code: 1, signal: null });
    const { reason, listener, holder } = failureOf(start).details as Details;
    assert.deepEqual([reason, listener, holder], ['EADDRINUSE', `tcp://127.0.0.1:${stage.port}`, process.pid]);
    // The program saw the usual error.
    assert.match(start.stderr, new RegExp(`listen EADDRINUSE: address already in use 127\\.0\\.0\\.1:${stage.port}`));
  });
});

describe('a worker that crashes', () => {
  for (const path of ['/crash', '/throw']) {
    it(`${path}: is started again; clients that connect meanwhile wait and are answered`, async (test) => {
      const stage = await scene(test, 'crash.cjs');
      const first = await stage.first();
      const { pid } = await stage.who();
      await assert.rejects(get(stage.port, path));
      await until(() => !isAlive(pid), { what: 'the end of the worker' });
      const clients = Array.from({ length: 20 }, () => who(stage.port));
      for (const answer of await Promise.all(clients)) assert.notEqual(answer.pid, pid);
      const crash = first.logs.find(({ event }) => event === 'worker-exit');
      const how = path === '/crash' ? 'signal SIGKILL' : 'exit status 1';
      assert.equal(crash?.message, `worker 0 of crash (pid ${pid}) ended: ${how}; it starts again in 100 ms`);
      const [worker] = (await stage.status()).services[0]?.workers ?? [];
      assert.deepEqual([worker?.restarts, worker?.state], [1, 'ready']);
      // An upgrade afterwards works as ever.
      assert.equal((await stage.upgrade()).code, 0);
      assert.equal((await stage.who()).generation, '2');
    });
  }

  it('again and again: with growing pauses', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first();
    for (let crash = 1; crash <= 3; crash++) {
      await get(stage.port, '/crash').catch(() => {});
      await until(() => crashes(first).length === crash, { what: `crash ${crash}` });
    }
    assert.deepEqual(
      crashes(first).map(({ inMs }) => inMs),
      [100, 200, 400],
    );
    assert.equal((await stage.who()).generation, '1');
  });

  it('one of two: the other one serves meanwhile', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first(['--workers', '2']);
    await assert.rejects(get(stage.port, '/crash'));
    for (let request = 0; request < 20; request++) assert.equal((await get(stage.port)).status, 200);
    await first.waitFor('worker-restart');
  });

  it('a worker that spins does not keep the instance from stopping or being upgraded', async (test) => {
    const stage = await scene(test, 'crash.cjs');
    const first = await stage.first(['--drain-timeout', '500ms']);
    await spin(stage);
    const { code, stderr } = await stage.upgrade();
    assert.equal(code, 0, stderr);
    assert.equal((await stage.who()).generation, '2');
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});

const crashes = (child: Child) => child.logs.filter(({ event }) => event === 'worker-exit');

/** Keeps the worker's loop busy for good. */
async function spin(stage: Scene): Promise<void> {
  const { pid } = await stage.who();
  get(stage.port, '/spin').catch(() => {});
  const { cpuTimeOf } = await import('./harness/index.js');
  const before = cpuTimeOf(pid);
  await until(() => cpuTimeOf(pid) - before > 200, { what: 'the worker to spin' });
}

describe('the embedded default', () => {
  it('motya start without arguments shows the welcome page; Ctrl-C stops it cleanly', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    const first = space.motya(['start'], { env: { PORT: String(port) } });
    const { message } = await first.waitFor('serving');
    assert.equal(message, `generation 1 (pid ${first.pid}) serves on tcp://127.0.0.1:${port}`);
    await first.waitForSaid(new RegExp(`^Motya's welcome page is at http://127\\.0\\.0\\.1:${port}/$`));
    const { status, headers, body } = await get(port);
    assert.deepEqual([status, headers['content-type']], [200, 'text/html; charset=utf-8']);
    for (const word of ['generation', 'process id', 'uptime', 'npx motya upgrade'])
      assert.ok(body.includes(word), word);

    // What the page says to try.
    const before = JSON.parse((await get(port, '/json')).body) as { generation: number; pid: number };
    assert.equal((await space.run(['upgrade'])).code, 0);
    const after = JSON.parse((await get(port, '/json')).body) as { generation: number; pid: number };
    assert.deepEqual([before.generation, after.generation], [1, 2]);
    assert.notEqual(after.pid, before.pid);
    await first.waitForExit();

    const second = await space.status(['--name', 'welcome']);
    process.kill(second.pid, 'SIGINT');
    await until(() => isRefused(port), { what: 'the end of the page' });
    await space.nothingLeft();
  });

  it('listens on 127.0.0.1:8080', async (test) => {
    const space = workspace(test);
    const first = space.motya(['start']);
    const outcome = await first.waitFor(({ event }) => event === 'serving' || event === 'failed');
    // Somebody else on this machine may have that port: then this is what it says.
    if (outcome.event === 'failed') {
      const { reason, listener } = outcome.details as Details;
      assert.deepEqual([reason, listener], ['EADDRINUSE', 'tcp://127.0.0.1:8080']);
    } else assert.equal((await get(8080)).status, 200);
  });

  it('Ctrl-C in a terminal reaches the whole group: it still ends cleanly', async (test) => {
    const space = workspace(test);
    const port = await freePort();
    // A shell's job: a process group of its own, which gets the terminal's SIGINT as a whole.
    const job = `const c = require('node:child_process').spawn(process.execPath, ${JSON.stringify([`${ROOT}dist/motya.cjs`, 'start'])}, { detached: true, stdio: 'inherit' });
      c.on('exit', (code, signal) => console.log(JSON.stringify({ code, signal })));
      process.on('SIGUSR2', () => process.kill(-c.pid, 'SIGINT'));`;
    const shell = space.node(['-e', job], { env: { PORT: String(port) } });
    await shell.waitFor('serving');
    assert.equal((await get(port)).status, 200);
    shell.kill('SIGUSR2');
    await shell.waitForStdout(/^\{"code":0,"signal":null\}$/);
    assert.ok(!shell.stderr.includes('worker-exit'));
    await space.nothingLeft();
  });
});
