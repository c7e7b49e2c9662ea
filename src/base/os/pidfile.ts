import {
  existsSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isSystemError, reasonOf, StartError } from '../errors.js';
import { RECONNECT_MS } from '../limits.js';
import { adviceOnDirectory, factsOfDirectory } from './directory-advice.js';
import { lockHolder } from './lock-holder.js';
import { native } from './native.js';
import { isFileAt } from './path-identity.js';
import { hasOpen } from './processes.js';
import { readSmallFile } from './small-file.js';

/** The pid that a pidfile names, or null when there is none that could be read. It proves nothing: the lock does. */
export function readPid(path: string): number | null {
  const text = readSmallFile(path) ?? '';
  return /^[1-9]\d*\n?$/.test(text) ? Number.parseInt(text, 10) : null;
}

/** The process that holds a pidfile; null: none does. The lock decides, not the file. @throws {StartError} */
export function holdsLock(path: string): { readonly pid: number | null } | null {
  // Taken for a moment: a start in that very moment would be refused wrongly, and succeed when tried again.
  let lockFd: number | null;
  try {
    lockFd = native.lock.acquire(`${path}.lock`);
  } catch (error) {
    throw failure(path, 'used', error);
  }
  if (lockFd !== null) {
    native.fd.close(lockFd);
    return null;
  }
  return { pid: holderIn(path) };
}

/** Its pid, if the process that the pidfile names has the lock's file open; else null: it is another process. */
function holderIn(path: string): number | null {
  const pid = readPid(path);
  const lock = statSync(`${path}.lock`, { throwIfNoEntry: false });
  if (pid === null || lock === undefined) return null;
  // Of a process that root has left to another user /proc tells its files to neither; of the one that took the lock the kernel does.
  return hasOpen(pid, lock) || lockHolder(`${path}.lock`) === pid ? pid : null;
}

/**
 * The pidfile and the lock beside it (`<path>.lock`). The lock says that an instance lives: the kernel frees it with the last
 * process that holds the open file, and a hand-over passes that file on, so at no moment can a third instance slip in.
 * The pidfile says which process is the main one.
 */
export class Pidfile {
  readonly path: string;
  readonly #controlSocket: string;
  #lockFd: number | null = null;

  /** @param controlSocket of the instance, as the lock's file is to name it: settings may have it elsewhere than the pidfile */
  constructor(path: string, controlSocket = '') {
    this.path = path;
    this.#controlSocket = controlSocket;
  }

  get lockFd(): number {
    if (this.#lockFd === null) throw new Error('the pidfile is not locked');
    return this.#lockFd;
  }

  /** For a first instance. A pidfile that no process has locked is stale and is replaced. @throws {StartError} */
  acquire(): void {
    try {
      this.#checkPlace();
      this.#lockFd = native.lock.acquire(`${this.path}.lock`);
    } catch (error) {
      throw this.#failure('used', error);
    }
    if (this.#lockFd === null) {
      const pid = holderIn(this.path);
      const holder = pid === null ? 'another instance' : `the instance with pid ${pid}`;
      throw new StartError(
        'ERR_MOTYA_RUNNING',
        `${holder} holds ${this.path}; to replace it use \`motya upgrade\`, or give this one a --name or --pidfile of its own`,
        { details: { path: this.path, pid } },
      );
    }
  }

  /**
   * For a successor whose incumbent has died: the kernel closes a dying process's files one by one, so its sockets may tell of
   * the death a moment before its lock is free. @throws {StartError}
   */
  async acquireAfterDeath(ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    for (;;) {
      try {
        this.acquire();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(RECONNECT_MS);
      }
    }
  }

  /**
   * Takes the incumbent's lock over; the fd is ours from here. When the settings name another pidfile by now, its own lock is
   * taken instead. @throws {StartError}
   */
  inherit(lockFd: number): void {
    if (isFileAt(lockFd, `${this.path}.lock`)) {
      this.#lockFd = lockFd;
      return;
    }
    native.fd.close(lockFd);
    this.acquire();
  }

  /** Writes everything but the name, so that {@link publish} cannot fail for a full disk or a missing right. @throws {StartError} */
  prepare(): void {
    try {
      this.#checkPlace();
      // A new file, never one behind a symlink that another user has put there.
      rmSync(this.#temporary(), { force: true });
      writeFileSync(this.#temporary(), `${process.pid}\n`, { mode: 0o644, flag: 'wx' });
      // Anything that can be locked may be the lock; only a file can name the socket.
      if (fstatSync(this.lockFd).isFile()) {
        ftruncateSync(this.lockFd);
        writeSync(this.lockFd, this.#controlSocket, 0);
      }
    } catch (error) {
      throw this.#failure('written', error);
    }
  }

  /**
   * Makes this process the main one: rename(2), so that every reader finds a whole file with a living pid. Not fsync'ed: after
   * a power failure no pid in it could be true. @throws {StartError}
   */
  publish(): void {
    if (!existsSync(this.#temporary())) this.prepare();
    try {
      renameSync(this.#temporary(), this.path);
    } catch (error) {
      throw this.#failure('written', error);
    }
  }

  /** Files of the main process that have been removed under it: the pidfile, its lock. */
  get lost(): string[] {
    if (this.#lockFd === null) return [];
    const lock = isFileAt(this.#lockFd, `${this.path}.lock`) ? [] : [`${this.path}.lock`];
    return existsSync(this.path) ? lock : [this.path, ...lock];
  }

  /** Makes anew what is {@link lost}. @throws {StartError} another instance has taken the place meanwhile, or it cannot be made */
  restore(): void {
    const old = this.#lockFd;
    if (old !== null && !isFileAt(old, `${this.path}.lock`)) {
      try {
        this.acquire();
        native.fd.close(old);
      } catch (error) {
        this.#lockFd = old;
        throw error;
      }
    }
    if (!existsSync(this.path)) this.publish();
  }

  /** Whether the pidfile names this process. */
  get isOurs(): boolean {
    return readPid(this.path) === process.pid;
  }

  /** Whether the process has the file open whose lock is ours, as a successor by force has. False of one that may not be looked into. */
  isLockedBy(pid: number): boolean {
    if (this.#lockFd === null) return false;
    const { dev, ino } = fstatSync(this.#lockFd);
    return hasOpen(pid, { dev, ino });
  }

  /** At the end: removes the pidfile if it names us, and lets the lock go. The lock's file stays, else two could be locked. */
  release(): void {
    try {
      if (this.#lockFd !== null && this.isOurs) unlinkSync(this.path);
    } catch (error) {
      // A directory that has become read-only is no reason to fail at the end: the lock is released, so the file is stale.
      if (!isSystemError(error)) throw error;
    }
    this.letGo();
  }

  /** Releases the lock and leaves the pidfile to the process that it names, now or in a moment. */
  letGo(): void {
    // Without the lock there is nothing of ours, and perhaps not even the directory.
    if (this.#lockFd === null) return;
    const fd = this.#lockFd;
    this.#lockFd = null;
    native.fd.close(fd);
    try {
      rmSync(this.#temporary(), { force: true });
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }

  /** rename(2) would put a file in the place of a device, and fail late at a directory. @throws {Error} */
  #checkPlace(): void {
    const there = lstatSync(this.path, { throwIfNoEntry: false });
    if (there === undefined || there.isFile() || there.isSymbolicLink()) return;
    throw new Error(`it is ${there.isDirectory() ? 'a directory' : 'not a regular file'}; name another path`);
  }

  #failure(what: string, error: unknown): StartError {
    return failure(this.path, what, error);
  }

  /** Removes what a process that was killed had prepared. */
  clearAfter(pid: number): void {
    rmSync(this.#temporary(pid), { force: true });
  }

  #temporary(pid = process.pid): string {
    return `${this.path}.${pid}`;
  }
}

function failure(path: string, what: string, error: unknown): StartError {
  const code = isSystemError(error) ? error.code : null;
  const advice =
    code === 'EACCES'
      ? `uid ${process.geteuid?.()} must be able to write to its directory and to replace it`
      : adviceOnDirectory(code, path);
  const text = `the pidfile ${path} cannot be ${what}: ${reasonOf(error)}${advice === null ? '' : `; ${advice}`}`;
  return new StartError('ERR_MOTYA_PIDFILE', text, {
    cause: error,
    details: { path, ...factsOfDirectory(code, path) },
  });
}
