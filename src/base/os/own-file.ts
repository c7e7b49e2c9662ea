import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isSystemError } from '../errors.js';
import { VERSION } from '../version.js';

const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The path of one of Motya's own files, for a process that is started now. When the release that this process was started from
 * has been removed, the path that was typed (`/srv/app/current/…`) may lead to the same version of Motya in another release.
 * @param entry path of `dist/motya.cjs` as it was typed, if it is known
 * @returns `path` itself where there is nothing better.
 */
export function ownFileBy(entry: string | undefined, path: string): string {
  if (entry === undefined || !isMissing(path)) return path;
  try {
    const other = dirname(dirname(realpathSync(entry)));
    const { name, version } = JSON.parse(readFileSync(join(other, 'package.json'), 'utf8')) as Record<string, unknown>;
    return name === 'motya' && version === VERSION ? join(other, relative(PACKAGE, path)) : path;
  } catch {
    return path;
  }
}

/** A path that this process may not reach is not missing. */
export function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
  }
}
