import { EventEmitter } from 'node:events';
import type { Channel } from '../base/channel.js';
import { longestOf, type PerKind, perKind } from '../base/drain-kinds.js';
import { HandoverError } from '../base/errors.js';
import { MESSAGE_FDS, PORT_PROBE_MS } from '../base/limits.js';
import type { EventLoopDelay } from '../base/loop-delay.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { ListenRequest } from '../listeners/listen-request.js';
import type { Obstacle } from '../listeners/refusals.js';
import type {
  AnswerCounts,
  ConnectionCounts,
  ListenerCount,
  WorkerMessage,
  WorkerShapes,
} from '../runtime/worker-messages.js';
import type { ConversationEvents, Pause } from './conversation-events.js';
import { type Counted, Counters } from './counters.js';
import { type Drained, NOTHING_DRAINED } from './drained.js';
import type { ListenGate } from './listen-gate.js';
import { type Grantee, ListenerGrants } from './listener-grants.js';
import { MoveRelay } from './move-relay.js';
import type { Move, Moving } from './moves.js';
import { Questions } from './questions.js';

/** What the supervisor and one process that serves say to each other: a worker, or a Node process that a worker has started. */
export abstract class Conversation extends EventEmitter<ConversationEvents> implements Grantee {
  readonly service: string;
  readonly #gate: ListenGate;
  readonly #channel: Channel<WorkerShapes>;
  #giving: Promise<unknown> = Promise.resolve();
  readonly #questions: Questions;
  readonly #counters: Counters;
  #draining: Promise<Drained> | null = null;
  #gives = false;
  #awaits = false;
  #readyAt: number | null = null;
  readonly #grants: ListenerGrants;
  readonly #moves: MoveRelay;
  #saysReady = false;
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
    this.#questions = new Questions(channel);
    this.#counters = new Counters(this.#questions);
    this.#grants = new ListenerGrants(this, channel);
    this.#moves = new MoveRelay(channel, this.#questions);
    channel.on('message', (message, fds) => this.#hear(message, fds));
    channel.on('close', (error) => this.cutOff(error));
  }

  /** 0 when it could not be started. */
  abstract get pid(): number;
  /** Of the worker. */
  abstract get index(): number;
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
    return this.#counters.connections;
  }

  /** As {@link lastCounts}, by the kinds that a drain knows; none unless it drains. */
  get lastKinds(): PerKind<number> {
    return this.#counters.kinds;
  }

  /** Since they were asked for first. */
  get lastAnswers(): AnswerCounts {
    return this.#counters.answers;
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
  get lastRefusal(): Obstacle | null {
    return this.#grants.lastRefusal;
  }

  /** Keys of the listeners that it has been given and whose servers its program has not closed; see `held` of a worker. */
  get granted(): ReadonlySet<string> {
    return this.#grants.keys;
  }

  becomeBlocked(): void {
    if (this.isBlocked) return;
    this.isBlocked = true;
    this.emit('blocked');
  }

  denied({ text, details }: Obstacle): void {
    this.emit('trouble', 'denied', text, details);
  }

  /** Resolves when it has stopped accepting, or has ended. */
  async pause({ lease, except }: Pause = {}): Promise<void> {
    await this.#questions.ask({ type: 'PAUSE', lease, except: except && [...except] }, () => {});
  }

  /** Resolves when it accepts, or has ended. */
  async accept(): Promise<void> {
    await this.#questions.ask({ type: 'ACCEPT' }, () => {});
  }

  /**
   * What its program hands on: a file with the value serialized, the caller's; null when it has ended.
   * @throws {HandoverError} the program has failed to
   */
  give(): Promise<number | null> {
    const ask = (): Promise<number | null> =>
      this.#questions.ask({ type: 'GIVE' }, ({ error }, fds) => {
        if (fds.length > 0) return fds.take(0);
        const details = { service: this.service, pid: this.pid, said: error ?? null };
        const text = `${this.name}: onHandover() failed: ${error ?? 'no value came'}`;
        throw new HandoverError('ERR_MOTYA_STATE', text, { details });
      });
    // One at a time: a program is not written for a second call of onHandover() while the first one runs.
    const given = this.#giving.then(ask);
    this.#giving = given.catch(() => {});
    return given;
  }

  /** Before {@link accept}. The files stay the caller's. */
  inherit(fds: readonly number[]): void {
    for (let start = 0; start < fds.length; start += MESSAGE_FDS) {
      this.#channel.send({ type: 'INHERIT' }, fds.slice(start, start + MESSAGE_FDS));
    }
  }

  /** Open connections; see {@link Counters}. */
  count(what: Counted = {}): Promise<ConnectionCounts> {
    return this.#counters.count(what);
  }

  /** Of the listeners with these keys that it has; nothing when it has ended. */
  countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    return this.#counters.countListeners(keys);
  }

  /** Resolves when no connection is left, or it has ended. `times`: ms for each kind. `moving`: where connections may go; null: nowhere. */
  drain(times: PerKind<number>, moving: Moving | null): Promise<Drained> {
    if (this.#draining === null) this.#draining = this.#drain(times, moving);
    else this.hurry(longestOf(times));
    return this.#draining;
  }

  async #drain(times: PerKind<number>, moving: Moving | null): Promise<Drained> {
    this.#moves.moving = moving;
    const rounded = perKind((kind) => Math.round(times[kind]));
    const question = { type: 'DRAIN', times: rounded, move: moving?.most } as const;
    const drained = await this.#questions.ask(question, ({ type: _, id: __, ...outcome }) => outcome);
    return drained ?? NOTHING_DRAINED;
  }

  /** Connections of the other generation are for it. @returns how many more it has room for */
  adopt(move: Move, fds: readonly number[]): Promise<number> {
    return this.#moves.deliver(move, fds);
  }

  /** After {@link drain}: no kind has longer than `timeoutMs`, after which {@link force} comes. */
  hurry(timeoutMs: number): void {
    this.#channel.send({ type: 'SHORTEN', timeout: Math.round(timeoutMs) });
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
    return this.#counters.takeDelay();
  }

  /** Nothing more comes from it, and nothing is waited for. */
  protected close(): void {
    this.hasExited = true;
    this.#channel.close();
    this.lastKeys = this.#gate.forget(this.pid);
    this.#questions.close();
  }

  #hear(message: WorkerMessage, fds: ReceivedFds): void {
    if (this.#questions.receive(message, fds)) return;
    switch (message.type) {
      case 'GIVES':
        this.#gives = message.gives;
        return;
      case 'AWAITS':
        this.#awaits = true;
        return;
      case 'LISTEN':
        this.#gate.ask(this.#grants, message.id, message.request as ListenRequest);
        return;
      case 'OWNS':
        this.#channel.send({ type: 'OWNED', id: message.id, owned: this.#gate.owns(message.path) });
        return;
      case 'ANSWERS':
        this.#channel.send({
          type: 'OWNED',
          id: message.id,
          owned: this.#gate.isIncumbents(this.#grants, message.port),
        });
        return;
      case 'RELEASE':
        this.#released(message.key);
        return;
      case 'READY':
        this.#saysReady = true;
        if (!this.#grants.hasLent) this.becomeReady();
        else setTimeout(() => this.#refuseLent(), PORT_PROBE_MS).unref();
        return;
      case 'CHILD_END':
        this.emit('childEnd', { pid: message.pid, reason: message.reason, keys: [], lived: null });
        return;
      case 'CHILD_DONE':
        this.emit('childDone', message.pid);
        return;
      case 'MOVE':
        this.#moves.relay(message, fds, { service: this.service, index: this.index });
        return;
      case 'EXHAUSTED':
        this.emit('trouble', 'exhausted', `accept ${message.code}: connections wait until it can`, {
          reason: message.code,
        });
    }
  }

  #released(key: string): void {
    if (this.#grants.release(key)) this.emit('release', key, this.pid);
    else if (!this.#grants.hasLent && this.#saysReady) this.becomeReady();
  }

  /** It is ready, but has not closed what was lent to it. */
  #refuseLent(): void {
    if (!this.#grants.hasLent || this.hasExited) return;
    this.#grants.refuseLent();
    this.end();
  }

  protected becomeReady(): void {
    if (this.isReady) return;
    this.isReady = true;
    this.#readyAt = performance.now();
    this.emit('ready');
  }
}
