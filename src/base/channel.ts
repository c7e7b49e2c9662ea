import { EventEmitter } from 'node:events';
import type { Codec, MessageOf, Shapes } from './codec.js';
import { HandoverError, isSystemError, ProtocolError } from './errors.js';
import { CHANNEL_QUEUE, MESSAGE_BYTES, MESSAGES_PER_EVENT } from './limits.js';
import { type NativePoll, native, type PeerCredentials } from './os/native.js';
import { duplicates, OwnedFds } from './os/owned-fds.js';
import { ReceivedFds } from './received-fds.js';

/**
 * Bytes of a piece of a message that does not fit into SO_SNDBUF (net.core.wmem_default may be that small): the kernel allows no
 * smaller buffer than 4,608 bytes (SOCK_MIN_SNDBUF).
 */
const PIECE_BYTES = 2 * 1024;
/** ms that a channel which ends waits for its peer to read what is queued: a live one needs milliseconds. */
const END_MS = 2_000;

const READABLE = 1;
const WRITABLE = 2;

/** First byte of a piece of a message, which would otherwise begin with `{`: more pieces follow; this is the last one. */
const MORE = 1;
const LAST = 2;
const isPiece = (data: Uint8Array): boolean => data[0] === MORE || data[0] === LAST;

interface ChannelEvents<S extends Shapes> {
  message: [message: MessageOf<S>, fds: ReceivedFds];
  /** Once, whichever side closed. `error` is null after an orderly close by either side. */
  close: [error: Error | null];
}

/**
 * One AF_UNIX SOCK_SEQPACKET connection (unix(7)): messages keep their borders, so an fd can never part from the JSON that
 * names it. Owns its fd. Reads nothing until {@link open}; a peer that breaks the protocol is closed, never answered.
 */
export class Channel<S extends Shapes> extends EventEmitter<ChannelEvents<S>> {
  /** The peer's process when it connected (SO_PEERCRED): later changes of its uid do not show. */
  readonly peer: PeerCredentials;
  readonly #fd: number;
  readonly #codec: Codec<S>;
  readonly #poll: NativePoll;
  readonly #outgoing: { data: Buffer; fds: number[] }[] = [];
  /** Pieces of a message whose last one has not come yet, and their bytes. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  /** Messages that {@link receiveSync} passed over while it looked for its own. */
  readonly #skipped: { message: MessageOf<S>; fds: ReceivedFds }[] = [];
  #open = false;
  #closed = false;
  #ending = false;
  #endTimer: NodeJS.Timeout | undefined;

  /** Closes the fd when it throws. */
  constructor(fd: number, codec: Codec<S>) {
    super();
    this.#fd = fd;
    this.#codec = codec;
    using owned = new OwnedFds([fd]);
    this.peer = native.channel.peerCredentials(fd);
    this.#poll = native.poll.create(fd, (events) => this.#ready(events));
    owned.release(fd);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Starts reading. */
  open(): this {
    this.#open = true;
    this.#watch();
    return this;
  }

  ref(): void {
    if (!this.#closed) this.#poll.ref();
  }

  /** Lets the process end while the channel is open. */
  unref(): void {
    if (!this.#closed) this.#poll.unref();
  }

  /**
   * Sends, or queues while the peer's buffer is full. The fds stay the caller's and may be closed right after the call.
   * Nothing happens on a closed channel: its `close` event has told already.
   */
  send(message: MessageOf<S>, fds: readonly number[] = []): void {
    if (this.#closed || this.#ending) return;
    const data = this.#codec.encode(message);
    const sent = this.#outgoing.length === 0 ? this.#transmit(data, fds) : 'full';
    if (sent === 'sent' || this.#closed) return;
    if (this.#outgoing.length >= CHANNEL_QUEUE) {
      this.#close(new ProtocolError(`the peer has left ${CHANNEL_QUEUE} messages unread`));
      return;
    }
    try {
      this.#outgoing.push({ data, fds: duplicates(fds) });
    } catch (error) {
      this.#close(error as Error);
      return;
    }
    if (sent === 'too large') this.#flush();
    else this.#watch();
  }

  /**
   * Blocks until a message comes that `wanted` accepts; the others keep their order and are emitted afterwards. For a worker
   * inside a synchronous call only.
   * @returns null after `timeoutMs`, or when the peer has gone.
   */
  receiveSync(
    wanted: (message: MessageOf<S>) => boolean,
    timeoutMs: number,
  ): { message: MessageOf<S>; fds: ReceivedFds } | null {
    const deadline = performance.now() + timeoutMs;
    while (!this.#closed) {
      const left = deadline - performance.now();
      if (left <= 0 || !native.fd.waitReadable(this.#fd, Math.ceil(left))) return null;
      const received = this.#receive();
      if (received === null) continue;
      if (wanted(received.message)) return received;
      this.#skipped.push(received);
      // Before the loop polls: a process that is told to stop accepting must not accept first.
      if (this.#skipped.length === 1) process.nextTick(() => this.#emitSkipped());
    }
    return null;
  }

  /** Closes after what is queued has been sent, or after {@link END_MS}: fds must not wait for a peer that never reads. */
  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    if (this.#outgoing.length === 0) this.close();
    else this.#endTimer = setTimeout(() => this.close(), END_MS);
  }

  close(): void {
    this.#close(null);
  }

  /**
   * Gives the connection away, with what waits unread in it: no event comes any more.
   * @returns the fd, now the caller's; null when there is none to give: it is closed, or something of ours is not sent yet.
   */
  release(): number | null {
    if (this.#closed || this.#ending || this.#outgoing.length > 0) return null;
    if (this.#skipped.length > 0 || this.#pieces.length > 0) return null;
    this.#closed = true;
    this.#poll.close();
    return this.#fd;
  }

  #ready(events: number): void {
    if (events & WRITABLE) this.#flush();
    if (!(events & READABLE) || !this.#open) return;
    this.#emitSkipped();
    // What is left makes the next event: the poll is level-triggered.
    for (let left = MESSAGES_PER_EVENT; left > 0 && !this.#closed; left--) {
      const received = this.#receive();
      if (received === null) return;
      this.#deliver(received.message, received.fds);
    }
  }

  #emitSkipped(): void {
    for (const { message, fds } of this.#skipped.splice(0)) this.#deliver(message, fds);
  }

  #deliver(message: MessageOf<S>, fds: ReceivedFds): void {
    try {
      // The event map of a generic class is beyond what the compiler can relate; the types of `on` are exact.
      (this as EventEmitter).emit('message', message, fds);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#close(error);
    } finally {
      fds.closeRest();
    }
  }

  /** Null: nothing waits, or the channel has been closed. */
  #receive(): { message: MessageOf<S>; fds: ReceivedFds } | null {
    try {
      const received = native.channel.receive(this.#fd, MESSAGE_BYTES, true);
      if (received === null) return null;
      const fds = new ReceivedFds(received.fds);
      if (received.data.length === 0) {
        fds.closeRest();
        this.#close(null);
        return null;
      }
      try {
        const data = this.#whole(received.data, fds);
        if (data === null) return null;
        const message = this.#codec.decode(data);
        if (received.hasLostFds && !this.#codec.mayLoseFds(message)) {
          const text = `the kernel had no room for the fds of ${String(message.type)} (recvmsg MSG_CTRUNC, RLIMIT_NOFILE)`;
          throw new HandoverError('ERR_MOTYA_CHANNEL_BROKEN', text);
        }
        return { message, fds };
      } catch (error) {
        fds.closeRest();
        throw error;
      }
    } catch (error) {
      // ECONNRESET: the peer died with our messages unread; for us it is a close like any other.
      this.#close(isSystemError(error) && error.code === 'ECONNRESET' ? null : (error as Error));
      return null;
    }
  }

  /** The message that this completes, or is; null: more of it is to come. @throws {ProtocolError} */
  #whole(data: Buffer, fds: ReceivedFds): Buffer | null {
    if (!isPiece(data)) {
      if (this.#pieces.length > 0) throw new ProtocolError('a message came in the middle of another one');
      return data;
    }
    this.#pieces.push(data.subarray(1));
    this.#pieceBytes += data.length - 1;
    if (this.#pieceBytes > MESSAGE_BYTES) throw new ProtocolError(`a message in pieces exceeds ${MESSAGE_BYTES} bytes`);
    if (data[0] === LAST) {
      const whole = Buffer.concat(this.#pieces);
      this.#pieces = [];
      this.#pieceBytes = 0;
      return whole;
    }
    if (fds.length > 0) throw new ProtocolError('only the last piece of a message carries its fds');
    return null;
  }

  #transmit(data: Buffer, fds: readonly number[]): 'sent' | 'full' | 'too large' {
    try {
      return native.channel.send(this.#fd, data, fds) ? 'sent' : 'full';
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === 'EMSGSIZE' && !isPiece(data)) return 'too large';
      // EPIPE, ECONNRESET: what the peer said last may still wait to be read, so reading tells of the end.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') this.#close(error);
      return 'sent';
    }
  }

  #flush(): void {
    for (;;) {
      const next = this.#outgoing[0];
      const sent = next === undefined ? 'full' : this.#transmit(next.data, next.fds);
      if (next === undefined || sent === 'full') break;
      if (sent === 'too large') {
        this.#outgoing.splice(0, 1, ...piecesOf(next));
        continue;
      }
      // A send that failed has closed everything, these fds too.
      if (this.#closed) return;
      this.#outgoing.shift();
      for (const fd of next.fds) native.fd.close(fd);
    }
    if (this.#ending && this.#outgoing.length === 0) this.close();
    else this.#watch();
  }

  #watch(): void {
    if (this.#closed) return;
    this.#poll.watch((this.#open ? READABLE : 0) | (this.#outgoing.length > 0 ? WRITABLE : 0));
  }

  #close(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#endTimer);
    this.#poll.close();
    native.fd.close(this.#fd);
    for (const { fds } of this.#outgoing.splice(0)) for (const fd of fds) native.fd.close(fd);
    for (const { fds } of this.#skipped.splice(0)) fds.closeRest();
    // Not from inside the caller's own call: it may still be setting up what the event needs.
    process.nextTick(() => (this as EventEmitter).emit('close', error));
  }
}

function piecesOf({ data, fds }: { data: Buffer; fds: number[] }): { data: Buffer; fds: number[] }[] {
  const count = Math.ceil(data.length / PIECE_BYTES);
  return Array.from({ length: count }, (_, index) => {
    const isLast = index === count - 1;
    const part = data.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
    return { data: Buffer.concat([Buffer.of(isLast ? LAST : MORE), part]), fds: isLast ? fds : [] };
  });
}
