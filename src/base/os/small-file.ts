import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Bytes: a path, at most (PATH_MAX). */
const MOST_BYTES = 4096;

/**
 * The text of a regular file, or of its first {@link MOST_BYTES}; null: there is none, or it cannot be read. What anything may have put
 * there is not waited for: open(2) of a FIFO blocks until a process writes to it.
 */
export function readSmallFile(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return null;
  }
  try {
    if (!fstatSync(fd).isFile()) return null;
    const data = Buffer.alloc(MOST_BYTES);
    return data.toString('utf8', 0, readSync(fd, data, 0, MOST_BYTES, 0));
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}
