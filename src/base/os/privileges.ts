import { readdirSync, readFileSync } from 'node:fs';
import { type MotyaErrorOptions, reasonOf, StartError } from '../errors.js';
import type { Account } from './account.js';

/** True while this process is root and is to become `user`: it may still do what only root can. */
export function isToDrop(user: Account | null): user is Account {
  return user !== null && user.uid !== 0 && process.geteuid?.() === 0;
}

/**
 * Does something synchronous with the rights of the user that root is to become, and is root again. That is how root makes and
 * opens what lies in the user's directories: a link that the user has put there can lead root nowhere where the user may not go
 * itself, and what is made belongs to the user. The real uid stays root's, so the user can send it no signal meanwhile.
 * @throws {StartError} `ERR_MOTYA_PRIVILEGES` when root may not change its ids (a container without CAP_SETUID)
 */
export function asUser<T>(user: Account | null, body: () => T): T {
  if (!isToDrop(user)) return body();
  const [gid, groups] = [process.getegid?.() ?? 0, process.getgroups?.() ?? []];
  const beRoot = (): void => {
    process.seteuid?.(0);
    process.setegid?.(gid);
    process.setgroups?.(groups);
  };
  try {
    process.setgroups?.([...user.groups]);
    process.setegid?.(user.gid);
    process.seteuid?.(user.uid);
  } catch (error) {
    beRoot();
    throw privilegeError(user, reasonOf(error), { cause: error });
  }
  try {
    return body();
  } finally {
    beRoot();
  }
}

/**
 * Root becomes the user, for good; does nothing where that has happened. From here on the process is not dumpable
 * (PR_SET_DUMPABLE, prctl(2)): it was root, so the kernel keeps its memory from other processes of the user. Its own way
 * through /proc/self/fd is open all the same (proc_fd_permission asks for the thread group), and what it starts is dumpable
 * again after exec; so nothing here undoes that.
 * @throws {StartError} `ERR_MOTYA_PRIVILEGES`: it must not go on
 */
export function dropPrivileges(user: Account | null): void {
  if (!isToDrop(user)) return;
  try {
    // The groups that initgroups(3) would set, known by their numbers, so that it can be checked that these are in force.
    process.setgroups?.([...user.groups]);
    process.setgid?.(user.gid);
    process.setuid?.(user.uid);
  } catch (error) {
    throw privilegeError(user, reasonOf(error), { cause: error });
  }
  verify(user);
  // As a login, or systemd's User=, would set it: programs look for their files there.
  Object.assign(process.env, { HOME: user.home ?? '/', USER: user.name, LOGNAME: user.name });
  // Of root's session.
  delete process.env.XDG_RUNTIME_DIR;
}

/** What the kernel says, of every thread: Linux has ids per thread, and only the C library keeps them the same (nptl(7)). */
function verify(user: Account): void {
  const four = (id: number): string => Array(4).fill(id).join('\t');
  const expected: Record<string, string> = {
    // Real, effective, saved, file system.
    Uid: four(user.uid),
    Gid: four(user.gid),
    Groups: [...new Set(user.groups)].sort((a, b) => a - b).join(' '),
    CapPrm: NO_CAPABILITY,
    CapEff: NO_CAPABILITY,
    CapAmb: NO_CAPABILITY,
  };
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
    for (const [field, wanted] of Object.entries(expected)) {
      const found = new RegExp(`^${field}:\\t(.*?) *$`, 'm').exec(status)?.[1];
      if (found !== wanted)
        throw privilegeError(user, `the kernel still says ${field} ${found} instead of ${wanted}`, {
          details: { field },
        });
    }
  }
  for (const undo of [() => process.setuid?.(0), () => process.seteuid?.(0)]) {
    try {
      undo();
    } catch {
      continue;
    }
    throw privilegeError(user, 'it can be undone: setuid(0) works');
  }
}

const NO_CAPABILITY = '0'.repeat(16);

function privilegeError(user: Account, why: string, options: MotyaErrorOptions = {}): StartError {
  const details = { uid: user.uid, ...options.details };
  return new StartError('ERR_MOTYA_PRIVILEGES', `root cannot become user ${user.name}: ${why}`, {
    ...options,
    details,
  });
}
