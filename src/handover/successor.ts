import { randomUUID } from 'node:crypto';
import { Channel } from '../base/channel.js';
import { COMMIT_MS, FDS_MS, GREETING_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { endsWithin } from '../base/os/processes.js';
import { listenerKey } from '../listeners/key.js';
import { closeValues, type HandedOn } from '../workers/program-state.js';
import { closeAll, Dialogue, wrongCount } from './dialogue.js';
import { type HandoverMessage, handoverCodec, type ManifestEntry, PROTOCOL } from './handover-messages.js';
import type { ListenerDiff } from './listener-diff.js';

/** What a successor says of itself in HELLO; durations in ms. */
export interface Greeting {
  readonly pid: number;
  readonly version: string;
  /** For which it gives its services to become ready. */
  readonly readyMs: number;
  /** For which it wants to be on probation. */
  readonly probationMs: number;
}

export interface Offered {
  readonly fd: number;
  readonly entry: ManifestEntry;
}

/** All that an incumbent has offered: every fd is here, checked against the manifest, and not yet ours. */
export interface Offer {
  readonly dialogue: Dialogue;
  readonly txid: string;
  readonly incumbent: number;
  readonly generation: number;
  readonly listeners: readonly Offered[];
  readonly lockFd: number;
  /** µs between two pings that the service manager wants, or null. */
  readonly watchdogUsec: number | null;
  /** ms for which an address in use may be that of a listener that another generation is about to close. */
  readonly endingMs: number;
  /** The incumbent takes connections, if it serves again. */
  readonly moves: boolean;
}

/**
 * The successor's side until the offer is whole; {@link SuccessorSession} has the rest. `fd`: a process has connected to the upgrade
 * socket. `cancelled` hangs up before the offer is whole; its reason is a {@link HandoverError}.
 * @throws {HandoverError} the peer was told why and has been hung up on; nothing of it is left here.
 */
export async function receiveOffer(
  fd: number,
  greeting: Greeting,
  cancelled: AbortSignal = new AbortController().signal,
): Promise<Offer> {
  const dialogue = new Dialogue(new Channel(fd, handoverCodec));
  const txid = randomUUID();
  const listeners: Offered[] = [];
  using owned = new OwnedFds();
  const cancel = (): void => dialogue.abort(txid, cancelled.reason as HandoverError);
  cancelled.addEventListener('abort', cancel);
  try {
    const { pid, version, readyMs: ready, probationMs: probation } = greeting;
    dialogue.send({ type: 'HELLO', txid, ...PROTOCOL, pid, version, ready, probation, moves: true });
    const { message: offer } = await dialogue.expect(['OFFER'], GREETING_MS);
    for (;;) {
      const { message, fds } = await dialogue.expect(['FDS', 'LOCK'], FDS_MS);
      if (message.type === 'LOCK') {
        const lockFd = owned.own(one(fds, 'lock'));
        if (listeners.length !== offer.listeners) {
          throw listenersCame(listeners.length, offer.listeners);
        }
        const {
          pid: incumbent,
          generation,
          watchdog: watchdogUsec = null,
          ending: endingMs = 0,
          moves = false,
        } = offer;
        owned.releaseAll();
        return { dialogue, txid, incumbent, generation, listeners, lockFd, watchdogUsec, endingMs, moves };
      }
      listeners.push(
        ...fds.map((fd, index) => ({ fd: owned.own(fd), entry: message.entries[index] as ManifestEntry })),
      );
      const { length } = message.entries;
      if (fds.length === 0 || fds.length !== length) {
        const text = `${fds.length} fds came for ${length} listeners`;
        throw wrongCount(text, { counted: 'fds', came: fds.length, expected: length });
      }
      if (listeners.length > offer.listeners) throw listenersCame(listeners.length, offer.listeners);
      for (const offered of listeners.slice(-fds.length)) verify(offered);
    }
  } catch (error) {
    const failure = HandoverError.from(error);
    dialogue.abort(txid, failure);
    throw failure;
  } finally {
    cancelled.removeEventListener('abort', cancel);
  }
}

/** Hangs up on an incumbent whose offer is whole; it is told why, and nothing of it is left here. */
export function decline({ dialogue, txid, listeners, lockFd }: Offer, reason: HandoverError): void {
  closeAll([lockFd, ...listeners.map((offered) => offered.fd)]);
  dialogue.abort(txid, reason);
}

/** What COMMIT has brought: the incumbent accepts nothing any more. */
export interface Commit {
  /** What the incumbent tells of the past, of whatever shape. */
  readonly history: unknown;
  /** ms since the signal for which the incumbent has started this successor, as none waited; null: otherwise. */
  readonly sinceSignal: number | null;
  /** What its programs hand on. The session closes the values. */
  readonly state: readonly HandedOn[];
}

/**
 * The successor's side of a hand-over once the offer is here, step by step, in this order; ./incumbent.ts is its mirror image. An
 * incumbent that dies once everything is here leaves the service to the successor; the table of failures is in docs/internals/failures.md.
 */
export class SuccessorSession {
  readonly #offer: Offer;
  readonly #state: HandedOn[] = [];
  readonly #cancelled: AbortSignal;
  readonly #cancel = (): void => this.abort(this.#cancelled.reason as HandoverError);

  /** @param cancelled ends a hand-over that has not been committed: the instance is to stop */
  constructor(offer: Offer, cancelled: AbortSignal) {
    this.#offer = offer;
    this.#cancelled = cancelled;
    cancelled.addEventListener('abort', this.#cancel);
  }

  /** ADOPTED: the listeners and the lock are ours. */
  adopted(): void {
    const { dialogue, txid, listeners } = this.#offer;
    dialogue.send({ type: 'ADOPTED', txid, listeners: listeners.length });
  }

  /**
   * The value of what the programs do until COMMIT. The incumbent may die meanwhile: it goes on without it.
   * @throws {HandoverError} the conversation has ended, and the incumbent lives
   */
  async whileBooting<T>(booting: Promise<T>): Promise<T> {
    try {
      return await Promise.race([booting, this.#offer.dialogue.failed]);
    } catch (error) {
      await ensureDead(this.#offer.incumbent, error);
      return booting;
    }
  }

  /** READY: the programs have booted. */
  ready(diff: ListenerDiff): void {
    const { dialogue, txid } = this.#offer;
    dialogue.send({ type: 'READY', txid, ...diff });
  }

  /**
   * COMMIT, before which STATE comes.
   * @param broken rejects when a service breaks meanwhile
   * @returns null: the incumbent has died, and all is ours
   */
  async awaitCommit(broken: Promise<never>): Promise<Commit | null> {
    try {
      const { history, signalled = null } = await Promise.race([this.#hearCommit(), broken]);
      return { history, sinceSignal: signalled, state: this.#state };
    } catch (error) {
      await ensureDead(this.#offer.incumbent, error);
      return null;
    } finally {
      // From here on the way back is the incumbent's alone; a stop waits until it is decided.
      this.#cancelled.removeEventListener('abort', this.#cancel);
    }
  }

  /** LIVE: accepting on all. `removed`: see LIVE. */
  live(removed?: string[]): void {
    const { dialogue, txid } = this.#offer;
    dialogue.send({ type: 'LIVE', txid, removed });
  }

  /** Tells the incumbent why nothing comes of it: the incumbent serves on. */
  abort(reason: HandoverError): void {
    const { dialogue, txid } = this.#offer;
    dialogue.abort(txid, reason);
  }

  /** In any case, at the end. */
  close(): void {
    this.#cancelled.removeEventListener('abort', this.#cancel);
    closeValues(this.#state.splice(0));
  }

  async #hearCommit(): Promise<Extract<HandoverMessage, { type: 'COMMIT' }>> {
    for (;;) {
      const { message, fds } = await this.#offer.dialogue.expect(['COMMIT', 'STATE'], COMMIT_MS);
      if (message.type === 'COMMIT') return message;
      const { service, index } = message;
      this.#state.push({ service, index, fd: one(fds, 'state') });
    }
  }
}

/**
 * Before COMMIT an incumbent that lives serves on, whatever has become of the conversation. The kernel closes a dying process's
 * files a moment before it tells of its end (do_exit).
 */
async function ensureDead(incumbent: number, error: unknown): Promise<void> {
  if (!(error instanceof HandoverError) || error.code !== 'ERR_MOTYA_PEER_GONE') throw error;
  if (await endsWithin(GREETING_MS, incumbent)) return;
  throw new HandoverError('ERR_MOTYA_PEER_GONE', `pid ${incumbent} has hung up without a word and lives: it serves on`);
}

/** The socket decides what it is, not the manifest: a peer that offers anything else is refused before harm is done. */
function verify({ fd, entry }: Offered): void {
  const socket = native.listener.describe(fd);
  const key = listenerKey(socket);
  if (key !== entry.key) {
    const details = { expected: entry.key, came: key };
    throw new HandoverError('ERR_MOTYA_MANIFEST', `${entry.key} was announced, ${key} came`, { details });
  }
  if (socket.type !== 'dgram' && !socket.listening) {
    throw new HandoverError('ERR_MOTYA_MANIFEST', `${key} does not listen`, { details: { listener: key } });
  }
}

function one(fds: readonly number[], counted: 'lock' | 'state'): number {
  const [fd] = fds;
  if (fds.length !== 1 || fd === undefined) {
    closeAll(fds);
    throw wrongCount(`${fds.length} fds came for the ${counted}`, { counted, came: fds.length, expected: 1 });
  }
  return fd;
}

function listenersCame(came: number, expected: number): HandoverError {
  return wrongCount(`${came} of ${expected} listeners came`, { counted: 'listeners', came, expected });
}
