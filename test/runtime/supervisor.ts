import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Channel } from '#src/base/channel.js';
import { isSystemError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import type { ReceivedFds } from '#src/base/received-fds.js';
import type { ListenRequest } from '#src/listeners/listen-request.js';
import {
  WORKER_ENV,
  type WorkerMessage,
  type WorkerRole,
  type WorkerShapes,
  workerCodec,
} from '#src/runtime/worker-messages.js';

/** ms after which a condition that a test waits for will not come true any more; generous, for loaded machines. */
const PATIENCE = 60_000;
const preload = fileURLToPath(import.meta.resolve('#src/runtime/preload.cjs'));
const fixtures = fileURLToPath(new URL('../../test/fixtures/runtime/', import.meta.url));

/** A message as a test writes it: {@link TestWorker.send} numbers questions. */
type Unnumbered = WorkerMessage extends infer M
  ? M extends { id: number }
    ? Omit<M, 'id'> & { id?: number }
    : M
  : never;
export type Message<T extends WorkerMessage['type']> = Extract<WorkerMessage, { type: T }>;
/** One line of JSON that a fixture has printed. */
export type Line = { event: string } & Record<string, unknown>;

interface SpawnOptions {
  /** A fixture that is required before the preload, as one of NODE_OPTIONS or `nodeArgs` is. */
  readonly early?: string;
  readonly args?: readonly string[];
  readonly role?: Partial<WorkerRole>;
  readonly env?: NodeJS.ProcessEnv;
}

/** The node that workers run on, where it is not the one that runs the tests. */
export const workerNode = process.env.MOTYA_TEST_WORKER_NODE ?? process.execPath;

/** As small a supervisor as the protocol allows: it owns real listeners and grants the same one for the same key. */
export class TestSupervisor {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'motya-runtime-'));
  readonly requests: ListenRequest[] = [];
  /** `pending`: LISTEN is answered by PENDING until {@link TestWorker.grantPending}. */
  mode: 'grant' | 'pending' = 'grant';
  readonly #listeners = new Map<string, number>();
  readonly #workers: TestWorker[] = [];

  spawn(fixture: string, options: SpawnOptions = {}): TestWorker {
    const worker = new TestWorker(this, path.join(fixtures, fixture), options);
    this.#workers.push(worker);
    return worker;
  }

  /** The listener of a request, and what the worker is told of it. @throws as the system call failed */
  listener(request: ListenRequest): { key: string; fd: number } {
    const key = keyOf(request);
    let fd = this.#listeners.get(key);
    if (fd === undefined) {
      fd = bind(request);
      this.#listeners.set(key, fd);
    }
    return { key, fd };
  }

  holds(key: string): boolean {
    return this.#listeners.has(key);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    for (const fd of this.#listeners.values()) native.fd.close(fd);
    rmSync(this.directory, { recursive: true });
  }
}

export class TestWorker {
  readonly child: ChildProcess;
  readonly channel: Channel<WorkerShapes>;
  readonly messages: WorkerMessage[] = [];
  readonly lines: Line[] = [];
  /** Each MOVE of the worker, with its fds: closed at the end unless they were taken. */
  readonly moves: { readonly move: Message<'MOVE'>; readonly fds: number[] }[] = [];
  stderr = '';
  #lastId = 0;
  readonly #supervisor: TestSupervisor;
  readonly #pending: Message<'LISTEN'>[] = [];
  readonly #waiting = new Set<() => void>();
  readonly exited: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(supervisor: TestSupervisor, script: string, { early, args = [], role, env }: SpawnOptions) {
    this.#supervisor = supervisor;
    const [ours, theirs] = native.channel.pair();
    const usual = {
      service: 'web',
      index: 0,
      generation: 1,
      held: false,
      ready: 'listen',
      tagged: false,
      branches: '',
    } as const;
    const workerRole: WorkerRole = { ...usual, ...role };
    const first = early === undefined ? [] : ['--require', path.join(fixtures, early)];
    this.child = spawn(workerNode, [...first, '--require', preload, script, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', theirs],
      env: { ...process.env, ...env, [WORKER_ENV]: JSON.stringify(workerRole) },
    });
    native.fd.close(theirs);
    this.exited = once(this.child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    this.exited.then(() => this.#wake());
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    if (this.child.stdout === null) throw new Error('no stdout');
    this.child.stdout.once('close', () => this.#wake());
    createInterface(this.child.stdout).on('line', (line) => {
      if (line.startsWith('{')) this.lines.push(JSON.parse(line));
      this.#wake();
    });
    this.channel = new Channel(ours, workerCodec);
    this.channel.on('message', (message, fds) => this.#receive(message, fds)).open();
  }

  send(message: Unnumbered, fds: readonly number[] = []): void {
    this.#lastId += 1;
    this.channel.send({ id: this.#lastId, ...message } as WorkerMessage, fds);
  }

  /** Sends a message and waits for the next one of type `answer`. */
  async ask<T extends WorkerMessage['type']>(message: Unnumbered, answer: T): Promise<Message<T>> {
    const seen = this.messages.length;
    this.send(message);
    return this.message(answer, seen);
  }

  message<T extends WorkerMessage['type']>(type: T, from = 0): Promise<Message<T>> {
    return this.until(type, () => this.messages.slice(from).find((m): m is Message<T> => m.type === type));
  }

  line(event: string, from = 0): Promise<Line> {
    return this.until(event, () => this.lines.slice(from).find((line) => line.event === event));
  }

  /** The line of this event that comes `at`th, from 0. */
  nth(event: string, at: number): Promise<Line> {
    return this.until(`${event} ${at}`, () => this.lines.filter((line) => line.event === event)[at]);
  }

  /** The address that the fixture printed when it listened. */
  async address(): Promise<{ address: string; family: string; port: number }> {
    return (await this.line('listening')).address as { address: string; family: string; port: number };
  }

  /** Waits until `look` finds something; every message and line of the worker, and its end, is a reason to look again. */
  async until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      const gone = this.child.exitCode !== null || this.child.signalCode !== null;
      assert.ok(Date.now() < deadline && !(gone && this.child.stdout?.readableEnded), `no ${what}; ${this.#story()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, deadline - Date.now());
        const waiting = this.#waiting;
        function wake(): void {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        }
        waiting.add(wake);
      });
    }
  }

  /** Answers what was answered by PENDING, as a successor does when its listeners have come. */
  grantPending(): void {
    for (const request of this.#pending.splice(0)) this.#grant(request);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await this.exited;
    }
    this.channel.close();
    for (const { fds } of this.moves) for (const fd of fds.splice(0)) native.fd.close(fd);
  }

  #receive(message: WorkerMessage, fds: ReceivedFds): void {
    this.messages.push(message);
    if (message.type === 'MOVE') this.moves.push({ move: message, fds: fds.takeAll() });
    if (message.type === 'LISTEN') {
      this.#supervisor.requests.push(message.request);
      if (this.#supervisor.mode === 'grant') {
        this.#grant(message);
      } else {
        this.#pending.push(message);
        this.send({ type: 'PENDING', id: message.id });
      }
    } else if (message.type === 'OWNS') {
      this.send({ type: 'OWNED', id: message.id, owned: this.#supervisor.holds(`unix ${message.path}`) });
    }
    this.#wake();
  }

  #grant({ id, request }: Message<'LISTEN'>): void {
    try {
      const { key, fd } = this.#supervisor.listener(request);
      const { family, address, port, path } = native.listener.describe(fd);
      this.send({ type: 'LISTENER', id, key, family, address, port, path }, [fd]);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.send({ type: 'REFUSED', id, code: error.code, errno: error.errno, syscall: error.syscall });
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #story(): string {
    const { exitCode, signalCode } = this.child;
    return JSON.stringify({ exitCode, signalCode, lines: this.lines, messages: this.messages, stderr: this.stderr });
  }
}

function keyOf(request: ListenRequest): string {
  if (request.kind === 'unix') return `unix ${request.path}`;
  if (request.kind === 'systemd') return `systemd ${request.name}`;
  return `${request.kind} ${request.address} ${request.port === 0 ? `0#${request.ordinal}` : request.port}`;
}

function bind(request: ListenRequest): number {
  if (request.kind === 'systemd') throw new Error('nothing has been passed');
  if (request.kind === 'unix') {
    return native.listener.create({ family: 'unix', type: 'stream', path: request.path, backlog: request.backlog });
  }
  const { port, v6only } = request;
  if (request.kind === 'udp') {
    const { family, address, reuseAddr } = request;
    return native.listener.create({ family, type: 'dgram', address, port, v6only, reuseAddr });
  }
  const address = request.address ?? '::';
  const family = address.includes(':') ? 'inet6' : 'inet';
  return native.listener.create({ family, type: 'stream', address, port, v6only, backlog: request.backlog });
}

/** Runs a test with a supervisor of its own; whatever happens, its workers and listeners are gone afterwards. */
export function supervised(body: (supervisor: TestSupervisor) => Promise<void>): () => Promise<void> {
  return async () => {
    const supervisor = new TestSupervisor();
    try {
      await body(supervisor);
    } finally {
      await supervisor.close();
    }
  };
}
