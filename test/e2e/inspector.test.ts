import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { allKinds } from '#src/base/drain-kinds.js';
import { splitOptions } from '#src/base/os/node-options.js';
import type { ServiceSettings } from '#src/config/settings.js';
import { inspectorIn } from '#src/runtime/inspector-option.js';
import { inspectorPorts } from '#src/workers/inspector-ports.js';
import { type Child, freePort, until } from './harness/index.js';
import { ask, type Scene, scene, servesAs } from './scene.js';

/** URL of the inspector at the port; null: there is none. */
async function inspectorAt(port: number): Promise<string | null> {
  try {
    const { body } = await ask({ port, host: '127.0.0.1', path: '/json/list' });
    return (JSON.parse(body) as [{ webSocketDebuggerUrl: string }])[0].webSocketDebuggerUrl;
  } catch {
    return null;
  }
}

/** Pid of the process whose inspector is at the port. */
async function inspected(port: number): Promise<number | null> {
  const url = await inspectorAt(port);
  if (url === null) return null;
  const socket = new WebSocket(url);
  try {
    await once(socket, 'open');
    socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: 'process.pid' } }));
    const [data] = (await once(socket, 'message')) as [Buffer];
    return (JSON.parse(data.toString()) as { result: { result: { value: number } } }).result.result.value;
  } catch {
    // It has been closed meanwhile.
    return null;
  } finally {
    socket.terminate();
  }
}

/** Waits until each of these ports is that of the worker with the same index. */
async function eachIsInspected(stage: Scene, ports: readonly number[]): Promise<void> {
  const pids = async (): Promise<(number | null)[]> =>
    (await stage.status()).services.flatMap(({ workers }) => workers.map(({ pid }) => pid));
  let last: unknown;
  const isRight = async (): Promise<boolean> => {
    const found = await Promise.all(ports.map(inspected));
    const workers = await pids();
    last = { ports, found, workers };
    return found.every((pid) => pid !== null) && JSON.stringify(found) === JSON.stringify(workers);
  };
  await until(isRight, { what: 'an inspector of each worker', instead: () => JSON.stringify(last) });
}

/** Two that follow each other. */
async function twoPorts(): Promise<[number, number]> {
  for (;;) {
    const first = await freePort();
    if ((await freePort([first + 1, first + 2])) === first + 1) return [first, first + 1];
  }
}

function startIt(stage: Scene, workers: number, lines: string, env = {}): Child {
  const service = `services:\n  web:\n    script: ${stage.script}\n    workers: ${workers}\n${lines}`;
  const config = stage.space.write('motya.yaml', service);
  return stage.space.motya(['start', '--config', config, '--name', 'app'], {
    env: { PORT: String(stage.port), MOTYA_PROBATION: '30s', ...env },
  });
}

/** As a debugger that lets the program begin. */
async function letRun(port: number): Promise<WebSocket> {
  const url = await until(() => inspectorAt(port), { what: 'a program that waits for a debugger' });
  const socket = new WebSocket(url);
  await once(socket, 'open');
  for (const [index, method] of ['Runtime.enable', 'Debugger.enable', 'Runtime.runIfWaitingForDebugger'].entries()) {
    socket.send(JSON.stringify({ id: index + 1, method }));
  }
  socket.on('message', (data) => {
    // At the first line of the program.
    if (String(data).includes('"Debugger.paused"')) socket.send(JSON.stringify({ id: 9, method: 'Debugger.resume' }));
  });
  return socket;
}

test('each worker has an inspector of its own, and the next generation has its port', async (t) => {
  const stage = await scene(t);
  const ports = await twoPorts();
  const first = startIt(stage, 2, `    nodeArgs: ['--inspect=${ports[0]}']\n`);
  await first.waitFor('serving');
  await eachIsInspected(stage, ports);
  for (const generation of [2, 3]) {
    assert.equal((await stage.upgrade('--detach')).code, 0);
    await servesAs(first, generation);
    await eachIsInspected(stage, ports);
  }
  assert.equal((await stage.space.run(['rollback', '--name', 'app'])).code, 0);
  await eachIsInspected(stage, ports);
  const worker = (await inspected(ports[1])) ?? 0;
  process.kill(worker, 'SIGKILL');
  await until(async () => (await inspected(ports[1])) !== worker, { what: 'another worker' });
  await eachIsInspected(stage, ports);
});

test('a port that is taken ends no start: it is had as soon as it is free, also by a successor that waits', async (t) => {
  const stage = await scene(t);
  const ports = await twoPorts();
  const other = createServer().listen(ports[0], '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const first = startIt(stage, 2, '', { NODE_OPTIONS: `--inspect=127.0.0.1:${ports[0]}` });
  await first.waitFor('serving');
  const failed = (child: Child): number =>
    child.stderrLines.filter((line) => line.includes('Starting inspector on')).length;
  // That of the command itself, whose options these were, and that of the worker.
  assert.equal(failed(first), 2, first.describe());
  other.close();
  await eachIsInspected(stage, ports);
  await stage.waiting(['--workers', '2'], { NODE_OPTIONS: `--inspect=127.0.0.1:${ports[0]}` });
  assert.equal((await stage.upgrade('--detach')).code, 0);
  await eachIsInspected(stage, ports);
});

test('a program that begins with a debugger waits for it in each generation, at the same port', async (t) => {
  const stage = await scene(t);
  const port = await freePort();
  const begun = startIt(stage, 1, `    nodeArgs: ['--inspect-brk=${port}']\n`);
  const sockets = [await letRun(port)];
  t.after(() => {
    for (const socket of sockets) socket.terminate();
  });
  await begun.waitFor('serving');
  const upgrade = stage.upgrade('--detach');
  await once(sockets[0] as WebSocket, 'close');
  sockets.push(await letRun(port));
  assert.equal((await upgrade).code, 0);
  await servesAs(begun, 2);
});

test('inspectors are nothing that a program listens on by itself: not for a start, the log, or the end of a probation', async (t) => {
  // The first version listens after more time than it takes to find what listens by itself, and has a helper with an inspector.
  const source = (version: number): string => `'use strict';
if (process.argv[2] !== 'helper') process.title = 'app';
const { createServer } = require('node:http');
const listens = () => require('node:fs').writeFileSync(__dirname + '/listens', '');
const helper = ${version} === 1 && process.env.HELPER;
if (process.argv[2] === 'helper') setInterval(() => {}, 1000);
else setTimeout(() => createServer((_, response) => response.end()).listen(process.env.PORT, '127.0.0.1', listens), helper ? 4500 : 0);
if (helper && process.argv[2] !== 'helper') require('node:child_process').fork(__filename, ['helper'], { execArgv: ['--inspect=' + helper] });
`;
  const stage = await scene(t, '', source(1));
  const [port, helper, other] = [await freePort(), await freePort(), await freePort()];
  const config = stage.space.write(
    'motya.yaml',
    `services:
  web: { script: ${stage.script}, nodeArgs: ['--inspect-brk=${port}'] }
  api: { script: ${stage.script}, nodeArgs: ['--inspect=0'], env: { PORT: '${other}', HELPER: '${helper}' } }
`,
  );
  const first = stage.space.motya(['start', '--config', config, '--name', 'app'], {
    env: { PORT: String(stage.port), MOTYA_PROBATION: '4s' },
  });
  await until(() => existsSync(join(dirname(stage.script), 'listens')), {
    what: 'the service without a debugger',
    instead: () => first.describe(),
  });
  const sockets = [await letRun(port)];
  t.after(() => {
    for (const socket of sockets) socket.terminate();
  });
  await first.waitFor('serving');
  assert.notEqual(await inspectorAt(helper), null);
  stage.space.write('server.cjs', source(2));
  const upgrade = stage.upgrade('--json');
  await once(sockets[0] as WebSocket, 'close');
  sockets.push(await letRun(port));
  const { code, stdout } = await upgrade;
  assert.equal(code, 0, stdout);
  assert.deepEqual(
    first.logs.filter(({ event }) => event === 'outside'),
    [],
  );
});

test('the options of the inspector are read as node reads them', () => {
  const of = (options: string) => inspectorIn(splitOptions(options));
  const local = { host: '127.0.0.1', port: 9229, waits: false };
  assert.equal(of('--no-warnings --inspect-port=9230'), null);
  assert.equal(of('--inspect --no-inspect'), null);
  assert.deepEqual(of('--inspect'), local);
  assert.deepEqual(of('--inspect=9230'), { ...local, port: 9230 });
  assert.deepEqual(of('--inspect_brk=0'), { ...local, port: 0, waits: true });
  assert.deepEqual(of('--inspect-wait --inspect-port 9231'), { ...local, port: 9231, waits: true });
  assert.deepEqual(of('--inspect=localhost:9230 --debug-port=9231'), { host: 'localhost', port: 9231, waits: false });
  assert.deepEqual(of('--inspect="[::1]:9230"'), { host: '::1', port: 9230, waits: false });
  assert.deepEqual(of('--inspect=0.0.0.0'), { ...local, host: '0.0.0.0' });
});

test('workers of several services have the ports one after the other', () => {
  const service = (name: string, workers: number, options: string): ServiceSettings => ({
    ...{ name, workers, script: '/server.js', args: [], cwd: '/', env: { NODE_OPTIONS: options }, nodeArgs: [] },
    ...{
      ready: 'listen',
      connections: 'move',
      listeners: [],
      drainTimeout: 1,
      drain: allKinds(1),
      killSignal: 'SIGTERM',
      killGrace: 1,
    },
  });
  const of = (...services: ServiceSettings[]) => Object.fromEntries(inspectorPorts(services));
  const two = of(service('web', 2, '--inspect'), service('api', 1, '--inspect'), service('jobs', 2, ''));
  assert.deepEqual(two, { web: [9229, 9230], api: [9231] });
  assert.deepEqual(of(service('web', 2, '--inspect=65535')), { web: [65_535, 1024] });
  assert.deepEqual(of(service('web', 2, '--inspect=0')), {});
});
