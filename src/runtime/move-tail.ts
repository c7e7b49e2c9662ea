import { isSystemError } from '../base/errors.js';
import { type NativePoll, native } from '../base/os/native.js';

/** Bytes of a message, and where the kernel's buffers are small (net.core.wmem_default; never below 4,608). */
const PIECE = 32 * 1024;
const SMALL_PIECE = 2 * 1024;
/** Of the head of a message: which connection (32 bits), and whether this is the last piece of what was written. */
const HEAD = 5;
const READABLE = 1;
const WRITABLE = 2;

interface Written {
  readonly index: number;
  readonly data: Buffer;
  readonly done: () => void;
  /** Bytes that have gone. */
  sent: number;
}

/**
 * What the program still writes to connections that have moved, on its way to the process that has them: straight from worker to
 * worker. Its other end is {@link TailReader}. When that has gone, the connections have ended, and so does all that is written.
 */
export class TailWriter {
  readonly #fd: number;
  readonly #poll: NativePoll;
  readonly #queue: Written[] = [];
  #piece = PIECE;
  #isClosed = false;
  /** When something was written last, as `performance.now()` has it. */
  usedAt = performance.now();

  /** Owns the fd. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#poll = native.poll.create(fd, () => this.#flush());
  }

  /** `done`: the kernel has it. In the same turn, as long as its buffer has room. */
  write(index: number, data: Buffer, done: () => void): void {
    this.usedAt = performance.now();
    if (this.#isClosed) {
      done();
      return;
    }
    this.#queue.push({ index, data, done, sent: 0 });
    if (this.#queue.length === 1) this.#flush();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#poll.close();
    native.fd.close(this.#fd);
    for (const { done } of this.#queue.splice(0)) done();
  }

  #flush(): void {
    for (;;) {
      const [next] = this.#queue;
      if (next === undefined) break;
      const outcome = this.#send(next);
      if (outcome === 'full') break;
      if (outcome === 'closed') {
        this.close();
        return;
      }
      if (outcome === 'too large') this.#piece = SMALL_PIECE;
      else if (next.sent >= next.data.length) {
        this.#queue.shift();
        next.done();
      }
    }
    if (!this.#isClosed) this.#poll.watch(this.#queue.length > 0 ? WRITABLE : 0);
  }

  #send(written: Written): 'sent' | 'full' | 'too large' | 'closed' {
    const end = Math.min(written.sent + this.#piece, written.data.length);
    const head = Buffer.alloc(HEAD);
    head.writeUInt32LE(written.index);
    head[HEAD - 1] = end === written.data.length ? 1 : 0;
    try {
      if (!native.channel.send(this.#fd, Buffer.concat([head, written.data.subarray(written.sent, end)]), []))
        return 'full';
      written.sent = end;
      return 'sent';
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return error.code === 'EMSGSIZE' && this.#piece > SMALL_PIECE ? 'too large' : 'closed';
    }
  }
}

export class TailReader {
  readonly #fd: number;
  readonly #poll: NativePoll;
  readonly #deliver: (index: number, data: Buffer) => void;
  /** Of what has not come whole yet. */
  readonly #pieces = new Map<number, Buffer[]>();
  #isClosed = false;

  /** Owns the fd. `deliver`: what one write of the program has written, whole. */
  constructor(fd: number, deliver: (index: number, data: Buffer) => void) {
    this.#fd = fd;
    this.#deliver = deliver;
    this.#poll = native.poll.create(fd, () => this.read());
    this.#poll.unref();
    this.#poll.watch(READABLE);
  }

  /** All that has come by now. */
  read(): void {
    while (!this.#isClosed) {
      let data: Buffer;
      try {
        const received = native.channel.receive(this.#fd, PIECE + HEAD);
        if (received === null) return;
        ({ data } = received);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        this.close();
        return;
      }
      if (data.length < HEAD) {
        this.close();
        return;
      }
      this.#take(data.readUInt32LE(), data[HEAD - 1] === 1, data.subarray(HEAD));
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#poll.close();
    native.fd.close(this.#fd);
  }

  #take(index: number, isLast: boolean, piece: Buffer): void {
    const pieces = [...(this.#pieces.get(index) ?? []), piece];
    if (!isLast) {
      this.#pieces.set(index, pieces);
      return;
    }
    this.#pieces.delete(index);
    this.#deliver(index, Buffer.concat(pieces));
  }
}
