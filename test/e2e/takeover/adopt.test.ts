import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { ErrorCode } from '#src/base/error-catalog.js';
import type { Details } from '#src/base/errors.js';
import {
  app,
  type Child,
  childrenOf,
  freePort,
  isAlive,
  lacks,
  placesIn,
  until,
  type Workspace,
  workspace,
} from '../harness/index.js';
import { type LoadOptions, type LoadReport, startLoadProcess } from '../load/index.js';
import { startNginx } from '../nginx.js';
import { ask, failureOf, program, who } from '../scene.js';

const noNginx = lacks('nginx');
/** New connections only: what is inside a program when it ends is that program's own business. */
const FRESH: LoadOptions = { fresh: 6, thinkMs: 2, anonymous: true };

function nginx(space: Workspace, listen: readonly string[]): Child {
  const lines = listen.map((address) => `listen ${address};`).join(' ');
  return startNginx(space, `server { ${lines} location / { return 200 "nginx"; } }`);
}

async function answers(port: number): Promise<void> {
  await until(
    () =>
      ask({ port, host: '127.0.0.1' }).then(
        () => true,
        () => false,
      ),
    { what: 'an answer' },
  );
}

async function servesOn(where: RequestOptions, answer: RegExp): Promise<void> {
  for (let time = 0; time < 3; time++) {
    // A deaf listener would let it wait for ever.
    const signal = AbortSignal.timeout(5_000);
    assert.match((await ask({ ...where, signal })).body, answer);
  }
}

function start(space: Workspace, port: number, pid: number, args: readonly string[] = []): Child {
  const script = space.write('server.cjs', program('motya'));
  return space.motya(['start', script, '--name', 'app', '--adopt', String(pid), ...args], {
    env: { PORT: String(port) },
  });
}

/** `other` serves under load; Motya takes its listeners; it is ended as the log line says. Nobody is refused. */
async function takesOver(space: Workspace, port: number, other: Child, signal: NodeJS.Signals): Promise<Child> {
  await answers(port);
  const load = startLoadProcess({ ...FRESH, port });
  let report: LoadReport;
  let child: Child;
  const more = async (): Promise<void> => {
    const { answers } = await load.report();
    await until(async () => (await load.report()).answers > answers + 200, { what: 'answers' });
  };
  try {
    await more();
    child = start(space, port, other.pid);
    const told = await child.waitFor('adopted');
    assert.deepEqual([told.kept, told.other], [[`tcp://127.0.0.1:${port}`], other.pid]);
    assert.equal(told.stop, `kill -${signal.slice(3)} ${other.pid}`);
    await child.waitFor('serving');
    await more();
    other.kill(signal);
    await until(() => !isAlive(other.pid), { what: 'its end' });
    await more();
  } finally {
    report = await load.stop();
    // nginx writes its title over its environment, by which a workspace finds what was started in it.
    other.kill('SIGTERM');
    await other.waitForExit();
  }
  assert.equal(report.failuresByKind.refused ?? 0, 0, JSON.stringify(report.details));
  return child;
}

/** It is an instance like any other from here on. */
async function isUpgradeable(space: Workspace, port: number): Promise<void> {
  const { code, stderr } = await space.run(['upgrade', '--name', 'app']);
  assert.equal(code, 0, stderr);
  assert.deepEqual([(await who(port)).generation, (await who(port)).version], ['2', 'motya']);
}

/** `why`: its code, and its details beside the pid. */
async function refused(
  test: TestContext,
  pid: (space: Workspace, port: number) => Promise<number>,
  why: { code: ErrorCode; details: (pid: number, port: number) => Details },
) {
  const space = workspace(test);
  const port = await freePort();
  const other = await pid(space, port);
  const child = start(space, port, other);
  assert.equal((await child.waitForExit()).code, 1);
  const { code, details, message } = failureOf(child);
  assert.deepEqual([code, details], [why.code, { pid: other, ...why.details(other, port) }], message);
  assert.equal(message.includes('\n'), false);
}

describe('motya start --adopt: the listeners of another program', () => {
  it('nginx, under load: nobody is refused', { skip: noNginx }, async (t) => {
    const space = workspace(t);
    const port = await freePort();
    const child = await takesOver(space, port, nginx(space, [`127.0.0.1:${port}`]), 'SIGQUIT');
    await isUpgradeable(space, port);
    await child.waitForExit();
  });

  it('a plain node, under load: nobody is refused; what it had and nobody wants is left alone', async (t) => {
    const space = workspace(t);
    const [port, other] = [await freePort(), await freePort()];
    const plain = space.write(
      'plain.cjs',
      `const http = require('node:http');
http.createServer((_, response) => response.end('plain')).listen(${port}, '127.0.0.1');
http.createServer((_, response) => response.end('plain')).listen(${other}, '127.0.0.1');`,
    );
    const child = await takesOver(space, port, space.node([plain]), 'SIGTERM');
    const told = await child.waitFor('adopted');
    assert.deepEqual(told.left, [`tcp://127.0.0.1:${other}`]);
    await assert.rejects(ask({ port: other, host: '127.0.0.1' }), { code: 'ECONNREFUSED' });
    await isUpgradeable(space, port);
  });

  it('a unix socket: its file stays, and is ours to remove in the end', async (t) => {
    const space = workspace(t);
    const path = space.path('plain.sock');
    const plain = space.write(
      'plain.cjs',
      `require('node:http').createServer((_, r) => r.end()).listen(process.env.SOCKET)`,
    );
    const env = { SOCKET: path };
    const other = space.node([plain], { env });
    await until(() => existsSync(path), { what: 'its socket' });
    const args = ['start', plain, '--name', 'app', '--adopt', String(other.pid)];
    const child = space.motya(args, { env });
    await child.waitFor('serving');
    // Killed, as it would remove the file itself else.
    other.kill('SIGKILL');
    await other.waitForExit();
    assert.equal((await ask({ socketPath: path })).status, 200);
    assert.equal((await space.run(['stop', '--name', 'app'])).code, 0);
    await child.waitForExit();
    assert.equal(existsSync(path), false);
  });

  it('is stopped again, by its next generation, while the other program lives: that one serves on', async (t) => {
    const space = workspace(t);
    const [port, path] = [await freePort(), space.path('other.sock')];
    const source = `const { createServer } = require('node:http');
const answer = (_, response) => response.end(process.env.MOTYA_GENERATION ?? 'plain');
let left = 2;
for (const where of [[${port}, '127.0.0.1'], [${JSON.stringify(path)}]]) createServer(answer).listen(...where, () => --left || console.log('listening'));
`;
    const script = space.write('server.cjs', source);
    const plain = space.node([script]);
    await plain.waitForSaid(/listening/);
    const child = space.motya(['start', script, '--name', 'app', '--adopt', String(plain.pid)]);
    await child.waitFor('serving');
    const upgraded = await space.run(['upgrade', '--name', 'app', '--detach']);
    assert.equal(upgraded.code, 0, upgraded.stderr);
    assert.equal((await space.run(['stop', '--name', 'app'])).code, 0);
    await child.waitForExit();
    for (const where of [{ port, host: '127.0.0.1' }, { socketPath: path }]) await servesOn(where, /^plain$/);
    plain.kill('SIGTERM');
    await plain.waitForExit();
  });

  for (const ends of [true, false]) {
    it(`below a keeper that starts it again, with the other program ${ends ? 'ended' : 'alive, which serves on in the end'}`, async (t) => {
      const space = workspace(t);
      const port = await freePort();
      const plain = space.node([app('http.cjs')], { env: { PORT: String(port), APP_VERSION: 'plain' } });
      await answers(port);
      const file = space.path('log');
      const child = start(space, port, plain.pid, ['--daemonize', '--keeper', '--log-file', file]);
      assert.equal((await child.waitForExit()).code, 0, child.stderr);
      if (ends) {
        plain.kill('SIGTERM');
        await plain.waitForExit();
      }
      const { pid } = await space.ask('app');
      process.kill(pid, 'SIGKILL');
      const serves = async (): Promise<boolean> => {
        const now = await space.ask('app').catch(() => null);
        return now !== null && now.pid !== pid && now.phase === 'serving';
      };
      await until(serves, { what: 'another instance' });
      if (ends) assert.equal((await who(port)).version, 'motya');
      assert.equal((await space.run(['stop', '--name', 'app'])).code, 0);
      if (!ends) {
        await servesOn({ port, host: '127.0.0.1' }, /"version":"plain"/);
        plain.kill('SIGTERM');
      }
      await space.nothingLeft();
    });
  }

  it('what cannot be: one line, and nothing has changed', async (t) => {
    await refused(t, async () => 4_000_000, { code: 'ERR_MOTYA_NO_PROCESS', details: () => ({}) });
    let listened = 0;
    const listens = async (space: Workspace, port: number): Promise<number> => {
      const other = await freePort();
      const { pid } = space.node([app('http.cjs')], { env: { PORT: String(other) } });
      await answers(other);
      assert.notEqual(other, port);
      listened = other;
      return pid;
    };
    const unwanted = () => ({ unwanted: `tcp://127.0.0.1:${listened}` });
    await refused(t, listens, { code: 'ERR_MOTYA_ADOPT', details: unwanted });
    const sleeps = async (space: Workspace) => space.node(['-e', 'setInterval(() => {}, 1e6)']).pid;
    await refused(t, sleeps, { code: 'ERR_MOTYA_ADOPT', details: () => ({ parent: process.pid }) });
    const space = workspace(t);
    const { code, stderr } = await space.run(['start', app('http.cjs'), '--adopt', 'nginx']);
    assert.deepEqual([code, placesIn(stderr)], [2, [{ key: '--adopt' }]]);
  });

  it('a worker of nginx, and an nginx with several sockets on one address: one line', { skip: noNginx }, async (t) => {
    let server: Child | undefined;
    const worker = async (space: Workspace, port: number): Promise<number> => {
      server = nginx(space, [`127.0.0.1:${port}`]);
      await answers(port);
      return childrenOf(server.pid)[0] ?? 0;
    };
    try {
      const details = () => ({ parent: server?.pid ?? 0 });
      await refused(t, worker, { code: 'ERR_MOTYA_ADOPT', details });
    } finally {
      server?.kill('SIGTERM');
      await server?.waitForExit();
    }
    const shared = async (space: Workspace, port: number): Promise<number> => {
      server = nginx(space, [`127.0.0.1:${port} reuseport`]);
      await answers(port);
      return server.pid;
    };
    try {
      const details = (_: number, port: number) => ({ parent: process.pid, listener: `tcp://127.0.0.1:${port}` });
      await refused(t, shared, { code: 'ERR_MOTYA_ADOPT', details });
    } finally {
      server?.kill('SIGTERM');
      await server?.waitForExit();
    }
  });

  it('another user’s process: one line', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root, which starts an instance of another user');
    const space = workspace(t);
    const port = await freePort();
    const plain = space.node([app('http.cjs')], { env: { PORT: String(port) } });
    await answers(port);
    const nobody = space.start('setpriv', [
      '--reuid=65534',
      '--clear-groups',
      process.execPath,
      '-e',
      `
      import(${JSON.stringify(import.meta.resolve('#src/listeners/copy-from-process.js'))}).then(({ OtherProcess }) => {
        try { new OtherProcess(${plain.pid}).copyListeners(); } catch ({ code, details }) { console.log(JSON.stringify({ code, details })); }
      });`,
    ]);
    await nobody.waitForExit();
    const { code, details } = JSON.parse(nobody.stdout);
    assert.deepEqual([code, details.pid], ['ERR_MOTYA_COPY_DENIED', plain.pid]);
    assert.ok(['EACCES', 'EPERM'].includes(details.reason), nobody.stdout);
  });
});
