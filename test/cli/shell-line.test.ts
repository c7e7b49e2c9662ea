import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { readShellLine } from '#src/cli/init/shell-line.js';

/** What means something to a shell, and a little that does not. */
const PARTS = [
  ...'ab-é=: \t"\'\\$`~#!{}[]()*?;|&<>@%^,\n'.split(''),
  'A=',
  '&&',
  '\\"',
  "\\'",
  '$x',
  ' node ',
  '"a\\b"',
];
const line = fc.array(fc.constantFrom(...PARTS), { maxLength: 10 }).map((parts) => parts.join(''));

/** The words of the one command that a line is; null where it is none, or is refused. */
function wordsOf(text: string): readonly string[] | null {
  try {
    const commands = readShellLine(`each ${text}`);
    return commands.length === 1 ? (commands[0]?.words.slice(1) ?? null) : null;
  } catch {
    return null;
  }
}

test('a line that is not refused has the words that sh(1) sees in it', () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 300, maxLength: 300 }), (lines) => {
      const read = lines.map((text) => ({ text, words: wordsOf(text) })).filter(({ words }) => words !== null);
      const show = 'each() { printf "%s" $#; for word in "$@"; do printf "\\001%s" "$word"; done; printf "\\002"; }';
      const input = [show, ...read.map(({ text }) => `each ${text}`), ''].join('\n');
      const seen = execFileSync('sh', ['-s'], { input, encoding: 'utf8', cwd: '/' }).split('\x02');
      for (const [index, { text, words }] of read.entries()) {
        assert.equal(seen[index], [words?.length, ...(words ?? [])].join('\x01'), JSON.stringify(text));
      }
      assert.equal(seen.length, read.length + 1);
    }),
    { numRuns: 40 },
  );
});
