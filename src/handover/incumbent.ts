import { Channel } from '../channel.js';
import { HandoverError } from '../errors.js';
import { FDS_MS, GREETING_MS, LIVE_MS, MESSAGE_FDS } from '../limits.js';
import type { Listener } from '../listeners/ledger.js';
import { Dialogue } from './dialogue.js';
import { handoverCodec, type ManifestEntry, PROTOCOL } from './messages.js';
import type { PhaseEvent } from './phases.js';

/** What the hand-over needs of the instance that gives. */
export interface Giver {
  readonly pid: number;
  readonly generation: number;
  listeners(): readonly Listener[];
  /** The open file that holds the pidfile's lock. */
  readonly lockFd: number;
  /** ms to wait for READY. */
  readonly readyMs: number;
  /** Ends a hand-over that has not been committed: the instance is to stop. */
  readonly cancelled: AbortSignal;
  /** Goes as far as READY, then aborts. */
  readonly dryRun: boolean;
  step(event: PhaseEvent): void;
  /** Stops accepting. Never throws: a worker that does not answer accepts nothing either. */
  pause(): Promise<void>;
}

/** A hand-over that has happened: the dialogue goes on with STATS and BYE. */
export interface HandedOver {
  readonly dialogue: Dialogue;
  readonly txid: string;
  readonly successor: number;
  /** ms from COMMIT to LIVE, in which nobody accepted. */
  readonly gapMs: number;
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
        'MOTYA_VERSION',
        `the successor speaks protocol ${hello.min} to ${hello.max}, the incumbent ${PROTOCOL.min} to ${PROTOCOL.max}`,
      );
    }
    offer(dialogue, txid, protocol, giver);
    const { message: adopted } = await dialogue.expect(['ADOPTED'], FDS_MS);
    const held = giver.listeners().length;
    if (adopted.listeners !== held) {
      throw new HandoverError('MOTYA_COUNT', `${adopted.listeners} of ${held} listeners were adopted`);
    }
    giver.step('adopted');

    await dialogue.expect(['READY'], giver.readyMs);
    if (giver.dryRun) {
      dialogue.abort(txid, new HandoverError(DRY_RUN, 'dry run: everything up to READY worked'));
      return 'dry-run';
    }
    giver.step('ready');
    await Promise.race([giver.pause(), dialogue.failed]);
    giver.cancelled.throwIfAborted();

    const committed = performance.now();
    dialogue.send({ type: 'COMMIT', txid });
    // Steps are logged; nobody accepts now, so what is to be sent goes first.
    giver.step('paused');
    await dialogue.expect(['LIVE'], LIVE_MS);
    const gapMs = performance.now() - committed;
    giver.step('live');
    return { dialogue, txid, successor: hello.pid, gapMs };
  } catch (error) {
    const failure = HandoverError.from(giver.cancelled.aborted ? giver.cancelled.reason : error);
    dialogue.abort(txid, failure);
    throw failure;
  } finally {
    giver.cancelled.removeEventListener('abort', cancel);
  }
}

/** Code of the ABORT that ends a dry run: no failure on either side. */
export const DRY_RUN = 'MOTYA_DRY_RUN';

function offer(dialogue: Dialogue, txid: string, protocol: number, giver: Giver): void {
  const listeners = giver.listeners();
  const { pid, generation } = giver;
  dialogue.send({ type: 'OFFER', txid, protocol, pid, generation, listeners: listeners.length });
  for (let start = 0; start < listeners.length; start += MESSAGE_FDS) {
    const chunk = listeners.slice(start, start + MESSAGE_FDS);
    const fds = chunk.map((listener) => listener.fd);
    dialogue.send({ type: 'FDS', txid, entries: chunk.map(entryOf) }, fds);
  }
  dialogue.send({ type: 'LOCK', txid }, [giver.lockFd]);
}

function entryOf({ key, alias, backlog, path }: Listener): ManifestEntry {
  return { key, alias, backlog, path: path && { dev: path.dev, ino: path.ino } };
}
