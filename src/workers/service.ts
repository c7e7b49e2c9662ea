import { EventEmitter } from 'node:events';
import { inBackground } from '../base/background.js';
import type { ServiceSettings } from '../config/settings.js';
import type { Ledger } from '../listeners/ledger.js';
import type { Outputs } from '../logging/outputs.js';
import type { AnswerCounts, ConnectionCounts } from '../runtime/worker-messages.js';
import type { WorkerStatus } from '../status/status-document.js';
import { ChildEnds } from './child-ends.js';
import type { ChildEnd, Pause } from './conversation-events.js';
import type { Drained } from './drained.js';
import { withInspectorPort } from './inspector-ports.js';
import type { ListenGate } from './listen-gate.js';
import type { WorkerListenerCounts } from './listener-counts.js';
import type { Move } from './moves.js';
import type { Outside } from './outside.js';
import { allGiven, deal, type Given, giveInTime } from './program-state.js';
import { ReleasedListeners } from './released.js';
import { type DrainOptions, ServiceDrain } from './service-drain.js';
import type { ServiceEvents } from './service-events.js';
import { ServiceOutside } from './service-outside.js';
import { ServiceStart } from './service-start.js';
import { Slot, type SlotOwner } from './slot.js';
import { Worker } from './worker.js';
import { allAnswer, countAnswers, countConnections, countOnListeners } from './worker-counts.js';

export interface ServiceContext {
  readonly generation: number;
  readonly ledger: Ledger;
  readonly gate: ListenGate;
  /** ms for all workers to become ready. */
  readonly readyMs: number;
  /** Where the workers' lines go; without it they write to the supervisor's own stdout and stderr. */
  readonly outputs?: Outputs | null;
  /** The inspector's port of each worker, if the options of node ask for one. */
  readonly inspectorPorts?: readonly number[] | undefined;
}

const DONE = 'exit status 0';

/** A named set of workers that run one program: started, kept running, paused, drained. */
export class Service extends EventEmitter<ServiceEvents> {
  readonly settings: ServiceSettings;
  readonly #context: ServiceContext;
  readonly #slots: Slot[] = [];
  #accepting: boolean;
  /** Keys of listeners on which workers accept all the same. */
  #except: readonly string[] = [];
  readonly #released: ReleasedListeners;
  /** False until the first start has succeeded: till then a worker that ends fails the start. */
  #keepAlive = false;
  #draining = false;
  /** False: the inspectors' ports are another generation's. */
  #hasInspectors = true;
  readonly #outside: ServiceOutside;
  readonly #start: ServiceStart;
  readonly ending: ServiceDrain;
  readonly #childEnds = new ChildEnds();
  /** Of workers that have ended, and what they have left. */
  readonly #clearing = new Set<Promise<void>>();

  /** `accepting: false` holds the listeners until {@link accept}. */
  constructor(settings: ServiceSettings, context: ServiceContext, { accepting }: { accepting: boolean }) {
    super();
    this.settings = settings;
    this.#context = context;
    this.#released = new ReleasedListeners(context);
    this.#accepting = accepting;
    const workers = (): readonly Worker[] => this.#workers;
    this.ending = new ServiceDrain(settings, this.#slots, (drained) => this.emit('drained', drained));
    this.#outside = new ServiceOutside(context.ledger, workers);
    this.#start = new ServiceStart({
      settings,
      readyMs: context.readyMs,
      inspectorPorts: context.inspectorPorts ?? [],
      workers,
      outside: this.#outside,
      silent: (worker, hint) => this.emit('trouble', 'silent', worker, hint, {}),
    });
  }

  get name(): string {
    return this.settings.name;
  }

  /** Rejects when a worker has ended before {@link keepAlive}. */
  get failed(): Promise<never> {
    return this.#start.failed;
  }

  start(): void {
    const owner: SlotOwner = {
      spawn: (index) => this.#spawn(index),
      crashed: (...told) => this.emit('crash', ...told),
      restarted: (worker) => this.emit('restart', worker),
    };
    for (let index = 0; index < this.settings.workers; index++) this.#slots.push(new Slot(owner, index));
  }

  /** Resolves when every worker is ready. @throws {StartError} when one ends, or the time for it does. */
  ready(): Promise<void> {
    return this.#start.ready();
  }

  /** Resolves when every worker is ready or waits for listeners that are not here yet. @throws {StartError} */
  booted(): Promise<void> {
    return this.#start.booted();
  }

  /** From now on a worker that ends is started again. */
  keepAlive(): void {
    this.#keepAlive = true;
  }

  /** Resolves when no worker accepts that could: one that boots has no listener to stop, and may be busy for long. */
  async pause(how?: Pause): Promise<void> {
    this.#accepting = false;
    this.#except = how?.except ?? [];
    const holders = new Set(this.#context.ledger.all().flatMap(({ users }) => [...users]));
    const paused = this.#workers.map((worker) => [worker, worker.pause(how)] as const);
    await Promise.all(paused.map(([{ pids }, done]) => (pids.some((pid) => holders.has(pid)) ? done : undefined)));
  }

  async accept(): Promise<void> {
    this.#accepting = true;
    this.#except = [];
    await Promise.all(this.#workers.map((worker) => worker.accept()));
  }

  /** What the programs of its workers hand on. @throws {HandoverError} */
  give(): Promise<Given[]> {
    return allGiven(this.#workers.map(giveInTime));
  }

  /** Before {@link accept}: what those of the generation before have. */
  inherit(values: readonly Given[]): void {
    deal(values, this.#workers);
  }

  /** Open connections of all workers, idle ones included. */
  connections(): Promise<ConnectionCounts> {
    return countConnections(this.#workers);
  }

  /** HTTP answers of all workers, since they were asked for first. */
  answered(): Promise<AnswerCounts> {
    return countAnswers(this.#workers);
  }

  /** What each process that runs has counted on the listeners with these keys; null for one that does not answer in time. */
  countListeners(keys: readonly string[]): Promise<WorkerListenerCounts[]> {
    return countOnListeners(this.#workers, keys);
  }

  /** Whether every worker that should by now answers within `ms`: one that boots may load its program for longer. */
  isWell(ms: number): Promise<boolean> {
    const isDue = ({ isReady, startedAt }: Worker): boolean =>
      isReady || performance.now() - startedAt > this.#context.readyMs;
    return allAnswer(this.#workers.filter(isDue), ms);
  }

  /** Every worker is ready. */
  get isWhole(): boolean {
    return this.#workers.every(({ isReady, hasExited }) => isReady && !hasExited);
  }

  /**
   * As {@link isWhole}; and one that was started again has outlived the one before, and listens, as far as there is such a listener,
   * where that did.
   */
  get isBack(): boolean {
    const { ledger, gate } = this.#context;
    const isBack = ({ worker, recovery }: Slot): boolean =>
      recovery.isDone((key) => ledger.get(key) === undefined || gate.isUsedBy(key, worker.pids));
    return this.isWhole && this.#slots.every(isBack);
  }

  /** After {@link ListenGate.hold}: what programs have closed meanwhile. */
  thawed(): void {
    this.#removeReleased();
  }

  /** Lets every worker finish what it has and then ends it; see {@link ServiceDrain}. */
  async drain(options: DrainOptions): Promise<Drained> {
    this.#draining = true;
    const drained = await this.ending.run(options);
    await Promise.all(this.#clearing);
    return drained;
  }

  /**
   * Connections of worker `index` of the other generation: for the worker with that index, as the values that it has handed on, or for
   * any that is ready. @returns how many more there is room for
   */
  async adopt(index: number, move: Move, fds: readonly number[]): Promise<number> {
    if (this.settings.connections !== 'move' || this.#draining) return 0;
    const workers = this.#workers.filter(({ isReady, hasExited }) => isReady && !hasExited);
    const own = workers.find((worker) => worker.index === index % this.#slots.length);
    return (own ?? workers[0])?.adopt(move, fds) ?? 0;
  }

  signal(signal: NodeJS.Signals): number {
    const running = this.#workers.filter(({ hasExited }) => !hasExited);
    for (const worker of running) worker.signal(signal);
    return running.length;
  }

  /** Those of its programs, if they have ports of their own; see `--inspect` of node. */
  openInspectors(open: boolean): void {
    if (this.#context.inspectorPorts === undefined) return;
    this.#hasInspectors = open;
    for (const worker of this.#workers) worker.openInspector(open);
  }

  redirectOutput(fd: number): void {
    for (const worker of this.#workers) worker.redirectOutput(fd);
  }

  closeOutput(): void {
    for (const worker of this.#workers) worker.closeOutput();
  }

  async status(): Promise<WorkerStatus[]> {
    return Promise.all(this.#slots.map((slot) => slot.status(this.#draining ? 'ended' : 'restarting')));
  }

  get #workers(): Worker[] {
    return this.#slots.map((slot) => slot.worker);
  }

  #spawn(index: number): Worker {
    const { generation, gate, outputs = null, inspectorPorts } = this.#context;
    const { name: service, ready } = this.settings;
    const role = { service, index, generation, held: !this.#accepting, ready, tagged: outputs !== null };
    const settings = withInspectorPort(this.settings, inspectorPorts?.[index]);
    const worker = new Worker(settings, role, gate, outputs);
    if (!this.#hasInspectors) worker.openInspector(false);
    worker.once('exit', (reason) => this.#ended(worker, reason));
    this.#clearing.add(worker.cleared);
    const cleared = worker.cleared.finally(() => this.#clearing.delete(worker.cleared));
    inBackground('clearing up after a worker', cleared);
    worker.on('strayed', (who, pid) => {
      const text = `${who}, which it has started, is in a session of its own and goes on; end it by hand if it should not`;
      this.emit('trouble', 'strayed', worker, text, { pid });
    });
    worker.on('release', (key, pid) => {
      this.#released.add(key, pid);
      this.#removeReleased();
    });
    worker.on('trouble', (kind, what, facts) => this.emit('trouble', kind, worker, what, facts));
    worker.on('childStart', () => this.#slots[worker.index]?.recovery.childStarted());
    worker.on('childDone', (pid) => this.#childEnds.meant(pid));
    worker.on('childEnd', (end) => inBackground("the end of a worker's child", this.#childEnded(worker, end)));
    worker.once('ready', () => {
      this.#outside.later(worker, (...told) => this.#draining || this.emit('trouble', 'outside', worker, ...told));
      // Once it has asked for all that it listens on in the same turn.
      const counted = worker.count().then(() => this.#removeReleased());
      inBackground('removing released listeners', counted);
    });
    if (this.#except.length > 0) inBackground('pausing a worker', worker.pause({ except: this.#except }));
    return worker;
  }

  /** Addresses on which its programs listen without us, and on which no other process does. */
  endingOutside(): Outside[] {
    return this.#outside.ending();
  }

  #ended(worker: Worker, reason: string): void {
    const slot = this.#slots[worker.index] as Slot;
    if (this.#draining) {
      // A program may end by itself when it has nothing left to do.
      if (!slot.isEnding && reason !== DONE) this.emit('crash', worker, reason, null, null);
      return;
    }
    if (!this.#keepAlive) {
      this.#start.ended(worker, reason);
      return;
    }
    slot.restart(reason, performance.now() - worker.startedAt);
  }

  /** As a worker that crashes; but it is the program that starts another one. Never rejects. */
  async #childEnded(worker: Worker, end: ChildEnd): Promise<void> {
    const slot = this.#slots[worker.index];
    if (this.#draining || slot === undefined) return;
    const what = await this.#childEnds.crash(worker, end, slot.recovery, () => this.#draining);
    if (what !== null) this.emit('childCrash', worker, what);
  }

  #removeReleased(): void {
    if (this.#keepAlive && this.isWhole) this.#released.remove();
  }
}
