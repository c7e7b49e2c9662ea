import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { HandoverError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { connectControl, requestStatus, watchIncumbent } from '#src/control/client.js';
import type { ControlMessage } from '#src/control/control-messages.js';
import {
  type CommandTarget,
  ControlServer,
  rejection,
  type UpgradeProgress,
  type Watcher,
} from '#src/control/control-server.js';
import type { ListenerStatus, Overview, Status, WorkerStatus } from '#src/status/status-document.js';
import { IMPORT_NATIVE, openFds, outputOf, runModule } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

const WORKER: WorkerStatus = {
  pid: 4_000_000,
  index: 0,
  state: 'restarting',
  restarts: 1_000_000,
  uptime: 1,
  memory: 100_000_000,
  answers: true,
  connections: 1_000_000,
  protocols: { http1: 1, idle: 2, http2: 3, upgraded: 4, other: 5 },
  eventLoopDelay: { p50: 0.1, p99: 1.5, max: 20 },
};

const STATUS: Status = {
  name: 'app',
  pid: process.pid,
  keeper: null,
  generation: 7,
  version: '1.2.3',
  node: process.version,
  startedAt: '2026-01-01T00:00:00.000Z',
  uptime: 12,
  phase: 'serving',
  phaseMs: 10,
  phases: [{ phase: 'starting', ms: 2 }],
  supervisor: { memory: 1, eventLoopDelay: null },
  services: [{ name: 'web', workers: [WORKER] }],
  listeners: [],
  admin: null,
  probation: null,
  draining: [],
  successor: null,
  lastUpgrade: null,
  generations: [],
  upgrades: [],
  pidfile: '/run/app.pid',
  upgradeSocket: '/run/app.sock',
  directory: '/srv/app',
  config: null,
};

class TestInstance implements CommandTarget {
  readonly generation = 7;
  readonly stops: boolean[] = [];
  readonly warnings: string[] = [];
  readonly upgrades: boolean[] = [];
  listenerCount = 0;

  async status(): Promise<Status> {
    return { ...STATUS, listeners: this.listeners() };
  }
  async overview(): Promise<Overview> {
    return { generation: 7, phase: 'serving', connections: 0, draining: [] };
  }
  listeners(): ListenerStatus[] {
    return Array.from({ length: this.listenerCount }, (_, n) => ({
      key: `tcp://127.0.0.1:${n}`,
      service: 'web',
      backlog: 511,
      inherited: false,
      declared: false,
      waiting: n,
    }));
  }
  listenerServices(): [string, string][] {
    return Array.from({ length: this.listenerCount + 1 }, (_, n) => [`tcp://127.0.0.1:${n}`, n === 0 ? '' : 'web']);
  }
  signal(): number {
    return 2;
  }
  unixPaths(): string[] {
    return Array.from({ length: this.listenerCount }, (_, n) => `/run/${n}.sock`);
  }
  async upgrade(
    { dryRun }: { dryRun: boolean },
    { progress, live }: UpgradeProgress,
  ): ReturnType<CommandTarget['upgrade']> {
    this.upgrades.push(dryRun);
    progress('finding', 1.6);
    if (dryRun) return rejection(new HandoverError('ERR_MOTYA_NO_SUCCESSOR', 'none came'));
    live?.({ pid: 5, generation: 8, gapMicros: 900, probation: 10_000, removed: [] });
    return { ok: true, code: 'LIVE', text: 'it serves', pid: 5, generation: 8, gapMicros: 900 };
  }
  async rollBack(): ReturnType<CommandTarget['rollBack']> {
    return { ok: true, code: 'ERR_MOTYA_ROLLED_BACK', text: 'pid 4 serves again', pid: 4 };
  }
  lateness(): string | null {
    return null;
  }

  stop({ now }: { now: boolean }): void {
    this.stops.push(now);
  }
  warn(text: string): void {
    this.warnings.push(text);
  }
}

async function served(
  body: (path: string, instance: TestInstance, server: ControlServer) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'motya-control-'));
  const before = openFds();
  try {
    const path = join(directory, 'app.control.sock');
    const instance = new TestInstance();
    const server = new ControlServer(path, instance);
    server.publish();
    try {
      await body(path, instance, server);
    } finally {
      server.disconnect();
      server.close();
    }
    assert.deepEqual(readdirSync(directory), []);
    await until(() => openFds() === before, { what: 'fds as before', instead: () => openFds() - before });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** All that is answered until the other side hangs up or `enough` says so. */
async function conversation(path: string, ask: ControlMessage, enough: (message: ControlMessage) => boolean) {
  const channel = connectControl(path);
  const answers: ControlMessage[] = [];
  channel.on('message', (message) => answers.push(message));
  channel.open();
  channel.send(ask);
  await until(() => channel.closed || answers.some(enough), { what: `the answer to ${ask.type}` });
  channel.close();
  return answers;
}

test('status comes whole, also of a thousand workers', async () => {
  await served(async (path, instance) => {
    const workers = Array.from({ length: 1024 }, (_, index) => ({ ...WORKER, index }));
    const services = [
      { name: 'web', workers },
      { name: 'api', workers: workers.slice(0, 1) },
    ];
    instance.status = async () => ({ ...STATUS, services });
    assert.deepEqual((await requestStatus(path)).services, services);
  });
});

test('status comes whole, also with a thousand listeners and with none', async () => {
  await served(async (path, instance) => {
    for (const count of [0, 1, 100, 101, 1000]) {
      instance.listenerCount = count;
      assert.deepEqual(await requestStatus(path), { ...STATUS, listeners: instance.listeners() });
    }
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

test('upgrade: progress, then the result, good or bad', async () => {
  await served(async (path, instance) => {
    const ofUpgrade = (dryRun: boolean) =>
      conversation(
        path,
        { type: 'UPGRADE', dryRun, settled: false, allowRemoved: false },
        ({ type }) => type === 'RESULT',
      );
    assert.deepEqual(await ofUpgrade(false), [
      { type: 'PROGRESS', phase: 'finding', ms: 2 },
      { type: 'RESULT', ok: true, code: 'LIVE', text: 'it serves', pid: 5, generation: 8, gapMicros: 900 },
    ]);
    assert.deepEqual((await ofUpgrade(true))[1], {
      type: 'RESULT',
      ok: false,
      code: 'ERR_MOTYA_NO_SUCCESSOR',
      text: 'none came',
    });
    assert.deepEqual(instance.upgrades, [false, true]);
    assert.equal(rejection(new Error('a defect')).code, 'ERR_MOTYA_INTERNAL');
  });
});

test('stop reaches the instance; its end is the answer', async () => {
  await served(async (path, instance, server) => {
    const channel = connectControl(path);
    const closed = new Promise<Error | null>((resolve) => channel.on('close', resolve));
    channel.open().send({ type: 'STOP', now: true, once: false });
    await until(() => instance.stops.length > 0, { what: 'the stop' });
    assert.deepEqual(instance.stops, [true]);
    server.disconnect();
    assert.equal(await closed, null);
  });
});

test('a waiting successor knows whom it waits for, and hears when there is nothing to wait for any more', async () => {
  await served(async (path, instance, server) => {
    instance.listenerCount = 250;
    assert.equal(server.watcher, null);
    const watched = await watchIncumbent(path);
    assert.deepEqual([watched.pid, watched.generation], [process.pid, 7]);
    assert.deepEqual(watched.paths, instance.unixPaths());
    assert.deepEqual([...watched.keys], instance.listenerServices());
    const waiting = server.watcher as Watcher | null;
    assert.equal(waiting?.pid, process.pid);
    assert.ok(Date.parse(waiting?.since ?? '') <= Date.now());
    server.dismissWatchers('it was stopped');
    const { code, message } = (await watched.gone) as HandoverError;
    assert.deepEqual([code, message], ['ERR_MOTYA_INCUMBENT_STOPPED', 'it was stopped']);
    assert.equal(server.watcher, null);
    watched.close();

    const second = await watchIncumbent(path);
    second.close();
    await until(() => server.watcher === null, { what: 'the watcher to be forgotten' });
    const third = await watchIncumbent(path);
    server.disconnect();
    assert.equal(await third.gone, null, 'a death has no reason');
  });
});

test('no instance there, and one that does not answer', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'motya-control-'));
  const path = join(directory, 'c.sock');
  const before = openFds();
  const running = async (call: () => unknown): Promise<unknown> => call();
  try {
    await assert.rejects(
      running(() => requestStatus(path)),
      { code: 'ERR_MOTYA_NOT_RUNNING' },
    );
    await assert.rejects(
      running(() => watchIncumbent(path)),
      { code: 'ERR_MOTYA_NOT_RUNNING' },
    );
    const fd = native.listener.create({ family: 'unix', type: 'seqpacket', path });
    await Promise.all([
      assert.rejects(requestStatus(path), { code: 'ERR_MOTYA_NO_ANSWER' }),
      assert.rejects(watchIncumbent(path), {
        code: 'ERR_MOTYA_WEDGED',
        message: new RegExp(`pid ${process.pid} holds`),
      }),
    ]);
    native.fd.close(fd);
    await assert.rejects(
      running(() => requestStatus(path)),
      { code: 'ERR_MOTYA_NOT_RUNNING' },
      'a stale socket',
    );
    await until(() => openFds() === before, { what: 'fds as before' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('garbage, and words that only the other side says, end that connection and no other', async () => {
  await served(async (path, instance) => {
    const fd = native.channel.connect(path);
    native.channel.send(fd, Buffer.from('garbage'), [0, 1, 2]);
    await until(() => native.channel.receive(fd, 100)?.data.length === 0, { what: 'the hang-up' });
    native.fd.close(fd);
    assert.match(instance.warnings.join(), /a control connection was closed: .* is not JSON/);
    assert.deepEqual(
      await conversation(path, { type: 'GONE', code: 'ERR_MOTYA_STOPPING', text: 'x' }, () => false),
      [],
    );
    assert.equal((await requestStatus(path)).pid, process.pid);
    for (let n = 0; n < 300; n += 1) {
      let flood: number | null = null;
      await until(
        () => {
          try {
            flood = native.channel.connect(path);
            return true;
          } catch {
            return false;
          }
        },
        { what: 'room in the queue' },
      );
      native.fd.close(flood as unknown as number);
    }
    await requestStatus(path);
  });
});

test('publish takes the path over; close does not take it from the next one', async () => {
  await served(async (path, _, first) => {
    const instance = new TestInstance();
    const second = new ControlServer(path, instance);
    assert.deepEqual([first.isPublished, second.isPublished], [true, false]);
    second.publish();
    assert.deepEqual([first.isPublished, second.isPublished], [false, true]);
    first.close = () => {};
    second.close();
    assert.equal(existsSync(path), false);
    ControlServer.prototype.close.call(first);
  });
});

test('a file at the path is left alone', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'motya-control-'));
  const path = join(directory, 'c.sock');
  const before = openFds();
  writeFileSync(path, 'precious');
  const server = new ControlServer(path, new TestInstance());
  assert.throws(() => server.publish(), { code: 'ERR_MOTYA_SOCKET' });
  server.close();
  assert.equal(openFds(), before);
  assert.deepEqual(readdirSync(directory), ['c.sock']);
  rmSync(directory, { recursive: true });
});

test('another user is refused and logged', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  await served(async (path, instance) => {
    chmodSync(join(path, '..'), 0o755);
    chmodSync(path, 0o666);
    const child = runModule(
      t,
      `${IMPORT_NATIVE} process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const fd = native.channel.connect(${JSON.stringify(path)});
      native.fd.waitReadable(fd, 60_000);
      console.log(native.channel.receive(fd, 100)?.data.length);`,
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    assert.equal(await outputOf(child), '0\n');
    assert.deepEqual(instance.warnings, ['a process of user 65534 was refused on the control socket']);
  });
});
