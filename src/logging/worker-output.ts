import { readSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';
import { type NativePoll, native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { Destination } from './destination.js';
import { LastLines } from './last-lines.js';
import { Lines } from './lines.js';
import type { Outputs } from './outputs.js';
import { type Tag, type Tagger, taggerFor } from './tagger.js';

/** Bytes that a worker's output holds before the program has to wait: some 10 ms of the fastest, while the supervisor is busy. */
const OUTPUT_PIPE_BYTES = 256 * 1024;
/** Bytes that one read takes from it. */
const OUTPUT_READ_BYTES = 64 * 1024;
/**
 * ms between two reads of little: each wakes the supervisor and a thread, which costs as much as reading hundreds of lines (1000
 * lines a second: 138 µs of CPU a line without the pause, 56 with it; bench:output). In this time few programs fill the pipe. The
 * end of a worker does not wait for it.
 */
const OUTPUT_PAUSE_MS = 8;
/** Bytes that are read from the pipe of a worker that has ended: more than any pipe holds (/proc/sys/fs/pipe-max-size). */
const OUTPUT_TAIL_BYTES = 1024 * 1024;

const READABLE = 1;
/** One for all pipes: what is read is passed on before anything else is read. */
const chunk = Buffer.allocUnsafeSlow(OUTPUT_READ_BYTES);

/** The supervisor's end of a pipe that a program writes lines to. */
class OutputPipe {
  readonly #fd: number;
  readonly #poll: NativePoll;
  readonly #lines: Lines;
  readonly #destination: Destination;
  readonly #heard: (chunk: Buffer) => void;
  #hasRoom = true;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  /** Owns `fd`, and closes it when it throws. */
  constructor(fd: number, tagger: Tagger, destination: Destination, heard: (chunk: Buffer) => void) {
    this.#fd = fd;
    this.#destination = destination;
    this.#heard = heard;
    this.#lines = new Lines((lines, partial) => {
      this.#hasRoom = destination.write(tagger(lines, partial));
    });
    using owned = new OwnedFds([fd]);
    this.#poll = native.poll.create(fd, () => this.#readable());
    owned.release(fd);
    this.#watch();
  }

  /** All that is in the pipe now, whether or not there is room for it; a child of the program's may go on writing. */
  readRest(): void {
    for (let left = OUTPUT_TAIL_BYTES; !this.#closed && left > 0 && this.#waits(); ) {
      left -= this.#read();
    }
    this.#lines.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#lines.end();
    this.#poll.close();
    native.fd.close(this.#fd);
  }

  #readable(): void {
    const length = this.#read();
    if (this.#closed) return;
    if (!this.#hasRoom) {
      this.#poll.watch(0);
      this.#destination.whenRoom(() => {
        this.#hasRoom = true;
        this.#watch();
      });
    } else if (length < OUTPUT_READ_BYTES) {
      this.#poll.watch(0);
      this.#timer = setTimeout(() => this.#look(), OUTPUT_PAUSE_MS);
    } else {
      this.#watch();
    }
  }

  /** After a pause. */
  #look(): void {
    if (this.#waits()) this.#readable();
    else this.#watch();
  }

  /** False, too, when the kernel has no memory for the question: output is no reason to end. */
  #waits(): boolean {
    try {
      return native.fd.waitReadable(this.#fd, 0);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return false;
    }
  }

  #watch(): void {
    if (!this.#closed) this.#poll.watch(READABLE);
  }

  #read(): number {
    const length = readSync(this.#fd, chunk);
    if (length === 0) {
      this.close();
      return 0;
    }
    const bytes = chunk.subarray(0, length);
    this.#heard(bytes);
    this.#lines.push(bytes);
    return length;
  }
}

/** Stdout and stderr of one worker, on their way to the outputs. */
export class WorkerOutput {
  /** What the worker is to have as its fds 1 and 2; closed by {@link handedOver}. */
  readonly fds: readonly [number, number];
  readonly #pipes: readonly [OutputPipe, OutputPipe];
  readonly #lastLines = new LastLines();

  /** Leaves nothing open when it throws. */
  constructor(tag: Tag, outputs: Outputs) {
    using owned = new OwnedFds();
    const pipes: OutputPipe[] = [];
    const open = (stream: 'stdout' | 'stderr', heard: (chunk: Buffer) => void): [number, OutputPipe] => {
      const [reader, writer] = native.fd.pipe();
      owned.own(writer);
      const pipe = new OutputPipe(reader, taggerFor(tag, stream, outputs.form(stream)), outputs[stream], heard);
      pipes.push(pipe);
      native.fd.setPipeSize(writer, OUTPUT_PIPE_BYTES);
      return [writer, pipe];
    };
    try {
      const [outWriter, out] = open('stdout', () => {});
      const [errWriter, err] = open('stderr', (bytes) => this.#lastLines.push(bytes));
      this.fds = [outWriter, errWriter];
      this.#pipes = [out, err];
      owned.releaseAll();
    } catch (error) {
      for (const pipe of pipes) pipe.close();
      throw error;
    }
  }

  /** The worker has them now. */
  handedOver(): void {
    for (const fd of this.fds) native.fd.close(fd);
  }

  /** The worker has ended: what it has said is passed on. A child of its own that has the pipe may say more. */
  readRest(): void {
    for (const pipe of this.#pipes) pipe.readRest();
  }

  close(): void {
    for (const pipe of this.#pipes) pipe.close();
  }

  /** The end of what it has said on stderr. */
  lastLines(): string[] {
    return this.#lastLines.lines();
  }

  lastReason(): string | null {
    return this.#lastLines.reason();
  }
}
