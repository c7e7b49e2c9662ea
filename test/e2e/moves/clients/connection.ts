import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { until } from '../../harness/index.js';
import { deferred } from '../../load/exchange.js';
import { type Response, ResponseParser } from '../../load/response-parser.js';
import type { Tally } from './tally.js';

/** A request whose answer names it. */
export interface Asked {
  readonly id: string;
  /** ms that the program takes for it. */
  readonly ms?: number;
  /** Path of a file: the program answers when it is there. */
  readonly file?: string;
  /** Of the query: what the program is to do with the connection. */
  readonly way?: string;
  /** Bytes by which the answer is longer. */
  readonly size?: number;
  /** Sent by POST; without one it is a GET. */
  readonly body?: string;
}

/** What the programs of test/fixtures/apps/moves answer. */
export interface Answer {
  readonly pid: number;
  readonly generation: number;
  readonly id: string;
  readonly store: string | null;
  /** Address and port of the client, as the program sees them. */
  readonly remote: string;
  readonly body: string;
}

interface Open {
  readonly asked: Asked;
  readonly since: number;
  resolve(answer: Answer | null): void;
}

/** Of a request that is never answered. */
const NO_ANSWER = null;

/** One connection of a client: requests, one after the other or pipelined, and whatever comes back, wanted or not. */
export class ClientConnection {
  readonly socket: Socket;
  readonly name: string;
  readonly #tally: Tally;
  readonly #open: Open[] = [];
  #parser = new ResponseParser({ isOneOfMany: true });
  #leaving = false;
  #ended = false;
  #endedAt = Number.NaN;
  /** The server has said `Connection: close`. */
  isTold = false;
  /** Process that gave the last answer. */
  pid: number | undefined;
  generation: number | undefined;
  /** When it came (performance.now()). */
  answeredAt = Number.NEGATIVE_INFINITY;

  /** `socket` is connected. */
  constructor(socket: Socket, name: string, tally: Tally) {
    this.socket = socket;
    this.name = name;
    this.#tally = tally;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!this.#leaving && !this.#ended) tally.count('resets', `${this.name}: ${error.code}`);
    });
    socket.on('end', () => this.#onEnd());
    socket.on('close', () => this.#onEnd());
  }

  /** Rejects as the connection does. */
  static async connect(to: NetConnectOpts, name: string, tally: Tally): Promise<ClientConnection> {
    const socket = connect(to);
    await once(socket, 'connect');
    return new ClientConnection(socket, name, tally);
  }

  /** The server has closed the connection. */
  get ended(): boolean {
    return this.#ended;
  }

  get remote(): string {
    return `${this.socket.localAddress}:${this.socket.localPort}`;
  }

  /** ms that the oldest request without an answer has waited longer than the program was to take. */
  get late(): number {
    const [oldest] = this.#open;
    return oldest === undefined ? 0 : Math.max(0, performance.now() - oldest.since - (oldest.asked.ms ?? 0));
  }

  /** One request, at once. Its answer, or null if the connection ends before it. */
  ask(asked: Asked): Promise<Answer | null> {
    const answer = this.expect(asked);
    this.socket.write(textOf(asked));
    return answer;
  }

  /** The answer to a request that the caller writes. */
  expect(asked: Asked): Promise<Answer | null> {
    if (this.#ended) return Promise.resolve(NO_ANSWER);
    this.#tally.requests++;
    const { promise, resolve } = deferred<Answer | null>();
    this.#open.push({ asked, since: performance.now(), resolve });
    return promise;
  }

  /** Asks until `generation` answers. */
  async moves(generation: number): Promise<void> {
    const hasMoved = async () => {
      const answer = await this.ask({ id: `${this.name}-moves` });
      if (answer === null) throw new Error(`${this.name} was closed`);
      return answer.generation === generation;
    };
    await until(hasMoved, { what: `the move of ${this.name}`, instead: () => this.generation });
  }

  /** Waits until the server has closed the connection. @returns when it did (performance.now()) */
  async closed(): Promise<number> {
    await until(() => this.#ended, { what: `the end of ${this.name}` });
    return this.#endedAt;
  }

  /** Requests without an answer are counted as missing. */
  leave(): void {
    this.#leaving = true;
    this.socket.destroy();
    for (const { asked, resolve } of this.#open.splice(0)) {
      this.#tally.count('missing', `${this.name}: ${asked.id}`);
      resolve(NO_ANSWER);
    }
  }

  #read(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#leaving) {
      if (this.#open.length === 0) {
        this.#tally.count('doubled', `${this.name}: ${rest.toString('latin1').slice(0, 80)}`);
        return;
      }
      try {
        const response = this.#parser.push(rest);
        if (response === undefined) return;
        rest = this.#parser.rest;
        this.#parser = new ResponseParser({ isOneOfMany: true });
        this.#answered(response);
      } catch (error) {
        this.#tally.count('wrong', `${this.name}: ${error}`);
        this.leave();
      }
    }
  }

  #answered(response: Response): void {
    const { asked, since, resolve } = this.#open.shift() as Open;
    const text = response.body.toString();
    const answer = parse(text);
    if (response.status !== 200 || answer?.id !== asked.id || answer.body !== (asked.body ?? '')) {
      this.#tally.count('wrong', `${this.name}: ${asked.id}: ${response.status} ${text.slice(0, 80)}`);
      resolve(NO_ANSWER);
      return;
    }
    this.#tally.answered(performance.now() - since - (asked.ms ?? 0), this.name);
    this.pid = answer.pid;
    this.generation = answer.generation;
    this.answeredAt = performance.now();
    this.#tally.upstreams.add(answer.remote);
    if (response.closes && !this.isTold) {
      this.isTold = true;
      this.#tally.count('saysClose', `${this.name}: by ${answer.generation}`);
    }
    resolve(answer);
  }

  #onEnd(): void {
    if (this.#ended || this.#leaving) return;
    this.#ended = true;
    this.#endedAt = performance.now();
    const detail = `${this.name}: last answered by ${this.generation}`;
    this.#tally.count('closes', detail);
    if (!this.isTold) this.#tally.count('untold', detail);
    for (const { asked, resolve } of this.#open.splice(0)) {
      this.#tally.count('lost', `${this.name}: ${asked.id}`);
      resolve(NO_ANSWER);
    }
    this.socket.destroy();
  }
}

function parse(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return undefined;
  }
}

/** The bytes of a request. */
export function textOf(asked: Asked): string {
  return headOf(asked) + (asked.body ?? '');
}

export function headOf({ id, ms = 0, file, way, size, body }: Asked): string {
  const length = body === undefined ? '' : `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  const query = [`id=${id}`, `ms=${ms}`];
  if (file !== undefined) query.push(`file=${encodeURIComponent(file)}`);
  if (size !== undefined) query.push(`size=${size}`);
  if (way !== undefined) query.push(`way=${way}`);
  return `${body === undefined ? 'GET' : 'POST'} /answer?${query.join('&')} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n`;
}
