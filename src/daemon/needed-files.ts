import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isSystemError, StartError } from '../errors.js';
import { VERSION } from '../version.js';
import { typedInvocation } from './invocation.js';

/** Code of the error when a file that a new process needs is no longer there; the message names its path. */
export const FILE_MISSING = 'MOTYA_FILE_MISSING';

/**
 * A release that has been removed takes with it the Node, the Motya or the directory that a process was started with. Of a
 * missing script, a new process says so only on stderr, and spawn() names the executable when it is the directory that is missing.
 * @param files absolute paths by what they are, in words.
 * @throws {StartError} {@link FILE_MISSING}
 */
export function demandFiles(files: Readonly<Record<string, string>>): void {
  for (const [what, path] of Object.entries(files)) {
    if (isMissing(path)) throw new StartError(FILE_MISSING, `${what} is missing: ${path}: no such file`);
  }
}

const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The path of one of Motya's own files, for a process that is started now. When the release that this process was started from
 * has been removed, the path that was typed (`/srv/app/current/…`) may lead to the same version of Motya in another release.
 * @returns `path` itself where there is nothing better.
 */
export function ownFile(path: string): string {
  const { entry } = typedInvocation();
  if (entry === undefined || !isMissing(path)) return path;
  try {
    // The entry is dist/motya.cjs.
    const other = dirname(dirname(realpathSync(entry)));
    const { name, version } = JSON.parse(readFileSync(join(other, 'package.json'), 'utf8')) as Record<string, unknown>;
    return name === 'motya' && version === VERSION ? join(other, relative(PACKAGE, path)) : path;
  } catch {
    return path;
  }
}

/** A path that this process may not reach is not missing. */
function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
  }
}
