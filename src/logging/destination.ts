import { closeSync, fstatSync, write, writeSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';

/** ms for which a log line waits for a reader that does not keep up; then it is dropped. More would delay the supervisor. */
const LOG_STALL_MS = 20;
/** Bytes of lines that may wait for a reader that does not keep up; then the workers' pipes are not read. Some ms of a fast one. */
export const OUTPUT_QUEUE_BYTES = 256 * 1024;
/** ms between two tries to write to something that was made non-blocking and is full. */
const OUTPUT_RETRY_MS = 10;

const NEWLINE = 10;
/** PIPE_BUF of Linux (pipe(7)): a write of up to so many bytes is never mixed with those of others. */
const ATOMIC_BYTES = 4096;
/** Fds up to this one are the process's own: never closed. */
const STDERR = 2;

/** Lines that are written as one. */
interface Batch {
  readonly fd: number;
  readonly data: Buffer;
  /** Bytes at the beginning of `data` that say how many lines were lost; and how many it says. */
  readonly notice: number;
  told: number;
  /** Bytes that are written. */
  at: number;
  /** Bytes that are written or in a thread's hands. */
  inHand: number;
}

/**
 * A file, pipe, terminal or socket that lines are written to, in order, one write at a time on the thread pool: a slow reader
 * holds up the code that writes here, and never the loop. What the kernel refuses (a full disk, a reader that has gone) is dropped
 * and counted: that must not stop a server.
 */
export class Destination {
  #fd: number;
  #isFile: boolean;
  readonly #notice: (lost: number) => string;
  readonly #refused: (error: Error) => void;
  /** It was told that lines are refused, and none has been taken since. */
  #isRefused = false;
  #queue: Buffer[] = [];
  /** Bytes that wait or are being written. */
  #queued = 0;
  #batch: Batch | null = null;
  /** A write is under way, or what follows from one. */
  #busy = false;
  #lost = 0;
  /** What was written last ended within a line. */
  #torn = false;
  #waiting: (() => void)[] = [];
  #flushing: (() => void)[] = [];
  /** Replaced while it was being written. */
  #stale: number[] = [];

  /**
   * @param notice the line that says how many were lost, with its newline
   * @param refused told when a write fails, and not again before lines can be written again
   */
  constructor(fd: number, notice: (lost: number) => string, refused: (error: Error) => void = () => {}) {
    this.#fd = fd;
    this.#isFile = fstatSync(fd).isFile();
    this.#notice = notice;
    this.#refused = refused;
  }

  get fd(): number {
    return this.#fd;
  }

  /** Takes whole lines. False: so much waits that the caller should come back when there is room (see {@link whenRoom}). */
  write(lines: Buffer): boolean {
    this.#queue.push(lines);
    this.#queued += lines.length;
    if (!this.#busy) this.#writeOn();
    return this.#hasRoom;
  }

  /** `callback` is called once, perhaps before this returns. */
  whenRoom(callback: () => void): void {
    if (this.#hasRoom) callback();
    else this.#waiting.push(callback);
  }

  /**
   * Takes a line of the supervisor's own. If nothing waits and it does not block, it is there when this returns: nothing that
   * happens to the process afterwards can lose it. One for which there is no room is dropped and counted.
   */
  writeNow(line: Buffer): void {
    if (this.#busy) {
      if (this.#queued < 2 * OUTPUT_QUEUE_BYTES) this.write(line);
      else this.#lost += 1;
      return;
    }
    this.#queued += line.length;
    this.#begin(line);
    this.#writeSync();
    this.#writeOn();
  }

  /** Lines go to `fd` from now on. The old one is closed, unless it is the process's own. */
  redirect(fd: number): void {
    const old = this.#fd;
    this.#fd = fd;
    this.#isFile = fstatSync(fd).isFile();
    this.#torn = false;
    if (old <= STDERR) return;
    // A thread may be writing to it: its number must not be reused meanwhile.
    if (this.#batch?.fd === old) this.#stale.push(old);
    else closeSync(old);
  }

  /** Resolves with true when everything is written, with false after `ms`. */
  async flush(ms: number): Promise<boolean> {
    if (!this.#busy) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms, false);
      this.#flushing.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** When the process ends: what no thread has in hand, as far as there is room for it. */
  writeRest(): void {
    const { fd, data, inHand } = this.#batch ?? { fd: this.#fd, data: Buffer.alloc(0), inHand: 0 };
    const rest = Buffer.concat([data.subarray(inHand), ...this.#queue]);
    this.#batch = { fd, data: rest, at: 0, inHand: 0, notice: 0, told: 0 };
    this.#queue = [];
    const start = performance.now();
    for (;;) {
      this.#writeSync();
      if (this.#batch === null || performance.now() - start > LOG_STALL_MS) return;
      Atomics.wait(clock, 0, 0, 1);
    }
  }

  get #hasRoom(): boolean {
    return this.#queued < OUTPUT_QUEUE_BYTES;
  }

  #begin(lines: Buffer): void {
    const text = this.#lost === 0 ? '' : `${this.#torn ? '\n' : ''}${this.#notice(this.#lost)}`;
    const data = text === '' ? lines : Buffer.concat([Buffer.from(text), lines]);
    const notice = data.length - lines.length;
    this.#batch = { fd: this.#fd, data, notice, told: this.#lost, at: 0, inHand: 0 };
  }

  /** The next write, if there is anything to write; none may run. */
  #writeOn(): void {
    if (this.#batch === null && this.#queue.length > 0) {
      const lines = this.#queue;
      this.#queue = [];
      this.#begin(lines.length === 1 ? (lines[0] as Buffer) : Buffer.concat(lines));
    }
    const batch = this.#batch;
    this.#busy = batch !== null;
    if (batch === null) {
      pending.delete(this);
      for (const done of this.#flushing.splice(0)) done();
      return;
    }
    pending.add(this);
    batch.inHand = this.#endOfWrite(batch);
    write(batch.fd, batch.data, batch.at, batch.inHand - batch.at, null, (error, written) => {
      if (this.#batch !== batch) return;
      if (error === null) this.#advance(batch, written);
      else if (error.code !== 'EAGAIN') this.#drop(batch, error);
      else {
        // Another process that shares it has made it non-blocking, and its reader is slow.
        batch.inHand = batch.at;
        setTimeout(() => this.#writeOn(), OUTPUT_RETRY_MS);
        return;
      }
      this.#writeOn();
    });
  }

  /** Writes of the batch what can be written without waiting. */
  #writeSync(): void {
    for (let batch = this.#batch; batch !== null; batch = this.#batch) {
      if (!this.#isFile && !native.fd.isWritable(batch.fd)) return;
      try {
        this.#advance(batch, writeSync(batch.fd, batch.data, batch.at, this.#endOfWrite(batch) - batch.at));
      } catch (error) {
        if (isSystemError(error) && error.code === 'EAGAIN') return;
        this.#drop(batch, error as Error);
      }
    }
  }

  /** Others write to the same pipe or terminal too: whole lines in one write each, as far as they fit. */
  #endOfWrite({ data, at }: Batch): number {
    if (this.#isFile || data.length - at <= ATOMIC_BYTES) return data.length;
    const last = data.lastIndexOf(NEWLINE, at + ATOMIC_BYTES - 1);
    return last >= at ? last + 1 : at + ATOMIC_BYTES;
  }

  #advance(batch: Batch, written: number): void {
    batch.at += written;
    batch.inHand = batch.at;
    this.#torn = batch.data[batch.at - 1] !== NEWLINE;
    if (batch.at >= batch.notice) {
      this.#lost -= batch.told;
      batch.told = 0;
      if (this.#lost === 0) this.#isRefused = false;
    }
    if (batch.at === batch.data.length) this.#end(batch);
  }

  #drop(batch: Batch, error: Error): void {
    this.#lost += countLines(batch.data, Math.max(batch.at, batch.notice));
    this.#end(batch);
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#refused(error);
  }

  #end(batch: Batch): void {
    this.#batch = null;
    this.#queued -= batch.data.length - batch.notice;
    for (const fd of this.#stale.splice(0)) closeSync(fd);
    if (this.#hasRoom) for (const go of this.#waiting.splice(0)) go();
  }
}

function countLines(data: Buffer, from: number): number {
  let lines = 0;
  for (let at = data.indexOf(NEWLINE, from); at >= 0; at = data.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

const clock = new Int32Array(new SharedArrayBuffer(4));

/** Those with something left to write. */
const pending = new Set<Destination>();
process.on('exit', () => {
  for (const destination of pending) destination.writeRest();
});
