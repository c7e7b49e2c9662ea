import { randomUUID } from 'node:crypto';
import { Channel } from '../base/channel.js';
import { HandoverError } from '../base/errors.js';
import { COMMIT_MS, FDS_MS, GREETING_MS } from '../base/limits.js';
import { native } from '../base/os/native.js';
import { endsWithin } from '../base/os/processes.js';
import { listenerKey } from '../listeners/key.js';
import type { PhaseEvent } from '../status/phases.js';
import { closeValues, type HandedOn } from '../workers/program-state.js';
import { closeAll, Dialogue } from './dialogue.js';
import { type HandoverMessage, handoverCodec, type ManifestEntry, PROTOCOL } from './handover-messages.js';
import type { Claims } from './listener-diff.js';

/** What the hand-over needs of the instance that takes. */
export interface Taker {
  step(event: PhaseEvent): void;
  /** Takes the fds over (also when it throws) and lets the booting services have them. */
  adopt(listeners: readonly Offered[], lockFd: number): void;
  /** Resolves when every service is ready; rejects with the reason why one never will be. */
  booted(): Promise<Claims>;
  /** Rejects when a service breaks after it was ready. */
  readonly broken: Promise<never>;
  /** What COMMIT told of the past, of whichever shape. */
  inherit(legacy: unknown, signalled: number | null): void;
  /** Gives the programs what they inherit, accepts on everything and makes the pidfile its own. */
  goLive(values: readonly HandedOn[]): Promise<void>;
  /** Once it is live: closes the adopted listeners that no program uses, unless a probation decides; returns their keys. */
  letGo(): string[] | undefined;
}

/** What a successor says of itself in HELLO; durations in ms. */
export interface Greeting {
  readonly pid: number;
  readonly version: string;
  readonly readyMs?: number;
  readonly probationMs?: number;
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
  /** The incumbent keeps its listeners while we are on probation. */
  readonly probation: boolean;
  /** ms for which an address in use may be that of a listener that another generation is about to close. */
  readonly endingMs: number;
}

/**
 * The first half of the successor's side, the mirror image of ./incumbent.ts: greets whoever has connected and receives.
 * `cancelled` hangs up before the offer is whole; its reason is a {@link HandoverError}.
 * @throws {HandoverError} the peer was told why and has been hung up on; nothing of it is left here.
 */
export async function receiveOffer(
  fd: number,
  taker: Greeting,
  cancelled: AbortSignal = new AbortController().signal,
): Promise<Offer> {
  const dialogue = new Dialogue(new Channel(fd, handoverCodec));
  const txid = randomUUID();
  const listeners: Offered[] = [];
  const cancel = (): void => dialogue.abort(txid, cancelled.reason as HandoverError);
  cancelled.addEventListener('abort', cancel);
  try {
    const { pid, version, readyMs: ready, probationMs: probation } = taker;
    dialogue.send({ type: 'HELLO', txid, ...PROTOCOL, pid, version, follows: true, state: true, ready, probation });
    const { message: offer } = await dialogue.expect(['OFFER'], GREETING_MS);
    for (;;) {
      const { message, fds } = await dialogue.expect(['FDS', 'LOCK'], FDS_MS);
      if (message.type === 'LOCK') {
        const lockFd = one(fds, 'the lock');
        if (listeners.length !== offer.listeners) {
          native.close(lockFd);
          throw new HandoverError(
            'ERR_MOTYA_LISTENER_COUNT',
            `${listeners.length} of ${offer.listeners} listeners came`,
          );
        }
        const {
          pid: incumbent,
          generation,
          watchdog: watchdogUsec = null,
          probation = false,
          ending: endingMs = 0,
        } = offer;
        return { dialogue, txid, incumbent, generation, listeners, lockFd, watchdogUsec, probation, endingMs };
      }
      listeners.push(...fds.map((fd, index) => ({ fd, entry: message.entries[index] as ManifestEntry })));
      if (fds.length === 0 || fds.length !== message.entries.length || listeners.length > offer.listeners) {
        throw new HandoverError(
          'ERR_MOTYA_LISTENER_COUNT',
          `${fds.length} fds came for ${message.entries.length} listeners`,
        );
      }
      for (const offered of listeners.slice(-fds.length)) verify(offered);
    }
  } catch (error) {
    closeAll(listeners.map((offered) => offered.fd));
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

/**
 * The second half: adopt, boot, wait for COMMIT, go live. An incumbent that dies once everything is here leaves the service
 * to us; the table of failures is in docs/internals/protocol.md.
 * @returns how it went live.
 * @throws {HandoverError} the incumbent was told why and serves on.
 */
export async function takeOver(offer: Offer, taker: Taker): Promise<'handed-over' | 'alone'> {
  const { dialogue, txid } = offer;
  const values: HandedOn[] = [];
  try {
    taker.adopt(offer.listeners, offer.lockFd);
    dialogue.send({ type: 'ADOPTED', txid, listeners: offer.listeners.length });
    taker.step('adopted');

    const booted = taker.booted();
    const claims = await Promise.race([booted, dialogue.failed]).catch(async (error: unknown) => {
      await ensureDead(offer.incumbent, error);
      return booted;
    });
    taker.step('ready');
    dialogue.send({ type: 'READY', txid, ...claims });

    const commit = await Promise.race([awaitCommit(dialogue, values), taker.broken]).catch(async (error: unknown) => {
      await ensureDead(offer.incumbent, error);
      return null;
    });
    const alone = commit === null;
    // Steps are logged; nobody accepts now, so what is to be sent goes first.
    const live = taker.goLive(alone ? [] : values);
    taker.step(alone ? 'incumbentGone' : 'commit');
    if (commit !== null) taker.inherit(commit.legacy, commit.signalled ?? null);
    await live;
    dialogue.send({ type: 'LIVE', txid, unused: alone ? undefined : taker.letGo() });
    taker.step('live');
    return alone ? 'alone' : 'handed-over';
  } catch (error) {
    const failure = HandoverError.from(error);
    dialogue.abort(txid, failure);
    throw failure;
  } finally {
    closeValues(values);
  }
}

/** COMMIT; what the programs of the incumbent hand on comes before it. */
async function awaitCommit(
  dialogue: Dialogue,
  values: HandedOn[],
): Promise<Extract<HandoverMessage, { type: 'COMMIT' }>> {
  for (;;) {
    const { message, fds } = await dialogue.expect(['COMMIT', 'STATE'], COMMIT_MS);
    if (message.type === 'COMMIT') return message;
    const { service, index } = message;
    values.push({ service, index, fd: one(fds, 'a value') });
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
  const socket = native.describe(fd);
  const key = listenerKey(socket);
  if (key !== entry.key) throw new HandoverError('ERR_MOTYA_MANIFEST', `${entry.key} was announced, ${key} came`);
  if (socket.type !== 'dgram' && !socket.listening)
    throw new HandoverError('ERR_MOTYA_MANIFEST', `${key} does not listen`);
}

function one(fds: readonly number[], what: string): number {
  const [fd] = fds;
  if (fds.length !== 1 || fd === undefined) {
    closeAll(fds);
    throw new HandoverError('ERR_MOTYA_LISTENER_COUNT', `${fds.length} fds came for ${what}`);
  }
  return fd;
}
