import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** Bytes of a `#!` line that the kernel reads (BINPRM_BUF_SIZE). */
const HEAD_BYTES = 256;

/** A program that a shell would find by its name. */
export interface Executable {
  readonly path: string;
  /** It lies in a node_modules/.bin, not elsewhere in PATH. */
  readonly isLocal: boolean;
}

/** Looks in node_modules/.bin of the directory and of those above it, as npm has them in PATH, then in PATH; null: nowhere. */
export function findExecutable(name: string, directory: string): Executable | null {
  for (let at = directory; ; at = dirname(at)) {
    const path = join(at, 'node_modules', '.bin', name);
    if (isExecutable(path)) return { path, isLocal: true };
    if (at === dirname(at)) break;
  }
  const inPath = (process.env.PATH ?? '').split(':').filter((entry) => entry.startsWith('/'));
  const path = inPath.map((entry) => join(entry, name)).find(isExecutable);
  return path === undefined ? null : { path, isLocal: path.includes('/node_modules/.bin/') };
}

/** Whether packages are in zip files instead of node_modules (Yarn's Plug'n'Play). */
export function hasPlugAndPlay(directory: string): boolean {
  for (let at = directory; ; at = dirname(at)) {
    if (existsSync(join(at, '.pnp.cjs'))) return true;
    if (at === dirname(at)) return false;
  }
}

/** What the kernel runs for an executable. */
export interface Interpreted {
  /** Of a program of node_modules/.bin the package's own, by the path that the next version of the package has, too. */
  readonly file: string;
  /** `['node', '--no-warnings']` of `#!/usr/bin/env -S node --no-warnings`; null: it is a binary, or has no such line. */
  readonly interpreter: readonly string[] | null;
}

export function interpreted(executable: string): Interpreted {
  const file = behind(executable);
  const words = /^#! *(.+)/.exec(headOf(file))?.[1]?.trim().split(/\s+/);
  if (words === undefined) return { file, interpreter: null };
  const [first = '', ...rest] = basename(words[0] ?? '') === 'env' ? words.slice(words[1] === '-S' ? 2 : 1) : words;
  return { file, interpreter: [basename(first), ...rest] };
}

/** The file of a package that a program of node_modules/.bin stands for; another executable is its own. */
function behind(executable: string): string {
  const bin = dirname(executable);
  if (!bin.endsWith('/node_modules/.bin')) return executable;
  // npm and yarn make links; pnpm writes scripts for sh(1).
  if (lstatSync(executable).isSymbolicLink()) return resolve(bin, readlinkSync(executable));
  for (const directory of packagesIn(dirname(bin))) {
    const file = binOf(directory, basename(executable));
    if (file !== null) return file;
  }
  return executable;
}

function packagesIn(nodeModules: string): string[] {
  return readdirSync(nodeModules)
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) =>
      name.startsWith('@') ? readdirSync(join(nodeModules, name)).map((inner) => join(name, inner)) : [name],
    )
    .map((name) => join(nodeModules, name));
}

/** What the package's `bin` has under the name (a text means the name of the package). */
function binOf(directory: string, name: string): string | null {
  try {
    const { name: packageName, bin } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const file: unknown = typeof bin === 'string' ? basename(packageName) === name && bin : bin?.[name];
    return typeof file === 'string' ? join(directory, file) : null;
  } catch {
    return null;
  }
}

/** Empty for what may be executed, but not read. */
function headOf(path: string): string {
  if (!isReadable(path)) return '';
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}

const isExecutable = (path: string): boolean => may(path, constants.X_OK);
const isReadable = (path: string): boolean => may(path, constants.R_OK);

function may(path: string, access: number): boolean {
  try {
    accessSync(path, access);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
