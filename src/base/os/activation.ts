import { native } from './native.js';

/** A socket that the service manager has passed to this process. */
export interface Activated {
  readonly fd: number;
  /** FileDescriptorName= of the .socket unit, or the FDNAME under which it was stored. */
  readonly name: string;
}

/** sd_listen_fds(3): the first one, right after stdin, stdout and stderr. */
const FIRST_FD = 3;

/**
 * Takes what `$LISTEN_FDS` announces, once: the variables go, so that no child takes the fds for its own, and the fds are closed
 * in children. Their order means nothing: they are told apart by name and by what they are.
 */
export function takeActivated(env: NodeJS.ProcessEnv, warn: (text: string) => void): Activated[] {
  const { LISTEN_FDS: count, LISTEN_PID: pid, LISTEN_FDNAMES: names } = env;
  delete env.LISTEN_FDS;
  delete env.LISTEN_PID;
  delete env.LISTEN_PIDFDID;
  delete env.LISTEN_FDNAMES;
  if (count === undefined) return [];
  if (pid !== String(process.pid)) {
    warn(`LISTEN_FDS=${count} is for pid ${pid ?? '(none)'}, not for this process (${process.pid}); it is ignored`);
    return [];
  }
  if (!/^\d{1,6}$/.test(count)) {
    warn(`LISTEN_FDS=${count} is not a number; it is ignored`);
    return [];
  }
  const named = names?.split(':') ?? [];
  const activated: Activated[] = [];
  for (let index = 0; index < Number(count); index++) {
    const fd = FIRST_FD + index;
    try {
      native.fd.setCloexec(fd);
      activated.push({ fd, name: named[index] ?? '' });
    } catch {
      warn(`LISTEN_FDS=${count} announces fd ${fd}, which is not open; it is ignored`);
    }
  }
  return activated;
}

/**
 * The main process of the unit whose `ExecReload=` has started this one (systemd.exec(5)), or null. Taken once: in the instances
 * that this one starts, some day, it would name a process of the past.
 */
export function takeMainPid(env: NodeJS.ProcessEnv): number | null {
  const pid = Number(env.MAINPID);
  delete env.MAINPID;
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

/** Variables by which a service manager speaks to this instance; no program of ours may answer in its place. */
export const MANAGER_VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_PIDFDID',
  'LISTEN_FDNAMES',
  'FDSTORE',
  'MAINPID',
  'MOTYA_KEEPER_PID',
] as const;
