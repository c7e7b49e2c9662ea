import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  LAST_LINES_BYTES,
  LAST_LINES_COUNT,
  LAST_LINES_REASON_LENGTH,
  LastLines,
  reasonIn,
} from '#src/logging/last-lines.js';
import { scratch } from '../base/native/support.js';

const wordsOf = (...chunks: readonly (string | Buffer)[]): string[] => {
  const words = new LastLines();
  for (const chunk of chunks) words.push(Buffer.from(chunk));
  return words.lines();
};

test('what a program that ends says of the reason, in one line, with the place', (t) => {
  const directory = scratch(t);
  const programs: [name: string, source: string, reason: string][] = [
    ['throws.cjs', "throw new Error('on purpose')", 'Error: on purpose (FILE:1:7)'],
    ['colours.cjs', "process.stderr.write('\\x1b[31mred\\x1b[0m\\n')", 'red'],
    ['syntax.cjs', 'oops(', 'SyntaxError: Unexpected end of input (FILE:1)'],
    ['syntax.mjs', 'oops(', 'SyntaxError: Unexpected end of input (FILE:1)'],
    ['missing.cjs', "require('nowhere')", "Error: Cannot find module 'nowhere' (FILE:1:1)"],
    ['type.mjs', 'await null.x', "TypeError: Cannot read properties of null (reading 'x') (FILE:1:12)"],
    ['rejects.cjs', "Promise.reject(new RangeError('late'))", 'RangeError: late (FILE:1:16)'],
    ['cause.cjs', "throw new Error('outer', { cause: new Error('inner') })", 'Error: outer (FILE:1:7)'],
    ['own.cjs', "throw Object.assign(new Error('x'), { name: 'DbError', code: 7 })", 'Error [DbError]: x (FILE:1:21)'],
    ['text.cjs', "throw 'a text'", 'a text'],
    ['says.cjs', "console.error('DATABASE_URL is not set\\n'); process.exit(1)", 'DATABASE_URL is not set'],
  ];
  for (const [name, source, reason] of programs) {
    const file = join(directory, name);
    writeFileSync(file, source);
    const { stderr } = spawnSync(process.execPath, [file], {
      encoding: 'buffer',
      env: { ...process.env, FORCE_COLOR: '1' },
    });
    assert.equal(reasonIn(wordsOf(stderr)), reason.replace('FILE', file), String(stderr));
  }
  const { stderr } = spawnSync(process.execPath, ['--no-such-option'], { encoding: 'utf8' });
  assert.match(reasonIn(wordsOf(stderr)) ?? '', /bad option: --no-such-option$/);
  assert.equal(reasonIn(wordsOf('')), null);
});

test('the end is kept, in whole lines, however it came', () => {
  assert.deepEqual(wordsOf('a\nb', 'c\n', 'd'), ['a', 'bc', 'd']);
  const many = Array.from({ length: 100 }, (_, line) => `line ${line}`);
  assert.deepEqual(wordsOf(...many.map((line) => `${line}\n`)), many.slice(-LAST_LINES_COUNT));
  const long = 'x'.repeat(LAST_LINES_BYTES);
  assert.deepEqual(wordsOf(`${long}\nlast\n`), ['last']);
  assert.deepEqual(wordsOf(long.slice(8), '\nlast', ' words\n'), ['last words']);
  assert.equal(reasonIn([`Error: ${long}`])?.length, LAST_LINES_REASON_LENGTH);
});
