import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { ErrorCode } from '#src/base/error-catalog.js';
import type { Details } from '#src/base/errors.js';
import { app, freePort, isAlive, listeningInodes, placesIn, type Result, until } from './harness/index.js';
import { get, isRefused, outcomeOf, program, type Scene, scene } from './scene.js';

interface JsonLine {
  readonly phase?: string;
  readonly ok?: boolean;
  readonly code?: string;
  readonly text?: string;
  readonly pid?: number;
  readonly generation?: number;
  readonly gapMs?: number;
  readonly ms: number;
}
const jsonLines = (result: Result): JsonLine[] =>
  result.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonLine);

describe('motya upgrade', () => {
  it('tells each phase with its duration, then who serves; exit 0', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    stage.space.write('server.cjs', program('two'));
    const { code, stdout, stderr } = await stage.upgrade();
    assert.deepEqual([code, stderr], [0, '']);
    const lines = stdout.trim().split('\n');
    assert.deepEqual(
      lines.slice(0, -1).map((line) => /^\s*\d+ ms {2}(.*)$/.exec(line.trimStart())?.[1]),
      [
        'successor started and connected',
        'listeners handed to the successor',
        'successor booted and ready',
        'incumbent stopped accepting',
        'successor accepts',
      ],
    );
    const last = /^generation 2 \(pid (\d+)\) serves \(\d+ ms, \d+\.\d ms from COMMIT to LIVE\)$/.exec(
      lines.at(-1) ?? '',
    );
    assert.equal(Number(last?.[1]), stage.mainPid, stdout);
    // When the command has returned, the new one serves.
    assert.deepEqual([(await stage.who()).version, (await stage.who()).generation], ['two', '2']);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('--json: one object a line, the last one is the outcome', async (test) => {
    const stage = await scene(test);
    await stage.first();
    const result = await stage.upgrade('--json');
    assert.equal(result.code, 0, result.stderr);
    const lines = jsonLines(result);
    const phases = lines.slice(0, -1).map(({ phase }) => phase);
    assert.deepEqual(phases, ['finding', 'offering', 'awaiting', 'pausing', 'committed']);
    for (const { ms } of lines) assert.ok(Number.isInteger(ms));
    const { ok, code, generation, pid, gapMs } = lines.at(-1) as JsonLine;
    assert.deepEqual({ ok, code, generation, pid }, { ok: true, code: 'LIVE', generation: 2, pid: stage.mainPid });
    assert.ok((gapMs ?? -1) > 0);
  });

  it('nothing runs: exit 4, and what to do', async (test) => {
    const stage = await scene(test);
    const { code, stdout, stderr } = await stage.upgrade();
    assert.deepEqual([code, stdout, stderr.split('\n').length], [4, '', 2], stderr);
    const json = await stage.upgrade('--json');
    const told = outcomeOf(json);
    const path = stage.upgradeSocket.replace(/sock$/, 'control.sock');
    assert.deepEqual([json.code, told.code, told.details], [4, 'ERR_MOTYA_NOT_RUNNING', { path }]);
  });

  it('uses the successor that waits by hand', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const second = await stage.waiting([], { APP_VERSION: 'by hand' });
    const { code, stderr } = await stage.upgrade();
    assert.equal(code, 0, stderr);
    assert.equal((await stage.who()).version, 'by hand');
    assert.equal(stage.mainPid, second.pid);
    assert.equal(first.logs.filter(({ event }) => event === 'successor').length, 0);
  });

  it('a second one at the same time is rejected, and the first one goes on', async (test) => {
    const { stage, first, begun } = await heldBetweenAdoptedAndReady(test);
    const second = await stage.upgrade('--json');
    const { code, details } = outcomeOf(second);
    assert.deepEqual([second.code, code, details], [3, 'ERR_MOTYA_BUSY', { pid: first.pid, phase: 'awaiting' }]);
    stage.space.write('ready', '');
    assert.deepEqual(await begun.waitForExit(), { code: 0, signal: null });
    assert.equal((await stage.who()).generation, '2');
  });
});

/** An upgrade under way whose successor has adopted everything and is ready when the file `ready` is written. */
async function heldBetweenAdoptedAndReady(test: TestContext) {
  const stage = await scene(test, 'ready-later.mjs');
  const ready = stage.space.path('ready');
  const first = stage.start(['--ready', 'signal'], { READY_FILE: ready });
  await first.waitForStdout(/listening/);
  const { rmSync } = await import('node:fs');
  stage.space.write('ready', '');
  await first.waitFor('serving');
  rmSync(ready);
  const begun = stage.space.motya(['upgrade', '--name', 'app']);
  await first.waitFor(({ to }) => to === 'awaiting');
  return { stage, first, begun };
}

describe('motya upgrade --dry-run', () => {
  it('goes as far as READY and takes it all back', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const before = listeningInodes(first.pid);
    const serving = await stage.who();
    const { code, stdout, stderr } = await stage.upgrade('--dry-run');
    assert.deepEqual([code, stderr], [0, '']);
    const pid = Number(/^pid (\d+) could take over \(\d+ ms\)$/m.exec(stdout)?.[1]);
    await until(() => !isAlive(pid), { what: 'the end of the dry successor' });
    assert.deepEqual(listeningInodes(first.pid), before);
    assert.deepEqual(await stage.who(), serving);
    assert.deepEqual([stage.mainPid, (await stage.status()).phase], [first.pid, 'serving']);
    assert.equal(existsSync(stage.upgradeSocket), false);
    // It was no failure.
    assert.deepEqual((await stage.status()).lastUpgrade, null);
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await stage.who()).generation, '2');
  });

  it('says 3 when the new version could not take over', async (test) => {
    const stage = await scene(test, '', program('one'));
    await stage.first();
    stage.space.write('server.cjs', 'oops(');
    const dry = await stage.upgrade('--dry-run', '--json');
    assert.deepEqual(
      jsonLines(dry).map(({ phase }) => phase),
      ['finding', 'offering', undefined],
    );
    const { code, details } = outcomeOf(dry);
    assert.deepEqual([dry.code, code, details?.end, details?.ready], [3, 'ERR_MOTYA_PROGRAM', 'exit status 1', false]);
    assert.equal((await stage.who()).version, 'one');
  });

  it('ends a successor that waited by hand with 0', async (test) => {
    const stage = await scene(test);
    await stage.first();
    const second = await stage.waiting();
    assert.equal((await stage.upgrade('--dry-run', '--json')).code, 0);
    assert.deepEqual(await second.waitForExit(), { code: 0, signal: null });
    assert.equal((await stage.who()).generation, '1');
  });
});

/** Some of the details of a failure; `SCRIPT` in a text is the program's path. */
interface Failure {
  readonly code: ErrorCode;
  readonly details: Details;
}

/** A failed upgrade: exit 3, a line with its reason, the old one serves, and the next upgrade works at once. */
async function failsOnce(stage: Scene, failure: Failure, repair: () => void): Promise<void> {
  const serving = await stage.who();
  const pid = stage.mainPid;
  const result = await stage.upgrade('--json');
  const outcome = outcomeOf(result);
  assert.deepEqual([result.code, outcome.code], [3, failure.code], outcome.text);
  const facts = Object.entries(failure.details).map(([name, fact]) => [
    name,
    typeof fact === 'string' ? fact.replace('SCRIPT', stage.script) : fact,
  ]);
  for (const [name, fact] of facts) assert.equal(outcome.details?.[String(name)], fact, outcome.text);
  assert.equal(outcome.text.includes('\n'), false);
  assert.deepEqual(await stage.who(), serving);
  assert.equal(stage.mainPid, pid);
  const { phase, lastUpgrade } = await stage.status();
  assert.deepEqual([phase, lastUpgrade?.ok, lastUpgrade?.code], ['serving', false, failure.code]);
  assert.equal(lastUpgrade?.text, outcome.text);
  repair();
  const next = await stage.upgrade();
  assert.equal(next.code, 0, next.stderr);
  assert.deepEqual([(await stage.who()).version, (await stage.who()).generation], ['repaired', '2']);
}

const inUse = (port: number): Details => ({
  reason: 'EADDRINUSE',
  listener: `tcp://127.0.0.1:${port}`,
  holder: process.pid,
});

describe('an upgrade that cannot be', () => {
  const ended = (end: string, more: Details = {}): Failure => ({
    code: 'ERR_MOTYA_PROGRAM',
    details: { service: 'server', end, ...more },
  });
  const broken: Record<string, { source: string; failure: Failure }> = {
    'a script that throws': {
      source: "throw new Error('broken on purpose')",
      failure: ended('exit status 1', { ready: false, said: 'Error: broken on purpose (SCRIPT:1:7)' }),
    },
    'a syntax error': {
      source: 'oops(',
      failure: ended('exit status 1', { ready: false, said: 'SyntaxError: Unexpected end of input (SCRIPT:1)' }),
    },
    'a script that ends with 0': {
      source: 'process.exit(0)',
      failure: ended('exit status 0', { ready: false }),
    },
    'a script that is killed': {
      source: "process.kill(process.pid, 'SIGKILL')",
      failure: ended('signal SIGKILL', { ready: false }),
    },
    'a script that throws after it listens': {
      source: program(
        'bad',
        "setTimeout(() => { throw new Error('late') }, 50); process.on('exit', () => {});",
      ).replace(
        'server.listen(...address(), () => announce(server));',
        "server.listen(...address(), () => { throw new Error('in the callback') });",
      ),
      // Before it was ready, or while it waited to serve.
      failure: ended('exit status 1', { said: 'Error: in the callback (SCRIPT:6:43)' }),
    },
  };
  for (const [name, { source, failure }] of Object.entries(broken)) {
    it(name, async (test) => {
      const stage = await scene(test, '', program('one'));
      await stage.first();
      stage.space.write('server.cjs', source);
      await failsOnce(stage, failure, () => stage.space.write('server.cjs', program('repaired')));
    });
  }

  it('a script that is gone', async (test) => {
    const stage = await scene(test, '', program('one'));
    await stage.first();
    const { rmSync } = await import('node:fs');
    rmSync(stage.script);
    await failsOnce(stage, { code: 'ERR_MOTYA_SETTINGS', details: {} }, () =>
      stage.space.write('server.cjs', program('repaired')),
    );
  });

  for (const [ready, source] of [
    ['listen', 'setInterval(() => {}, 1000)'],
    ['signal', program('silent')],
  ] as const) {
    it(`a script that never becomes ready (${ready})`, async (test) => {
      const stage = await scene(test, '', program('one'));
      const settings = (more: string) =>
        stage.space.write('motya.yaml', `name: app\nservices:\n  server: { script: server.cjs${more}`);
      settings(' }\n');
      const first = stage.space.motya(['start'], { env: { PORT: String(stage.port) } });
      await first.waitFor('serving');
      stage.space.write('server.cjs', source);
      settings(`, ready: ${ready} }\nreadyTimeout: 1s\n`);
      await failsOnce(stage, { code: 'ERR_MOTYA_NOT_READY', details: { awaits: ready, ms: 1_000 } }, () => {
        stage.space.write('server.cjs', program('repaired'));
        settings(' }\n');
      });
    });
  }

  it('a declared listener that somebody else has: the reason names the address and the holder', async (test) => {
    const stage = await scene(test, '', program('one'));
    const taken = await someoneElse(test);
    const settings = (listeners: string) =>
      stage.space.write(
        'motya.yaml',
        `name: app\nservices:\n  server: { script: server.cjs, listeners: [${listeners}] }\n`,
      );
    settings('');
    const first = stage.space.motya(['start'], { env: { PORT: String(stage.port) } });
    await first.waitFor('serving');
    settings(`"tcp://127.0.0.1:${taken}"`);
    const failure: Failure = { code: 'ERR_MOTYA_LISTENER', details: { service: 'server', ...inUse(taken) } };
    await failsOnce(stage, failure, () => {
      settings('');
      stage.space.write('server.cjs', program('repaired'));
    });
  });

  it('a listener that the program adds and somebody else has: the same', async (test) => {
    const stage = await scene(test, '', program('one'));
    const taken = await someoneElse(test);
    await stage.first();
    stage.space.write(
      'server.cjs',
      `${program('two')}\nrequire('node:http').createServer(handler).listen(${taken}, '127.0.0.1');`,
    );
    await failsOnce(stage, ended('exit status 1', inUse(taken)), () =>
      stage.space.write('server.cjs', program('repaired')),
    );
  });

  it('settings that are wrong: line and column, and the old ones serve', async (test) => {
    const stage = await scene(test, '', program('one'));
    const good = 'name: app\nservices:\n  server: { script: server.cjs }\n';
    const bad = `${good}drainTimout: 3s\n`;
    stage.space.write('motya.yaml', good);
    const first = stage.space.motya(['start'], { env: { PORT: String(stage.port) } });
    await first.waitFor('serving');
    stage.space.write('motya.yaml', bad);
    // The command reads them itself, to know which instance is meant.
    const typed = await stage.space.run(['upgrade']);
    assert.equal(typed.code, 2);
    const key = 'drainTimout';
    const [place, ...more] = placesIn(typed.stderr.replace(/^--name .*\n/m, ''));
    assert.deepEqual([place, more], [{ file: 'motya.yaml', line: 4, column: 1, key }, []]);
    assert.ok(typed.stderr.includes('drainTimeout'), typed.stderr);
    first.kill('SIGQUIT');
    const { code, message } = await first.waitFor('rejected');
    assert.equal(code, 'ERR_MOTYA_SETTINGS');
    assert.ok(message.includes(`motya.yaml:4:1: ${key}: `), message);
    assert.equal((await stage.who()).version, 'one');
    stage.space.write('motya.yaml', good);
    stage.space.write('server.cjs', program('repaired'));
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await stage.who()).version, 'repaired');
  });
});

/** A port of 127.0.0.1 on which this process listens. */
async function someoneElse(test: TestContext): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('what an upgrade changes', () => {
  it('a listener is added, another removed; both are told in status', async (test) => {
    const [a, b] = [await freePort(), await freePort()];
    const stage = await scene(test, '', `${listens(a)}`);
    await stage.first();
    assert.equal((await get(a)).status, 200);
    stage.space.write('server.cjs', listens(b));
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await get(b)).status, 200);
    assert.equal(await isRefused(a), true);
    const { listeners } = await stage.status();
    assert.deepEqual(
      listeners.map(({ key, inherited }) => [key, inherited]),
      [[`tcp://127.0.0.1:${b}`, false]],
    );
  });
});

const listens = (port: number): string =>
  `const { handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
require('node:http').createServer(handler).listen(${port}, '127.0.0.1');`;
