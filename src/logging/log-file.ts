import { constants, fchownSync, fstatSync, openSync } from 'node:fs';
import { isSystemError, reasonOf, StartError } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { createForUser } from '../base/os/create-for-user.js';
import { adviceOnDirectory } from '../base/os/directory-advice.js';
import { isToDrop } from '../base/os/privileges.js';

const LOG_MODE = 0o640;

/** @throws {StartError} `ERR_MOTYA_LOG_FILE` */
export function openLog(path: string, user: Account | null = null): number {
  try {
    return createForUser(
      user,
      path,
      () => openSync(path, 'a', LOG_MODE),
      ({ uid, gid }) => createLog(path, uid, gid),
    );
  } catch (error) {
    const by = isToDrop(user) ? ` by user ${user.name}` : '';
    const advice = isSystemError(error) && error.code !== 'EACCES' ? adviceOnDirectory(error.code, path) : null;
    const more = advice === null ? '' : `; ${advice}`;
    throw new StartError(
      'ERR_MOTYA_LOG_FILE',
      `the log file ${path} cannot be opened${by}: ${reasonOf(error)}${more}`,
      { cause: error, details: { path, ...(by === '' ? {} : { uid: user?.uid ?? null }) } },
    );
  }
}

/** Only a new file is given to the user: an existing one that the user cannot open may belong to another user. */
function createLog(path: string, uid: number, gid: number): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, LOG_MODE);
    fchownSync(fd, uid, gid);
    return fd;
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw exists ? new Error('it belongs to another user; give it to the user with chown') : error;
  }
}

/** systemd.exec(5): `$JOURNAL_STREAM` holds device and inode of the journal's socket, if the fd still is that. */
export function isJournal(fd: number): boolean {
  const stream = process.env.JOURNAL_STREAM;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}
