import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Who reads: a user by its ids, or null for one that owns nothing and is in no group of interest. */
export type Reader = { readonly uid: number; readonly gids: readonly number[] } | null;

const READ = 4;
const SEARCH = 1;

/**
 * The first file or folder on the way to `path` that keeps the reader out, or null. Asks mode bits, not ACLs: what it says is
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
  if (reader?.gids.includes(gid)) return mode >> 3;
  return mode;
}

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** An account of this machine by name or uid; null for one that /etc/passwd does not have (another machine's, LDAP's). */
export function accountOf(wanted: string | number): Account | null {
  const entries = readFileSync('/etc/passwd', 'utf8').split('\n');
  const entry = entries.map((line) => line.split(':')).find((parts) => [parts[0], parts[2]].includes(String(wanted)));
  const [name, , uid, gid] = entry ?? [];
  if (name === undefined || uid === undefined || gid === undefined) return null;
  const groups = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , , members = '']) => members.split(',').includes(name))
    .map(([, , id]) => Number(id));
  return { name, uid: Number(uid), gids: [Number(gid), ...groups] };
}
