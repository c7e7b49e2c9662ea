import { connect } from 'node:net';

/** Where to connect to, as `net.connect` takes it. */
export type Target = { readonly host: string; readonly port: number } | { readonly path: string };

/** What clients saw that connect, ask and are answered, again and again without a pause, until they are refused. */
export interface Seen {
  answers: number;
  /** Codes with which connections were refused. */
  readonly refused: Record<string, number>;
  /** Whatever else has ended a request: a reset, an end without an answer. */
  readonly failures: string[];
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n';
/** Of connect(2): nobody listens at the address, or there is no such file. */
const REFUSALS = ['ECONNREFUSED', 'ENOENT'];

/** Clients that hammer at one listener. */
export class Hammer {
  readonly seen: Seen = { answers: 0, refused: {}, failures: [] };
  /** Resolves when every client has been refused, or has failed. */
  readonly over: Promise<unknown>;
  #stopped = false;

  constructor(target: Target, clients: number) {
    this.over = Promise.all(Array.from({ length: clients }, () => this.#client(target)));
  }

  /** Ends clients that are not refused. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.over;
  }

  async #client(target: Target): Promise<void> {
    while (!this.#stopped) {
      const end = await request(target);
      if (end === 'answered') this.seen.answers += 1;
      else {
        if (REFUSALS.includes(end)) this.seen.refused[end] = (this.seen.refused[end] ?? 0) + 1;
        else this.seen.failures.push(end);
        return;
      }
    }
  }
}

/** How one request ended: `answered`, the code of an error before the connection, or what happened on it. */
function request(target: Target): Promise<string> {
  return new Promise((resolve) => {
    let isConnected = false;
    let answer = '';
    const socket = connect(target);
    socket.setEncoding('latin1');
    socket.on('connect', () => {
      isConnected = true;
      socket.write(REQUEST);
    });
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('end', () => resolve(answer.startsWith('HTTP/1.1 200 ') ? 'answered' : `ended after ${answer.length} B`));
    socket.on('error', ({ code = 'error' }: NodeJS.ErrnoException) => {
      resolve(isConnected ? `${code} on a connection` : code);
    });
  });
}
