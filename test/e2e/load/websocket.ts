import { WebSocket } from 'ws';
import { deferred } from './exchange.js';
import { whoAnswered } from './http1.js';
import { type Run, repeat, think } from './run.js';
import { Failure, socketFailure } from './tally.js';

/** Close code of a connection that ended without a close frame (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;
const NO_CLOSE_FRAME = 1006;

/** Numbered echoes over one WebSocket; the server's first message is JSON that says who it is. */
export async function webSocketClient(run: Run): Promise<void> {
  let session: WebSocketSession | undefined;
  let number = 0;
  await repeat(run, 'webSocket', async () => {
    if (session === undefined) {
      const connectAt = run.tally.now();
      const opened = new WebSocketSession(run);
      const hello = await opened.ask(undefined);
      run.tally.answer('webSocket', { who: whoAnswered(run, hello), connectAt });
      session = opened;
    }
    const current = session;
    session = undefined;
    const code = current.closeCode;
    if (code !== undefined) return run.tally.webSocketClosed(code);
    const message = `message ${number++}`;
    const echo = await current.ask(message);
    if (echo !== message) throw new Failure('wrong', 'in-flight', `echo of ${message}: ${echo.slice(0, 80)}`);
    run.tally.answer('webSocket', {});
    session = current;
    await think(run);
  });
  try {
    await session?.close();
  } catch (error) {
    run.tally.fail('webSocket', error);
  }
}

class WebSocketSession {
  readonly #socket: WebSocket;
  readonly #run: Run;
  #waiting: ReturnType<typeof deferred<string>> | undefined;
  #broken: Failure | undefined;
  #closeCode: number | undefined;
  #opened = false;

  constructor(run: Run) {
    const { host, port, path } = run.nextAddress();
    const scheme = run.tls ? 'wss' : 'ws';
    const url = path === undefined ? `${scheme}://${host}:${port}/` : `${scheme}+unix:${path}:/`;
    run.tally.connections += 1;
    this.#run = run;
    this.#socket = new WebSocket(url, { rejectUnauthorized: false, perMessageDeflate: false });
    this.#socket.on('open', () => {
      this.#opened = true;
    });
    this.#socket.on('message', (data) => {
      if (this.#waiting !== undefined) this.#waiting.resolve(String(data));
      else this.#broken ??= new Failure('malformed', 'idle', 'a message that nothing asked for');
    });
    this.#socket.on('error', (error) => this.#fail(socketFailure(error, this.#phase())));
    this.#socket.on('close', (code) => {
      this.#closeCode = code;
      // Between two messages a close frame is good order; what it cuts off, or an end without one, is not.
      if (this.#waiting !== undefined || code === NO_CLOSE_FRAME) {
        const kind = code === GOING_AWAY ? 'crossed' : 'truncated';
        this.#fail(new Failure(kind, this.#phase(), `closed with code ${code}`));
      }
    });
  }

  /** The code with which the server has closed in good order. Throws if it did otherwise. */
  get closeCode(): number | undefined {
    if (this.#broken !== undefined) throw this.#broken;
    return this.#closeCode;
  }

  /** Sends `message`, if there is one, and waits for the next message. */
  async ask(message: string | undefined): Promise<string> {
    const answer = deferred<string>();
    this.#waiting = answer;
    const timer = setTimeout(() => {
      answer.reject(new Failure('late', this.#phase(), `no message in ${this.#run.limitMs} ms`));
    }, this.#run.limitMs);
    try {
      if (this.#broken !== undefined) throw this.#broken;
      if (message !== undefined) this.#socket.send(message);
      return await answer.promise;
    } catch (error) {
      this.#socket.terminate();
      throw error;
    } finally {
      this.#waiting = undefined;
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = deferred<void>();
    this.#socket.once('close', () => closed.resolve());
    const timer = setTimeout(() => {
      closed.reject(new Failure('late', 'idle', 'the server did not answer the close frame'));
      this.#socket.terminate();
    }, this.#run.limitMs);
    this.#socket.close(1000);
    try {
      await closed.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #phase(): Failure['phase'] {
    if (!this.#opened) return 'connect';
    return this.#waiting === undefined ? 'idle' : 'in-flight';
  }

  #fail(failure: Failure): void {
    if (this.#waiting !== undefined) this.#waiting.reject(failure);
    else this.#broken ??= failure;
  }
}
