import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { eventsOf, statusLine, statusLines } from '#src/cli/views/status-view.js';
import type { Status } from '#src/status/status-document.js';
import { CLI, codeOf, placesIn } from '../e2e/harness/index.js';
import { type Scene, scene } from '../e2e/scene.js';
import { Terminal } from './terminal.js';

const counts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
const worker = (index: number, more: object = {}): Status['services'][number]['workers'][number] => ({
  pid: 1000 + index,
  index,
  state: 'ready',
  restarts: 0,
  uptime: 61_000,
  memory: 64 * 1024 * 1024,
  answers: true,
  connections: 0,
  protocols: counts,
  eventLoopDelay: { p50: 0.1, p99: 1.25, max: 9 },
  ...more,
});
const status: Status = {
  name: 'shop',
  pid: 999,
  keeper: null,
  generation: 3,
  version: '1.2.3',
  node: 'v20.20.2',
  startedAt: '2026-01-01T00:00:00.000Z',
  uptime: 3_725_000,
  phase: 'serving',
  phaseMs: 61_000,
  phases: [
    { phase: 'waiting', ms: 1234 },
    { phase: 'taking', ms: 8.4 },
  ],
  supervisor: { memory: 1.5 * 1024 ** 3, eventLoopDelay: null },
  services: [
    { name: 'web', workers: [worker(0, { connections: 12, protocols: { ...counts, http1: 3, idle: 9 } }), worker(1)] },
    {
      name: 'api',
      workers: [
        worker(2, {
          pid: null,
          state: 'restarting',
          restarts: 4,
          uptime: null,
          memory: null,
          answers: false,
          eventLoopDelay: null,
        }),
      ],
    },
  ],
  listeners: [{ key: 'tcp://0.0.0.0:80', service: 'web', backlog: 511, inherited: true, declared: true, waiting: 2 }],
  admin: null,
  probation: null,
  draining: [],
  successor: null,
  lastUpgrade: null,
  generations: [],
  upgrades: [],
  pidfile: '/run/shop/shop.pid',
  upgradeSocket: '/run/shop/shop.sock',
  directory: '/srv/app',
  config: null,
};

describe('the status for people', () => {
  test('has its columns aligned: processes, listeners', () => {
    assert.deepEqual(statusLines(status), [
      'shop: generation 3, pid 999, serving, up 1 h 2 min',
      'motya 1.2.3, node v20.20.2',
      '',
      'PROCESS      PID  STATE                            UP   MEMORY   DELAY  CONNECTIONS',
      'supervisor   999                            1 h 2 min  1.5 GiB       -',
      'web 0       1000  ready                     1 min 1 s   64 MiB  1.3 ms  12: 3 http1, 9 idle',
      'web 1       1001  ready                     1 min 1 s   64 MiB  1.3 ms  0',
      'api 2          -  restarting, restarted 4×          -        -       -  0',
      '',
      '1 LISTENER        SERVICE  WAITING',
      'tcp://0.0.0.0:80  web      2 of 511',
    ]);
  });

  test('tells what drains, who waits, how the last upgrade went, and more listeners than fit', () => {
    const deadline = '2026-01-01T12:34:56.000Z';
    const listener = {
      key: 'unix:/run/a\x1b[2Jb',
      service: null,
      backlog: 1,
      inherited: false,
      declared: false,
      waiting: null,
    };
    const upgrade = {
      ok: false,
      rolledBack: false,
      code: 'ERR_MOTYA_PROGRAM' as const,
      text: 'it\nthrew',
      at: new Date().toISOString(),
      generation: 4,
      ms: 5,
      gapMs: null,
    };
    const text = statusLines({
      ...status,
      keeper: 7,
      draining: [
        {
          pid: 900,
          generation: 2,
          connections: 3,
          protocols: { ...counts, upgraded: 3 },
          waits: null,
          left: 24_000,
          deadline,
          probation: null,
        },
      ],
      successor: { pid: 1001, since: deadline },
      upgrades: [
        { ...upgrade, ok: true, code: 'LIVE', gapMs: 3 },
        { ...upgrade, rolledBack: true, code: 'ERR_MOTYA_UNHEALTHY', text: '/: status 503' },
        upgrade,
      ],
      listeners: Array.from({ length: 25 }, () => listener),
    }).join('\n');
    const time = new Date(deadline).toTimeString().slice(0, 8);
    assert.match(text, /^keeper {7} *7$/m);
    assert.ok(text.includes(`generation 2  900  ${time}  24 s  3: 3 upgraded`), text);
    assert.ok(text.includes(`successor: pid 1001 waits since ${time}`), text);
    assert.match(
      text,
      new RegExp(
        [
          '^last upgrade: rejected \\d+ m?s ago: it threw \\(ERR_MOTYA_PROGRAM\\)',
          'before that: rolled back \\d+ m?s ago: /: status 503 \\(ERR_MOTYA_UNHEALTHY\\)',
          'before that: succeeded \\d+ m?s ago in 5 ms, 3\\.0 ms from COMMIT to LIVE$',
        ].join('\n'),
        'm',
      ),
    );
    assert.match(text, /^… and 5 more$/m);
    // What a path holds does not command the terminal.
    assert.match(text, /^unix:\/run\/a \[2Jb {2}unused {3}-$/m);
  });

  test('a change is told once, numbers that always move are none', () => {
    assert.equal(
      eventsOf(status),
      eventsOf({ ...status, uptime: 9, phaseMs: 9, supervisor: { memory: 1, eventLoopDelay: null } }),
    );
    assert.notEqual(eventsOf(status), eventsOf({ ...status, phase: 'finding' }));
    const waiting = { ...status, successor: { pid: 5, since: '' } };
    assert.notEqual(statusLine(status), statusLine(waiting));
    assert.equal(statusLine(status), 'generation 3 (pid 999): serving, 2 of 3 workers ready, 12 connections');
  });
});

/** An open connection that no program closes. */
async function connected(stage: Scene): Promise<() => void> {
  const socket = connect(stage.port, '127.0.0.1');
  await once(socket, 'connect');
  return () => socket.destroy();
}

describe('motya status --watch', () => {
  test('without a terminal: a line for each change, through an upgrade, to the end of the instance', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const watch = stage.space.motya(['status', '--name', 'app', '--watch', '100ms']);
    await watch.waitForStdout(
      new RegExp(`^[\\d:]{8} generation 1 \\(pid ${first.pid}\\): serving, 1 of 1 worker ready`),
    );
    assert.equal((await stage.upgrade()).code, 0);
    await watch.waitForStdout(/ generation 2 \(pid \d+\): serving, 1 of 1 worker ready/);
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
    assert.deepEqual(await watch.waitForExit(), { code: 4, signal: null });
    assert.equal(codeOf(watch.stderr), 'ERR_MOTYA_NOT_RUNNING');
    assert.match(watch.stderr, /^[\d:]{8} app /);
    const lines = watch.stdoutLines.map((line) => line.slice(9).replace(/, \d+ m?s left/, ''));
    for (const [index, line] of lines.entries()) assert.notEqual(line, lines[index + 1]);
  });

  test('--json: an object each time', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const watch = stage.space.motya(['status', '--name', 'app', '--watch', '0.1', '--json']);
    await watch.waitForStdout(/./, { from: 2 });
    watch.kill('SIGINT');
    assert.deepEqual(await watch.waitForExit(), { code: 0, signal: null });
    for (const line of watch.stdoutLines) assert.equal((JSON.parse(line) as Status).pid, first.pid);
  });

  test('at a terminal: redrawn in place, through an upgrade; Ctrl-C gives the screen back', async (test) => {
    const stage = await scene(test);
    await stage.first(['--connections', 'drain']);
    const hangUp = await connected(stage);
    test.after(hangUp);
    const terminal = new Terminal(stage.space, `${process.execPath} ${CLI} status --name app --watch 200ms`);
    // The second screen, without a cursor; and back (xterm's control sequences).
    const [enter, leave] = ['\x1b[?1049h\x1b[?25l', '\x1b[?25h\x1b[?1049l'];
    await terminal.waitFor(/every 200 ms, Ctrl-C leaves[\s\S]*generation 1[\s\S]*http 0 .* 1: 1 idle/);
    assert.equal((await stage.upgrade()).code, 0);
    await terminal.waitFor(/app: generation 2[\s\S]*DRAINING[\s\S]*generation 1 .* 1: 1 idle/);
    terminal.type('\x03');
    assert.equal(await terminal.exit(), 0);
    assert.ok(terminal.output.startsWith(enter) && terminal.output.endsWith(leave), terminal.output);
    // No line is longer than the terminal: a wrapped one would push the others down.
    for (const line of terminal.text.split(/\r*\n|(?=\d\d:\d\d:\d\d {2}every)/))
      assert.ok([...line].length <= 80, line);
  });

  test('an interval that makes no sense is one line', async (test) => {
    const stage = await scene(test);
    for (const interval of ['soon', '10ms']) {
      const { code, stderr } = await stage.space.run(['status', '--watch', interval]);
      assert.equal(code, 2);
      assert.deepEqual([codeOf(stderr), placesIn(stderr)], ['ERR_MOTYA_SETTINGS', [{ key: '--watch' }]]);
      assert.ok(stderr.includes(JSON.stringify(interval)), stderr);
    }
    const none = await stage.space.run(['status', '--name', 'nobody', '--watch']);
    assert.equal(none.code, 4);
    assert.equal(codeOf(none.stderr), 'ERR_MOTYA_NOT_RUNNING');
  });
});
