import { createHash } from 'node:crypto';
import { type Dirent, existsSync, opendirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isSystemError } from '../base/errors.js';

/** Files of a program that are looked at when a waiting successor is to be taken: with a hash some 10 µs each. */
const PROGRAM_FILES = 10_000;
/** Directories in which they are looked for, at most: a thousand with 200 entries each take some 100 ms. */
const PROGRAM_DIRECTORIES = 1_000;
/** Entries of a directory beyond which none of it is looked at: uploads, a cache. Source code has some hundreds at most. */
export const PROGRAM_DIRECTORY_ENTRIES = 1_000;

/** What an instance was started from: its scripts and its settings file, absolute, as they were typed. */
export interface ProgramFiles {
  readonly scripts: readonly string[];
  /** Working directories of the services, absolute: one for each script. */
  readonly cwds?: readonly string[] | undefined;
  readonly source: string | null;
}

/** The way in which the fingerprint is made: one made in another way says nothing. */
const FORM = '4:';
const CODE = /\.[cm]?[jt]sx?$/;
const LISTS = /^(package\.json|package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?)$/;
/** What npm has installed, and what `next build` has built: hidden directories are not looked into. */
const MADE = ['node_modules/.package-lock.json', '.next/BUILD_ID'];

/**
 * Changes with any file that a deploy replaces: where each script's path leads, the code and the package files of its package
 * (without one, those beside the script; for a program of node_modules, those of the package that has it installed and of
 * the one it runs in: with workspaces, npm installs it at the root), what npm has installed and Next.js has built, and the settings. A file counts by its inode and the time of its last change (ctime), which no copy
 * carries over from elsewhere as it may mtime. Never throws: one that cannot be looked at counts by the reason.
 */
export function fingerprintOf({ scripts, cwds = [], source }: ProgramFiles): string {
  const hash = createHash('sha256');
  const add = (path: string): void => {
    hash.update(`${path} ${stateOf(path)}\n`);
  };
  if (source !== null) add(source);
  for (const [index, script] of scripts.entries()) {
    const real = realPath(script);
    add(real);
    const roots = new Set([packageOf(dirname(real))]);
    const cwd = cwds[index];
    if (cwd !== undefined && real.includes('/node_modules/')) roots.add(packageOf(realPath(cwd)));
    if (roots.size > 1) roots.delete(null);
    for (const root of roots) {
      for (const path of root === null ? codeBeside(dirname(real)) : codeBelow(root)) add(path);
      if (root !== null) for (const path of MADE) add(join(root, path));
    }
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

function stateOf(path: string): string {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? '-' : `${stat.ino} ${stat.size} ${stat.ctimeNs}`;
  } catch (error) {
    return isSystemError(error) ? error.code : '?';
  }
}

/**
 * The nearest directory with a package.json, from this one upwards, outside of node_modules if there is one: `next start` runs the
 * files of the package that has next installed. Null: there is none. One in `/` would make all files the program's.
 */
function packageOf(start: string): string | null {
  let installed: string | null = null;
  for (let directory = start; directory !== '/' && directory !== '.'; directory = dirname(directory)) {
    if (!existsSync(join(directory, 'package.json'))) continue;
    if (!directory.includes('/node_modules/')) return directory;
    installed ??= directory;
  }
  return installed;
}

const isCode = (entry: Dirent): boolean => entry.isFile() && (CODE.test(entry.name) || LISTS.test(entry.name));

function codeBeside(directory: string): string[] {
  return entriesOf(directory)
    .filter(isCode)
    .map(({ name }) => join(directory, name));
}

/** At most {@link PROGRAM_FILES}, in a fixed order: what is nearest to the root comes first. On its file system alone. */
function codeBelow(root: string): string[] {
  const found: string[] = [];
  const directories = [root];
  const device = deviceOf(root);
  for (let at = 0; at < directories.length && found.length < PROGRAM_FILES; at++) {
    const directory = directories[at] as string;
    if (deviceOf(directory) !== device) continue;
    for (const entry of entriesOf(directory)) {
      const isOwn = entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.');
      if (isCode(entry)) found.push(join(directory, entry.name));
      else if (isOwn && directories.length < PROGRAM_DIRECTORIES) directories.push(join(directory, entry.name));
    }
  }
  return found.slice(0, PROGRAM_FILES);
}

function deviceOf(directory: string): number | null {
  try {
    return statSync(directory).dev;
  } catch {
    return null;
  }
}

/** None of a directory with more than {@link PROGRAM_DIRECTORY_ENTRIES}: it holds data. */
function entriesOf(directory: string): Dirent[] {
  try {
    const opened = opendirSync(directory);
    try {
      const entries: Dirent[] = [];
      for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) {
        if (entries.push(entry) > PROGRAM_DIRECTORY_ENTRIES) return [];
      }
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    } finally {
      opened.closeSync();
    }
  } catch {
    return [];
  }
}
