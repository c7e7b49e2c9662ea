import { fstatSync, lstatSync, statSync, unlinkSync } from 'node:fs';

/** Which file a path was when we bound it: a path that is another file by now is not ours to touch. */
export interface PathIdentity {
  readonly dev: number;
  readonly ino: number;
}

/** Null when nothing is there. */
export function identify(path: string): PathIdentity | null {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : { dev: stat.dev, ino: stat.ino };
}

/** Removes the path if it is still the same file. Never throws: a file that cannot be removed is no reason to fail an end. */
export function unlinkIfSame(path: string, identity: PathIdentity): void {
  try {
    const now = identify(path);
    if (now !== null && now.dev === identity.dev && now.ino === identity.ino) unlinkSync(path);
  } catch {
    // A directory that we may not write to any more, or that has gone: the next process recognizes the socket as stale.
  }
}

/** Whether the open file is the one that the path leads to: not one that was removed, or replaced, since it was opened. */
export function isFileAt(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(fd);
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}
