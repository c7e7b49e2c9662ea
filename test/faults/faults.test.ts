import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../e2e/harness/index.js';
import { allCases, type Case, nameOf, prove } from './matrix.js';
import { tableOf } from './table.js';

/**
 * Cases of one run of all tests; `npm run test:faults` runs them all and keeps their table in docs/internals/faults.md, `FAULTS=text` runs
 * those whose name has the text in it.
 */
const SAMPLE = 8;
const wanted = process.env.FAULTS ?? '';
/** Cases at a time: most of the time of a case is the deadline of a process that waits. Other suites run beside the sample. */
const AT_ONCE = wanted === '' ? 2 : 4;
/** The same ones on each run, unless another seed is given: what fails on a change is a matter of that change. */
const seed = Number(process.env.FAULTS_SEED ?? 1);

/** mulberry32: the same cases for the same seed. */
function* random(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    yield ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

function sampleOf(cases: readonly Case[]): Case[] {
  const numbers = random(seed);
  const keyed = cases.map((one) => ({ one, key: numbers.next().value as number }));
  return keyed
    .sort((a, b) => a.key - b.key)
    .slice(0, SAMPLE)
    .map(({ one }) => one);
}

const name =
  'whatever goes wrong once in an upgrade: an instance serves, one is the main process, the next upgrade works';
test(name, { concurrency: AT_ONCE }, async (t) => {
  const all = await allCases(t);
  const cases =
    wanted === 'all' ? all : wanted === '' ? sampleOf(all) : all.filter((one) => nameOf(one).includes(wanted));
  t.diagnostic(wanted === '' ? `${cases.length} of ${all.length} cases, FAULTS_SEED=${seed}` : `${cases.length} cases`);
  const outcomes = new Map<Case, string>();
  await Promise.all(
    cases.map((one) =>
      t.test(nameOf(one), async (t) => {
        outcomes.set(one, await prove(t, one));
      }),
    ),
  );
  const table = tableOf(outcomes);
  console.log(table);
  if (wanted === 'all' && outcomes.size === all.length)
    writeFileSync(join(ROOT, 'docs', 'internals', 'faults.md'), told(table));
});

function told(table: string): string {
  return `# Faults

What becomes of an upgrade when one thing goes wrong in it, once. The points are each step of the phase table, each message that is
sent and each call of the addon, on both sides. At each point the process is killed, stopped for a while, throws, gets an error from
the call, or is delayed. After each case a process accepts on every listener within the deadlines, one process is the main process and
the pidfile names it, no file or process is left over, and the next upgrade works. When an incumbent dies before its listeners are
with another process, no process can go on (a [keeper](../guides/containers.md) or systemd would have copies): such a case says that
it was started again by hand.

A number in brackets is the passage through a point that is passed often. *Upgraded*, *rejected* (the old version serves on) and
*rolled back* are the outcomes of \`motya upgrade\` (exit status 0, 3, 6). *The command is cut off* is exit status 1: the incumbent died
during the command, or its connection broke, and the command says which instance serves. With exit status 5 the instance did not
answer. A process that is killed loses what is in it.

Written by \`npm run test:faults\`, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}.

${table}
`;
}
