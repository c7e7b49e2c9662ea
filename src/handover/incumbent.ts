import { inBackground } from '../base/background.js';
import { Channel } from '../base/channel.js';
import { BROKEN_MS, FDS_MS, GREETING_MS, LIVE_MS, READY_MARGIN_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { MESSAGE_FDS } from '../base/limits.js';
import { endsWithin } from '../base/os/processes.js';
import { isOfStart, type Listener } from '../listeners/listener.js';
import { closeValues, type HandedOn } from '../workers/program-state.js';
import { Dialogue, isBroken, wrongCount } from './dialogue.js';
import { type HandoverMessage, handoverCodec, type ManifestEntry, PROTOCOL } from './handover-messages.js';
import type { ListenerDiff } from './listener-diff.js';

/** What an incumbent offers. */
export interface OfferedInstance {
  readonly pid: number;
  readonly generation: number;
  readonly listeners: readonly Listener[];
  /** The open file that holds the pidfile's lock. */
  readonly lockFd: number;
  /** µs between two pings that the service manager wants, or null. */
  readonly watchdogUsec: number | null;
  /** ms for which other generations may still have listeners that they are about to close; 0: none has. */
  readonly endingMs: number;
}

/** A hand-over that has happened: the dialogue goes on with STATS and BYE. */
export interface HandedOver extends ListenerDiff {
  readonly dialogue: Dialogue;
  readonly txid: string;
  readonly successor: number;
  /** ms for which the successor is on probation. */
  readonly probationMs: number;
  /** ms from COMMIT to LIVE. */
  readonly gapMs: number;
  /** The successor takes connections. */
  readonly moves: boolean;
}

/**
 * The incumbent's side of a hand-over, step by step, in this order; ./successor.ts is its mirror image. Each step throws a
 * {@link HandoverError} when the successor does not do its part; {@link abort} then tells the successor, and the instance serves on.
 */
export class IncumbentSession {
  readonly #dialogue: Dialogue;
  readonly #cancelled: AbortSignal;
  readonly #cancel = (): void => this.#dialogue.abort(this.#txid, this.#cancelled.reason as HandoverError);
  #txid = '';
  #hello: Hello | null = null;
  #diff: ListenerDiff | null = null;
  #committedAt = 0;

  /**
   * @param fd a connection to the upgrade socket, whose peer has been checked; closed at the end
   * @param cancelled ends a hand-over that has not been committed: the instance is to stop
   */
  constructor(fd: number, cancelled: AbortSignal) {
    this.#dialogue = new Dialogue(new Channel(fd, handoverCodec));
    this.#cancelled = cancelled;
    cancelled.addEventListener('abort', this.#cancel);
  }

  /** HELLO → OFFER, FDS, LOCK → ADOPTED: the successor has all listeners, and the lock of the pidfile. */
  async offer(instance: OfferedInstance): Promise<void> {
    const { message: hello } = await this.#dialogue.expect(['HELLO'], GREETING_MS);
    this.#hello = hello;
    this.#txid = hello.txid;
    this.#sendOffer(instance, protocolFor(hello));
    const { message: adopted } = await this.#dialogue.expect(['ADOPTED'], FDS_MS);
    const { length } = instance.listeners;
    if (adopted.listeners !== length) {
      const text = `${adopted.listeners} of ${length} listeners were adopted`;
      throw wrongCount(text, { counted: 'adopted', came: adopted.listeners, expected: length });
    }
  }

  /** READY: the successor's programs have booted. Waits as long as the successor gives them, and a margin for its own reason. */
  async awaitReady(): Promise<ListenerDiff> {
    const { ready } = this.#said();
    const { message } = await this.#dialogue.expect(['READY'], ready + READY_MARGIN_MS);
    const { kept, added, removed, leftOut } = message;
    this.#diff = { kept, added, removed, leftOut };
    return this.#diff;
  }

  /** Instead of the rest. */
  endDryRun(): void {
    this.abort(new HandoverError('ERR_MOTYA_DRY_RUN', 'dry run: everything up to READY worked'));
  }

  /** The promise's value, unless the conversation ends before. */
  race<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#dialogue.failed]);
  }

  /** STATE: what the programs hand on, once they have stopped accepting. The values are closed. */
  async sendState(gathering: Promise<HandedOn[]>): Promise<void> {
    try {
      const values = await this.race(gathering);
      for (const { service, index, fd } of values) {
        this.#dialogue.send({ type: 'STATE', txid: this.#txid, service, index }, [fd]);
      }
    } finally {
      // What comes too late is closed, too. Why it has failed was said by `race`.
      inBackground(
        'closing what programs hand on',
        gathering.then(closeValues, () => {}),
      );
    }
  }

  /**
   * COMMIT. From here on the successor may be live: a stop waits for the outcome, it takes nothing back.
   * @param past what the successor is told of the past: see COMMIT
   */
  commit(past: Pick<Extract<HandoverMessage, { type: 'COMMIT' }>, 'history' | 'signalled'>): void {
    this.#cancelled.throwIfAborted();
    this.#cancelled.removeEventListener('abort', this.#cancel);
    this.#committedAt = performance.now();
    this.#dialogue.send({ type: 'COMMIT', txid: this.#txid, ...past });
  }

  /** LIVE: the successor accepts. */
  async awaitLive(): Promise<HandedOver> {
    const { pid, probation, moves = false } = this.#said();
    const live = await this.#dialogue.expect(['LIVE'], LIVE_MS).catch(async (error: unknown) => {
      // It has heard COMMIT and is live, or has not, and ends: see ./successor.ts.
      if (!isBroken(error) || (await endsWithin(BROKEN_MS, pid))) throw error;
      return null;
    });
    const diff = this.#diff;
    if (diff === null) throw new HandoverError('ERR_MOTYA_PROTOCOL', 'the successor has not said READY');
    return {
      ...diff,
      leftOut: live?.message.removed ?? diff.leftOut,
      dialogue: this.#dialogue,
      txid: this.#txid,
      successor: pid,
      probationMs: probation,
      moves,
      gapMs: performance.now() - this.#committedAt,
    };
  }

  /** Tells the successor, if it is there to hear, that nothing comes of it. A session that was cancelled has said so already. */
  abort(reason: HandoverError): void {
    this.#cancelled.removeEventListener('abort', this.#cancel);
    this.#dialogue.abort(this.#txid, reason);
  }

  #said(): Hello {
    if (this.#hello === null) throw new HandoverError('ERR_MOTYA_PROTOCOL', 'the successor has not said HELLO');
    return this.#hello;
  }

  #sendOffer(instance: OfferedInstance, protocol: number): void {
    const { pid, generation, listeners, lockFd, watchdogUsec, endingMs } = instance;
    const txid = this.#txid;
    this.#dialogue.send({
      type: 'OFFER',
      txid,
      protocol,
      pid,
      generation,
      listeners: listeners.length,
      ...(watchdogUsec === null ? {} : { watchdog: watchdogUsec }),
      ...(endingMs > 0 ? { ending: endingMs } : {}),
      moves: true,
    });
    for (let start = 0; start < listeners.length; start += MESSAGE_FDS) {
      const chunk = listeners.slice(start, start + MESSAGE_FDS);
      const fds = chunk.map((listener) => listener.fd);
      this.#dialogue.send({ type: 'FDS', txid, entries: chunk.map(entryOf) }, fds);
    }
    this.#dialogue.send({ type: 'LOCK', txid }, [lockFd]);
  }
}

type Hello = Extract<HandoverMessage, { type: 'HELLO' }>;

/** The version that both speak. @throws {HandoverError} there is none */
function protocolFor({ min, max }: Hello): number {
  const protocol = Math.min(max, PROTOCOL.max);
  if (protocol >= Math.max(min, PROTOCOL.min)) return protocol;
  const text = `the successor speaks protocol ${min} to ${max}, the incumbent ${PROTOCOL.min} to ${PROTOCOL.max}`;
  throw new HandoverError('ERR_MOTYA_VERSION', text);
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
