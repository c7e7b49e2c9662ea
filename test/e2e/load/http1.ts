import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { Exchange } from './exchange.js';
import { type Response, ResponseParser } from './response-parser.js';
import { type Run, repeat, think } from './run.js';
import { type ClientKind, Failure, type Identity, identityOf } from './tally.js';
import { dial } from './target.js';

/** One request and what is expected of its answer. */
interface Question {
  readonly limitMs: number;
  /** Part of the latencies. */
  readonly timed: boolean;
  write(exchange: Exchange): void | Promise<void>;
  /** Who answered; throws a {@link Failure} if the answer is wrong. */
  check(response: Response): Identity | undefined;
}

const HOST = 'Host: localhost\r\n';
/** Pieces of a slow upload. */
const PIECES = 16;

/** Requests on one connection until the server says that it closes it. */
export function keepAliveClient(run: Run): Promise<void> {
  return reusingClient(run, 'keepAlive', () => get(run, run.resource, ''));
}

/** As {@link keepAliveClient}, with requests that the server takes its time for. */
export function slowClient(run: Run): Promise<void> {
  const question = () => get(run, `/slow?ms=${run.slowMs}`, '', run.slowMs);
  return reusingClient(run, 'slow', question);
}

/** As {@link keepAliveClient}, with bodies that are sent bit by bit and have to come back as they were. */
export function uploadClient(run: Run): Promise<void> {
  let count = 0;
  return reusingClient(run, 'upload', () => upload(run, count++ % 2 === 0));
}

/** A new connection for each request. */
export function freshClient(run: Run): Promise<void> {
  return repeat(run, 'fresh', async () => {
    const connectAt = run.tally.now();
    const exchange = new Exchange(await dial(run.tally, run.nextAddress(), run.tls, run.limitMs));
    await ask(run, 'fresh', exchange, get(run, run.resource, 'Connection: close\r\n'), connectAt);
    await exchange.close(run.limitMs, true);
    await think(run);
  });
}

async function reusingClient(run: Run, client: ClientKind, question: () => Question): Promise<void> {
  let exchange: Exchange | undefined;
  let connectAt = 0;
  await repeat(run, client, async () => {
    if (exchange === undefined) {
      connectAt = run.tally.now();
      exchange = new Exchange(await dial(run.tally, run.nextAddress(), run.tls, run.limitMs));
    }
    const current = exchange;
    // Whatever is thrown from here on: this connection is not used again.
    exchange = undefined;
    if (current.ended) {
      run.tally.idleCloses += 1;
      return current.close(run.limitMs);
    }
    const response = await ask(run, client, current, question(), connectAt);
    if (response.closes) {
      run.tally.closesObeyed += 1;
      await current.close(run.limitMs, true);
    } else {
      exchange = current;
    }
    await think(run);
  });
  try {
    if (exchange?.ended) run.tally.idleCloses += 1;
    await exchange?.close(run.limitMs);
  } catch (error) {
    run.tally.fail(client, error);
  }
}

async function ask(
  run: Run,
  client: ClientKind,
  exchange: Exchange,
  question: Question,
  connectAt: number,
): Promise<Response> {
  const { isFresh } = exchange;
  const begun = run.tally.now();
  const response = await exchange.ask(new ResponseParser(), question.limitMs, () => question.write(exchange));
  try {
    const who = question.check(response);
    run.tally.answer(client, {
      who,
      begun: question.timed ? begun : undefined,
      connectAt: isFresh ? connectAt : undefined,
    });
  } catch (error) {
    exchange.socket.destroy();
    throw error;
  }
  return response;
}

function get(run: Run, resource: string, headers: string, slowMs = 0): Question {
  return {
    limitMs: run.limitMs + slowMs,
    timed: slowMs === 0,
    write: ({ socket }) => {
      socket.write(`GET ${resource} HTTP/1.1\r\n${HOST}${headers}\r\n`);
    },
    check: (response) => {
      expectOk(response);
      return whoAnswered(run, response.body.toString());
    },
  };
}

function upload(run: Run, chunked: boolean): Question {
  const body = randomBytes(run.uploadBytes);
  return {
    limitMs: run.limitMs + run.uploadMs,
    timed: false,
    write: async ({ socket }) => {
      const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
      socket.write(`POST /echo HTTP/1.1\r\n${HOST}Content-Type: application/octet-stream\r\n${framing}\r\n\r\n`);
      const size = Math.ceil(body.length / PIECES);
      for (let start = 0; start < body.length && !socket.destroyed; start += size) {
        // Before the piece, not after it: the last one completes the question, and the answer may come at once.
        await wait(run.uploadMs / PIECES);
        const piece = body.subarray(start, start + size);
        socket.write(chunked ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, CRLF]) : piece);
      }
      if (chunked) socket.write('0\r\n\r\n');
    },
    check: (response) => {
      expectOk(response);
      if (!response.body.equals(body)) {
        throw new Failure('wrong', 'in-flight', `echo of ${body.length} bytes differs (${response.body.length} bytes)`);
      }
      return whoAnswered(run, response.headers.get('x-identity') ?? '');
    },
  };
}

const CRLF = Buffer.from('\r\n');

function expectOk(response: Response): void {
  if (response.status === 200) return;
  throw new Failure('wrong', 'in-flight', `status ${response.status}: ${response.body.toString().slice(0, 80)}`);
}

/** The identity in a JSON answer. Throws a {@link Failure} if there has to be one and is none. */
export function whoAnswered(run: Run, text: string): Identity | undefined {
  let who: Identity | undefined;
  try {
    who = identityOf(JSON.parse(text));
  } catch {
    // Not JSON: no identity.
  }
  if (who === undefined && !run.anonymous) throw new Failure('wrong', 'in-flight', `answer ${text.slice(0, 80)}`);
  return who;
}
