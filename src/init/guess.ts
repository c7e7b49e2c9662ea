import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stemOf } from '../daemon/paths.js';
import { SettingsError } from '../errors.js';

/** What would be run in a folder. */
export interface Program {
  /** As it would be typed in the folder. */
  readonly script: string;
  readonly args: readonly string[];
  readonly nodeArgs: readonly string[];
}

/** Looked for in this order when package.json does not say; `npm start` without a script means server.js too. */
const USUAL = ['server', 'index', 'app', 'main'].flatMap((stem) => ['js', 'mjs', 'cjs'].map((end) => `${stem}.${end}`));

/** What the folder's package.json starts, else its `main`, else what such files are usually called. @throws {SettingsError} */
export function guessProgram(folder: string): Program {
  const { scripts, main } = packageOf(folder);
  const started = typeof scripts?.start === 'string' ? plainNode(folder, scripts.start) : null;
  if (started !== null) return started;
  const candidates = [...(typeof main === 'string' ? [main] : []), ...USUAL];
  const script = candidates.find((name) => isFile(join(folder, name)));
  if (script !== undefined) return { script, args: [], nodeArgs: [] };
  throw new SettingsError(
    `no program found in ${folder} (package.json with main, server.js, index.js, app.js); name it: motya init server.js`,
  );
}

/** A name for what lives in the folder: its package's, else its own. */
export function nameOf(folder: string): string {
  const { name } = packageOf(folder);
  const plain = typeof name === 'string' && name !== '' ? name.replace(/^@[^/]*\//, '') : basename(folder);
  // With an ending that stemOf takes off, so that a dot in the name is none.
  return stemOf(`${plain}.x`);
}

interface Package {
  readonly name?: unknown;
  readonly main?: unknown;
  readonly scripts?: { readonly start?: unknown };
}

/** Nothing where there is none that can be read: it is only asked for hints. */
function packageOf(folder: string): Package {
  try {
    const content: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return typeof content === 'object' && content !== null ? content : {};
  } catch {
    return {};
  }
}

/** `node --flag server.js --port 80` in its parts; null for what needs a shell or another program. */
function plainNode(folder: string, line: string): Program | null {
  const [node, ...words] = line.trim().split(/\s+/);
  if (node !== 'node' || !words.every((word) => /^[\w@%+=:,./-]+$/.test(word))) return null;
  const at = words.findIndex((word) => !word.startsWith('--'));
  const script = words[at];
  if (script === undefined || !isFile(join(folder, script))) return null;
  return { script, nodeArgs: words.slice(0, at), args: words.slice(at + 1) };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
