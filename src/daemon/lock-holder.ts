import { readFileSync, statSync } from 'node:fs';

/**
 * Pid of the process that has locked a file (flock(2)), as /proc/locks tells (proc(5)); null: none, or it cannot be told. The open
 * file may have been passed on: then it is the pid of a process that has ended, which another process may have by now.
 */
export function lockHolder(path: string): number | null {
  try {
    const { ino } = statSync(path, { bigint: true });
    // `1: FLOCK  ADVISORY  WRITE 12 fe:00:345 0 EOF`; the device's number differs from stat's on some file systems.
    const line = readFileSync('/proc/locks', 'latin1')
      .split('\n')
      .map((one) => /FLOCK +ADVISORY +WRITE (\d+) [\da-f]+:[\da-f]+:(\d+) /.exec(one))
      .find((found) => found?.[2] === String(ino));
    const pid = Number(line?.[1]);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
