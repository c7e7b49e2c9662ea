import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { deserialize } from 'node:v8';
import { RESTART_MS } from '#src/base/backoff.js';
import { allKinds } from '#src/base/drain-kinds.js';
import { StartError } from '#src/base/errors.js';
import { within } from '#src/base/timeout.js';
import type { ServiceSettings } from '#src/config/settings.js';
import { Ledger } from '#src/listeners/ledger.js';
import { total } from '#src/runtime/counts.js';
import { Fleet } from '#src/workers/fleet.js';
import { ListenGate } from '#src/workers/listen-gate.js';
import { closeValues } from '#src/workers/program-state.js';
import { Service, type ServiceContext } from '#src/workers/service.js';
import { openFds, scratch } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

const NOW = Promise.resolve();

interface Setting {
  readonly directory: string;
  readonly ledger: Ledger;
  readonly gate: ListenGate;
  readonly settings: ServiceSettings;
  readonly context: ServiceContext;
}

/** A program in a file of its own, and all that a service needs to run it. */
function setting(t: TestContext, program: string, more: Partial<ServiceSettings> = {}, open = true): Setting {
  const directory = scratch(t);
  const script = join(directory, 'program.cjs');
  writeFileSync(script, program);
  const ledger = new Ledger();
  const gate = new ListenGate(ledger, { open });
  const settings: ServiceSettings = {
    name: 'web',
    script,
    args: [],
    cwd: directory,
    env: {},
    workers: 1,
    nodeArgs: [],
    ready: 'listen',
    connections: 'move',
    listeners: [],
    drainTimeout: 20_000,
    drain: allKinds(20_000),
    killSignal: 'SIGTERM',
    killGrace: 20_000,
    ...more,
  };
  return { directory, ledger, gate, settings, context: { generation: 3, ledger, gate, readyMs: 60_000 } };
}

/** Runs the service; afterwards none of its workers, listeners or fds is left. */
async function running(
  scene: Setting,
  body: (service: Service) => Promise<void>,
  options: { accepting: boolean } = { accepting: true },
): Promise<void> {
  const before = openFds();
  const service = new Service(scene.settings, scene.context, options);
  service.start();
  try {
    await body(service);
  } finally {
    await service.drain({ cut: NOW });
    scene.ledger.removeAll({ unlink: true });
  }
  assert.ok((await service.status()).every(({ pid }) => pid === null));
  await until(() => openFds() === before, { what: 'fds as before', instead: () => openFds() - before });
}

/** Connects to the first listener and returns all that comes. */
async function ask(ledger: Ledger, text = ''): Promise<string> {
  const listener = ledger.all()[0];
  assert.ok(listener?.socket.port);
  const socket = connect(listener.socket.port, '127.0.0.1').setEncoding('utf8');
  let answer = '';
  socket.on('data', (part) => {
    answer += String(part);
  });
  socket.on('error', () => {});
  socket.end(text);
  await once(socket, 'close');
  return answer;
}

async function failsToStart(promise: Promise<unknown>, code: string, text: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof StartError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, text);
    return true;
  });
}

const pidServer = `
  const server = require('node:net').createServer((socket) => {
    socket.on('error', () => {});
    socket.end(process.pid + ' ' + process.env.MOTYA_WORKER_INDEX + ' ' + process.env.MOTYA_GENERATION);
  });
  server.listen(0, '127.0.0.1');`;

test('workers start, share a listener, answer, and end', async (t) => {
  const scene = setting(t, pidServer, { workers: 2 });
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    assert.equal(scene.ledger.size, 1);
    const workers = await service.status();
    assert.deepEqual(
      workers.map(({ index, state, restarts }) => ({ index, state, restarts })),
      [0, 1].map((index) => ({ index, state: 'ready', restarts: 0 })),
    );
    assert.deepEqual([...(scene.ledger.all()[0]?.users ?? [])].sort(), workers.map(({ pid }) => pid).sort());
    const [pid, index, generation] = (await ask(scene.ledger)).split(' ');
    assert.equal(String(workers[Number(index)]?.pid), pid);
    assert.equal(generation, '3');
  });
});

test('a worker that crashes is started again, later each time, and gets the same listener', async (t) => {
  const scene = setting(t, `if (require('node:fs').existsSync('crash')) process.exit(7);${pidServer}`);
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const port = scene.ledger.all()[0]?.socket.port;
    const crashes: { pid: number; reason: string; inMs: number | null }[] = [];
    service.on('crash', ({ pid }, reason, inMs) => crashes.push({ pid, reason, inMs }));
    const restarted: number[] = [];
    service.on('restart', ({ pid }) => restarted.push(pid));

    const first = (await service.status())[0]?.pid as number;
    writeFileSync(join(scene.directory, 'crash'), '');
    process.kill(first, 'SIGKILL');
    await until(() => crashes.length >= 3, { what: 'three crashes' });
    rmSync(join(scene.directory, 'crash'));
    assert.deepEqual(
      crashes.slice(0, 3).map(({ inMs }) => inMs),
      [RESTART_MS, 2 * RESTART_MS, 4 * RESTART_MS],
    );
    assert.equal(crashes[0]?.pid, first);
    assert.equal(crashes[0]?.reason, 'signal SIGKILL');
    assert.equal(crashes[1]?.reason, 'exit status 7');

    await until(async () => (await service.status())[0]?.state === 'ready', { what: 'the worker to be ready' });
    const [status] = await service.status();
    assert.equal(status?.restarts, restarted.length);
    assert.ok(restarted.length >= 3);
    assert.equal(scene.ledger.all()[0]?.socket.port, port);
    assert.deepEqual([...(scene.ledger.all()[0]?.users ?? [])], [status?.pid], 'the dead hold nothing');
    assert.match(await ask(scene.ledger), new RegExp(`^${status?.pid} `));
  });
});

test('after some time without a crash the earlier ones are forgotten', async (t) => {
  const scene = setting(t, pidServer);
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const delays: (number | null)[] = [];
    service.on('crash', (_, __, inMs) => delays.push(inMs));
    const kill = async (): Promise<void> => {
      const { restarts = 0, pid } = (await service.status())[0] ?? {};
      process.kill(pid as number, 'SIGKILL');
      await until(
        async () => {
          const [now] = await service.status();
          return now?.state === 'ready' && now.restarts === restarts + 1;
        },
        { what: 'the restart' },
      );
    };
    await kill();
    await kill();
    // The clock by which a worker's life is measured goes on, for this one read of it.
    const { now } = performance;
    performance.now = () => now.call(performance) + 11_000;
    try {
      await kill();
    } finally {
      performance.now = now;
    }
    assert.deepEqual(delays, [RESTART_MS, 2 * RESTART_MS, RESTART_MS]);
  });
});

test('a program that ends before it listens fails the start, with the reason', async (t) => {
  for (const [program, reason] of [
    ['process.exitCode = 3;', /^service web: .*program.cjs ended \(exit status 3\) before it was ready$/],
    ["process.kill(process.pid, 'SIGKILL');", /was killed \(signal SIGKILL, [^)]+\) before it was ready$/],
    [
      "require('node:net').createServer().listen(1, '192.0.2.1').on('error', () => process.exit(1));",
      /bind E[A-Z]+ .*192\.0\.2\.1/,
    ],
  ] as const) {
    const scene = setting(t, program);
    await running(scene, async (service) => {
      await failsToStart(service.ready(), 'ERR_MOTYA_PROGRAM', reason);
      await failsToStart(service.failed, 'ERR_MOTYA_PROGRAM', reason);
    });
  }
});

test('a program that never listens, or never says that it is ready, fails in time', async (t) => {
  for (const [ready, reason] of [
    ['listen', /program.cjs listens on nothing after 0.7 s/],
    ['signal', /has not called ready\(\) after 0.7 s/],
  ] as const) {
    const scene = setting(t, 'setInterval(() => {}, 1_000_000);', { ready });
    await running({ ...scene, context: { ...scene.context, readyMs: 700 } }, async (service) => {
      await failsToStart(service.ready(), 'ERR_MOTYA_NOT_READY', reason);
    });
  }
});

test('a directory that is not there: the worker cannot be started, and the error names it', (t) => {
  const { settings, context, directory } = setting(t, pidServer);
  const cwd = join(directory, 'none');
  const before = openFds();
  const service = new Service({ ...settings, cwd }, context, { accepting: true });
  assert.throws(
    () => service.start(),
    (error: unknown) =>
      error instanceof StartError && error.code === 'ERR_MOTYA_FILE_MISSING' && error.message.includes(cwd),
  );
  assert.equal(openFds(), before);
});

test('behind a shut gate a worker boots as far as its listen() and is ready when the gate opens', async (t) => {
  const scene = setting(t, pidServer, {}, false);
  await running(
    scene,
    async (service) => {
      await service.booted();
      assert.equal((await service.status())[0]?.state, 'starting');
      assert.equal(scene.ledger.size, 0);
      scene.gate.open();
      await service.ready();
      const answer = ask(scene.ledger);
      assert.equal(await within(150, answer), null, 'held: nobody accepts');
      await service.accept();
      assert.match(await answer, /^\d+ 0 3$/);
      await service.pause();
      const later = ask(scene.ledger);
      assert.equal(await within(150, later), null, 'paused');
      await service.accept();
      await later;
    },
    { accepting: false },
  );
});

test('a worker that is killed in its wait fails the start and is forgotten by the gate', async (t) => {
  const scene = setting(t, pidServer, {}, false);
  await running(
    scene,
    async (service) => {
      await service.booted();
      process.kill((await service.status())[0]?.pid as number, 'SIGKILL');
      await failsToStart(service.ready(), 'ERR_MOTYA_PROGRAM', /signal SIGKILL/);
      scene.gate.open();
      assert.equal(scene.ledger.size, 0, 'nothing is bound for the dead');
    },
    { accepting: false },
  );
});

const closing = (path: string): string => `
  const { createServer } = require('node:net');
  const other = createServer().listen(${JSON.stringify(path)});
  createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      if (String(data) === process.env.MOTYA_WORKER_INDEX || String(data) === 'all') other.close();
    });
    socket.end(process.env.MOTYA_WORKER_INDEX);
  }).listen(0, '127.0.0.1');`;

/** Says a word to one of the workers. */
async function tell(ledger: Ledger, word: string): Promise<void> {
  const tcp = await until(() => ledger.all().find(({ socket }) => socket.family !== 'unix'), {
    what: 'the TCP server',
  });
  const socket = connect(tcp.socket.port ?? 0, '127.0.0.1').on('error', () => {});
  socket.resume().end(word);
  await once(socket, 'close');
}

test('RELEASE: a listener goes when the last worker has closed it', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'other.sock');
  const scene = setting(t, closing(path), { workers: 2 });
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const other = scene.ledger.get(`unix:${path}`);
    assert.ok(other !== undefined);
    await until(() => other.users.size === 2, { what: 'both to hold it' });
    await until(
      async () => {
        await tell(scene.ledger, '0');
        return other.users.size === 1;
      },
      { what: 'worker 0 to give it up' },
    );
    assert.ok(existsSync(path), 'worker 1 still listens');
    assert.ok(scene.ledger.get(other.key) !== undefined);
    await until(
      async () => {
        await tell(scene.ledger, '1');
        return scene.ledger.get(other.key) === undefined;
      },
      { what: 'worker 1 to give it up' },
    );
    assert.equal(existsSync(path), false);
  });
});

test('RELEASE while listeners change hands: the listener goes when that has not happened', async (t) => {
  const path = join(scratch(t), 'other.sock');
  const scene = setting(t, closing(path));
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const other = await until(() => scene.ledger.get(`unix:${path}`), { what: 'the other listener' });
    await until(() => other.users.size === 1, { what: 'the program to listen' });
    scene.gate.hold();
    await tell(scene.ledger, '0');
    await until(() => other.users.size === 0, { what: 'the program to close it' });
    assert.equal(scene.ledger.get(other.key), other, 'a successor may get it');
    scene.gate.open();
    service.thawed();
    assert.equal(scene.ledger.get(other.key), undefined);
    assert.equal(existsSync(path), false);
  });
});

test('a program that closes a listener which this generation has given up ends it for nobody', async (t) => {
  const path = join(scratch(t), 'other.sock');
  const scene = setting(t, closing(path));
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const other = await until(() => scene.ledger.get(`unix:${path}`), { what: 'the other listener' });
    await until(() => other.users.size === 1, { what: 'the program to listen' });
    scene.gate.shut();
    await tell(scene.ledger, '0');
    await until(() => other.users.size === 0, { what: 'the program to close it' });
    assert.equal(scene.ledger.get(other.key), other);
    assert.ok(existsSync(path), 'it is the successor’s');
  });
});

test('a worker that is told to pause while it waits in its own listen() does not accept', async (t) => {
  const scene = setting(t, pidServer, {}, false);
  await running(scene, async (service) => {
    await service.booted();
    await service.pause();
    scene.gate.open();
    await service.ready();
    const answer = ask(scene.ledger);
    assert.equal(await within(150, answer), null, 'paused');
    await service.accept();
    assert.match(await answer, /^\d+ 0 3$/);
  });
});

test('a value that comes late is not taken for the next one', async (t) => {
  const program = `
    const { onHandover } = require(${JSON.stringify(fileURLToPath(import.meta.resolve('motya/worker')))});
    let asked = 0;
    onHandover(() => {
      asked += 1;
      return asked === 1 ? new Promise((resolve) => setTimeout(resolve, 100, 'late')) : 'next';
    });
    ${pidServer}`;
  const scene = setting(t, program);
  await running(scene, async (service) => {
    await service.ready();
    const given = await Promise.all([service.give(), service.give()]);
    const values = given.flat().map(({ fd }) => deserialize(readFileSync(`/proc/self/fd/${fd}`)));
    closeValues(given.flat());
    assert.deepEqual(values, ['late', 'next']);
  });
});

test('a worker that boots: nobody waits for it at a pause, and no watchdog bites it', async (t) => {
  const directory = scratch(t);
  const program = `
    const { existsSync, writeFileSync } = require('node:fs');
    if (existsSync(${JSON.stringify(join(directory, 'again'))})) { for (;;); }
    writeFileSync(${JSON.stringify(join(directory, 'again'))}, '');
    require('node:net').createServer(() => process.exit(1)).listen(0, '127.0.0.1');`;
  const scene = setting(t, program, { killGrace: 1 });
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const again = once(service, 'restart');
    connect(scene.ledger.all()[0]?.socket.port as number, '127.0.0.1').on('error', () => {});
    await again;
    assert.equal(await service.isWell(1), true);
    await service.pause();
  });
});

test('RELEASE of a declared listener: it stays', async (t) => {
  const path = join(scratch(t), 'other.sock');
  const scene = setting(t, closing(path));
  await running(scene, async (service) => {
    const declared = scene.ledger.declare('web', { family: 'unix', type: 'stream', path });
    await service.ready();
    service.keepAlive();
    await until(() => declared.users.size === 1, { what: 'the program to listen' });
    await tell(scene.ledger, '0');
    await until(() => declared.users.size === 0, { what: 'the program to close it' });
    assert.equal(scene.ledger.get(declared.key), declared);
    assert.ok(existsSync(path));
  });
});

test('drain: what is left at its end is closed by force and counted; a deaf program is killed', async (t) => {
  const program = `
    process.on('SIGTERM', () => {});
    require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.write('x');
    }).listen(0, '127.0.0.1');
    setInterval(() => {}, 1_000_000);`;
  const scene = setting(t, program, { killGrace: 200 });
  await running(scene, async (service) => {
    await service.ready();
    service.keepAlive();
    const port = scene.ledger.all()[0]?.socket.port as number;
    const sockets = [1, 2, 3].map(() => connect(port, '127.0.0.1').on('error', () => {}));
    await Promise.all(sockets.map((socket) => once(socket, 'data')));
    await until(async () => total(await service.connections()) === 3, { what: 'them to be counted' });
    let cut!: () => void;
    const isCut = new Promise<void>((resolve) => {
      cut = resolve;
    });
    const draining = service.drain({ cut: isCut });
    assert.equal(await within(200, draining), null, 'it waits for them');
    assert.equal((await service.status())[0]?.state, 'draining');
    cut();
    assert.equal(total((await draining).forced), 3);
    assert.equal((await service.status())[0]?.state, 'ended');
    for (const socket of sockets) socket.destroy();
  });
});

test('Fleet: a failure before it has been asked for is not an unhandled rejection', async (t) => {
  const good = setting(t, pidServer);
  const bad = setting(t, 'process.exit(9);', { name: 'bad' });
  const before = openFds();
  const fleet = new Fleet([good.settings, bad.settings], good.context, { accepting: true });
  const { failed } = fleet;
  fleet.start();
  await assert.rejects(fleet.ready(), /service bad: .* ended \(exit status 9\)/);
  await new Promise(setImmediate);
  await failsToStart(failed, 'ERR_MOTYA_PROGRAM', /exit status 9/);
  assert.equal(total((await fleet.drain({ cut: NOW })).forced), 0);
  assert.deepEqual(
    (await fleet.status()).map(({ name, workers }) => [name, workers[0]?.state]),
    [
      ['web', 'ended'],
      ['bad', 'ended'],
    ],
  );
  good.ledger.removeAll({ unlink: true });
  await until(() => openFds() === before, { what: 'fds as before' });
});
