import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Channel, type FdBag } from '../channel.js';
import type { ServiceSettings } from '../config/settings.js';
import { HandoverError } from '../errors.js';
import { MESSAGE_FDS } from '../limits.js';
import type { Listener, Refusal } from '../listeners/ledger.js';
import type { ListenRequest } from '../listeners/request.js';
import { native } from '../native.js';
import type { EventLoopDelay } from '../observe/loop-delay.js';
import type { Outlets } from '../output/outlets.js';
import { WorkerOutput } from '../output/worker-output.js';
import { NO_ANSWERS, NO_CONNECTIONS } from './counts.js';
import { workerEnvironment } from './environment.js';
import type { Asker, ListenGate } from './gate.js';
import {
  type AnswerCounts,
  type ConnectionCounts,
  type ListenerCount,
  type WorkerMessage,
  type WorkerRole,
  type WorkerShapes,
  workerCodec,
} from './messages.js';

const PRELOAD = fileURLToPath(new URL('./runtime/preload.cjs', import.meta.url));

/** How the connections of a drain ended: `ended` by themselves, `forced` not. */
export interface Drained {
  readonly forced: ConnectionCounts;
  readonly ended: number;
}

/** `lease`: ms after which workers go on by themselves. `except`: keys of listeners on which they go on. */
export interface Pause {
  readonly lease?: number;
  readonly except?: readonly string[];
}

interface WorkerEvents {
  /** It waits for a listener that is not here yet: booted as far as can be. */
  blocked: [];
  ready: [];
  release: [key: string];
  /** `denied`: it may not listen where it wants to (EACCES). `exhausted`: it cannot take a connection (EMFILE and the like). */
  trouble: [kind: 'denied' | 'exhausted', what: string];
  /** Once. `reason` in words: an exit status, a signal, or why it could not be started. */
  exit: [reason: string];
}

/** One worker process, seen from the supervisor. */
export class Worker extends EventEmitter<WorkerEvents> implements Asker {
  readonly index: number;
  readonly service: string;
  readonly startedAt = performance.now();
  readonly #child: ChildProcess;
  readonly #channel: Channel<WorkerShapes>;
  readonly #gate: ListenGate;
  /** What is waited for: the answers by type, first come first served. */
  readonly #waiters = new Map<WorkerMessage['type'], ((message: WorkerMessage | null) => void)[]>();
  readonly exited: Promise<string>;
  #drained: Drained | null = null;
  #counting: Promise<ConnectionCounts> | null = null;
  #delay: EventLoopDelay | null = null;
  #cutOffBy: Error | null = null;
  #giving: Promise<unknown> = Promise.resolve();
  #countingListeners: Promise<unknown> = Promise.resolve();
  /** The file of the last GIVEN, until {@link give} has it. */
  #given: number | null = null;
  readonly #killGrace: number;
  /** Null: it writes to the supervisor's own stdout and stderr. */
  readonly #output: WorkerOutput | null;
  /** As it counted them last. */
  lastCounts = NO_CONNECTIONS;
  /** Since they were asked for first. */
  lastAnswers: AnswerCounts = NO_ANSWERS;
  /** What it was refused last, for the reason of a failed start. */
  lastRefusal: string | null = null;
  isReady = false;
  /** performance.now() */
  readyAt: number | null = null;
  isBlocked = false;
  /** Its program has a value to hand on. */
  gives = false;
  /** Its program has asked for what it inherits. */
  awaits = false;
  hasExited = false;

  constructor(settings: ServiceSettings, role: WorkerRole, gate: ListenGate, outlets: Outlets | null) {
    super();
    this.index = role.index;
    this.service = role.service;
    this.#gate = gate;
    this.#killGrace = settings.killGrace;
    const { service, index: worker, generation } = role;
    this.#output = outlets === null ? null : new WorkerOutput({ service, worker, generation }, outlets);
    const undo = [() => this.#output?.handedOver(), () => this.#output?.close()];
    const args = [...settings.nodeArgs, '--require', PRELOAD, settings.script, ...settings.args];
    let theirs: number;
    try {
      const [ours, other] = native.socketpair();
      theirs = other;
      undo.push(() => native.close(theirs));
      this.#channel = new Channel(ours, workerCodec);
      undo.push(() => this.#channel.close());
      this.#child = spawn(process.execPath, args, {
        cwd: settings.cwd,
        env: workerEnvironment(settings, role, outlets?.form('stdout').coloured ?? false),
        // A session of its own: a terminal's Ctrl-C is the supervisor's business, which drains before it ends workers.
        detached: true,
        stdio: ['ignore', ...(this.#output?.fds ?? (['inherit', 'inherit'] as const)), theirs],
      });
    } catch (error) {
      // Out of fds or memory.
      for (const step of undo) step();
      throw error;
    }
    native.close(theirs);
    this.#output?.handedOver();
    this.#channel.on('message', (message, fds) => this.#hear(message, fds));
    this.#channel.on('close', (error) => this.#cutOff(error));
    this.#channel.open();
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        resolve(signal === null ? `exit status ${code}` : `signal ${signal}`);
      });
      this.#child.once('error', (error) => resolve(error.message));
    });
    void this.exited.then((reason) => this.#ended(reason));
  }

  /** For people. */
  get name(): string {
    return `worker ${this.index} of ${this.service} (pid ${this.pid})`;
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  grant(id: number, listener: Listener): void {
    const { key, backlog, fd, tickets } = listener;
    const { family, address, port, path } = listener.socket;
    const ticketKeys = tickets?.keys;
    this.#channel.send({ type: 'LISTENER', id, key, family, address, port, path, backlog, ticketKeys }, [fd]);
  }

  wait(id: number): void {
    this.#channel.send({ type: 'PENDING', id });
    if (this.isBlocked) return;
    this.isBlocked = true;
    this.emit('blocked');
  }

  refuse(id: number, refusal: Refusal, where: string): void {
    this.lastRefusal = `${refusal.syscall} ${refusal.code} ${where}`;
    // A program may take any other for an answer, and try elsewhere; this one somebody has to mend.
    if (refusal.code === 'EACCES') this.emit('trouble', 'denied', this.lastRefusal);
    this.#channel.send({ type: 'REFUSED', id, code: refusal.code, errno: refusal.errno, syscall: refusal.syscall });
  }

  /** Resolves when it has stopped accepting, or has ended. */
  async pause({ lease, except }: Pause = {}): Promise<void> {
    await this.#ask({ type: 'PAUSE', lease, except: except === undefined ? undefined : [...except] }, 'PAUSED');
  }

  /** Resolves when it accepts, or has ended. */
  async accept(): Promise<void> {
    await this.#ask({ type: 'ACCEPT' }, 'ACCEPTING');
  }

  /**
   * What its program hands on: a file with the value serialized, the caller's; null when it has ended.
   * @throws {HandoverError} the program has failed to
   */
  give(): Promise<number | null> {
    // One at a time: the answer to one that was given up must not be taken for that of the next.
    const giving = this.#giving.then(() => this.#give());
    this.#giving = giving.catch(() => {});
    return giving;
  }

  async #give(): Promise<number | null> {
    const answer = await this.#ask({ type: 'GIVE' }, 'GIVEN');
    const fd = this.#given;
    this.#given = null;
    if (answer?.type !== 'GIVEN' || fd !== null) return fd;
    throw new HandoverError('MOTYA_STATE', `${this.name}: onHandover() failed: ${answer.error ?? 'no value came'}`);
  }

  /** Before {@link accept}. The files stay the caller's. */
  inherit(fds: readonly number[]): void {
    for (let start = 0; start < fds.length; start += MESSAGE_FDS) {
      this.#channel.send({ type: 'INHERIT' }, fds.slice(start, start + MESSAGE_FDS));
    }
  }

  /** One question at a time: a worker that is busy for long must not find a queue of them. `delay`: see {@link takeDelay}. */
  count(options: { delay?: boolean; answers?: boolean } = {}): Promise<ConnectionCounts> {
    this.#counting ??= this.#count(options).finally(() => {
      this.#counting = null;
    });
    return this.#counting;
  }

  /** Of the listeners with these keys that it has; nothing when it has ended. */
  countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    // One at a time: the answer names the keys of one question.
    const counting = this.#countingListeners.then(async () => {
      const answer = await this.#ask({ type: 'COUNT_LISTENERS', keys: [...keys] }, 'LISTENER_COUNTS');
      return answer?.type === 'LISTENER_COUNTS' ? answer.listeners : [];
    });
    this.#countingListeners = counting;
    return counting;
  }

  /** Resolves when no connection is left, or it has ended. */
  async drain(timeoutMs: number): Promise<Drained> {
    if (this.#drained !== null) return this.#drained;
    const answer = await this.#ask({ type: 'DRAIN', timeout: Math.round(timeoutMs) }, 'DRAINED');
    return drainedOf(answer);
  }

  force(): void {
    this.#channel.send({ type: 'FORCE' });
  }

  /** For a worker that writes by itself. */
  redirectOutput(fd: number): void {
    if (this.#output === null) this.#channel.send({ type: 'OUTPUT' }, [fd]);
  }

  /** The end of what it has said on stderr, if that came through here. */
  lastWords(): string[] {
    return this.#output?.lastWords() ?? [];
  }

  /** The instance ends: children of the program that still have its output write to nobody from here on. */
  closeOutput(): void {
    this.#output?.readRest();
    this.#output?.close();
  }

  signal(signal: NodeJS.Signals): void {
    // ChildProcess#kill knows when the child was reaped: the pid can be nobody else's.
    this.#child.kill(signal);
  }

  /** The delay of its event loop as far as it has been asked and answered and not been told. */
  takeDelay(): EventLoopDelay | null {
    const delay = this.#delay;
    this.#delay = null;
    return delay;
  }

  async #count(what: { delay?: boolean; answers?: boolean }): Promise<ConnectionCounts> {
    const answer = await this.#ask({ type: 'COUNT', ...what }, 'COUNTS');
    if (answer?.type !== 'COUNTS') return NO_CONNECTIONS;
    this.lastCounts = answer.connections;
    this.lastAnswers = answer.answers ?? this.lastAnswers;
    // Whoever has asked may have given up waiting: a long delay must not get lost with that.
    if (answer.delay) this.#delay = worse(this.#delay, answer.delay);
    return answer.connections;
  }

  #ask(message: WorkerMessage, answer: WorkerMessage['type']): Promise<WorkerMessage | null> {
    if (this.hasExited) return Promise.resolve(null);
    return new Promise((resolve) => {
      const waiting = this.#waiters.get(answer) ?? [];
      this.#waiters.set(answer, [...waiting, resolve]);
      this.#channel.send(message);
    });
  }

  #hear(message: WorkerMessage, fds: FdBag): void {
    // Nobody waits for one that is late.
    if (message.type === 'GIVEN' && fds.length > 0 && this.#waiters.has('GIVEN')) this.#given = fds.take(0);
    fds.closeRest();
    switch (message.type) {
      case 'GIVES':
        this.gives = message.gives;
        return;
      case 'AWAITS':
        this.awaits = true;
        return;
      case 'LISTEN':
        this.#gate.ask(this, message.id, message.request as ListenRequest);
        return;
      case 'OWNS':
        this.#channel.send({ type: 'OWNED', id: message.id, owned: this.#gate.owns(message.path) });
        return;
      case 'RELEASE':
        this.emit('release', message.key);
        return;
      case 'READY':
        if (this.isReady) return;
        this.isReady = true;
        this.readyAt = performance.now();
        this.emit('ready');
        return;
      case 'EXHAUSTED':
        this.emit('trouble', 'exhausted', `accept ${message.code}: connections wait until it can`);
        return;
      case 'DRAINED':
        this.#drained = drainedOf(message);
    }
    for (const resolve of this.#waiters.get(message.type) ?? []) resolve(message);
    this.#waiters.delete(message.type);
  }

  /**
   * Nobody can tell it anything any more, and it has stopped accepting by itself: it is ended, so that another takes its place.
   * A worker that ends by itself comes here too, a moment before its exit is known.
   */
  #cutOff(error: Error | null): void {
    if (this.hasExited) return;
    this.#cutOffBy = error;
    this.signal('SIGTERM');
    setTimeout(() => this.signal('SIGKILL'), this.#killGrace).unref();
  }

  #ended(reason: string): void {
    this.hasExited = true;
    this.#output?.readRest();
    this.#channel.close();
    this.#gate.forget(this.pid);
    for (const waiting of this.#waiters.values()) for (const resolve of waiting) resolve(null);
    this.#waiters.clear();
    this.emit('exit', this.#cutOffBy === null ? reason : `${reason}; its channel broke: ${this.#cutOffBy.message}`);
  }
}

function drainedOf(answer: WorkerMessage | null): Drained {
  if (answer?.type !== 'DRAINED') return { forced: NO_CONNECTIONS, ended: 0 };
  return { forced: answer.forced, ended: answer.ended ?? 0 };
}

/** Of two measurements, in ms; the later one comes in µs. */
function worse(before: EventLoopDelay | null, { p50, p99, max }: EventLoopDelay): EventLoopDelay {
  const later = { p50: p50 / 1000, p99: p99 / 1000, max: max / 1000 };
  if (before === null) return later;
  return {
    p50: Math.max(before.p50, later.p50),
    p99: Math.max(before.p99, later.p99),
    max: Math.max(before.max, later.max),
  };
}
