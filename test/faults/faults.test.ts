import { test } from 'node:test';
import { allCases, type Case, nameOf, prove } from './matrix.js';

/** Cases of one run of all tests; `npm run test:faults` runs them all, `FAULTS=text` those whose name has the text in it. */
const SAMPLE = 8;
const wanted = process.env.FAULTS ?? '';
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

test('whatever goes wrong once in an upgrade: somebody serves, one is the main process, the next upgrade works', async (t) => {
  const all = await allCases(t);
  const cases =
    wanted === 'all' ? all : wanted === '' ? sampleOf(all) : all.filter((one) => nameOf(one).includes(wanted));
  t.diagnostic(wanted === '' ? `${cases.length} of ${all.length} cases, FAULTS_SEED=${seed}` : `${cases.length} cases`);
  for (const one of cases) {
    await t.test(nameOf(one), async (t) => {
      t.diagnostic(await prove(t, one));
    });
  }
});
