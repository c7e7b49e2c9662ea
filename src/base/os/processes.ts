import { readdirSync, readFileSync, statSync } from 'node:fs';
import { isSystemError } from '../errors.js';
import { isDone } from '../timeout.js';
import { native } from './native.js';
import { OwnedFds } from './owned-fds.js';

/** ms between two looks whether a process has ended that cannot be watched. */
const PROCESS_LOOK_MS = 50;

/** Whether a process has the pid, of any user. A process that has ended and was not reaped counts. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it belongs to another user.
    return isSystemError(error) && error.code === 'EPERM';
  }
}

/** Of /proc/PID/stat. */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** It has ended, and was not reaped. */
  readonly isZombie: boolean;
}

/** Null: it has ended. */
export function statOf(pid: number): ProcessStat | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold spaces and brackets: the other fields come after its last bracket (proc(5)).
    const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid, parent: Number(parent), session: Number(session), isZombie: state === 'Z' || state === 'X' };
  } catch {
    return null;
  }
}

/** Null: it has ended. */
export function parentOf(pid: number): number | null {
  return statOf(pid)?.parent ?? null;
}

/** Every process that runs. */
export function allProcesses(): ProcessStat[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => statOf(Number(pid)) ?? []).filter(({ isZombie }) => !isZombie);
}

/** Whether a process, of any user, ends within `ms` or has ended. Watched no longer than that. */
export function endsWithin(ms: number, pid: number): Promise<boolean> {
  return watchFor(ms, (signal) => processEnd(pid, signal));
}

async function watchFor(ms: number, end: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const watch = new AbortController();
  const isOver = await isDone(ms, end(watch.signal));
  watch.abort();
  return isOver;
}

/** As `ps` names it; null: it has ended. */
export function processName(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}

/** What the kernel keeps of the start of a process, each text ended by NUL (proc(5)). @throws {SystemError} */
export function textsIn(pid: number, file: 'cmdline' | 'environ'): string[] {
  const texts = readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  texts.pop();
  return texts;
}

/** Whether the process has this very file open. False, too, of a process that has ended, or may not be looked into. */
export function hasOpen(pid: number, { dev, ino }: { readonly dev: number; readonly ino: number }): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const file = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
      return file?.dev === dev && file.ino === ino;
    });
  } catch {
    return false;
  }
}

/** Resolves when a process, of any user, has ended; at once when it is gone already. Never after `signal` is aborted. */
export function processEnd(pid: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    using owned = new OwnedFds();
    try {
      const fd = owned.own(native.pidfd.open(pid));
      watchEnd(fd, { ended: resolve, closed: () => native.fd.close(fd), signal });
      owned.release(fd);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === 'ESRCH') resolve();
      // Out of fds or memory. A process that cannot be watched has not ended.
      else lookFor(pid, resolve, signal);
    }
  });
}

interface EndWatch {
  readonly ended: () => void;
  /** The pidfd is not watched any more: the process has ended, or `signal` was aborted. */
  readonly closed?: () => void;
  readonly signal?: AbortSignal | undefined;
}

/** @throws {SystemError} */
function watchEnd(pidfd: number, { ended, closed, signal }: EndWatch): void {
  const close = (): void => {
    signal?.removeEventListener('abort', close);
    poll.close();
    closed?.();
  };
  const poll = native.poll.create(pidfd, () => {
    close();
    ended();
  });
  signal?.addEventListener('abort', close);
  poll.watch(1);
}

function lookFor(pid: number, ended: () => void, signal?: AbortSignal): void {
  const timer = setInterval(() => {
    if (exists(pid)) return;
    clearInterval(timer);
    ended();
  }, PROCESS_LOOK_MS);
  signal?.addEventListener('abort', () => clearInterval(timer));
}

/** A process of any user, not to be confused with a later one that has its pid. To be made while it is known to live. */
export class HeldProcess {
  readonly pid: number;
  /** Null: there was none left, or it had just ended. */
  #fd: number | null;

  constructor(pid: number) {
    this.pid = pid;
    this.#fd = openUnlessGone(pid);
  }

  /** Whether it ends within `ms`, or has. */
  endsWithin(ms: number): Promise<boolean> {
    return watchFor(ms, (signal) => this.ended(signal));
  }

  /** Resolves when it has ended; never after `signal` is aborted. One call at a time. */
  ended(signal?: AbortSignal): Promise<void> {
    const fd = this.#fd;
    if (fd === null) return processEnd(this.pid, signal);
    return new Promise((resolve) => {
      try {
        watchEnd(fd, { ended: resolve, signal });
      } catch (error) {
        if (!isSystemError(error)) throw error;
        lookFor(this.pid, resolve, signal);
      }
    });
  }

  /** @returns false: it has ended, or cannot be told from another process */
  signal(signal: number): boolean {
    if (this.#fd === null) return false;
    try {
      native.pidfd.signal(this.#fd, signal);
      return true;
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'ESRCH') throw error;
      return false;
    }
  }

  close(): void {
    if (this.#fd !== null) native.fd.close(this.#fd);
    this.#fd = null;
  }
}

function openUnlessGone(pid: number): number | null {
  try {
    return native.pidfd.open(pid);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}
