import { realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { stemOf } from '../../base/os/paths.js';
import { cutLine } from '../../base/printable.js';
import { whyNotRunnable } from '../../config/resolve.js';
import { absolutePath } from '../../config/resolve-path.js';

/** Characters of a command that a message shows. */
const SHOWN = 1000;

/** What would be run in a directory. */
export interface Program {
  /** Name for its service. */
  readonly service: string;
  /** From the directory; absolute for what is installed elsewhere. */
  readonly script: string;
  readonly args: readonly string[];
  readonly nodeArgs: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Its working directory, from the directory: '' is the directory itself. */
  readonly cwd: string;
  /** Null: nothing says how many. */
  readonly workers: number | 'auto' | null;
}

/** A script that is run as it is. */
export function plainProgram(script: string, args: readonly string[] = []): Program {
  return { service: stemOf(script), script, args, nodeArgs: [], env: {}, cwd: '', workers: null };
}

/** As it would be typed behind `$`. */
export function typedCommand({ script, args, nodeArgs }: Program): string {
  const words = nodeArgs.length === 0 ? [script, ...args] : ['node', ...nodeArgs, script, ...args];
  return cutLine(words.map(shellWord).join(' '), SHOWN);
}

const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * The file that `node NAME` runs in a directory, as it would be typed there: for a directory its main file (`node .`); null: none.
 * A name without its ending stays as it is.
 */
export function mainFile(directory: string, name: string): string | null {
  const path = absolutePath(directory, name);
  if (whyNotRunnable(path) !== null) return null;
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return name;
  // Symlinks are resolved in it: what lies below the directory keeps the path that leads there.
  const main = createRequire(join(path, 'x')).resolve(path);
  const inside = relative(realpathSync(path), main);
  return inside.startsWith('..') ? main : join(name, inside);
}
