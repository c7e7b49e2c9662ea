import { basename } from 'node:path';
import { SettingsError } from '../../base/errors.js';
import { stemOf } from '../../base/os/paths.js';
import { findExecutable } from './executable.js';
import { LAUNCHERS } from './launchers.js';
import { packageIn } from './package-json.js';
import { mainFile, type Program, plainProgram, typedCommand } from './program.js';
import { StartScript } from './start-script.js';

/** What would be run in a directory, and why that. */
export interface Guess {
  readonly program: Program;
  /** Where it was found: `from the start script of package.json (node .)`; null: it was typed. */
  readonly origin: string | null;
  /** What else the user is to know: a line each. */
  readonly notes: readonly string[];
}

/** What the user is told of it: a line each. */
export const remarksOf = ({ program, origin, notes }: Guess): string[] => [
  `It runs ${typedCommand(program)}${origin === null ? '' : `: ${origin}`}`,
  ...notes,
];

/** What such files are usually called; looked for in this order. */
const USUAL = ['server', 'index', 'app', 'main'].flatMap((stem) => ['js', 'mjs', 'cjs'].map((end) => `${stem}.${end}`));

/** What npm itself starts then. */
const NPM_DEFAULT = 'server.js';

/**
 * What the start script of the directory's package.json runs; nothing else when there is one. Without: server.js, `main`, or what such
 * files are usually called.
 * @throws {SettingsError} one line: why none was found or taken, and what to type instead
 */
export function guessProgram(directory: string): Guess {
  const found = packageIn(directory);
  if (found?.scripts.has('start')) {
    const start = new StartScript(directory, LAUNCHERS);
    return { program: start.read(), origin: `from ${start.origin}`, notes: start.notes };
  }
  const main = found?.main ?? null;
  const candidates = [
    { name: NPM_DEFAULT, why: 'npm start runs it when package.json has no start script' },
    ...(main === null ? [] : [{ name: main, why: 'package.json has no start script; this is its main' }]),
    ...USUAL.map((name) => ({ name, why: 'package.json has no start script; this is a usual name' })),
  ];
  for (const { name, why } of candidates) {
    const script = mainFile(directory, name);
    if (script === null) continue;
    const origin = found === null ? 'there is no package.json; this is a usual name' : why;
    return { program: plainProgram(script), origin, notes: [] };
  }
  throw new SettingsError(nothingIn(directory, found));
}

/**
 * What was typed: a file, or a program of node_modules/.bin by its name.
 * @throws {SettingsError} such a program is none that can be run. Whether there is a file is not asked.
 */
export function namedProgram(directory: string, typed: string, args: readonly string[] = []): Guess {
  const main = typed === '' ? null : mainFile(directory, typed);
  if (main !== null || typed.includes('/') || !findExecutable(typed, directory)?.isLocal) {
    return { program: plainProgram(main ?? typed, args), origin: null, notes: [] };
  }
  const start = new StartScript(directory, LAUNCHERS);
  return { program: start.launch([typed, ...args]), origin: null, notes: start.notes };
}

function nothingIn(directory: string, found: ReturnType<typeof packageIn>): string {
  if (found?.hasWorkspaces) {
    return `${directory}: package.json has workspaces and no start script; run motya init in the directory of a workspace`;
  }
  const what =
    found === null
      ? 'there is no package.json, and no server.js, index.js, app.js or main.js'
      : 'package.json has no start script, and there is no main file, server.js, index.js, app.js or main.js';
  return `no program found in ${directory}: ${what}; name it: motya init PROGRAM`;
}

/** A name for what lives in the directory: its package's, else its own. @throws {SettingsError} a package.json that is no JSON */
export function nameOf(directory: string): string {
  const plain = packageIn(directory)?.name?.replace(/^@[^/]*\//, '') ?? basename(directory);
  // With an ending that stemOf takes off, so that a dot in the name is none.
  return stemOf(`${plain}.x`);
}
