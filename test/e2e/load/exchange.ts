import type { Socket } from 'node:net';
import { Failure, type FailurePhase, socketFailure } from './tally.js';

/** What reads one answer: told each piece of it, it returns the answer when it is complete and throws what is wrong with it. */
export interface Reader<T> {
  push(bytes: Buffer): T | undefined;
  readonly started: boolean;
  readonly progress: string;
}

interface Waiting {
  readonly phase: () => FailurePhase;
  readonly progress: () => string;
  push(bytes: Buffer): void;
  fail(failure: Failure): void;
}

/** A connection on which one thing at a time is asked and answered; it notices whatever happens between two questions. */
export class Exchange {
  readonly socket: Socket;
  #waiting: Waiting | undefined;
  #broken: Failure | undefined;
  #ended = false;
  #used = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      if (this.#waiting !== undefined) this.#waiting.push(bytes);
      else this.#broken ??= new Failure('malformed', 'idle', `${bytes.length} bytes that nothing asked for`);
    });
    socket.on('end', () => this.#onEnd());
    socket.on('close', () => this.#onEnd());
    socket.on('error', (error) => {
      const failure = socketFailure(error, this.#waiting?.phase() ?? 'idle');
      if (this.#waiting !== undefined) this.#waiting.fail(failure);
      // Between two questions a clean end is told by `ended`; what comes after it does not matter to anybody.
      else if (!this.#ended) this.#broken ??= failure;
    });
  }

  /** Nothing was answered yet on this connection. */
  get isFresh(): boolean {
    return !this.#used;
  }

  /** The server has closed the connection in good order while nothing was asked. Throws if it did otherwise. */
  get ended(): boolean {
    if (this.#broken !== undefined) throw this.#broken;
    return this.#ended;
  }

  /** Lets `write` send the question and waits for the answer. Rejects with a {@link Failure}; the connection is destroyed then. */
  async ask<T>(reader: Reader<T>, limitMs: number, write: () => void | Promise<void>): Promise<T> {
    const phase = () => (this.#used && !reader.started ? 'reuse' : 'in-flight');
    const answer = deferred<T>();
    const timer = setTimeout(() => {
      answer.reject(new Failure('late', phase(), `no answer in ${limitMs} ms: ${reader.progress}`));
    }, limitMs);
    this.#waiting = {
      phase,
      progress: () => reader.progress,
      push: (bytes) => {
        try {
          const whole = reader.push(bytes);
          if (whole !== undefined) answer.resolve(whole);
        } catch (error) {
          answer.reject(new Failure('malformed', 'in-flight', String(error)));
        }
      },
      fail: answer.reject,
    };
    try {
      if (this.#broken !== undefined) throw this.#broken;
      const writing = Promise.resolve(write()).then(() => true);
      // Once the answer has failed nobody waits for the rest of the question.
      writing.catch(answer.reject);
      const whole = await answer.promise;
      const written = await Promise.race([writing, new Promise<false>((resolve) => setImmediate(resolve, false))]);
      if (!written) throw new Failure('wrong', 'in-flight', 'answered before the question was complete');
      this.#used = true;
      return whole;
    } catch (error) {
      this.socket.destroy();
      throw error;
    } finally {
      this.#waiting = undefined;
      clearTimeout(timer);
    }
  }

  /** Closes in good order and waits for the server to do the same; with `promised` the server has to close first. */
  async close(limitMs: number, promised = false): Promise<void> {
    if (this.socket.closed) return;
    const closed = deferred<void>();
    this.socket.once('close', () => closed.resolve());
    const timer = setTimeout(() => {
      closed.reject(new Failure('late', 'idle', `the server did not close within ${limitMs} ms`));
    }, limitMs);
    if (!promised) this.socket.end();
    try {
      await closed.promise;
      if (this.#broken !== undefined) throw this.#broken;
    } finally {
      clearTimeout(timer);
      this.socket.destroy();
    }
  }

  #onEnd(): void {
    if (this.#waiting === undefined) this.#ended = true;
    else {
      const text = `closed before the answer was complete: ${this.#waiting.progress()}`;
      this.#waiting.fail(new Failure('truncated', this.#waiting.phase(), text));
    }
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Promise.withResolvers, which Node 20 does not have. */
export function deferred<T>(): Deferred<T> {
  let settle: Pick<Deferred<T>, 'resolve' | 'reject'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...(settle as Pick<Deferred<T>, 'resolve' | 'reject'>) };
}
