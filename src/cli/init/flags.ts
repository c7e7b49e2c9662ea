/** One flag of a command line: `--port 80`, `--port=80`, `-r x`. */
export interface TypedFlag {
  /** `--port`. */
  readonly name: string;
  readonly value: string | null;
  /** As typed: one word or two. */
  readonly words: readonly string[];
}

/**
 * The flags before the first other word, and what follows them. `--` ends them and is left out.
 * @param valued those that take the next word, when they have no `=`
 */
export function leadingFlags(
  words: readonly string[],
  valued: ReadonlySet<string>,
): { flags: TypedFlag[]; rest: string[] } {
  const flags: TypedFlag[] = [];
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] as string;
    if (word === '--') return { flags, rest: words.slice(at + 1) };
    if (!word.startsWith('-') || word === '-') break;
    const [name = '', ...value] = word.split('=');
    const next = words[at + 1];
    if (value.length > 0) flags.push({ name, value: value.join('='), words: [word] });
    else if (!valued.has(name) || next === undefined) flags.push({ name, value: null, words: [word] });
    else {
      flags.push({ name, value: next, words: [word, next] });
      at++;
    }
  }
  return { flags, rest: words.slice(at) };
}

/** Flags and other words in any order, and what follows the first `--`. */
export function sortedWords(
  words: readonly string[],
  valued: ReadonlySet<string>,
): { flags: TypedFlag[]; operands: string[]; after: string[] } {
  const end = words.indexOf('--');
  const after = end < 0 ? [] : words.slice(end + 1);
  const flags: TypedFlag[] = [];
  const operands: string[] = [];
  let left = end < 0 ? words : words.slice(0, end);
  while (left.length > 0) {
    const { flags: found, rest } = leadingFlags(left, valued);
    flags.push(...found);
    operands.push(...rest.slice(0, 1));
    left = rest.slice(1);
  }
  return { flags, operands, after };
}
