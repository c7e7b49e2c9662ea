import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

/**
 * What went wrong. `refused`: nobody listens. `reset`: ECONNRESET or EPIPE. `truncated`: closed before the answer was
 * complete. `crossed`: a WebSocket message met the server's 1001 on its way. `malformed`: bytes that are no answer, or more than one. `late`: not complete within the limit. `wrong`:
 * complete, but not what was asked for. `lost`: a datagram without an answer. `error`: anything else.
 */
export type FailureKind =
  | 'refused'
  | 'reset'
  | 'truncated'
  | 'crossed'
  | 'malformed'
  | 'late'
  | 'wrong'
  | 'lost'
  | 'error';

/**
 * When it went wrong. `connect`: no connection yet. `reuse`: a request on a connection that had been used before, and no
 * byte of the answer has come. `in-flight`: any other request without its whole answer. `idle`: nothing was asked.
 */
export type FailurePhase = 'connect' | 'reuse' | 'in-flight' | 'idle';

export type ClientKind = 'keepAlive' | 'fresh' | 'slow' | 'upload' | 'webSocket' | 'tcp' | 'udp' | 'http2';

/** A failure as a client sees it; the client's kind and the moment are added when it is counted. */
export class Failure extends Error {
  readonly kind: FailureKind;
  readonly phase: FailurePhase;
  constructor(kind: FailureKind, phase: FailurePhase, text: string) {
    super(text);
    this.kind = kind;
    this.phase = phase;
  }
}

export interface FailureDetail {
  readonly kind: FailureKind;
  readonly phase: FailurePhase;
  readonly client: ClientKind;
  readonly text: string;
  /** ms since the load began. */
  readonly at: number;
  /** ms since the epoch, to be compared with log lines. */
  readonly time: number;
}

/** Who answered, as the fixture programs tell it. */
export interface Identity {
  readonly pid: number;
  readonly generation: string | null;
  readonly version: string | null;
}

/** Answers of one server process. All moments are in ms since the load began. */
export interface ServerReport extends Identity {
  answers: number;
  firstAnswerAt: number;
  lastAnswerAt: number;
  /** New connections whose first answer came from this process. */
  connections: number;
  /** When the last of these connections was begun. */
  lastConnectAt: number;
}

/** Percentiles in ms. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface LoadReport {
  /** ms. */
  readonly duration: number;
  readonly answers: number;
  readonly failures: number;
  readonly failuresByKind: Readonly<Partial<Record<FailureKind, number>>>;
  readonly failuresByPhase: Readonly<Partial<Record<FailurePhase, number>>>;
  /** The first twenty. */
  readonly details: readonly FailureDetail[];
  readonly answersByClient: Readonly<Partial<Record<ClientKind, number>>>;
  readonly failuresByClient: Readonly<Partial<Record<ClientKind, number>>>;
  readonly servers: readonly ServerReport[];
  /** Connections begun. */
  readonly connections: number;
  /** `Connection: close` answers that were obeyed. */
  readonly closesObeyed: number;
  /** Connections that the server closed in good order while nothing was asked: no failure by itself. */
  readonly idleCloses: number;
  /** WebSockets that the server closed in good order, by close code. */
  readonly webSocketCloses: Readonly<Record<string, number>>;
  /** HTTP/2 requests that were refused in a way that allows to repeat them, and were repeated. */
  readonly http2Retried: number;
  readonly datagramsSent: number;
  /** From the start of connecting to the end of the first answer; slow requests and uploads are not in it. */
  readonly newConnection: Latency;
  /** From the request to the end of the answer on a connection used before. */
  readonly reusedConnection: Latency;
  /** Longest time in ms without any answer to any client. */
  readonly longestStall: number;
  readonly longestStallAt: number;
  /** Longest delay of the driver's own event loop in ms: a stall of that size may be the driver's. */
  readonly driverDelay: number;
}

/** An answer as a client reports it; moments in ms since the load began. */
export interface Answer {
  /** Who answered, if that was told. */
  readonly who?: Identity | undefined;
  /** When its request was begun; undefined leaves it out of the latencies. */
  readonly begun?: number | undefined;
  /** When its connection was begun, if it is the first answer on it. */
  readonly connectAt?: number | undefined;
}

const DETAILS = 20;

/** Everything that the clients of one load count. */
export class Tally {
  readonly #began = performance.now();
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 5 });
  readonly #details: FailureDetail[] = [];
  readonly #failuresByKind: Partial<Record<FailureKind, number>> = {};
  readonly #failuresByPhase: Partial<Record<FailurePhase, number>> = {};
  readonly #answersByClient: Partial<Record<ClientKind, number>> = {};
  readonly #failuresByClient: Partial<Record<ClientKind, number>> = {};
  readonly #servers = new Map<string, ServerReport>();
  readonly #newConnection: number[] = [];
  readonly #reusedConnection: number[] = [];
  readonly #webSocketCloses: Record<string, number> = {};
  #answers = 0;
  #failures = 0;
  #lastAnswerAt = 0;
  #longestStall = 0;
  #longestStallAt = 0;
  #stopping = false;
  connections = 0;
  closesObeyed = 0;
  idleCloses = 0;
  http2Retried = 0;
  datagramsSent = 0;

  constructor() {
    this.#delay.enable();
  }

  get answers(): number {
    return this.#answers;
  }

  get failures(): number {
    return this.#failures;
  }

  /** ms since the load began. */
  now(): number {
    return performance.now() - this.#began;
  }

  /** Counts anything thrown by a client as one failure. */
  fail(client: ClientKind, error: unknown): void {
    const failure = error instanceof Failure ? error : new Failure('error', 'in-flight', String(error));
    this.#failures += 1;
    this.#failuresByKind[failure.kind] = (this.#failuresByKind[failure.kind] ?? 0) + 1;
    this.#failuresByPhase[failure.phase] = (this.#failuresByPhase[failure.phase] ?? 0) + 1;
    this.#failuresByClient[client] = (this.#failuresByClient[client] ?? 0) + 1;
    if (this.#details.length < DETAILS) {
      const { kind, phase, message: text } = failure;
      this.#details.push({ kind, phase, client, text, at: this.now(), time: Date.now() });
    }
  }

  /** Counts one whole and right answer. */
  answer(client: ClientKind, answer: Answer): void {
    const now = this.now();
    const { begun, connectAt, who } = answer;
    this.#answers += 1;
    this.#answersByClient[client] = (this.#answersByClient[client] ?? 0) + 1;
    this.#endStall(now);
    if (begun !== undefined && connectAt !== undefined) this.#newConnection.push(now - connectAt);
    else if (begun !== undefined) this.#reusedConnection.push(now - begun);
    if (who !== undefined) this.#countServer(who, now, connectAt);
  }

  webSocketClosed(code: number): void {
    this.#webSocketCloses[code] = (this.#webSocketCloses[code] ?? 0) + 1;
  }

  #countServer(who: Identity, now: number, connectAt: number | undefined): void {
    const key = `${who.pid}/${who.generation}/${who.version}`;
    let server = this.#servers.get(key);
    if (server === undefined) {
      const { pid, generation, version } = who;
      server = {
        pid,
        generation,
        version,
        answers: 0,
        firstAnswerAt: now,
        lastAnswerAt: now,
        connections: 0,
        lastConnectAt: 0,
      };
      this.#servers.set(key, server);
    }
    server.answers += 1;
    server.lastAnswerAt = now;
    if (connectAt === undefined) return;
    server.connections += 1;
    server.lastConnectAt = Math.max(server.lastConnectAt, connectAt);
  }

  #endStall(now: number): void {
    if (this.#stopping) return;
    if (now - this.#lastAnswerAt > this.#longestStall) {
      this.#longestStall = now - this.#lastAnswerAt;
      this.#longestStallAt = this.#lastAnswerAt;
    }
    this.#lastAnswerAt = now;
  }

  /** Latencies, stalls and the driver's delay are counted from here on; answers and failures since the beginning. */
  mark(): void {
    this.#newConnection.length = 0;
    this.#reusedConnection.length = 0;
    this.#lastAnswerAt = this.now();
    this.#longestStall = 0;
    this.#delay.reset();
  }

  /** The report up to now. `final`: the load has ended here, and the monitor of the event loop with it. */
  report(final: boolean): LoadReport {
    if (final) this.#delay.disable();
    return {
      duration: this.now(),
      answers: this.#answers,
      failures: this.#failures,
      failuresByKind: { ...this.#failuresByKind },
      failuresByPhase: { ...this.#failuresByPhase },
      details: [...this.#details],
      answersByClient: { ...this.#answersByClient },
      failuresByClient: { ...this.#failuresByClient },
      servers: [...this.#servers.values()].map((server) => ({ ...server })),
      connections: this.connections,
      closesObeyed: this.closesObeyed,
      idleCloses: this.idleCloses,
      webSocketCloses: { ...this.#webSocketCloses },
      http2Retried: this.http2Retried,
      datagramsSent: this.datagramsSent,
      newConnection: latencyOf(this.#newConnection),
      reusedConnection: latencyOf(this.#reusedConnection),
      longestStall: this.#longestStall,
      longestStallAt: this.#longestStallAt,
      driverDelay: this.#delay.max / 1e6,
    };
  }

  /** The load is asked to stop now: silence up to here is a stall, silence after it is not. */
  stopping(): void {
    this.#endStall(this.now());
    this.#stopping = true;
  }
}

/** Reads an {@link Identity} out of a parsed JSON answer; undefined if it is none. */
export function identityOf(answer: unknown): Identity | undefined {
  if (typeof answer !== 'object' || answer === null || !('pid' in answer) || typeof answer.pid !== 'number')
    return undefined;
  const { pid, generation = null, version = null } = answer as { pid: number; generation?: string; version?: string };
  return { pid, generation, version };
}

/** The failure that a socket error stands for. */
export function socketFailure(error: NodeJS.ErrnoException, phase: FailurePhase): Failure {
  const kind = KIND_OF_CODE[error.code ?? ''] ?? 'error';
  return new Failure(kind, phase, `${error.code ?? ''} ${error.message}`.trim());
}

// A unix path that is gone says ENOENT where TCP says ECONNREFUSED.
const KIND_OF_CODE: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: 'refused',
  ENOENT: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
};

function latencyOf(samples: readonly number[]): Latency {
  const sorted = Float64Array.from(samples).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: sorted.at(-1) ?? 0 };
}
