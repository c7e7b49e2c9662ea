import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Account } from './account.js';
import { asUser, isToDrop } from './privileges.js';

/**
 * Makes a file that is to belong to the user that root will become. The user itself makes it (see {@link asUser}) wherever it
 * may; root does, and gives it to the user, where it may not: a log in /var/log, a socket in /run.
 * @throws what the user's own try has thrown, when the user could have misled root: a user who can put a symlink on the way to
 * the path would get a file in a directory of its choice.
 */
export function createForUser<T>(user: Account | null, path: string, byUser: () => T, byRoot: (user: Account) => T): T {
  try {
    return asUser(user, byUser);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const isDenied = code === 'EACCES' || code === 'EPERM';
    if (!isDenied || !isToDrop(user) || !isProtectedPath(path, user)) throw error;
    return byRoot(user);
  }
}

/** Every directory on the way belongs to root, is no link, and lets the user neither remove nor rename what is in it. */
export function isProtectedPath(path: string, { groups }: Account): boolean {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    const stat = lstatSync(directory);
    const { uid, gid, mode } = stat;
    const isWritable = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && groups.includes(gid));
    const isSticky = (mode & 0o1000) !== 0;
    if (!stat.isDirectory() || uid !== 0 || (isWritable && !isSticky)) return false;
    if (directory === '/') return true;
  }
}
