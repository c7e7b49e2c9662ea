import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** The answer says `Connection: close`. */
  readonly closes: boolean;
}

/** One HTTP/1 connection that never retries: what the server does to it shows. */
export class HttpClient {
  readonly socket: Duplex;
  readonly closed: Promise<void>;
  isClosed = false;
  #received = '';
  #wake = (): void => {};

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        this.#wake();
        resolve();
      });
    });
    socket.on('end', () => socket.end());
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<HttpClient> {
    const socket = net.connect(port, host);
    await once(socket, 'connect');
    return new HttpClient(socket);
  }

  write(path: string, more = ''): void {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n${more}\r\n`);
  }

  async get(path: string): Promise<Answer> {
    this.write(path);
    return this.answer();
  }

  /** The next answer. It must have a Content-Length (or be a 101). */
  async answer(): Promise<Answer> {
    await this.until(() => this.#received.includes('\r\n\r\n'));
    const end = this.#received.indexOf('\r\n\r\n') + 4;
    const head = this.#received.slice(0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    await this.until(() => this.#received.length >= end + length);
    const body = this.#received.slice(end, end + length);
    this.#received = this.#received.slice(end + length);
    return { status: Number(head.slice(9, 12)), head, body, closes: /^connection: *close/im.test(head) };
  }

  /** Waits for bytes that satisfy; an end of the connection before is an error. */
  async until(satisfied: (received: string) => boolean): Promise<void> {
    while (!satisfied(this.#received)) {
      if (this.isClosed) throw new Error(`closed after ${JSON.stringify(this.#received)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
