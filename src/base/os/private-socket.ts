import { closeSync, constants, existsSync, lstatSync, openSync, renameSync, rmSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isSystemError, MotyaError, reasonOf } from '../errors.js';
import { ACCEPT_RETRY_MS } from '../limits.js';
import { adviceOnDirectory, factsOfDirectory } from './directory-advice.js';
import { type NativePoll, native, type PeerCredentials } from './native.js';
import { OwnedFds } from './owned-fds.js';
import { identify, type PathIdentity, unlinkIfSame } from './path-identity.js';

/** Connections that may wait to be accepted: a handful of commands at once. */
const BACKLOG = 16;

export interface PrivateSocketHandlers {
  /** The fd is the handler's, also when this throws. */
  connection(fd: number, peer: PeerCredentials): void;
  /** A process of another user has connected; the connection was closed. */
  refused(peer: PeerCredentials): void;
  /** A connection could not be accepted: no fds are left, or no memory, for example. */
  failed(error: unknown): void;
}

/** Only this user and root may speak to us, whatever the path's permissions say (SO_PEERCRED, unix(7)). */
export function isTrusted(peer: PeerCredentials): boolean {
  return peer.uid === 0 || peer.uid === process.geteuid?.();
}

/**
 * A listening SEQPACKET socket for this user alone: mode 0600 from its first instant, and at its path only once it listens
 * (bound under a temporary name, then renamed), so that a process that sees the path can connect.
 */
export class PrivateSocket {
  readonly path: string;
  readonly #handlers: PrivateSocketHandlers;
  readonly #temporary: string;
  #fd: number;
  #poll: NativePoll;
  #identity: PathIdentity;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Listens under the temporary name. @throws {MotyaError} `ERR_MOTYA_SOCKET` */
  constructor(path: string, handlers: PrivateSocketHandlers) {
    this.path = path;
    this.#handlers = handlers;
    this.#temporary = temporaryName(path, process.pid);
    this.#fd = bind(path, this.#temporary);
    this.#identity = identify(this.#temporary) as PathIdentity;
    this.#poll = this.#watch();
  }

  #watch(): NativePoll {
    const poll = native.poll.create(this.#fd, () => this.#accept(this.#handlers));
    poll.watch(1);
    return poll;
  }

  /** Puts it at its path. What is there must be a socket of ours or root's: nothing else is ever replaced. @throws {MotyaError} */
  publish(): void {
    checkPlace(this.path);
    try {
      renameSync(this.#temporary, this.path);
    } catch (error) {
      throw notMade(this.path, error);
    }
  }

  /** Whether the path still leads here: a successor that failed late may have put its own in place. */
  get isPublished(): boolean {
    const now = identify(this.path);
    return now !== null && now.ino === this.#identity.ino && now.dev === this.#identity.dev;
  }

  /** True: the path was removed, so that no process can connect. */
  get isLost(): boolean {
    return !this.#isClosed && identify(this.path) === null;
  }

  /** Listens at the path again after it {@link isLost}; connections that are open stay. @throws {MotyaError} `ERR_MOTYA_SOCKET` */
  restore(): void {
    const fd = bind(this.path, this.#temporary);
    // The clients that had connected before it was lost.
    this.#accept(this.#handlers);
    clearTimeout(this.#retry);
    this.#poll.close();
    native.fd.close(this.#fd);
    this.#fd = fd;
    this.#identity = identify(this.#temporary) as PathIdentity;
    this.#poll = this.#watch();
    this.publish();
  }

  /** Stops listening; the path goes if it is still ours. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#poll.close();
    native.fd.close(this.#fd);
    unlinkIfSame(this.#temporary, this.#identity);
    unlinkIfSame(this.path, this.#identity);
  }

  #next(handlers: PrivateSocketHandlers): number | null {
    try {
      return native.channel.accept(this.#fd);
    } catch (error) {
      handlers.failed(error);
      this.#poll.watch(0);
      this.#retry = setTimeout(() => this.#poll.watch(1), ACCEPT_RETRY_MS);
      return null;
    }
  }

  #accept(handlers: PrivateSocketHandlers): void {
    for (;;) {
      const fd = this.#next(handlers);
      if (fd === null) return;
      // What ails one connection is no reason to end: the instance serves.
      try {
        this.#admit(fd, handlers);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        handlers.failed(error);
      }
    }
  }

  #admit(fd: number, handlers: PrivateSocketHandlers): void {
    using owned = new OwnedFds([fd]);
    const peer = native.channel.peerCredentials(fd);
    if (isTrusted(peer)) handlers.connection(owned.release(fd), peer);
    else handlers.refused(peer);
  }
}

const temporaryName = (path: string, pid: number): string => `${dirname(path)}/.${pid}.${basename(path)}`;

/** Removes the socket that a process, which was killed, had not published yet. */
export function clearAfter(path: string, pid: number): void {
  rmSync(temporaryName(path, pid), { force: true });
}

/** Whether a socket of ours could take the place of what is at the path. @throws {MotyaError} `ERR_MOTYA_SOCKET` */
export function checkPlace(path: string): void {
  let there: Stats | undefined;
  try {
    there = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw notMade(path, error);
  }
  if (there === undefined) {
    if (existsSync(dirname(path))) return;
    const text = `the socket ${path} cannot be made: ${adviceOnDirectory('ENOENT', path)}`;
    throw new MotyaError('ERR_MOTYA_SOCKET', text, { details: { path, reason: 'ENOENT' } });
  }
  if (!there.isSocket()) {
    const text = `${path} exists and is not a socket; it is left alone: name another path`;
    throw new MotyaError('ERR_MOTYA_SOCKET', text, { details: { path, reason: 'ENOTSOCK' } });
  }
  if (there.uid !== 0 && there.uid !== process.geteuid?.()) {
    const text = `${path} belongs to user ${there.uid}; it is left alone: name another path`;
    throw new MotyaError('ERR_MOTYA_SOCKET', text, { details: { path, uid: there.uid } });
  }
}

/** Through the directory's fd, because the temporary name may be longer than sun_path allows where the path itself is not. */
function bind(path: string, temporary: string): number {
  let directory: number | null = null;
  try {
    directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    // A killed process that had our pid may have left one.
    rmSync(temporary, { force: true });
    const short = `/proc/self/fd/${directory}/${basename(temporary)}`;
    return native.listener.create({ family: 'unix', type: 'seqpacket', path: short, mode: 0o600, backlog: BACKLOG });
  } catch (error) {
    throw notMade(path, error);
  } finally {
    if (directory !== null) closeSync(directory);
  }
}

function notMade(path: string, error: unknown): MotyaError {
  const advice = isSystemError(error) ? adviceOnDirectory(error.code, path) : null;
  const more = advice === null ? '' : `; ${advice}`;
  return new MotyaError('ERR_MOTYA_SOCKET', `the socket ${path} cannot be made: ${reasonOf(error)}${more}`, {
    cause: error,
    details: { path, ...(isSystemError(error) ? factsOfDirectory(error.code, path) : {}) },
  });
}
