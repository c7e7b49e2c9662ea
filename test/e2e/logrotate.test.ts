import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { app, type Child, fdList, lacks, ROOT, until } from './harness/index.js';
import { type Scene, scene } from './scene.js';
import * as chain from './traffic.js';

/** Debian's place for it, which is in nobody's PATH but root's. */
const LOGROTATE = '/usr/sbin/logrotate';
const skip = lacks('logrotate');

const WORKERS = 2;

/** Numbers its lines, each stream's from 1, all the time and at every request; at its end it says in a file how many they were. */
const COUNTING = `'use strict';
const { address, announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const { MOTYA_GENERATION: generation, MOTYA_WORKER_INDEX: index } = process.env;
let [out, err] = [0, 0];
const say = () => {
  console.log(JSON.stringify({ number: ++out, generation: Number(generation), text: 'x'.repeat(out % 200) }));
  console.error('line ' + ++err + ' ' + 'y'.repeat(err % 200));
};
setInterval(say, 2);
process.on('exit', () => {
  require('node:fs').writeFileSync('said-' + generation + '.' + index, JSON.stringify({ stdout: out, stderr: err }));
});
process.on('SIGTERM', () => process.exit());
const server = require('node:http').createServer((request, response) => {
  say();
  handler(request, response);
});
server.listen(...address(), () => announce(server));
`;

test('logrotate, three times in five upgrades under load, while old generations drain: each line is there, once', {
  skip,
}, async (context) => {
  const stage = await scene(context, '', COUNTING);
  const log = stage.space.path('logs', 'app.log');
  stage.space.write('logs/app.log', '');
  const first = await startLogged(stage, log);
  const rotate = rotator(stage, log);
  const load = await chain.traffic({ port: stage.port, keepAlive: 4, fresh: 2, slow: 1, slowMs: 100 });
  const answers: Promise<unknown>[] = [];
  const finish: (() => void)[] = [];
  const hold = async () => {
    const held = await stage.hold();
    answers.push(held.answer);
    finish.push(held.finish);
  };
  let report: Awaited<ReturnType<typeof load.stop>>;
  try {
    await hold();
    await chain.upgrade(stage.space);
    await rotate();
    await hold();
    // Whoever is main when the signal comes.
    await Promise.all([chain.upgrade(stage.space), rotate()]);
    finish.shift()?.();
    await chain.upgrade(stage.space);
    await hold();
    await Promise.all([rotate(), chain.upgrade(stage.space)]);
    await chain.upgrade(stage.space);
  } finally {
    report = await load.stop();
    for (const done of finish) done();
  }
  await Promise.all(answers);
  chain.assertFlawless(report);
  await first.waitForExit();
  process.kill(stage.mainPid as number);
  await stage.space.nothingLeft();

  const rotated = readdirSync(stage.space.path('logs')).sort();
  assert.deepEqual(rotated, ['app.log', 'app.log.1', 'app.log.2.gz', 'app.log.3.gz']);
  const lines = linesOf(stage, rotated.reverse());
  assertComplete(stage, lines);
  context.diagnostic(`${lines.length} lines, ${report.answers} answers`);
});

async function startLogged(stage: Scene, log: string): Promise<Child> {
  const first = stage.start(['--log-file', log, '--workers', String(WORKERS), ...chain.NEVER_FORCED]);
  await until(() => stage.who().catch(() => false), { what: 'an answer', instead: () => first.describe() });
  return first;
}

/** The example, with the paths of this test; as root also with its owner, else with our own. */
function rotator(stage: Scene, log: string): () => Promise<void> {
  const example = readFileSync(join(ROOT, 'examples/logrotate.conf'), 'utf8');
  const owned = process.getuid?.() === 0 ? example : example.replace(/create .*/, 'create 0640');
  const config = stage.space.write(
    'logrotate.conf',
    owned.replace('/var/log/shop.log', log).replace('/run/shop/shop.pid', stage.pidfile),
  );
  assert.ok(!readFileSync(config, 'utf8').includes('shop'));
  const args = ['--force', '--verbose', '--state', stage.space.path('logrotate.state'), config];
  return async () => {
    const run = stage.space.start(LOGROTATE, args);
    assert.deepEqual(await run.waitForExit(), { code: 0, signal: null }, run.describe());
    // As between two days: the next one may compress what is closed by then.
    const held = () =>
      stage.space.processes().flatMap((pid) => {
        const files = fdList(pid).filter(({ target }) => target.startsWith(`${log}.`));
        return files.map(({ target }) => `${pid} has ${target}`);
      });
    await until(() => held().length === 0, { what: 'every process to have opened the new file', instead: held });
  };
}

/** The lines of the files, the oldest first. */
function linesOf(stage: Scene, files: readonly string[]): string[] {
  return files.flatMap((name) => {
    const path = stage.space.path('logs', name);
    assert.ok(statSync(path).size > 0, `${name} is empty`);
    const bytes = readFileSync(path);
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    assert.ok(text.endsWith('\n'), `the last line of ${name} is torn`);
    return text.slice(0, -1).split('\n');
  });
}

interface Line {
  readonly level?: string;
  readonly worker?: number;
  readonly generation: number;
  readonly number?: number;
  readonly message?: string;
}

/** Of every stream of every worker all numbers, once and in order. */
function assertComplete(stage: Scene, lines: readonly string[]): void {
  const found = new Map<string, number[]>();
  for (const line of lines) {
    // A torn line does not parse.
    const { worker, generation, number, message } = JSON.parse(line) as Line;
    const said = number ?? Number(/^line (\d+) y*$/.exec(message ?? '')?.[1]);
    if (worker === undefined || Number.isNaN(said)) continue;
    const stream = `${generation}.${worker} ${number === undefined ? 'stderr' : 'stdout'}`;
    const numbers = found.get(stream);
    if (numbers === undefined) found.set(stream, [said]);
    else numbers.push(said);
  }
  const expected = readdirSync(stage.space.dir).flatMap((name) => {
    const who = /^said-(.*)$/.exec(name)?.[1];
    if (who === undefined) return [];
    const counts = JSON.parse(readFileSync(stage.space.path(name), 'utf8')) as Record<string, number>;
    return Object.entries(counts).map(([stream, count]) => [`${who} ${stream}`, count] as const);
  });
  assert.equal(expected.length, 2 * WORKERS * 6);
  for (const [stream, count] of expected) {
    const numbers = found.get(stream) ?? [];
    const wrong = numbers.findIndex((number, index) => number !== index + 1);
    assert.deepEqual(
      { stream, count: numbers.length, wrong: wrong < 0 ? null : numbers.slice(wrong - 1, wrong + 3) },
      { stream, count, wrong: null },
    );
  }
}
