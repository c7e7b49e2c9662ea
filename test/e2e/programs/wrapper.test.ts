import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { app, isAlive, ROOT, until } from '../harness/index.js';
import { failureOf, get, isRefused, scene } from '../scene.js';
import * as chain from '../traffic.js';

/** A program whose server is its child: `spawn` starts it, and `child` is what that does. */
const wrapper = (spawn: string, child = SERVER): string => `'use strict';
const { announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const childProcess = require('node:child_process');
const port = Number(process.env.PORT);
if (process.argv[2] === 'child') {
  ${child}
} else {
  ${spawn}
}
`;
const SERVER =
  "const server = require('node:http').createServer(handler); server.listen(port, '127.0.0.1', () => announce(server));";
const spawned = (options = ''): string =>
  `const child = childProcess.spawn(process.execPath, [__filename, 'child'], { stdio: 'inherit', ${options} });
  child.on('exit', (code) => process.exit(code ?? 1));`;

const QUICK = ['--probation', '1s', '--drain-timeout', '10s'];

/** Ways in which tools start the real program. */
const WRAPPERS: Readonly<Record<string, string>> = {
  // cross-env, dotenv-cli, nodemon's first start: it knows nothing of signals.
  'a child': spawned(),
  // tsx: a pipe of its own, signals passed on.
  'a child, and a pipe to it in the temporary directory': `
    require('node:net').createServer().listen(require('node:os').tmpdir() + '/wrapper-' + process.pid + '.pipe').unref();
    ${spawned()}
    process.on('SIGTERM', () => child.kill('SIGTERM'));`,
  // npm: a shell between the two.
  'a shell': `childProcess.spawn(process.execPath + ' ' + __filename + ' child; exit $?', { shell: true, stdio: 'inherit' });`,
  'fork()': `childProcess.fork(__filename, ['child']);`,
};

async function threeUpgrades(test: TestContext, spawn: string): Promise<void> {
  const stage = await scene(test, '', wrapper(spawn));
  // Sockets there stay behind, and a process with the same pid would find its name taken.
  const env = { TMPDIR: stage.space.dir };
  const first = await stage.first(['--probation', '1s', ...chain.NEVER_FORCED], env);
  const load = await chain.traffic({ keepAlive: 4, fresh: 2, slow: 1, port: stage.port, thinkMs: 10, slowMs: 200 });
  try {
    for (const generation of [2, 3, 4]) {
      await chain.upgrade(stage.space);
      await until(async () => chain.generationsIn(await load.report()).includes(generation), {
        what: `answers of generation ${generation}`,
      });
    }
    await chain.predecessorsEnd(first, 4);
  } finally {
    chain.assertFlawless(await load.stop());
  }
  const { pid } = await stage.who();
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  await until(() => !isAlive(pid), { what: 'the end of the server' });
}

describe('a program that starts the real server as its child', () => {
  for (const [what, spawn] of Object.entries(WRAPPERS))
    it(`${what}: upgrades three times under load without a failure`, (test) => threeUpgrades(test, spawn));

  it('motya/worker tells the child what it tells a worker', async (test) => {
    const child = `import(${JSON.stringify(`${ROOT}dist/runtime/api.js`)}).then(async ({ generation, inherited, isWorker, onDrain, onHandover }) => {
      onDrain(() => console.log('drains'));
      onHandover(() => ({ was: generation }));
      const server = require('node:http').createServer((request, response) => response.end(JSON.stringify({ isWorker, got })));
      let got = null;
      server.listen(port, '127.0.0.1');
      got = (await inherited()) ?? null;
    });`;
    const stage = await scene(test, '', wrapper(spawned(), child));
    const first = await stage.first(QUICK);
    const told = async (): Promise<unknown> => JSON.parse((await get(stage.port)).body);
    assert.deepEqual(await told(), { isWorker: true, got: null });
    assert.equal((await stage.upgrade()).code, 0);
    assert.deepEqual(await told(), { isWorker: true, got: { was: 1 } });
    await first.waitForSaid(/^drains$/, { evenAfterExit: true });
  });

  it('a socket in the temporary directory that names the pid makes no worker ready', async (test) => {
    const pipe =
      "require('node:net').createServer().listen(require('node:os').tmpdir() + '/own-' + process.pid + '.pipe');";
    const stage = await scene(test, '', wrapper(pipe));
    const first = stage.start(['--ready-timeout', '1s']);
    assert.equal((await first.waitForExit()).code, 1);
    assert.equal(failureOf(first).code, 'ERR_MOTYA_NOT_READY');
  });
});

describe('a program that leaves it to others to listen', () => {
  // Long before the ready timeout (60 s); what to start instead is the child's own script.
  it('that is not reached by the runtime: refused in one line', async (test) => {
    const stage = await scene(test, '', wrapper(spawned('env: { PORT: process.env.PORT }')));
    const first = stage.start();
    assert.equal((await first.waitForExit()).code, 1);
    const { code, details, message } = failureOf(first);
    assert.deepEqual([code, (details as Details).listens], ['ERR_MOTYA_NOT_READY', `port ${stage.port}`]);
    // The command to type.
    assert.ok(message.includes(`motya start ${stage.script}`), message);
    assert.ok(!message.includes('\n'));
    assert.ok(await isRefused(stage.port));
  });

  it('a thread of its own: refused in one line', async (test) => {
    const thread = `const { Worker, isMainThread } = require('node:worker_threads');
      if (isMainThread) new Worker(__filename); else { ${SERVER} }`;
    const stage = await scene(test, '', wrapper(thread));
    const first = stage.start();
    assert.equal((await first.waitForExit()).code, 1);
    const { code, details, message } = failureOf(first);
    assert.deepEqual([code, (details as Details).listens], ['ERR_MOTYA_NOT_READY', `port ${stage.port}`]);
    assert.ok(message.includes('worker_threads'), message);
  });
});
