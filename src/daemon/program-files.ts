import { createHash } from 'node:crypto';
import { type Dirent, existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROGRAM_FILES } from '../limits.js';

/** What an instance was started from: its scripts and its settings file, absolute, as they were typed. */
export interface ProgramFiles {
  readonly scripts: readonly string[];
  readonly source: string | null;
}

/** The way in which the fingerprint is made: one made in another way says nothing. */
const FORM = '1:';
const CODE = /\.[cm]?[jt]sx?$/;
const LISTS = /^(package\.json|package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?)$/;

/**
 * Changes with any file that a deploy replaces: where each script's path leads, the code and the package files of its package
 * (without one, those beside the script), what npm has installed, and the settings. A file counts by its inode and the time of its
 * last change (ctime), which no copy carries over from elsewhere as it may mtime.
 */
export function fingerprintOf({ scripts, source }: ProgramFiles): string {
  const hash = createHash('sha256');
  const add = (path: string): void => {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    hash.update(stat === undefined ? `${path} -\n` : `${path} ${stat.ino} ${stat.size} ${stat.ctimeNs}\n`);
  };
  if (source !== null) add(source);
  for (const script of scripts) {
    const real = realPath(script);
    add(real);
    const root = packageOf(real);
    for (const path of root === null ? codeBeside(dirname(real)) : codeBelow(root)) add(path);
    if (root !== null) add(join(root, 'node_modules', '.package-lock.json'));
  }
  return `${FORM}${hash.digest('base64')}`;
}

/** Whether the files have changed since the fingerprint was made; false when that cannot be told, such as from another root. */
export function haveChanged(files: ProgramFiles, fingerprint: string): boolean {
  if (!fingerprint.startsWith(FORM) || !files.scripts.every((script) => existsSync(script))) return false;
  return fingerprintOf(files) !== fingerprint;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** The directory of the nearest package.json at or above the script; null: there is none. */
function packageOf(script: string): string | null {
  for (let directory = dirname(script); ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return directory;
    if (directory === '/' || directory === '.') return null;
  }
}

const isCode = (entry: Dirent): boolean => entry.isFile() && (CODE.test(entry.name) || LISTS.test(entry.name));

function codeBeside(directory: string): string[] {
  return entriesOf(directory)
    .filter(isCode)
    .slice(0, PROGRAM_FILES)
    .map(({ name }) => join(directory, name));
}

/** At most {@link PROGRAM_FILES}, in a fixed order. */
function codeBelow(root: string): string[] {
  const found: string[] = [];
  const directories = [root];
  for (let next = directories.pop(); next !== undefined && found.length < PROGRAM_FILES; next = directories.pop()) {
    for (const entry of entriesOf(next)) {
      const isOwn = entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.');
      if (isOwn) directories.push(join(next, entry.name));
      else if (isCode(entry)) found.push(join(next, entry.name));
    }
  }
  return found.slice(0, PROGRAM_FILES);
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}
