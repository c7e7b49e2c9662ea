import { StartError } from '../errors.js';
import { typedInvocation } from './invocation.js';
import { isMissing, ownFileBy } from './own-file.js';

/**
 * A release that has been removed takes with it the Node, the Motya or the directory that a process was started with. Of a
 * missing script, a new process says so only on stderr, and spawn() names the executable when it is the directory that is missing.
 * @param files absolute paths by what they are, in words.
 * @throws {StartError} `ERR_MOTYA_FILE_MISSING`
 */
export function demandFiles(files: Readonly<Record<string, string>>): void {
  for (const [what, path] of Object.entries(files)) {
    if (isMissing(path)) throw new StartError('ERR_MOTYA_FILE_MISSING', `${what} is missing: ${path}: no such file`);
  }
}

/** {@link ownFileBy}, with the path by which this process was started. */
export const ownFile = (path: string): string => ownFileBy(typedInvocation().entry, path);
