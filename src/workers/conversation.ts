import { EventEmitter } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import type { Channel, FdBag } from '../base/channel.js';
import { HandoverError } from '../base/errors.js';
import { MESSAGE_FDS, PORT_PROBE_MS } from '../base/limits.js';
import type { EventLoopDelay } from '../base/loop-delay.js';
import { type Listener, nameOf, type Refusal } from '../listeners/ledger.js';
import type { ListenRequest } from '../listeners/listen-request.js';
import { NO_ANSWERS, NO_CONNECTIONS } from '../runtime/counts.js';
import type {
  AnswerCounts,
  ConnectionCounts,
  ListenerCount,
  WorkerMessage,
  WorkerShapes,
} from '../runtime/worker-messages.js';
import type { AddressRequest, Asker, ListenGate } from './listen-gate.js';

/** Listeners that one question to a worker counts: their answer, with unix paths of 107 bytes, has half of MESSAGE_BYTES. */
const LISTENERS_COUNTED = 128;

/** How the connections of a drain ended: `ended` by themselves, `forced` not. */
export interface Drained {
  readonly forced: ConnectionCounts;
  readonly ended: number;
}

export const NOTHING_DRAINED: Drained = { forced: NO_CONNECTIONS, ended: 0 };

/** `lease`: ms after which workers go on by themselves. `except`: keys of listeners on which they go on. */
export interface Pause {
  readonly lease?: number;
  readonly except?: readonly string[];
}

/** What a COUNT may ask for beside the connections. `delay`: see {@link Conversation.takeDelay}. */
export interface Counted {
  readonly delay?: boolean;
  readonly answers?: boolean;
}

export interface ChildEnd {
  readonly pid: number;
  /** In words. */
  readonly reason: string;
  /** Keys of the listeners that it had, and no other process of its worker has. */
  readonly keys: readonly string[];
  /** ms that it was known; null: it never listened. */
  readonly lived: number | null;
}

interface ConversationEvents {
  /** It waits for a listener that is not here yet: booted as far as can be. */
  blocked: [];
  ready: [];
  /** `pid` of the process whose program has closed its server. */
  release: [key: string, pid: number];
  /** `denied`: it may not listen where it wants to (EACCES). `exhausted`: it cannot take a connection (EMFILE and the like). */
  trouble: [kind: 'denied' | 'exhausted', what: string];
  /** Once. `reason` in words: an exit status, a signal, or why it could not be started. */
  exit: [reason: string];
  /** A process that its program has started is a part of it from now on. */
  childStart: [];
  /** A process that its program has started, and that listened or was to, has ended by itself; see {@link ChildEnd}. */
  childEnd: [end: ChildEnd];
  /** A process that its program had started has ended as it was to; comes before or after `childEnd`. */
  childDone: [pid: number];
  /** After the exit: a process that its program has started, as `pid 12 (node)`, is in a session of its own, and goes on. */
  strayed: [who: string];
}

/** What the supervisor and one process that serves say to each other: a worker, or a Node process that a worker has started. */
export abstract class Conversation extends EventEmitter<ConversationEvents> implements Asker {
  readonly service: string;
  readonly #gate: ListenGate;
  readonly #channel: Channel<WorkerShapes>;
  /** What is waited for: the answers by type, first come first served. */
  readonly #waiters = new Map<WorkerMessage['type'], ((message: WorkerMessage | null) => void)[]>();
  #drained: Drained | null = null;
  #counting: Promise<ConnectionCounts> | null = null;
  #delay: EventLoopDelay | null = null;
  #giving: Promise<unknown> = Promise.resolve();
  /** The file of the last GIVEN, until {@link give} has it. */
  #given: number | null = null;
  #counts = NO_CONNECTIONS;
  #answers: AnswerCounts = NO_ANSWERS;
  #gives = false;
  #awaits = false;
  #readyAt: number | null = null;
  #countingListeners: Promise<unknown> = Promise.resolve();
  #refusal: string | null = null;
  /** Keys of the listeners that it has been given and whose servers its program has not closed; see `held` of a worker. */
  readonly granted = new Set<string>();
  #saysReady = false;
  /** Keys of what its program listens on for now, and of the listeners that have these addresses. */
  readonly #lent = new Map<string, string>();
  isReady = false;
  isBlocked = false;
  hasExited = false;
  /** After its end: keys of the listeners that it had then. */
  lastKeys: readonly string[] = [];

  /** Nothing is read until {@link open}. */
  constructor(service: string, gate: ListenGate, channel: Channel<WorkerShapes>) {
    super();
    this.service = service;
    this.#gate = gate;
    this.#channel = channel;
    channel.on('message', (message, fds) => this.#hear(message, fds));
    channel.on('close', (error) => this.cutOff(error));
  }

  /** 0 when it could not be started. */
  abstract get pid(): number;
  /** For people. */
  abstract get name(): string;
  /** Ends the process at once: its program cannot serve. */
  abstract end(): void;
  /** The channel is closed, which the process may outlive. */
  protected abstract cutOff(error: Error | null): void;

  protected open(): void {
    this.#channel.open();
  }

  /** As it counted them last. */
  get lastCounts(): ConnectionCounts {
    return this.#counts;
  }

  /** Since they were asked for first. */
  get lastAnswers(): AnswerCounts {
    return this.#answers;
  }

  /** Its program has a value to hand on. */
  get gives(): boolean {
    return this.#gives;
  }

  /** Its program has asked for what it inherits. */
  get awaits(): boolean {
    return this.#awaits;
  }

  get readyAt(): number | null {
    return this.#readyAt;
  }

  /** What it was refused last, for the reason of a failed start. */
  get lastRefusal(): string | null {
    return this.#refusal;
  }

  grant(id: number, listener: Listener): void {
    const { key, backlog, fd, tickets } = listener;
    const { family, address, port, path } = listener.socket;
    const ticketKeys = tickets?.keys;
    this.granted.add(key);
    this.#channel.send({ type: 'LISTENER', id, key, family, address, port, path, backlog, ticketKeys }, [fd]);
  }

  wait(id: number): void {
    this.#channel.send({ type: 'PENDING', id });
    if (this.isBlocked) return;
    this.isBlocked = true;
    this.emit('blocked');
  }

  leavePlain(id: number): void {
    this.#channel.send({
      type: 'REFUSED',
      id,
      code: 'ECANCELED',
      errno: -constants.errno.ECANCELED,
      syscall: 'listen',
      plain: true,
    });
  }

  lend(id: number, request: AddressRequest, holder: Listener | null): void {
    const key = nameOf(request);
    // Not the holder's socket: a copy that is on its way would keep its address bound when it is closed.
    const none = openSync('/dev/null', 'r');
    try {
      this.#channel.send({ type: 'LISTENER', id, key, ...addressOf(request), lent: true }, [none]);
      if (holder !== null) this.#lent.set(key, holder.key);
    } finally {
      closeSync(none);
    }
  }

  refuse(id: number, refusal: Refusal, where: string): void {
    this.#refusal = `${refusal.syscall} ${refusal.code} ${where}`;
    // A program may take any other for an answer, and try elsewhere; this one somebody has to mend.
    if (refusal.code === 'EACCES') this.emit('trouble', 'denied', this.#refusal);
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
    throw new HandoverError('ERR_MOTYA_STATE', `${this.name}: onHandover() failed: ${answer.error ?? 'no value came'}`);
  }

  /** Before {@link accept}. The files stay the caller's. */
  inherit(fds: readonly number[]): void {
    for (let start = 0; start < fds.length; start += MESSAGE_FDS) {
      this.#channel.send({ type: 'INHERIT' }, fds.slice(start, start + MESSAGE_FDS));
    }
  }

  /** One question at a time: a worker that is busy for long must not find a queue of them. */
  count(what: Counted = {}): Promise<ConnectionCounts> {
    this.#counting ??= this.#count(what).finally(() => {
      this.#counting = null;
    });
    return this.#counting;
  }

  /** Of the listeners with these keys that it has; nothing when it has ended. */
  countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    // One at a time: the answer names the keys of one question.
    const counting = this.#countingListeners.then(() => this.#countListeners(keys));
    this.#countingListeners = counting.catch(() => {});
    return counting;
  }

  async #countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    const counted: ListenerCount[] = [];
    for (let start = 0; start < keys.length; start += LISTENERS_COUNTED) {
      const some = keys.slice(start, start + LISTENERS_COUNTED);
      const answer = await this.#ask({ type: 'COUNT_LISTENERS', keys: some }, 'LISTENER_COUNTS');
      if (answer?.type === 'LISTENER_COUNTS') counted.push(...answer.listeners);
    }
    return counted;
  }

  /** Resolves when no connection is left, or it has ended. */
  async drain(timeoutMs: number): Promise<Drained> {
    if (this.#drained !== null) return this.#drained;
    const answer = await this.#ask({ type: 'DRAIN', timeout: Math.round(timeoutMs) }, 'DRAINED');
    return drainedOf(answer);
  }

  /** After {@link drain}: {@link force} will come earlier, in `timeoutMs`. */
  hurry(timeoutMs: number): void {
    this.#channel.send({ type: 'DRAIN', timeout: Math.round(timeoutMs) });
  }

  force(): void {
    this.#channel.send({ type: 'FORCE' });
  }

  /** For a program that was started with `--inspect`: its port is another generation's, or is to be had again. */
  openInspector(open: boolean): void {
    this.#channel.send({ type: 'INSPECTOR', open });
  }

  /** For a worker that writes by itself. */
  redirectOutput(fd: number): void {
    this.#channel.send({ type: 'OUTPUT' }, [fd]);
  }

  /** The delay of its event loop as far as it has been asked and answered and not been told. */
  takeDelay(): EventLoopDelay | null {
    const delay = this.#delay;
    this.#delay = null;
    return delay;
  }

  /** Nothing more comes from it, and nothing is waited for. */
  protected close(): void {
    this.hasExited = true;
    this.#channel.close();
    this.lastKeys = this.#gate.forget(this.pid);
    for (const waiting of this.#waiters.values()) for (const resolve of waiting) resolve(null);
    this.#waiters.clear();
  }

  async #count(what: Counted): Promise<ConnectionCounts> {
    const answer = await this.#ask({ type: 'COUNT', ...what }, 'COUNTS');
    if (answer?.type !== 'COUNTS') return NO_CONNECTIONS;
    this.#counts = answer.connections;
    this.#answers = answer.answers ?? this.#answers;
    // Whoever has asked may have given up waiting: a long delay must not get lost with that.
    if (answer.delay) this.#delay = worse(this.#delay, inMs(answer.delay));
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
        this.#gives = message.gives;
        return;
      case 'AWAITS':
        this.#awaits = true;
        return;
      case 'LISTEN':
        this.#gate.ask(this, message.id, message.request as ListenRequest);
        return;
      case 'OWNS':
        this.#channel.send({ type: 'OWNED', id: message.id, owned: this.#gate.owns(message.path) });
        return;
      case 'ANSWERS':
        this.#channel.send({ type: 'OWNED', id: message.id, owned: this.#gate.isIncumbents(this, message.port) });
        return;
      case 'RELEASE':
        this.#released(message.key);
        return;
      case 'READY':
        this.#saysReady = true;
        if (this.#lent.size === 0) this.becomeReady();
        else setTimeout(() => this.#refuseLent(), PORT_PROBE_MS).unref();
        return;
      case 'CHILD_END':
        this.emit('childEnd', { pid: message.pid, reason: message.reason, keys: [], lived: null });
        return;
      case 'CHILD_DONE':
        this.emit('childDone', message.pid);
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

  #released(key: string): void {
    if (this.#lent.delete(key)) {
      if (this.#lent.size === 0 && this.#saysReady) this.becomeReady();
      return;
    }
    this.granted.delete(key);
    this.emit('release', key, this.pid);
  }

  /** It listens where another listener of its service does: no client would reach it. */
  #refuseLent(): void {
    const [lent] = this.#lent;
    if (lent === undefined || this.hasExited) return;
    const [wanted, holder] = lent;
    this.#refusal = `listen EADDRINUSE ${wanted} (it overlaps ${holder} of this service)`;
    this.end();
  }

  protected becomeReady(): void {
    if (this.isReady) return;
    this.isReady = true;
    this.#readyAt = performance.now();
    this.emit('ready');
  }
}

/** As getsockname(2) would tell it. */
function addressOf(request: AddressRequest) {
  if (request.kind === 'unix') return { family: 'unix', address: null, port: null, path: request.path } as const;
  const { address, port } = request;
  const family = address === null || address.includes(':') ? 'inet6' : 'inet';
  return { family, address: address ?? '::', port, path: null } as const;
}

function drainedOf(answer: WorkerMessage | null): Drained {
  if (answer?.type !== 'DRAINED') return NOTHING_DRAINED;
  return { forced: answer.forced, ended: answer.ended ?? 0 };
}

/** The channel has µs. */
const inMs = ({ p50, p99, max }: EventLoopDelay): EventLoopDelay => ({
  p50: p50 / 1000,
  p99: p99 / 1000,
  max: max / 1000,
});

/** Of two measurements, in ms. */
export function worse(before: EventLoopDelay | null, later: EventLoopDelay): EventLoopDelay {
  if (before === null) return later;
  return {
    p50: Math.max(before.p50, later.p50),
    p99: Math.max(before.p99, later.p99),
    max: Math.max(before.max, later.max),
  };
}
