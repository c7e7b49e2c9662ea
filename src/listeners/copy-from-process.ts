import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { isSystemError, MotyaError, reasonOf, type SystemError } from '../base/errors.js';
import { native, type SocketDescription } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { processName, textsIn } from '../base/os/processes.js';
import { listenerKey } from './key.js';
import { DEFAULT_BACKLOG } from './request-names.js';

/** A copy of a listener that another process has. The receiver owns `fd`. */
export interface CopiedListener {
  readonly key: string;
  readonly fd: number;
  readonly socket: SocketDescription;
  readonly backlog: number;
}

/** Another process, whose files can be copied without its help (pidfd_getfd(2), Linux 5.6). */
export class OtherProcess {
  readonly pid: number;
  /** As `ps` names it. */
  readonly name: string;
  readonly #pidfd: number;

  /** @throws {MotyaError} `ERR_MOTYA_NO_PROCESS`, `ERR_MOTYA_COPY_DENIED` */
  constructor(pid: number) {
    this.pid = pid;
    try {
      // While the pidfd is open, its copies fail once the process has ended: what is read by pid below cannot be of another process.
      this.#pidfd = native.pidfd.open(pid);
    } catch (error) {
      if (isSystemError(error) && (error.code === 'ESRCH' || error.code === 'EINVAL')) throw noProcess(pid);
      throw error;
    }
    const name = processName(pid);
    if (name === null) throw noProcess(pid);
    this.name = name;
  }

  /** Copies of all that it listens on: TCP and unix stream sockets, and UDP sockets that are bound. @throws {MotyaError} */
  copyListeners(): CopiedListener[] {
    const copies: CopiedListener[] = [];
    const seen = new Set<number>();
    using owned = new OwnedFds();
    for (const fd of this.#fds((link) => readlinkSync(link).startsWith('socket:'))) {
      const copied = this.#copy(fd);
      if (copied === null) continue;
      const listener = asListener(owned.own(copied));
      if (listener === null || seen.has(listener.socket.inode)) owned.close(copied);
      else copies.push(listener);
      if (listener !== null) seen.add(listener.socket.inode);
    }
    owned.releaseAll();
    return copies;
  }

  /** A copy of its fd that leads to this file, the same open file; null when it has none. @throws {MotyaError} */
  copyFile(path: string): number | null {
    // Not by its name, which may have led through a symlink.
    const wanted = statSync(path, { bigint: true, throwIfNoEntry: false });
    const [fd] = this.#fds((link) => {
      const { dev, ino } = statSync(link, { bigint: true });
      return dev === wanted?.dev && ino === wanted.ino;
    });
    return fd === undefined ? null : this.#copy(fd);
  }

  /** A copy of one of its standard streams. @throws {MotyaError} */
  copyStream(fd: 1 | 2): number | null {
    return this.#copy(fd);
  }

  /** As it was started with. @throws {MotyaError} */
  environment(): string[] {
    try {
      return textsIn(this.pid, 'environ');
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  /** Throws nothing when it has ended. */
  signal(signal: number): void {
    try {
      native.pidfd.signal(this.#pidfd, signal);
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'ESRCH') throw error;
    }
  }

  close(): void {
    native.fd.close(this.#pidfd);
  }

  #fds(isWanted: (link: string) => boolean): number[] {
    let names: string[];
    try {
      names = readdirSync(`/proc/${this.pid}/fd`);
    } catch (error) {
      throw this.#refusal(error);
    }
    return names.map(Number).filter((fd) => {
      try {
        return isWanted(`/proc/${this.pid}/fd/${fd}`);
      } catch {
        // Closed meanwhile.
        return false;
      }
    });
  }

  /** Null: it has closed it meanwhile. */
  #copy(fd: number): number | null {
    try {
      return native.pidfd.copyFd(this.#pidfd, fd);
    } catch (error) {
      if (isSystemError(error) && error.code === 'EBADF') return null;
      throw this.#refusal(error);
    }
  }

  #refusal(error: unknown): unknown {
    if (!isSystemError(error)) return error;
    // Of pidfd_getfd(2) ESRCH; of /proc either, as it ends before or after open(2).
    if (error.code === 'ESRCH' || error.code === 'ENOENT') return noProcess(this.pid);
    return copyDenied(this, whyNot(error), error);
  }
}

/** Null: it is no listener, or none that a program of ours could use. The fd stays the caller's then. */
function asListener(fd: number): CopiedListener | null {
  let socket: SocketDescription;
  try {
    socket = native.listener.describe(fd);
  } catch {
    // Netlink, packet and the like.
    return null;
  }
  const isDatagram = socket.type === 'dgram' && socket.family !== 'unix' && socket.port !== 0;
  const isStream = socket.type === 'stream' && socket.listening;
  if (!isDatagram && !isStream) return null;
  const backlog = isStream && socket.family !== 'unix' ? native.listener.queueLength(fd).backlog : DEFAULT_BACKLOG;
  return { key: listenerKey(socket), fd, socket, backlog };
}

const noProcess = (pid: number): MotyaError =>
  new MotyaError('ERR_MOTYA_NO_PROCESS', `there is no process ${pid}`, { details: { pid } });

const copyDenied = ({ pid, name }: OtherProcess, why: string, cause?: unknown): MotyaError =>
  new MotyaError('ERR_MOTYA_COPY_DENIED', `the listeners of pid ${pid} (${name}) cannot be copied: ${why}`, {
    cause,
    details: { pid },
  });

/** pidfd_getfd(2) asks for the rights of a debugger (PTRACE_MODE_ATTACH_REALCREDS, ptrace(2)), /proc for those of a reader. */
function whyNot(error: SystemError): string {
  const { code } = error;
  if (code === 'ENOSYS') return 'the kernel has no pidfd_getfd (Linux 5.6)';
  if (code !== 'EPERM' && code !== 'EACCES') return reasonOf(error);
  const remedy = 'run this command as root (CAP_SYS_PTRACE)';
  // From /proc, where neither Yama nor a filter of calls has a say.
  if (code === 'EACCES') return `it is another user's, or may not be debugged; ${remedy}`;
  const scope = yamaScope();
  if (scope === 0) {
    const filter = inUnit() ? ', or its unit needs SystemCallFilter=@system-service pidfd_getfd' : '';
    return `it is another user's, or may not be debugged${filter}; ${remedy}`;
  }
  return `kernel.yama.ptrace_scope is ${scope}, so only a debugger of its own may; ${remedy}, or set it to 0 for this moment (sysctl)`;
}

/** systemd sets it for whatever it starts (systemd.exec(5)). */
const inUnit = (): boolean => process.env.INVOCATION_ID !== undefined;

function yamaScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8'));
  } catch {
    return 0;
  }
}
