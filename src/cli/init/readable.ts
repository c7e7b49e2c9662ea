import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Who reads: null for a user that owns nothing and is in no group. */
export type Reader = { readonly uid: number; readonly groups: readonly number[] } | null;

const READ = 4;
const SEARCH = 1;

/**
 * The first file or directory on the way to `path` that keeps the reader out, or null. Asks mode bits, not ACLs: what it says is
 * a hint for people, never a check that security rests on.
 */
export function keptOutAt(path: string, reader: Reader): string | null {
  if (reader?.uid === 0) return null;
  // A symlink that is typed and where it leads to must both be reached.
  for (const way of new Set([path, realpathSync(path)])) {
    for (let at = way; ; at = dirname(at)) {
      const wanted = at === way && !statSync(at).isDirectory() ? READ : SEARCH;
      if ((bitsFor(at, reader) & wanted) === 0) return at;
      if (at === dirname(at)) break;
    }
  }
  return null;
}

function bitsFor(path: string, reader: Reader): number {
  const { mode, uid, gid } = statSync(path);
  if (reader !== null && uid === reader.uid) return mode >> 6;
  if (reader?.groups.includes(gid)) return mode >> 3;
  return mode;
}
