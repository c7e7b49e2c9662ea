import { reasonOf } from '../errors.js';
import { LARGEST_ID } from '../limits.js';
import { native, type UserEntry } from './native.js';

/** A user that an instance is to run as, with all that the kernel has to be told. */
export interface Account {
  /** For messages: the name, or the uid where it has none. */
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, as initgroups(3) would set them. */
  readonly groups: readonly number[];
  /** Null for a uid without an entry. */
  readonly home: string | null;
}

/** What is wrong with the settings `user` or `group`; `text` completes "user: …". */
export interface UnknownAccount {
  readonly unknown: 'user' | 'group';
  readonly text: string;
}

/** Known without a look-up: a container may have no user database at all. */
const root: UserEntry = { name: 'root', uid: 0, gid: 0, home: '/root' };

/** The account that settings name, by names or numbers in decimal digits; null when they name none. */
export function findAccount(
  user: string | undefined,
  group: string | undefined,
): { readonly account: Account | null } | UnknownAccount {
  if (user === undefined) {
    if (group === undefined) return { account: null };
    return { unknown: 'group', text: 'cannot be changed alone; name a user too' };
  }
  try {
    const uid = idOf(user);
    const entry = uid === 0 || user === 'root' ? root : native.users.find(uid ?? user);
    if (uid === null && entry === null) return { unknown: 'user', text: `there is no user ${user}` };
    const gid = group === undefined ? entry?.gid : (idOf(group) ?? native.users.findGroup(group));
    // Never a guess: the gid with the number of the uid may be another group.
    if (gid === undefined)
      return { unknown: 'user', text: `uid ${user} has no name, and so no group; name a group too` };
    if (gid === null) return { unknown: 'group', text: `there is no group ${group}` };
    if (entry === root && gid !== root.gid) {
      return { unknown: 'group', text: 'root keeps its own group; leave it out, or name another user' };
    }
    const groups = entry === null || entry === root ? [gid] : native.users.groupsOf(entry.name, gid);
    return {
      account: {
        name: entry?.name ?? user,
        uid: entry?.uid ?? (uid as number),
        gid,
        groups,
        home: entry?.home ?? null,
      },
    };
  } catch (error) {
    return { unknown: 'user', text: `${user} cannot be looked up: ${reasonOf(error)}` };
  }
}

/** Null for a name. A name of digits alone cannot be said, as in all of systemd's settings. */
function idOf(text: string): number | null {
  const number = Number(text);
  return /^\d+$/.test(text) && number <= LARGEST_ID ? number : null;
}
