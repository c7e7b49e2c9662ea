import { Channel } from '../base/channel.js';
import { HandoverError } from '../base/errors.js';
import { BROKEN_MS, FDS_MS, GREETING_MS, LIVE_MS, MESSAGE_FDS, READY_MARGIN_MS } from '../base/limits.js';
import { endsWithin } from '../base/os/processes.js';
import { isOfStart, type Listener } from '../listeners/ledger.js';
import type { PhaseEvent } from '../status/phases.js';
import { closeValues, type HandedOn } from '../workers/program-state.js';
import { Dialogue, isBroken } from './dialogue.js';
import { handoverCodec, type ManifestEntry, PROTOCOL } from './handover-messages.js';

/** What the hand-over needs of the instance that gives. */
export interface Giver {
  readonly pid: number;
  readonly generation: number;
  listeners(): readonly Listener[];
  /** The open file that holds the pidfile's lock. */
  readonly lockFd: number;
  /** µs between two pings that the service manager wants, or null. */
  readonly watchdogUsec: number | null;
  /** ms for which other generations may still have listeners that they are about to close; 0: none has. */
  readonly endingMs: number;
  /** ms to wait for READY, when the successor names no limit of its own. */
  readonly readyMs: number;
  /** Ends a hand-over that has not been committed: the instance is to stop. */
  readonly cancelled: AbortSignal;
  /** Goes as far as READY, then aborts. */
  readonly dryRun: boolean;
  step(event: PhaseEvent): void;
  /**
   * Stops accepting, but on listeners with these keys: the successor does not want them. Never throws: a worker that does not
   * answer accepts nothing either.
   */
  pause(except: readonly string[]): Promise<void>;
  /** What its programs hand on; once they have stopped to accept. @throws {HandoverError} one has failed to */
  gather(): Promise<HandedOn[]>;
  /** What COMMIT tells the successor of the past; called once nothing can stop COMMIT any more. */
  bequeath(): object | undefined;
  /** Whole ms since the signal for which this instance has started the successor, as none waited; null: otherwise. */
  sinceSignal(): number | null;
}

/** A hand-over that has happened: the dialogue goes on with STATS and BYE. */
export interface HandedOver {
  readonly dialogue: Dialogue;
  readonly txid: string;
  readonly successor: number;
  /** Whether it takes over whom we follow. */
  readonly follows: boolean;
  /** ms for which the successor is on probation. */
  readonly probationMs: number;
  /** ms from COMMIT to LIVE. */
  readonly gapMs: number;
  /** What the successor does with our listeners: keeps, leaves out; and how many it has of its own. */
  readonly kept: number;
  readonly removed: number;
  readonly added: number;
  /** Keys of those that it has left out until now: nobody but us accepts on them. */
  readonly unwanted: readonly string[];
}

/**
 * The incumbent's side, message by message; ./successor.ts is its mirror image. `fd` is a connection to the upgrade socket,
 * whose peer has been checked.
 * @throws {HandoverError} the successor has been told why, if it is there to hear. After `paused` the caller must accept again.
 */
export async function handOver(fd: number, giver: Giver): Promise<HandedOver | 'dry-run'> {
  const dialogue = new Dialogue(new Channel(fd, handoverCodec));
  let txid = '';
  const cancel = (): void => dialogue.abort(txid, giver.cancelled.reason as HandoverError);
  giver.cancelled.addEventListener('abort', cancel);
  try {
    const { message: hello } = await dialogue.expect(['HELLO'], GREETING_MS);
    txid = hello.txid;
    const protocol = Math.min(hello.max, PROTOCOL.max);
    if (protocol < Math.max(hello.min, PROTOCOL.min)) {
      throw new HandoverError(
        'ERR_MOTYA_VERSION',
        `the successor speaks protocol ${hello.min} to ${hello.max}, the incumbent ${PROTOCOL.min} to ${PROTOCOL.max}`,
      );
    }
    const listeners = giver.listeners();
    offer(dialogue, txid, protocol, listeners, giver);
    const { message: adopted } = await dialogue.expect(['ADOPTED'], FDS_MS);
    if (adopted.listeners !== listeners.length) {
      throw new HandoverError(
        'ERR_MOTYA_LISTENER_COUNT',
        `${adopted.listeners} of ${listeners.length} listeners were adopted`,
      );
    }
    giver.step('adopted');

    // Its own limit, which may be newer than ours; a margin, so that its own, better reason comes first.
    const { message: claims } = await dialogue.expect(['READY'], (hello.ready ?? giver.readyMs) + READY_MARGIN_MS);
    if (giver.dryRun) {
      dialogue.abort(txid, new HandoverError('ERR_MOTYA_DRY_RUN', 'dry run: everything up to READY worked'));
      return 'dry-run';
    }
    giver.step('ready');
    const { kept, added, removed, unwanted = [] } = claims;
    await Promise.race([giver.pause(unwanted), dialogue.failed]);
    if (hello.state === true) await handOn(dialogue, txid, giver.gather());
    giver.cancelled.throwIfAborted();
    // From here on the successor may be live: a stop waits for the outcome, it takes nothing back.
    giver.cancelled.removeEventListener('abort', cancel);

    const committed = performance.now();
    const legacy = giver.bequeath();
    const signalled = giver.sinceSignal();
    const past = { ...(legacy === undefined ? {} : { legacy }), ...(signalled === null ? {} : { signalled }) };
    dialogue.send({ type: 'COMMIT', txid, ...past });
    // Steps are logged; nobody accepts now, so what is to be sent goes first.
    giver.step('paused');
    const live = await dialogue.expect(['LIVE'], LIVE_MS).catch(async (error: unknown) => {
      // It has heard COMMIT and is live, or has not, and ends: see ./successor.ts.
      if (!isBroken(error) || (await endsWithin(BROKEN_MS, hello.pid))) throw error;
      return null;
    });
    const gapMs = performance.now() - committed;
    giver.step('live');
    const { pid: successor, follows = false, probation: probationMs = 0 } = hello;
    const left = live?.message.unused ?? unwanted;
    return { dialogue, txid, successor, follows, probationMs, gapMs, kept, added, removed, unwanted: left };
  } catch (error) {
    // A cancelled dialogue fails with the reason of its own ABORT.
    const failure = HandoverError.from(error);
    dialogue.abort(txid, failure);
    throw failure;
  } finally {
    giver.cancelled.removeEventListener('abort', cancel);
  }
}

function offer(dialogue: Dialogue, txid: string, protocol: number, listeners: readonly Listener[], giver: Giver): void {
  const { pid, generation, watchdogUsec, endingMs } = giver;
  const watchdog = watchdogUsec === null ? {} : { watchdog: watchdogUsec };
  dialogue.send({
    type: 'OFFER',
    txid,
    protocol,
    pid,
    generation,
    listeners: listeners.length,
    probation: true,
    ...(endingMs > 0 ? { ending: endingMs } : {}),
    ...watchdog,
  });
  for (let start = 0; start < listeners.length; start += MESSAGE_FDS) {
    const chunk = listeners.slice(start, start + MESSAGE_FDS);
    const fds = chunk.map((listener) => listener.fd);
    dialogue.send({ type: 'FDS', txid, entries: chunk.map(entryOf) }, fds);
  }
  dialogue.send({ type: 'LOCK', txid }, [giver.lockFd]);
}

async function handOn(dialogue: Dialogue, txid: string, gathering: Promise<HandedOn[]>): Promise<void> {
  try {
    const values = await Promise.race([gathering, dialogue.failed]);
    for (const { service, index, fd } of values) dialogue.send({ type: 'STATE', txid, service, index }, [fd]);
  } finally {
    gathering.then(closeValues).catch(() => {});
  }
}

function entryOf(listener: Listener): ManifestEntry {
  const { key, alias, backlog, path, heldAs, adoptedFrom, lateBy, tickets } = listener;
  const held = heldAs === null ? {} : { heldAs };
  const adopted = adoptedFrom === null ? {} : { adoptedFrom };
  const used = lateBy === null || !isOfStart(listener) ? {} : { lateBy };
  const secrets = tickets === null ? {} : { tickets };
  return {
    key,
    alias,
    backlog,
    path: path && { dev: path.dev, ino: path.ino },
    ...held,
    ...adopted,
    ...used,
    ...secrets,
  };
}
