import type { Channel } from '../base/channel.js';
import { detailFields, HandoverError, ProtocolError, reasonOf } from '../base/errors.js';
import { CHANNEL_QUEUE } from '../base/limits.js';
import { native } from '../base/os/native.js';
import type { ReceivedFds } from '../base/received-fds.js';
import { timeout } from '../base/timeout.js';
import { CARRIERS, type HandoverMessage, type HandoverShapes } from './handover-messages.js';

/** The peer has said ABORT, with its own code and reason. */
export class PeerAbort extends HandoverError {}

type Received<T extends HandoverMessage['type']> = { message: Extract<HandoverMessage, { type: T }>; fds: number[] };

/**
 * A hand-over channel read as a conversation: one message at a time, each with a deadline. Whatever ends it (ABORT, the peer's
 * death, a message out of turn, a deadline) is a {@link HandoverError} of the pending {@link expect}.
 */
export class Dialogue {
  readonly #channel: Channel<HandoverShapes>;
  readonly #inbox: { message: HandoverMessage; fds: number[] }[] = [];
  #failure: HandoverError | null = null;
  #wake: (() => void) | null = null;
  readonly #failed: Promise<never>;
  #fail!: (error: HandoverError) => void;

  constructor(channel: Channel<HandoverShapes>) {
    this.#channel = channel;
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => {});
    channel.on('message', (message, fds) => this.#take(message, fds));
    const { pid } = channel.peer;
    channel.on('close', (error) => this.#end(peerGone(pid, error)));
    channel.open();
  }

  /** Rejects when the conversation has ended, whether or not anything is expected. */
  get failed(): Promise<never> {
    return this.#failed;
  }

  send(message: HandoverMessage, fds: readonly number[] = []): void {
    this.#channel.send(message, fds);
  }

  /** The next message, which must be of one of these types. The caller owns its fds. @throws {HandoverError} */
  async expect<T extends HandoverMessage['type']>(types: readonly T[], deadlineMs: number): Promise<Received<T>> {
    const next = await this.#next(types, deadlineMs);
    if (!types.includes(next.message.type as T)) {
      closeAll(next.fds);
      const awaits = types.join(' or ');
      const details = { awaits, came: next.message.type };
      throw new HandoverError('ERR_MOTYA_PROTOCOL', `the peer said ${next.message.type} instead of ${awaits}`, {
        details,
      });
    }
    return next as Received<T>;
  }

  /** Tells the peer why and hangs up. */
  abort(txid: string, error: HandoverError): void {
    const { code, message } = error;
    this.#channel.send({ type: 'ABORT', txid, code, text: message.slice(0, 2000), ...detailFields(error) });
    // Before the hang-up is noticed: our own end must not look like the peer's death.
    this.#end(error);
    this.close();
  }

  /**
   * Gives the conversation to another process. A pending {@link expect} fails with `ERR_MOTYA_PASSED_ON`.
   * @returns the connection, now the caller's; null when it cannot be given away just now.
   */
  release(): number | null {
    if (this.#inbox.length > 0 || this.#failure !== null) return null;
    const fd = this.#channel.release();
    if (fd !== null)
      this.#end(new HandoverError('ERR_MOTYA_PASSED_ON', 'another process goes on with this conversation'));
    return fd;
  }

  close(): void {
    for (const { fds } of this.#inbox.splice(0)) closeAll(fds);
    this.#channel.end();
  }

  async #next(types: readonly string[], deadlineMs: number): Promise<{ message: HandoverMessage; fds: number[] }> {
    if (this.#inbox.length === 0 && this.#failure === null) {
      await new Promise<void>((resolve) => {
        // What may have come in time: a COMMIT, or the peer's death, which leaves everything to us.
        const inTime = timeout(deadlineMs, () => {
          const awaits = types.join(' or ');
          const details = { awaits, ms: deadlineMs };
          this.#end(new HandoverError('ERR_MOTYA_DEADLINE', `no ${awaits} within ${deadlineMs} ms`, { details }));
        });
        this.#wake = () => {
          inTime();
          this.#wake = null;
          resolve();
        };
      });
    }
    const next = this.#inbox.shift();
    if (next !== undefined) return next;
    throw this.#failure as HandoverError;
  }

  #take(message: HandoverMessage, fds: ReceivedFds): void {
    if (message.type === 'ABORT') {
      this.#end(new PeerAbort(message.code, message.text, { details: message.details }));
      return;
    }
    if (this.#failure !== null) return;
    if (this.#inbox.length >= CHANNEL_QUEUE) {
      this.#end(
        new HandoverError('ERR_MOTYA_PROTOCOL', `the peer has sent ${CHANNEL_QUEUE} messages that were not expected`),
      );
      return;
    }
    const count = CARRIERS.has(message.type) ? fds.length : 0;
    this.#inbox.push({ message, fds: Array.from({ length: count }, (_, index) => fds.take(index)) });
    this.#wake?.();
  }

  #end(error: HandoverError): void {
    this.#failure ??= error;
    this.#fail(this.#failure);
    this.#wake?.();
  }
}

function peerGone(pid: number, error: Error | null): HandoverError {
  if (error instanceof ProtocolError) return new HandoverError(error.code, error.message, { cause: error });
  if (error !== null) return new HandoverError('ERR_MOTYA_CHANNEL_BROKEN', reasonOf(error), { cause: error });
  const text = `pid ${pid} has hung up without a word: it died, or its own log says why`;
  return new HandoverError('ERR_MOTYA_PEER_GONE', text, { details: { pid } });
}

/** Whether the conversation has ended without a word that both have heard: which of them lives on cannot be told by it. */
export function isBroken(error: unknown): boolean {
  return (
    error instanceof HandoverError &&
    (error.code === 'ERR_MOTYA_PEER_GONE' || error.code === 'ERR_MOTYA_CHANNEL_BROKEN')
  );
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) native.fd.close(fd);
}

/** What the two sides do not agree on: listeners of the hand-over, those adopted, fds of one FDS message, of LOCK or of a STATE. */
interface WrongCount {
  readonly counted: 'listeners' | 'adopted' | 'fds' | 'lock' | 'state';
  readonly came: number;
  readonly expected: number;
}

export function wrongCount(text: string, { counted, came, expected }: WrongCount): HandoverError {
  return new HandoverError('ERR_MOTYA_LISTENER_COUNT', text, { details: { counted, came, expected } });
}
