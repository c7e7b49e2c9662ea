import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Defect, inBackground, onDefect, repeatInBackground, reportDefect } from '#src/base/background.js';
import { until } from '../e2e/harness/until.js';

function heard(t: TestContext): Defect[] {
  const defects: Defect[] = [];
  t.after(onDefect((defect) => defects.push(defect) > 0));
  return defects;
}

test('a rejection is reported with what it was during; a promise that resolves is not', async (t) => {
  const defects = heard(t);
  inBackground('the good work', Promise.resolve());
  const error = new Error('boom');
  inBackground('the bad work', Promise.reject(error));
  inBackground('other work', Promise.reject('a text'));
  await new Promise(setImmediate);
  assert.deepEqual(
    defects.map(({ during, error, repeated }) => [during, error.message, repeated]),
    [
      ['the bad work', 'boom', 0],
      ['other work', 'a text', 0],
    ],
  );
  assert.equal(defects[0]?.error, error);
});

test('a defect says whether its work was to lead to the end of an instance', async (t) => {
  const defects = heard(t);
  inBackground('the stop', Promise.reject(new Error('the stop')), { leadsToTheEnd: true });
  inBackground('a count', Promise.reject(new Error('a count')));
  await new Promise(setImmediate);
  assert.deepEqual(
    defects.map(({ during, leadsToTheEnd }) => [during, leadsToTheEnd]),
    [
      ['the stop', true],
      ['a count', false],
    ],
  );
});

test('work that is repeated begins at once; each failure is reported, and it goes on', async (t) => {
  const defects = heard(t);
  let times = 0;
  const timer = repeatInBackground('the look', 1, async () => {
    times += 1;
    throw new Error(`look ${times}`);
  });
  t.after(() => clearInterval(timer));
  assert.equal(times, 1);
  await until(() => defects.length >= 2, { what: 'two defects' });
  assert.deepEqual(
    defects.slice(0, 2).map(({ during, error }) => [during, error.message]),
    [
      ['the look', 'look 1'],
      ['the look', 'look 2'],
    ],
  );
});

test('the same defect again and again is counted, and told once in a while', (t) => {
  let now = 1_000_000;
  t.mock.method(performance, 'now', () => now);
  const defects = heard(t);
  const error = new Error('again');
  for (let time = 0; time < 1000; time++) reportDefect('a loop', error);
  assert.deepEqual(
    defects.map(({ repeated }) => repeated),
    [0],
  );
  now += 60_000;
  reportDefect('a loop', error);
  assert.deepEqual(
    defects.map(({ repeated }) => repeated),
    [0, 999],
  );
});

test('a defect that no listener tells of, or whose listener fails, is a warning of the process', async (t) => {
  const warnings: (Error & { code?: string; detail?: string })[] = [];
  const listen = (warning: Error): unknown => warnings.push(warning);
  process.on('warning', listen);
  t.after(() => process.off('warning', listen));
  const warned = once(process, 'warning');
  reportDefect('the work', new Error('alone'));
  await warned;
  const [first] = warnings;
  assert.equal(first?.name, 'MotyaDefect');
  assert.equal(first?.code, 'ERR_MOTYA_INTERNAL');
  assert.match(String(first?.detail), /^Error: alone\n +at /);

  t.after(
    onDefect(() => {
      throw new Error('the listener');
    }),
  );
  reportDefect('the work', new Error('with a bad listener'));
  await new Promise(setImmediate);
  assert.deepEqual(
    warnings.slice(1).map(({ detail }) => detail?.split('\n')[0]),
    ['Error: the listener', 'Error: with a bad listener'],
  );
});
