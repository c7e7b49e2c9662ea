import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { freePort, workspace } from '../../e2e/harness/index.js';
import { get } from '../../e2e/scene.js';
import { SERVER, sandboxEnvironment } from './support.js';

/** ms: a drill takes some ten seconds; this is for two busy cores. */
const DRILL_MS = 120_000;

interface Step {
  readonly step: string;
  readonly ok: boolean;
  readonly text: string;
  readonly answers: number;
  readonly failures: object;
  readonly inside: number;
}

/** Without the hint that a machine which is busy for DRILL_STALL_MS brings about. */
const unlessSlow = (hints: readonly string[]): string[] =>
  hints.filter((hint) => !/slow to answer at first/.test(hint));

interface Result {
  readonly ok: boolean;
  readonly lost: number;
  readonly moved: number;
  readonly stayed: object;
  readonly hints: string[];
}

/** What `motya drill --json` has said: the beginning, the steps, the result. */
function told(stdout: string): { steps: Step[]; result: Result } {
  const [, ...lines] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { steps: lines.slice(0, -1), result: lines.at(-1) };
}

test('a good program loses nothing, and the same one in production is left alone', async (t) => {
  const space = workspace(t);
  const { env, left } = sandboxEnvironment(space);
  const script = space.write('server.js', SERVER);
  const port = await freePort();
  const count = space.path('count');
  const production = space.motya(['start', script, '--name', 'app'], { env: { PORT: String(port), COUNT: count } });
  await production.waitFor('serving');
  const { body } = await get(port);
  const before = await space.ask('app');
  // As whoever is in the directory of production would call it, name and all.
  const flags = ['--name', 'app', '--upgrades', '1', '--json'];
  const { code, stdout, stderr } = await space.run(['drill', script, ...flags], {
    env: { ...env, PORT: String(port) },
    deadline: DRILL_MS,
  });
  assert.equal(code, 0, stdout + stderr);
  const { steps, result } = told(stdout);
  assert.deepEqual(
    steps.map(({ step, ok }) => [step, ok]),
    ['steady', 'upgrade', 'killed', 'broken', 'sigterm'].map((step) => [step, true]),
  );
  assert.equal(
    steps.slice(0, 4).every(({ answers }) => answers > 0),
    true,
    stdout,
  );
  // It has no handler, so the kernel has ended it with these inside.
  assert.equal(steps.at(-1)?.inside, 4, stdout);
  assert.deepEqual([result.ok, result.lost], [true, 0]);
  // The clients that keep their connection.
  assert.deepEqual([result.moved, result.stayed], [4, {}]);
  assert.deepEqual(unlessSlow(result.hints), []);
  assert.deepEqual(left(), []);
  assert.deepEqual(space.processes().sort(), [production.pid, Number(body)].sort());
  assert.equal((await get(port)).body, body);
  const after = await space.ask('app');
  assert.deepEqual([after.pid, after.generation, after.listeners], [before.pid, 1, before.listeners]);
  // Two requests, both ours.
  assert.equal(space.processes().length, 2);
  assert.equal(readFileSync(count, 'utf8'), 'undefined\nundefined\n');
});

test('process.exit on SIGTERM loses what is inside, and the hint names the line', async (t) => {
  const space = workspace(t);
  const { env, left } = sandboxEnvironment(space);
  const script = space.write('server.js', `${SERVER}process.on('SIGTERM', () => process.exit());\n`);
  const { code, stdout, stderr } = await space.run(['drill', script, '--upgrades', '1'], {
    env: { ...env, PORT: '80' },
    deadline: DRILL_MS,
  });
  assert.equal(code, 1, stdout + stderr);
  const lines = stdout.trim().split('\n');
  assert.match(
    lines.find((line) => line.startsWith('LOST')) ?? '',
    /^LOST {2}SIGTERM to the program .*; 4 reset before/,
  );
  assert.equal(lines.filter((line) => line.startsWith('ok')).length, 4, stdout);
  const [hint] = unlessSlow(lines.filter((line) => line.startsWith('hint: ')));
  assert.match(hint ?? '', /^hint: the program calls process\.exit on SIGTERM \(\/.*\/server\.js:7\): /);
  assert.deepEqual([left(), space.processes()], [[], []]);
});
