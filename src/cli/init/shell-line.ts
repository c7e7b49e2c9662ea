import { SettingsError } from '../../base/errors.js';

/** One command of a line for sh(1): `PORT=80 node server.js`. */
export interface ShellCommand {
  /** The assignments before the command. */
  readonly env: Readonly<Record<string, string>>;
  /** The command and its arguments, without quotes. */
  readonly words: readonly string[];
  /** As it was written. */
  readonly text: string;
}

/** What a shell would do with a character that this module does not read, and how it is written. */
const UNREAD: readonly (readonly [RegExp, string])[] = [
  [/\$\(|`/y, 'the output of a command'],
  [/\$\{?\w*(?:[^}\s"']*\})?/y, 'a shell variable'],
  [/\|\|/y, 'an alternative'],
  [/\|&?/y, 'a pipe'],
  [/&/y, 'a command in the background'],
  [/[<>]+&?/y, 'a redirection'],
  [/[()]/y, 'a subshell'],
  [/[*?[]/y, 'a file name pattern'],
  [/[{}]/y, 'a group'],
  [/~/y, 'the home directory'],
  [/#/y, 'a comment'],
  [/!/y, 'a negation'],
  [/["']/y, 'a quote that does not end'],
  [/\\/y, 'a backslash at the end of a line'],
];

const BLANK = /[ \t\r]+/y;
/** What joins commands that run one after the other. */
const NEXT = /&&|;|\n/y;
/** Parts of a word, and how their text is got. `~`, `#` and `!` mean something at its beginning only. */
const BARE_START = /[^\s'"\\$`|&;<>()*?[{}~#!]+/y;
const BARE = /[^\s'"\\$`|&;<>()*?[{}]+/y;
const SINGLE = /'([^']*)'/y;
const DOUBLE = /"((?:[^"\\$`]|\\[\s\S])*)"/y;
const UNENDED = /"(?:[^"\\$`]|\\[\s\S])*/y;
const ESCAPED = /\\([^\n])/y;

/**
 * The commands of a line, in the order in which they run: words, quotes, assignments, `&&` and `;`. All else that a shell knows is
 * refused: this reads what a line runs, it does not run it.
 * @throws {SettingsError} completes "the line …"
 */
export function readShellLine(line: string): ShellCommand[] {
  const commands: ShellCommand[] = [];
  let env: Record<string, string> = {};
  let words: string[] = [];
  let start = 0;
  let before = '';
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(line);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  /** What `unread` makes of the rest of the line. */
  const refuse = (): never => {
    const quote = at;
    // What is wrong may stand between quotes.
    if (match(UNENDED) !== null && at === line.length) at = quote;
    for (const [pattern, what] of UNREAD) {
      const found = match(pattern);
      if (found !== null) throw new SettingsError(`has ${what} (${found[0]}), which only a shell understands`);
    }
    throw new SettingsError(`cannot be read from ${JSON.stringify(line.slice(at, at + 10))} on`);
  };
  /** @param joint what stands behind it: `&&`, `;` or a line's end; '' at the end */
  const endCommand = (end: number, joint: string): void => {
    const text = line.slice(start, end).trim();
    if (text !== '') commands.push({ env, words, text });
    else if (joint !== '\n' && !(joint === '' && before !== '&&')) {
      throw new SettingsError(`has no command ${joint === '' ? 'after &&' : `before ${joint}`}, which a shell refuses`);
    }
    if (text !== '' || joint !== '\n') before = joint;
    [env, words, start] = [{}, [], at];
  };
  const readWord = (): void => {
    const from = at;
    let text = '';
    // Quotes and backslashes before its "=" make a word no assignment.
    const isAssignment = /^[A-Za-z_]\w*=/.test(line.slice(from)) && words.length === 0;
    for (;;) {
      const bare = match(at === from ? BARE_START : BARE);
      const part = bare ?? match(SINGLE) ?? match(ESCAPED);
      const quoted = part === null ? match(DOUBLE) : null;
      if (part !== null) text += part[1] ?? part[0];
      // sh(1) leaves other backslashes between double quotes as they are.
      else if (quoted !== null) text += (quoted[1] ?? '').replace(/\\(?:\n|([$`"\\]))/g, '$1');
      else break;
    }
    if (at === from) refuse();
    if (isAssignment && /[=:]~/.test(text))
      throw new SettingsError('has the home directory (~), which only a shell understands');
    const equals = text.indexOf('=');
    if (isAssignment) env[text.slice(0, equals)] = text.slice(equals + 1);
    else words.push(text);
  };

  while (at < line.length) {
    if (match(BLANK) !== null) continue;
    const end = at;
    const joint = match(NEXT);
    if (joint !== null) endCommand(end, joint[0]);
    else readWord();
  }
  endCommand(line.length, '');
  return commands;
}
