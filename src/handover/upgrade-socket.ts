import { existsSync, ftruncateSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inBackground } from '../base/background.js';
import { PLACE_LOOK_MS } from '../base/deadlines.js';
import { codeOf, failureFields, HandoverError, isSystemError, MotyaError, reasonOf } from '../base/errors.js';
import { RECONNECT_MS } from '../base/limits.js';
import { adviceOnDirectory, factsOfDirectory } from '../base/os/directory-advice.js';
import { native, type PeerCredentials } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { isFileAt } from '../base/os/path-identity.js';
import { isTrusted, PrivateSocket } from '../base/os/private-socket.js';
import { PeerAbort } from './dialogue.js';
import { decline, type Greeting, type Offer, receiveOffer } from './successor.js';

/** Connections that an upgrade socket greets at once; beyond them the oldest is hung up on. One incumbent needs one. */
export const GREETED_PEERS = 8;

/**
 * The successor's end: one successor at a time listens at the path. A lock beside it (`<path>.lock`) decides who; with the lock
 * in hand, whatever socket is at the path is stale.
 */
export class UpgradeSocket {
  /** The first whole offer. Rejects when a peer says why there will be none. */
  readonly offer: Promise<Offer>;
  readonly #socket: PrivateSocket;
  readonly #look: NodeJS.Timeout;
  #lockFd: number;
  readonly #taker: Greeter;
  /** Peers whose offer is not whole yet, the oldest first. */
  readonly #greeted = new Set<AbortController>();
  #settled = false;
  #reason: HandoverError | null = null;
  #resolve!: (offer: Offer) => void;
  #reject!: (error: unknown) => void;

  /** @throws {HandoverError} another successor waits already; {MotyaError} the socket cannot be made. */
  constructor(path: string, taker: Greeter) {
    this.#taker = taker;
    this.offer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.offer.catch(() => {});
    using owned = new OwnedFds();
    this.#lockFd = owned.own(lock(path));
    let socket: PrivateSocket | null = null;
    try {
      socket = new PrivateSocket(path, {
        connection: (fd, peer) => inBackground('greeting an incumbent', this.#greet(fd, peer)),
        refused: (peer) =>
          taker.warn(`a process of user ${peer.uid} was refused on the upgrade socket`, { socket: 'upgrade', ...peer }),
        failed: (error) =>
          taker.warn(`a connection to the upgrade socket failed: ${reasonOf(error)}`, {
            socket: 'upgrade',
            ...failureFields(error),
          }),
      });
      socket.publish();
      this.#socket = socket;
      this.#look = setInterval(() => this.#restore(), PLACE_LOOK_MS).unref();
    } catch (error) {
      socket?.close();
      throw error;
    }
    owned.release(this.#lockFd);
  }

  /** `reason`: why this successor waits no more, for an incumbent that has just come. */
  close(reason = new HandoverError('ERR_MOTYA_BUSY', 'this successor waits no more')): void {
    this.#settled = true;
    this.#reason = reason;
    clearInterval(this.#look);
    this.#socket.close();
    for (const greeting of this.#greeted) greeting.abort(reason);
    native.fd.close(this.#lockFd);
  }

  /** The directory was removed while it waits; the incumbent makes it anew (supervisor/upkeep.ts), and looks for us there. */
  #restore(): void {
    try {
      if (!this.#socket.isLost || !existsSync(dirname(this.#socket.path))) return;
      if (!isFileAt(this.#lockFd, `${this.#socket.path}.lock`)) {
        const lockFd = lock(this.#socket.path);
        native.fd.close(this.#lockFd);
        this.#lockFd = lockFd;
      }
      this.#socket.restore();
    } catch (error) {
      // Another successor has taken the place; or it is tried again in a moment.
      if (!(error instanceof MotyaError)) throw error;
    }
  }

  /** A peer that is silent, talks nonsense or dies is no reason to give up: the incumbent may be the next to connect. */
  async #greet(fd: number, peer: PeerCredentials): Promise<void> {
    const greeting = new AbortController();
    this.#greeted.add(greeting);
    if (this.#greeted.size > GREETED_PEERS) this.#dismissOldest();
    try {
      const offer = await receiveOffer(fd, this.#taker, greeting.signal);
      if (this.#settled) {
        decline(offer, this.#reason ?? new HandoverError('ERR_MOTYA_BUSY', 'this successor has an incumbent already'));
        return;
      }
      this.#settled = true;
      this.#resolve(offer);
    } catch (error) {
      if (error instanceof PeerAbort) this.#reject(error);
      else if (!greeting.signal.aborted)
        this.#taker.warn(`pid ${peer.pid} has come to the upgrade socket in vain: ${reasonOf(error)}`, {
          ...failureFields(error),
          ...peer,
        });
    } finally {
      this.#greeted.delete(greeting);
    }
  }

  /** Not the newest: a live incumbent has its offer ready and needs milliseconds, so the oldest has had its chance. */
  #dismissOldest(): void {
    const [oldest] = this.#greeted;
    if (oldest === undefined) return;
    this.#greeted.delete(oldest);
    oldest.abort(new HandoverError('ERR_MOTYA_BUSY', `${GREETED_PEERS} others have come since, and no offer from you`));
  }
}

/** What the socket needs of the instance that waits. */
export interface Greeter extends Greeting {
  warn(text: string, fields: object): void;
}

function lock(path: string): number {
  const file = `${path}.lock`;
  let fd: number | null;
  try {
    fd = native.lock.acquire(file);
  } catch (error) {
    throw notMade(path, error);
  }
  if (fd === null) {
    const pid = readFileSync(file, 'utf8').trim();
    const text = `another successor (pid ${pid}) waits on ${path} already`;
    throw new HandoverError('ERR_MOTYA_SUCCESSOR_EXISTS', text, { details: { pid: Number(pid), path } });
  }
  using owned = new OwnedFds([fd]);
  try {
    // Through what is locked: the path may be another file by now.
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    throw notMade(path, error);
  }
  return owned.release(fd);
}

function notMade(path: string, error: unknown): HandoverError {
  const advice = isSystemError(error) ? adviceOnDirectory(error.code, path) : null;
  const text = `the upgrade socket ${path} cannot be made: ${reasonOf(error)}${advice === null ? '' : `; ${advice}`}`;
  return new HandoverError('ERR_MOTYA_SOCKET', text, {
    cause: error,
    details: { path, ...(advice === null ? {} : factsOfDirectory(codeOf(error), path)) },
  });
}

/**
 * The incumbent's end: connects once a process listens. Null after `signal` is aborted; the interval is the retry of a client
 * whose server may not be there yet.
 */
export async function connectUpgradeSocket(path: string, signal: AbortSignal): Promise<number | null> {
  for (;;) {
    const fd = tryConnect(path);
    if (fd !== null || signal.aborted) return fd;
    await delay(RECONNECT_MS, undefined, { signal }).catch(() => {});
  }
}

/** Null when no process listens there. @throws {HandoverError} a process of another user listens there. */
function tryConnect(path: string): number | null {
  let fd: number;
  try {
    fd = native.channel.connect(path);
  } catch (error) {
    if (isSystemError(error) && ['ENOENT', 'ECONNREFUSED', 'EAGAIN'].includes(error.code)) return null;
    throw new HandoverError('ERR_MOTYA_SOCKET', `the upgrade socket ${path} cannot be reached: ${reasonOf(error)}`, {
      cause: error,
      details: { path },
    });
  }
  using owned = new OwnedFds([fd]);
  const peer = native.channel.peerCredentials(fd);
  if (isTrusted(peer)) return owned.release(fd);
  throw new HandoverError(
    'ERR_MOTYA_FOREIGN_PEER',
    `${path} is held by pid ${peer.pid} of user ${peer.uid}: it gets no listener of ours`,
    { details: { path, pid: peer.pid, uid: peer.uid } },
  );
}
