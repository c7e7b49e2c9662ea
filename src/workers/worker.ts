import type { ChildProcess } from 'node:child_process';
import { inBackground } from '../base/background.js';
import type { Channel } from '../base/channel.js';
import { type PerKind, sumOfKinds } from '../base/drain-kinds.js';
import { HandoverError, isSystemError, reasonOf } from '../base/errors.js';
import { type EventLoopDelay, worse } from '../base/loop-delay.js';
import type { ServiceSettings } from '../config/settings.js';
import type { Obstacle } from '../listeners/refusals.js';
import type { Outputs } from '../logging/outputs.js';
import type { WorkerOutput } from '../logging/worker-output.js';
import { both, plus } from '../runtime/counts.js';
import type { AnswerCounts, ConnectionCounts, WorkerShapes } from '../runtime/worker-messages.js';
import { Branch, type BranchSocket } from './branches.js';
import { Conversation } from './conversation.js';
import type { Pause } from './conversation-events.js';
import type { Counted } from './counters.js';
import { bothDrained, type Drained, NOTHING_DRAINED } from './drained.js';
import { EndedBranches } from './ended-branches.js';
import { inspectorOf } from './inspector-ports.js';
import { endSession, strayed } from './leftovers.js';
import type { ListenGate } from './listen-gate.js';
import type { Move, Moving } from './moves.js';
import type { InspectedFamily } from './outside.js';
import { drainsIn, hurried, isDraining, type Order, timesLeft } from './worker-order.js';
import { type StartedAs, startWorkerProcess } from './worker-process.js';

/** One worker, seen from the supervisor: its process, and the Node processes that its program has started and that listen. */
export class Worker extends Conversation {
  override readonly index: number;
  readonly startedAt = performance.now();
  readonly #child: ChildProcess;
  readonly #gate: ListenGate;
  readonly #branches = new Set<Branch>();
  readonly #branchSocket: BranchSocket;
  readonly exited: Promise<string>;
  /** After {@link exited}: resolves once nothing is left of its session. */
  readonly cleared: Promise<void>;
  #order: Order;
  #drains: Promise<Drained>[] = [];
  readonly #ended = new EndedBranches();
  #cutOffBy: Error | null = null;
  /** False: the inspector's port is another generation's. */
  #hasInspector = true;
  readonly #inspectorPort: number | undefined;
  readonly #killGrace: number;
  /** Null: it writes to the supervisor's own stdout and stderr. */
  readonly #output: WorkerOutput | null;

  constructor(settings: ServiceSettings, startedAs: StartedAs, gate: ListenGate, outputs: Outputs | null) {
    let joined = (_channel: Channel<WorkerShapes>): void => {};
    const started = startWorkerProcess(settings, startedAs, outputs, (channel) => joined(channel));
    super(startedAs.service, gate, started.channel);
    this.index = startedAs.index;
    this.#gate = gate;
    this.#inspectorPort = inspectorOf(settings)?.port;
    this.#killGrace = settings.killGrace;
    this.#output = started.output;
    this.#child = started.child;
    this.#branchSocket = started.branchSocket;
    this.#order = startedAs.held ? { paused: {} } : 'accept';
    joined = (channel) => this.#join(channel);
    this.open();
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal === null ? `exit status ${code}` : `signal ${signal}`));
      this.#child.once('error', (error) => resolve(error.message));
    });
    this.cleared = this.exited.then((reason) => this.#clear(reason));
  }

  get name(): string {
    return `worker ${this.index} of ${this.service} (pid ${this.pid})`;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Itself, and its branches. */
  get processes(): Conversation[] {
    return [this, ...this.#branches];
  }

  get pids(): number[] {
    return this.processes.map(({ pid }) => pid);
  }

  /** How its process, and those that its program has started, are told from others. */
  get family(): InspectedFamily {
    return { session: this.pid, mark: this.#branchSocket.name, inspectorPort: this.#inspectorPort };
  }

  /** Keys of what its processes have been given and their programs have not closed; of what those had that have ended, too. */
  get held(): ReadonlySet<string> {
    return new Set([...this.#ended.held, ...this.processes.flatMap(({ granted }) => [...granted])]);
  }

  override get lastCounts(): ConnectionCounts {
    return [...this.#branches].map(({ lastCounts }) => lastCounts).reduce(plus, super.lastCounts);
  }

  override get lastKinds(): PerKind<number> {
    return [...this.#branches].map(({ lastKinds }) => lastKinds).reduce(sumOfKinds, super.lastKinds);
  }

  override get lastAnswers(): AnswerCounts {
    const branches = [...this.#branches].map(({ lastAnswers }) => lastAnswers);
    return branches.reduce(both, both(super.lastAnswers, this.#ended.answers));
  }

  override get lastRefusal(): Obstacle | null {
    const [refusal = null] = [...this.#branches].flatMap(({ lastRefusal }) => lastRefusal ?? []);
    return super.lastRefusal ?? refusal ?? this.#ended.lastRefusal;
  }

  override get gives(): boolean {
    return this.#givers.length > 0;
  }

  override get awaits(): boolean {
    return super.awaits || [...this.#branches].some(({ awaits }) => awaits);
  }

  override async pause(how: Pause = {}): Promise<void> {
    this.#setOrder({ paused: how });
    await Promise.all([super.pause(how), ...this.#each((branch) => branch.pause(how))]);
  }

  override async accept(): Promise<void> {
    this.#setOrder('accept');
    await Promise.all([super.accept(), ...this.#each((branch) => branch.accept())]);
  }

  /** Of the one process that has called onHandover(). */
  override give(): Promise<number | null> {
    const [giver, second] = this.#givers;
    if (second !== undefined) {
      const text = `${this.name}: onHandover() was called by several of its processes (pid ${giver?.pid} and ${second.pid}); a worker hands on one value`;
      return Promise.reject(new HandoverError('ERR_MOTYA_STATE', text));
    }
    return giver instanceof Branch ? giver.give() : super.give();
  }

  override inherit(fds: readonly number[]): void {
    super.inherit(fds);
    for (const branch of this.#branches) branch.inherit(fds);
  }

  override async count(what: Counted = {}): Promise<ConnectionCounts> {
    const counts = await Promise.all([super.count(what), ...this.#each((branch) => branch.count(what))]);
    return counts.reduce(plus);
  }

  override async drain(times: PerKind<number>, moving: Moving | null): Promise<Drained> {
    this.#setOrder(drainsIn(times, moving));
    this.#drains = [super.drain(times, moving), ...this.#each((branch) => branch.drain(times, moving))];
    let drained: Drained[] = [];
    // A process that has joined meanwhile drains, too.
    while (drained.length < this.#drains.length) drained = await Promise.all(this.#drains);
    return drained.reduce(bothDrained, NOTHING_DRAINED);
  }

  override hurry(timeoutMs: number): void {
    this.#order = hurried(this.#order, timeoutMs);
    super.hurry(timeoutMs);
    for (const branch of this.#branches) branch.hurry(timeoutMs);
  }

  /** By any of its processes that has the listener. */
  override adopt(move: Move, fds: readonly number[]): Promise<number> {
    const holders = this.processes.filter(({ granted }) => granted.has(move.key));
    const holder = holders[Math.floor(Math.random() * holders.length)];
    if (holder === undefined) return Promise.resolve(0);
    return holder instanceof Branch ? holder.adopt(move, fds) : super.adopt(move, fds);
  }

  override force(): void {
    super.force();
    for (const branch of this.#branches) branch.force();
  }

  override openInspector(open: boolean): void {
    this.#hasInspector = open;
    super.openInspector(open);
    for (const branch of this.#branches) branch.openInspector(open);
  }

  override redirectOutput(fd: number): void {
    if (this.#output !== null) return;
    super.redirectOutput(fd);
    for (const branch of this.#branches) branch.redirectOutput(fd);
  }

  override takeDelay(): EventLoopDelay | null {
    const delays = [
      this.#ended.takeDelay(),
      super.takeDelay(),
      ...[...this.#branches].map((branch) => branch.takeDelay()),
    ];
    return delays.reduce((worst, delay) => (delay === null ? worst : worse(worst, delay)), null);
  }

  override end(): void {
    this.signal('SIGKILL');
  }

  /** The end of what it has said on stderr, if that came through here. */
  lastLines(): string[] {
    return this.#output?.lastLines() ?? [];
  }

  /** The line of it that says why the program has ended. */
  lastReason(): string | null {
    return this.#output?.lastReason() ?? null;
  }

  /** The instance ends: the output of children of the program that still have it is not read from here on. */
  closeOutput(): void {
    this.#output?.readRest();
    this.#output?.close();
  }

  signal(signal: NodeJS.Signals): void {
    // ChildProcess#kill knows when the child was reaped: the pid cannot be another process's.
    this.#child.kill(signal);
  }

  get #givers(): Conversation[] {
    const branches = [...this.#branches].filter(({ gives }) => gives);
    return super.gives ? [this, ...branches] : branches;
  }

  #each<T>(what: (branch: Branch) => Promise<T>): Promise<T>[] {
    return [...this.#branches].map(what);
  }

  #setOrder(order: Order): void {
    // The end of a worker is not taken back.
    if (!isDraining(this.#order)) this.#order = order;
  }

  /** It accepts nothing until it gets the order of the others. */
  #join(channel: Channel<WorkerShapes>): void {
    const branch = new Branch(this, this.#gate, channel);
    this.#branches.add(branch);
    branch.on('blocked', () => this.becomeBlocked());
    branch.on('ready', () => this.becomeReady());
    branch.on('childDone', (pid) => this.emit('childDone', pid));
    branch.on('release', (key, pid) => {
      this.#ended.release(key);
      this.emit('release', key, pid);
    });
    branch.on('trouble', (kind, what, facts) => this.emit('trouble', kind, `${branch.name}: ${what}`, facts));
    const joinedAt = performance.now();
    this.emit('childStart');
    branch.once('exit', (reason) => {
      this.#branches.delete(branch);
      if (branch.lastKeys.length > 0) this.#childEnded(branch, reason, performance.now() - joinedAt);
      this.#ended.add(branch);
    });
    if (!this.#hasInspector) branch.openInspector(false);
    const order = this.#order;
    if (order === 'accept') inBackground('accepting in a joined process', branch.accept());
    else if ('paused' in order) inBackground('pausing a joined process', branch.pause(order.paused));
    else this.#drains.push(branch.drain(timesLeft(order), order.moving));
  }

  /** It had listeners. One that ends before its worker drains has failed, unless its worker ends, too. */
  #childEnded({ pid, lastKeys }: Branch, reason: string, lived: number): void {
    if (this.hasExited || isDraining(this.#order)) return;
    const keys = lastKeys.filter((key) => !this.#gate.isUsedBy(key, this.pids));
    this.emit('childEnd', { pid, reason, keys, lived });
  }

  /**
   * It cannot be told anything any more, and has stopped accepting by itself: it is ended, so that another takes its place.
   * A worker that ends by itself comes here too, a moment before its exit is known.
   */
  protected override cutOff(error: Error | null): void {
    if (this.hasExited) return;
    this.#cutOffBy = error;
    this.signal('SIGTERM');
    setTimeout(() => this.signal('SIGKILL'), this.#killGrace).unref();
  }

  async #clear(reason: string): Promise<void> {
    this.#output?.readRest();
    this.#branchSocket.close();
    this.close();
    this.emit('exit', this.#cutOffBy === null ? reason : `${reason}; its channel broke: ${this.#cutOffBy.message}`);
    if (this.pid === 0) return;
    try {
      await endSession(this.family, this.#killGrace);
      for (const { pid, name } of await strayed(this.family)) this.emit('strayed', `pid ${pid} (${name})`, pid);
    } catch (error) {
      // Without fds /proc cannot be read. A drain, which waits for this, must end all the same.
      if (!isSystemError(error)) throw error;
      this.emit('strayed', `what it has started cannot be looked for (${reasonOf(error)}); any of it`, null);
    }
  }
}
