import { lstatSync, unlinkSync } from 'node:fs';

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

/** Removes the path if it is still the same file. */
export function unlinkIfSame(path: string, identity: PathIdentity): void {
  const now = identify(path);
  if (now !== null && now.dev === identity.dev && now.ino === identity.ino) unlinkSync(path);
}
