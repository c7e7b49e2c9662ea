import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { deferred } from './exchange.js';
import { whoAnswered } from './http1.js';
import { type Run, repeat, think } from './run.js';
import { Failure, type Identity } from './tally.js';
import { dial } from './target.js';

/** A request that is refused this often is a failure after all. */
const TRIES = 10;

/** The server has certainly not processed the request: it may be repeated, whatever its method (RFC 9113 section 8.7). */
class Refused extends Error {}

/** Batches of concurrent requests on one HTTP/2 session, until the server says GOAWAY. */
export async function http2Client(run: Run): Promise<void> {
  let session: Session | undefined;
  const current = async () => {
    if (session === undefined || !session.usable) {
      await session?.close();
      session = undefined;
      session = await Session.open(run);
    }
    return session;
  };
  await repeat(run, 'http2', async () => {
    const batch = await current();
    await Promise.all(Array.from({ length: run.streams }, () => fetchWithRetry(run, batch, current)));
    await think(run);
  });
  try {
    await session?.close();
  } catch (error) {
    run.tally.fail('http2', error);
  }
}

async function fetchWithRetry(run: Run, first: Session, current: () => Promise<Session>): Promise<void> {
  const begun = run.tally.now();
  let session = first;
  for (let attempt = 1; ; attempt++) {
    const connectAt = session.takeConnectAt();
    try {
      const who = await session.fetch();
      return run.tally.answer('http2', { who, begun, connectAt });
    } catch (error) {
      if (error instanceof Refused && attempt < TRIES) {
        run.tally.http2Retried += 1;
        session = await serially(current);
        continue;
      }
      const failure = error instanceof Refused ? new Failure('refused', 'in-flight', error.message) : error;
      return run.tally.fail('http2', failure);
    }
  }
}

/** Several refused requests want a new session at once: they get the same one. */
const opening = new WeakMap<() => Promise<Session>, Promise<Session>>();
function serially(current: () => Promise<Session>): Promise<Session> {
  let promise = opening.get(current);
  if (promise === undefined) {
    promise = current().finally(() => opening.delete(current));
    opening.set(current, promise);
  }
  return promise;
}

class Session {
  readonly #run: Run;
  readonly #session: ClientHttp2Session;
  #connectAt: number | undefined;
  /** Streams with a higher number were not processed; set by GOAWAY. */
  #lastStream = Number.POSITIVE_INFINITY;
  #error: Error | undefined;
  #open = 0;

  static async open(run: Run): Promise<Session> {
    const connectAt = run.tally.now();
    const socket = await dial(run.tally, run.nextAddress(), run.tls, run.limitMs, run.tls ? ['h2'] : undefined);
    return new Session(
      run,
      connect(`http${run.tls ? 's' : ''}://localhost`, { createConnection: () => socket }),
      connectAt,
    );
  }

  private constructor(run: Run, session: ClientHttp2Session, connectAt: number) {
    this.#run = run;
    this.#session = session;
    this.#connectAt = connectAt;
    session.on('goaway', (_code, lastStream) => {
      this.#lastStream = Math.min(this.#lastStream, lastStream);
    });
    session.on('error', (error) => {
      this.#error = error;
      // With requests open each of them tells what became of it.
      if (this.#open === 0) run.tally.fail('http2', new Failure('reset', 'idle', String(error)));
    });
  }

  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed && this.#lastStream === Number.POSITIVE_INFINITY;
  }

  /** When the connection was begun: told once, so that it counts for one answer. */
  takeConnectAt(): number | undefined {
    const connectAt = this.#connectAt;
    this.#connectAt = undefined;
    return connectAt;
  }

  /** Who answers a GET. Rejects with {@link Refused} or a {@link Failure}. */
  async fetch(): Promise<Identity | undefined> {
    // Nothing has gone onto the wire: any other session will do.
    if (!this.usable) throw new Refused('the session is closed');
    const stream = this.#session.request({ ':path': this.#run.resource });
    this.#open += 1;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      stream.close(constants.NGHTTP2_CANCEL);
    }, this.#run.limitMs);
    try {
      return await this.#answerOf(stream);
    } catch (error) {
      if (late) throw new Failure('late', 'in-flight', `no answer in ${this.#run.limitMs} ms`);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#open -= 1;
    }
  }

  async #answerOf(stream: ClientHttp2Stream): Promise<Identity | undefined> {
    const chunks: Buffer[] = [];
    let status: number | undefined;
    let length: string | undefined;
    let ended = false;
    let failed: Error | undefined;
    const closed = deferred<void>();
    stream.on('response', (headers) => {
      status = headers[':status'];
      length = headers['content-length'];
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      ended = true;
    });
    stream.on('aborted', () => {
      failed ??= new Error('aborted');
    });
    stream.on('error', (error) => {
      failed ??= error;
    });
    stream.on('close', closed.resolve);
    await closed.promise;

    const body = Buffer.concat(chunks);
    const whole =
      ended && failed === undefined && status !== undefined && stream.rstCode === constants.NGHTTP2_NO_ERROR;
    if (!whole || (length !== undefined && Number(length) !== body.length)) throw this.#whyIncomplete(stream, failed);
    if (status !== 200) throw new Failure('wrong', 'in-flight', `status ${status}`);
    return whoAnswered(this.#run, body.toString());
  }

  #whyIncomplete(stream: ClientHttp2Stream, failed: Error | undefined): Error {
    const { id, rstCode } = stream;
    const reason = failed?.message ?? this.#error?.message ?? 'closed';
    const text = `stream ${id}, code ${rstCode}, last stream ${this.#lastStream}: ${reason}`;
    const refused = rstCode === constants.NGHTTP2_REFUSED_STREAM || id === undefined || id > this.#lastStream;
    if (refused) return new Refused(text);
    const reset = (this.#error as NodeJS.ErrnoException | undefined)?.code === 'ECONNRESET';
    return new Failure(reset ? 'reset' : 'truncated', 'in-flight', text);
  }

  async close(): Promise<void> {
    if (this.#session.destroyed) return;
    const timer = setTimeout(() => this.#session.destroy(), this.#run.limitMs);
    this.#session.close();
    await once(this.#session, 'close');
    clearTimeout(timer);
  }
}
