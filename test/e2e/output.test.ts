import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { LINE_BYTES } from '#src/logging/lines.js';
import { Terminal } from '../cli/terminal.js';
import { CLI, childrenOf, isAlive, type LogLine, until } from './harness/index.js';
import { failureOf, get, outcomeOf, program, type Scene, scene, servesAs, who } from './scene.js';

interface Tagged extends LogLine {
  readonly service?: string;
  readonly worker?: number;
  readonly stream?: string;
  readonly partial?: boolean;
}

const parsed = (lines: readonly string[]): Tagged[] =>
  lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Tagged);

/** A program that writes what a request asks for: `GET /?stdout=…&stderr=…`, bytes in hexadecimal. */
const WRITER = `
require('node:http').createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  for (const name of ['stdout', 'stderr']) process[name].write(Buffer.from(url.searchParams.get(name) ?? '', 'hex'));
  response.end(process.env.MOTYA_GENERATION);
}).listen(process.env.PORT, '127.0.0.1');`;

const hex = (text: string): string => Buffer.from(text).toString('hex');
const say = (stage: Scene, words: { stdout?: string; stderr?: string }) =>
  get(stage.port, `/?stdout=${hex(words.stdout ?? '')}&stderr=${hex(words.stderr ?? '')}`);

describe('tagged lines', () => {
  it('JSON: whose they are, on the stream where they were said, over an upgrade', async (test) => {
    const stage = await scene(test, '', WRITER);
    const first = await stage.first();
    await say(stage, { stdout: 'one\n{"two":2}\n', stderr: 'thr' });
    await say(stage, { stderr: 'ee\n' });
    const { code } = await stage.upgrade();
    assert.equal(code, 0);
    await say(stage, { stdout: 'four\nfi' });
    await first.waitForExit();
    process.kill(stage.mainPid as number);
    await stage.space.nothingLeft();
    const [one, two, four, five, ...more] = parsed(first.stdoutLines);
    assert.ok(!Number.isNaN(Date.parse(one?.time ?? '')));
    const tag = { service: 'server', worker: 0, generation: 1 };
    assert.deepEqual({ ...one, time: '' }, { ...tag, time: '', stream: 'stdout', message: 'one' });
    assert.deepEqual(two, { ...tag, two: 2 });
    assert.deepEqual([four?.generation, four?.message, five?.message, more], [2, 'four', 'fi', []]);
    const stderr = parsed(first.stderrLines).filter(({ stream }) => stream !== undefined);
    assert.deepEqual(
      stderr.map(({ stream, message }) => [stream, message]),
      [['stderr', 'three']],
    );
  });

  it('pretty: bytes as they are; a long line in pieces; a last line without newline', async (test) => {
    const stage = await scene(
      test,
      '',
      `process.stdout.write(Buffer.from([0xff, 10]));
      process.stdout.write('x'.repeat(${5 * LINE_BYTES}) + '\\n' + 'end', () => process.exit(3));`,
    );
    const first = stage.start(['--log-format', 'pretty', '--log-level', 'error']);
    assert.equal((await first.waitForExit()).code, 1);
    const [bytes, ...lines] = readFileSync(first.stdoutFile, 'latin1').split('\n');
    assert.equal(bytes, Buffer.from('server.0 g1 │ ÿ').toString('latin1').replace('\u00c3\u00bf', '\u00ff'));
    const prefix = Buffer.from('server.0 g1 │ ').toString('latin1');
    assert.ok(lines.slice(0, -1).every((line) => line.startsWith(prefix) && line.length < 3 * LINE_BYTES));
    const texts = lines.map((line) => line.slice(prefix.length));
    assert.equal(texts.filter((text) => /^x+$/.test(text)).join('').length, 5 * LINE_BYTES);
    assert.ok(lines.length > 3);
    assert.deepEqual(texts.slice(-2), ['end', '']);
  });

  it('go to the log file', async (test) => {
    const stage = await scene(test, '', WRITER);
    const log = stage.space.path('a.log');
    const first = stage.start(['--log-file', log]);
    await until(() => get(stage.port).catch(() => false), { what: 'an answer' });
    await say(stage, { stdout: 'out\n', stderr: 'err\n' });
    const said = () => parsed(readFileSync(log, 'utf8').split('\n')).filter(({ stream }) => stream !== undefined);
    await until(() => said().length === 2, { what: 'both lines' });
    assert.deepEqual(
      said()
        .map(({ message }) => message)
        .sort(),
      ['err', 'out'],
    );
    first.kill();
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.deepEqual([first.stdout, first.stderr], ['', '']);
  });

  it('--log-programs inherit: they write by themselves, untagged', async (test) => {
    const stage = await scene(test, '', WRITER);
    const first = await stage.first(['--log-programs', 'inherit']);
    await say(stage, { stdout: 'out\n', stderr: 'err\n' });
    assert.equal(first.stdout, 'out\n');
    assert.ok(first.stderrLines.includes('err'));
  });

  it('of a worker that crashes are all there, before the line that says so', async (test) => {
    const source = `${WRITER}
      process.on('SIGUSR2', () => {
        for (let line = 0; line < 2000; line++) require('node:fs').writeSync(2, 'line ' + line + '\\n');
        process.kill(process.pid, 'SIGKILL');
      });`;
    const stage = await scene(test, '', source);
    const first = await stage.first();
    process.kill(childrenOf(first.pid)[0] as number, 'SIGUSR2');
    const crash = await first.waitFor('worker-exit');
    const lines = parsed(first.stderrLines);
    const at = lines.findIndex(({ event }) => event === 'worker-exit');
    const before = lines.slice(0, at).filter(({ stream }) => stream === 'stderr');
    assert.deepEqual(
      before.map(({ message }) => message),
      Array.from({ length: 2000 }, (_, line) => `line ${line}`),
    );
    assert.deepEqual((crash.stderr as string[]).slice(-2), ['line 1998', 'line 1999']);
  });

  it('what a grandchild in a session of its own writes goes on after the worker, and keeps nobody', async (test) => {
    const stage = await scene(
      test,
      '',
      `${WRITER}
      const child = require('node:child_process').spawn('sh', ['-c', 'trap "echo still here" USR1; while :; do sleep 0.05; done'],
        { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
      require('node:fs').writeFileSync('child', String(child.pid));
      process.on('SIGUSR2', () => process.exit(1));`,
    );
    const first = await stage.first();
    const pidOfChild = () => Number(readFileSync(stage.space.path('child'), 'utf8'));
    const children = [pidOfChild()];
    test.after(() => {
      for (const pid of children.filter(isAlive)) process.kill(pid, 'SIGKILL');
    });
    process.kill(childrenOf(first.pid)[0] as number, 'SIGUSR2');
    await first.waitFor('worker-restart');
    await until(() => pidOfChild() > 0 && pidOfChild() !== children[0], { what: 'the next worker' });
    children.push(pidOfChild());
    process.kill(children[0] as number, 'SIGUSR1');
    await first.waitForSaid(/^still here$/);
    first.kill();
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    for (const pid of children) process.kill(pid, 'SIGKILL');
  });
});

describe('at a terminal', () => {
  it('programs that ask find colours wanted, unless somebody said', async (test) => {
    const stage = await scene(test, '', `console.log('FORCE_COLOR=' + process.env.FORCE_COLOR + ';');${WRITER}`);
    const run = async (env: NodeJS.ProcessEnv, expected: RegExp): Promise<void> => {
      const command = `${process.execPath} ${CLI} start ${stage.script} --name app`;
      const terminal = new Terminal(stage.space, command, { PORT: String(stage.port), ...env });
      await terminal.waitFor(expected);
      await terminal.waitFor(/serves on/);
      terminal.type('\x03');
      assert.equal(await terminal.exit(), 0);
    };
    await run({ NO_COLOR: undefined, FORCE_COLOR: undefined }, /server\.0 g1 │ FORCE_COLOR=1;/);
    await run({ NO_COLOR: '1', FORCE_COLOR: undefined }, /server\.0 g1 │ FORCE_COLOR=undefined;/);
    await run({ NO_COLOR: undefined, FORCE_COLOR: '0' }, /server\.0 g1 │ FORCE_COLOR=0;/);
  });
});

describe('a reader that does not read', () => {
  it('holds up programs, not the supervisor: it hands over, and ends', async (test) => {
    // Says more than pipes and queues hold, once it is asked.
    const stage = await scene(
      test,
      '',
      `${WRITER}
      const flood = () => process.stdout.write('x'.repeat(99) + '\\n', (error) => error ?? setImmediate(flood));
      if (process.env.MOTYA_GENERATION === '1') process.on('SIGUSR2', flood);`,
    );
    const child = spawn(process.execPath, [CLI, 'start', stage.script, '--name', 'app', '--drain-timeout', '2s'], {
      cwd: stage.space.dir,
      env: { ...stage.space.env, PORT: String(stage.port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    test.after(() => child.kill('SIGKILL'));
    child.stdout.pause();
    child.stderr.resume();
    await until(() => get(stage.port).catch(() => false), { what: 'an answer' });
    const pid = child.pid as number;
    process.kill(childrenOf(pid)[0] as number, 'SIGUSR2');
    const exited = once(child, 'exit');
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal((await get(stage.port)).body, '2');
    // What nobody reads keeps nobody.
    assert.deepEqual(await exited, [0, null]);
    process.kill(stage.mainPid as number);
    await stage.space.nothingLeft();
    child.stdout.destroy();
  });
});

describe('a worker whose supervisor was killed', () => {
  it('finishes its request, whatever it writes meanwhile', async (test) => {
    const file = 'finish';
    const stage = await scene(
      test,
      '',
      `
      const fs = require('node:fs');
      require('node:http').createServer((request, response) => {
        response.writeHead(200, { 'content-length': 5 });
        response.write('be');
        const timer = setInterval(() => {
          process.stdout.write('still\\n');
          process.stderr.write('still\\n');
          console.log('still');
          if (!fs.existsSync('${file}')) return;
          clearInterval(timer);
          fs.writeSync(1, 'sync\\n');
          response.end('gun');
        }, 1);
      }).listen(process.env.PORT, '127.0.0.1');`.replace("'content-length': 5", "'content-length': 5"),
    );
    const first = await stage.first();
    const [worker = 0] = childrenOf(first.pid);
    const answer = get(stage.port);
    await first.waitForSaid(/still/);
    first.kill('SIGKILL');
    await first.waitForExit();
    // It has found its pipes broken, and its supervisor gone.
    await until(() => readlinkSync(`/proc/${worker}/fd/1`) === '/dev/null', { what: 'the worker to be an orphan' });
    stage.space.write(file, '');
    assert.equal((await answer).body, 'begun');
    await until(() => !isAlive(worker), { what: 'the end of the worker' });
  });
});

describe('the reason of a failure', () => {
  const broken = "console.error('just so'); throw new TypeError('broken on purpose')";

  it('has the error in one line, and its stack in the log', async (test) => {
    const stage = await scene(test, '', broken);
    const start = stage.start();
    assert.equal((await start.waitForExit()).code, 1);
    const { message, details, stderr } = failureOf(start);
    const said = `TypeError: broken on purpose (${stage.script}:1:33)`;
    assert.equal((details as Details).said, said);
    assert.ok(message.endsWith(`: ${said}`) && !message.includes('\n'), message);
    const lines = stderr as string[];
    assert.equal(lines[0], 'just so');
    assert.ok(lines.includes('TypeError: broken on purpose') && lines.length <= 20, lines.join('\n'));
  });

  it('reaches who wanted an upgrade, and the one that serves on', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    stage.space.write('server.cjs', broken);
    const upgrade = await stage.upgrade('--json');
    const said = `TypeError: broken on purpose (${stage.script}:1:33)`;
    const { code, details } = outcomeOf(upgrade);
    assert.deepEqual([upgrade.code, code, details?.said], [3, 'ERR_MOTYA_PROGRAM', said]);
    // For people, too.
    assert.ok((await stage.upgrade()).stderr.includes(said));
    const rejected = await first.waitFor('rejected');
    assert.deepEqual([rejected.code, rejected.details], [code, details]);
    // The successor's own line is in the same log.
    const failed = await first.waitFor('failed');
    assert.ok((failed.stderr as string[]).includes('just so'));
    assert.ok((await stage.status()).lastUpgrade?.text.endsWith(said));
  });
});

describe('a worker that dies while it drains', () => {
  it('is told of in the log', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const [worker = 0] = childrenOf(first.pid);
    const held = await stage.hold();
    first.kill('SIGQUIT');
    await servesAs(first, 2);
    process.kill(worker, 'SIGKILL');
    const { message, generation, inMs } = await first.waitFor('worker-exit');
    const what = `worker 0 of http (pid ${worker}) ended: signal SIGKILL`;
    assert.equal(message, `${what}; it drained, and what it still had is lost`);
    assert.deepEqual([generation, inMs], [1, null]);
    await assert.rejects(held.answer);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal((await who(stage.port)).generation, '2');
    assert.equal(existsSync(stage.pidfile), true);
  });
});
