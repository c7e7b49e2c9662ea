import { readFileSync, statSync } from 'node:fs';

/**
 * Pid of the process that has locked a file (flock(2)), as /proc/locks tells (proc(5)); null: none, or it cannot be told. The open
 * file may have been passed on: then it is the pid of a process that has ended, which another process may have by now.
 */
export function lockHolder(path: string): number | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    // `1: FLOCK  ADVISORY  WRITE 12 fe:00:345 0 EOF`
    const holders = [...readFileSync('/proc/locks', 'latin1').matchAll(FLOCK)].filter(
      ([, , , inode]) => inode === `${ino}`,
    );
    const [only, ...others] = holders;
    // On some file systems (btrfs, overlayfs) stat tells another device. The inode alone must be that of one lock then.
    const holder =
      holders.find(([, , device]) => device === deviceName(dev)) ?? (others.length === 0 ? only : undefined);
    const pid = Number(holder?.[1]);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

const FLOCK = /FLOCK +ADVISORY +WRITE (\d+) ([\da-f]+:[\da-f]+):(\d+) /g;

/** `major:minor` as /proc/locks has it, from st_dev (makedev(3)). */
function deviceName(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return [major, minor].map((number) => number.toString(16).padStart(2, '0')).join(':');
}
