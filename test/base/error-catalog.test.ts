import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ERRORS } from '#src/base/error-catalog.js';
import { ROOT } from '../e2e/harness/index.js';

const CATALOG = 'src/base/error-catalog.ts';
const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .map((name) => join('src', name))
  .filter((path) => /\.c?ts$/.test(path) && path !== CATALOG)
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** Classes of errors, with the one that each extends. */
const classes = new Map(
  sources.flatMap(({ text }) =>
    [...text.matchAll(/class (\w+) extends (\w*Error)\b/g)].map(([, name, base]) => [name as string, base as string]),
  ),
);
const isMotyaError = (name: string): boolean =>
  name === 'MotyaError' || (classes.has(name) && isMotyaError(classes.get(name) as string));

describe('the catalogue of error codes', () => {
  test('has each code that a source file names, also in comments and log lines', () => {
    const unknown = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/\bERR_MOTYA_\w+/g)].filter(([code]) => !(code in ERRORS)).map(([code]) => `${path}: ${code}`),
    );
    assert.deepEqual(unknown, []);
  });

  test('has no code that no source file raises', () => {
    const unused = Object.keys(ERRORS).filter((code) => !sources.some(({ text }) => text.includes(`'${code}'`)));
    assert.deepEqual(unused, []);
  });

  test('names each class that is thrown with a code', () => {
    const thrown = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/new (\w*Error)\(\s*'(ERR_MOTYA_\w+)'/g)].map(([, name, code]) => ({ path, name, code })),
    );
    assert.ok(thrown.length > 60);
    const wrong = thrown.filter(({ name, code }) => {
      const entry = ERRORS[code as keyof typeof ERRORS];
      return !(entry.classes as readonly string[]).includes(name as string);
    });
    assert.deepEqual(wrong, []);
  });

  test('names no class that is not a MotyaError', () => {
    const named = Object.values(ERRORS).flatMap((entry): readonly string[] => entry.classes);
    assert.deepEqual(
      named.filter((name) => !isMotyaError(name)),
      [],
    );
  });

  test('a code is spelled like no environment variable of ours', () => {
    const likeVariables = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/\bcode: '(MOTYA_\w+)'|Error\('(MOTYA_\w+)'/g)].map(([found]) => `${path}: ${found}`),
    );
    assert.deepEqual(likeVariables, []);
  });

  test('each entry is a sentence of what it means and one of what to do', () => {
    for (const [code, { meaning, remedy }] of Object.entries(ERRORS)) {
      assert.match(meaning, /^[A-Z`].*\.$/s, code);
      assert.match(remedy, /^[A-Z`].*\.$/s, code);
    }
  });
});
