import { type Agent, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { requestOptions } from '../../base/probe.js';
import { DRILL_ANSWER_MS } from './drill-limits.js';
import { Failure, type FailureKind } from './request-counts.js';
import { dial, HEADERS, type Place } from './target-address.js';

/** The requests that a drill's clients make. Each resolves once the answer is complete, and rejects with a {@link Failure}. */

/** When connections were established (performance.now()), also those that serve one request after another. */
const established = new WeakMap<Socket, number>();

/** By Node's own client. `agent`: keeps connections; false: a new one. */
export function ask({ speaks, address }: Place, path: string, agent: Agent | false): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { ...requestOptions(address), path, agent, headers: HEADERS };
    let socket: Socket | undefined;
    let begun = false;
    const fail = (kind: FailureKind, message: string): void =>
      reject(new Failure(kind, (socket && established.get(socket)) ?? null, message));
    const failed = (error: NodeJS.ErrnoException): void => fail(kindOf(error, begun), error.message);
    const sent = (speaks === 'https' ? requestHttps : requestHttp)(options, (response) => {
      begun = true;
      const { statusCode = 0 } = response;
      response.resume();
      response.on('error', failed);
      response.on('end', () => {
        clearTimeout(timer);
        if (statusCode >= 500) fail('status5xx', `status ${statusCode}`);
        else resolve();
      });
    });
    const timer = setTimeout(() => {
      fail('late', `no answer in ${DRILL_ANSWER_MS / 1000} s`);
      sent.destroy();
    }, DRILL_ANSWER_MS);
    sent.on('socket', (its) => {
      socket = its;
      if (!established.has(its)) its.once('connect', () => established.set(its, performance.now()));
    });
    sent.on('error', failed);
    sent.on('close', () => clearTimeout(timer));
    sent.end();
  });
}

/** A request that comes in two pieces, on a connection of its own: the second one when it is told to {@link finish}. */
export class HalfRequest {
  readonly #socket: Socket;
  readonly #answer: Promise<void>;
  #connectedAt: number | null = null;
  readonly #begun: Promise<void>;

  constructor(place: Place, path: string) {
    const socket = dial(place);
    this.#socket = socket;
    socket.once('connect', () => {
      this.#connectedAt = performance.now();
    });
    this.#begun = new Promise((resolve) => {
      const ready = place.speaks === 'https' ? 'secureConnect' : 'connect';
      socket.once(ready, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n`, () => resolve()));
      socket.once('close', () => resolve());
    });
    this.#answer = this.#read();
    // finish() rejects with it.
    this.#answer.catch(() => {});
  }

  /** Resolves when the first piece is on its way, or never will be. */
  get begun(): Promise<void> {
    return this.#begun;
  }

  async finish(): Promise<void> {
    if (this.#socket.writable) this.#socket.write('User-Agent: motya-drill\r\nConnection: close\r\n\r\n');
    const timer = setTimeout(() => {
      this.#socket.destroy(Object.assign(new Error(`no answer in ${DRILL_ANSWER_MS / 1000} s`), { code: 'ETIMEDOUT' }));
    }, DRILL_ANSWER_MS);
    await this.#answer.finally(() => clearTimeout(timer));
  }

  #read(): Promise<void> {
    return new Promise((resolve, reject) => {
      const pieces: Buffer[] = [];
      const failed = (error: NodeJS.ErrnoException): void =>
        reject(new Failure(kindOf(error, pieces.length > 0), this.#connectedAt, error.message));
      this.#socket.on('data', (piece: Buffer) => pieces.push(piece));
      this.#socket.on('error', failed);
      this.#socket.on('close', () => {
        const [kind, message] = faultOf(Buffer.concat(pieces).toString('latin1'));
        if (kind === null) resolve();
        else reject(new Failure(kind, this.#connectedAt, message));
      });
    });
  }
}

/** A request whose client takes its time. */
export async function askSlowly(place: Place, path: string, pauseMs: number): Promise<void> {
  const request = new HalfRequest(place, path);
  await request.begun;
  await delay(pauseMs);
  await request.finish();
}

/** A connection on which nothing is said: for what speaks a protocol of its own. */
export function visit(place: Place, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = dial(place);
    let connectedAt: number | null = null;
    socket.once('connect', () => {
      connectedAt = performance.now();
      setTimeout(() => socket.end(), ms);
    });
    socket.resume();
    socket.on('error', (error) => reject(new Failure(kindOf(error, false), connectedAt, error.message)));
    // A server that waits for its client to say more.
    socket.setTimeout(DRILL_ANSWER_MS, () => socket.destroy());
    socket.on('close', () => resolve());
  });
}

function kindOf({ code = '' }: NodeJS.ErrnoException, begun: boolean): FailureKind {
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return 'refused';
  if (code === 'ETIMEDOUT') return 'late';
  if (code.startsWith('HPE_')) return 'malformed';
  return begun ? 'truncated' : 'reset';
}

/** With trailers, perhaps (RFC 9112 section 7.1). */
const LAST_CHUNK = /\r\n0\r\n(?:.+\r\n)*\r\n$/;
const TRAILERS = 4096;

/** What is wrong with all that came on a connection which was to be closed behind the answer. */
function faultOf(whole: string): [kind: FailureKind | null, message: string] {
  // Early hints and the like come before the answer.
  const answer = whole.replace(/^(?:HTTP\/1\.1 1\d\d [\s\S]*?\r\n\r\n)+/, '');
  if (answer === '') return ['reset', 'the connection was closed without an answer'];
  const end = answer.indexOf('\r\n\r\n');
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(answer) ?? [];
  if (status === undefined) return ['malformed', `answer ${JSON.stringify(answer.slice(0, 40))}`];
  const head = answer.slice(0, end);
  const got = answer.length - end - 4;
  const wanted = /^content-length: *(\d+)/im.exec(head)?.[1];
  const isChunked = /^transfer-encoding:.*chunked/im.test(head);
  const isCut = end < 0 || (isChunked ? !LAST_CHUNK.test(answer.slice(-TRAILERS)) : got < Number(wanted ?? 0));
  if (isCut) return ['truncated', 'the connection was closed in the answer'];
  return Number(status) >= 500 ? ['status5xx', `status ${status}`] : [null, ''];
}
