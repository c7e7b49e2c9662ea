import { EventEmitter } from 'node:events';
import { inBackground } from '../base/background.js';
import { Backoff } from '../base/backoff.js';
import { isDone, within } from '../base/deadline.js';
import { COUNT_MS, OUTLIVES_MS } from '../base/deadlines.js';
import { isSystemError, MotyaError, reasonOf, type StartError } from '../base/errors.js';
import { FORCE_MS, LISTEN_HINT_MS, OUTSIDE_LOOK_MS, OUTSIDE_LOOKS } from '../base/limits.js';
import type { ServiceSettings } from '../config/settings.js';
import type { Ledger } from '../listeners/ledger.js';
import type { Outputs } from '../logging/outputs.js';
import { both, NO_ANSWERS, NO_CONNECTIONS, plus, total } from '../runtime/counts.js';
import type { AnswerCounts, ConnectionCounts } from '../runtime/worker-messages.js';
import type { WorkerStatus } from '../status/status-document.js';
import type { ChildEnd, Pause } from './conversation.js';
import type { Drained } from './drained.js';
import { inspectorOf, withInspectorPort } from './inspector-ports.js';
import type { ListenGate } from './listen-gate.js';
import type { WorkerListenerCounts } from './listener-counts.js';
import { residentMemory } from './memory.js';
import { adviceOnOutside, endWithWorkers, type Outside, OutsideLook, OutsideWatch } from './outside.js';
import { allGiven, deal, type Given, giveInTime } from './program-state.js';
import { ReleasedListeners } from './released.js';
import { endedTooSoon, listensOutside, notReady, silenceHint } from './start-failures.js';
import { Worker } from './worker.js';

/**
 * ms for a worker to end after a process that it has started: the kernel closes the files of one that dies first, and processes that
 * wait for it end on that (a cluster's workers); a wrapper ends with what it has started.
 */
const CHILD_END_MS = 250;

interface ServiceEvents {
  /** A worker has ended by itself and will be started again in `inMs`; null: it will not, for the service drains. */
  crash: [worker: Worker, reason: string, inMs: number | null];
  /** `what` says where, and what to do about it; see {@link Worker}. */
  trouble: [
    kind: 'denied' | 'exhausted' | 'strayed' | 'outside' | 'silent',
    worker: { pid: number; index: number },
    what: string,
  ];
  /** A process that the program of a worker has started, and that served or was to, has ended by itself. `what`: in words. */
  childCrash: [worker: { pid: number; index: number }, what: string];
  restart: [worker: { pid: number; index: number }];
  /** A worker's connections have gone: how many by themselves, which by force. */
  drained: [drained: Drained];
}

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

interface Slot {
  worker: Worker;
  restarts: number;
  readonly backoff: Backoff;
  timer: NodeJS.Timeout | null;
  draining: boolean;
  /** Keys of listeners that the workers before had when they crashed. */
  readonly owed: Set<string>;
  /** performance.now() from which on it has outlived the worker before; see {@link OUTLIVES_MS}. */
  outlivesAt: number;
  /** ms that a process which its program starts must live, after another one has ended by itself; 0: none has. */
  childMs: number;
  /** It has been told to end. */
  ending: boolean;
}

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
  readonly #outside = new OutsideLook();
  /** The last look, and when it was taken (performance.now()). */
  #looked: { readonly at: number; readonly found: readonly Outside[] } | null = null;
  /** It has been told that a worker listens on nothing. */
  #isHinted = false;
  /** When a drain is cut (performance.now()). */
  #cutAt = Number.POSITIVE_INFINITY;
  /** Pids of processes that ended a moment ago as their program had meant it. */
  readonly #doneChildren = new Set<number>();
  /** Of workers that have ended, and what they have left. */
  readonly #clearing = new Set<Promise<void>>();
  #fail!: (error: StartError) => void;
  /** Rejects when a worker has ended (or was not ready in time) before {@link keepAlive}. */
  readonly failed: Promise<never>;

  /** `accepting: false` holds the listeners until {@link accept}. */
  constructor(settings: ServiceSettings, context: ServiceContext, { accepting }: { accepting: boolean }) {
    super();
    this.settings = settings;
    this.#context = context;
    this.#released = new ReleasedListeners(context);
    this.#accepting = accepting;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  get name(): string {
    return this.settings.name;
  }

  start(): void {
    for (let index = 0; index < this.settings.workers; index++) {
      this.#slots.push({
        worker: this.#spawn(index),
        restarts: 0,
        backoff: new Backoff(),
        timer: null,
        draining: false,
        owed: new Set(),
        outlivesAt: 0,
        childMs: 0,
        ending: false,
      });
    }
  }

  /** Resolves when every worker is ready. @throws {StartError} when one ends, or the time for it does. */
  async ready(): Promise<void> {
    await this.#inTime(this.#workers.map((worker) => this.#reached(worker, 'ready')));
  }

  /** Resolves when every worker is ready or waits for listeners that are not here yet. @throws {StartError} */
  async booted(): Promise<void> {
    await this.#inTime(
      this.#workers.map((worker) => Promise.race([this.#reached(worker, 'ready'), this.#reached(worker, 'blocked')])),
    );
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
  async connections(): Promise<ConnectionCounts> {
    const workers = this.#workers;
    const counts = await Promise.all(
      workers.map(async (worker) => (await within(COUNT_MS, worker.count())) ?? worker.lastCounts),
    );
    return counts.reduce(plus, NO_CONNECTIONS);
  }

  /** HTTP answers of all workers that run, since they were asked for first. */
  async answered(): Promise<AnswerCounts> {
    await Promise.all(this.#workers.map((worker) => within(COUNT_MS, worker.count({ answers: true }))));
    return this.#workers.map(({ lastAnswers }) => lastAnswers).reduce(both, NO_ANSWERS);
  }

  /** What each worker that runs has counted on the listeners with these keys; null for one that does not answer in time. */
  countListeners(keys: readonly string[]): Promise<WorkerListenerCounts[]> {
    return Promise.all(
      this.#workers
        .flatMap(({ processes }) => processes)
        .filter(({ hasExited }) => !hasExited)
        .map(async (one) => ({ pid: one.pid, counts: await within(COUNT_MS, one.countListeners(keys)) })),
    );
  }

  /** Whether every worker that should by now answers within `ms`: one that boots may load its program for longer. */
  isWell(ms: number): Promise<boolean> {
    const isDue = ({ isReady, startedAt }: Worker): boolean =>
      isReady || performance.now() - startedAt > this.#context.readyMs;
    return answerAll(this.#workers.filter(isDue), ms);
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
    const { ledger } = this.#context;
    const isBack = ({ worker, owed, outlivesAt }: Slot): boolean =>
      performance.now() >= outlivesAt &&
      [...owed].every((key) => {
        const users = ledger.get(key)?.users;
        return users === undefined || worker.pids.some((pid) => users.has(pid));
      });
    return this.isWhole && this.#slots.every(isBack);
  }

  /** After {@link ListenGate.hold}: what programs have closed meanwhile. */
  thawed(): void {
    this.#removeReleased();
  }

  /**
   * Lets every worker finish what it has and then ends it: SIGTERM when no connection is left, so that the program's own
   * clean-up runs; SIGKILL after its grace. What is open at the drain timeout, or when `cut` resolves, is closed by force.
   * `mostGrace`: ms, where the settings give more.
   * @returns how many connections were.
   */
  async drain(cut: Promise<void>, mostGrace = Number.POSITIVE_INFINITY): Promise<number> {
    this.#draining = true;
    const grace = Math.min(this.settings.killGrace, mostGrace);
    const forced = await Promise.all(this.#slots.map((slot) => this.#drainSlot(slot, cut, grace)));
    await Promise.all(this.#clearing);
    return forced.reduce((sum, count) => sum + count, 0);
  }

  signal(signal: NodeJS.Signals): number {
    const running = this.#workers.filter(({ hasExited }) => !hasExited);
    for (const worker of running) worker.signal(signal);
    return running.length;
  }

  /** A drain, now or later, is cut in `ms`: see {@link drain}. */
  hurry(ms: number): void {
    this.#cutAt = performance.now() + ms;
    for (const { worker, draining } of this.#slots) if (draining && !worker.hasExited) worker.hurry(ms);
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
    return Promise.all(this.#slots.map((slot) => this.#statusOf(slot)));
  }

  get #workers(): Worker[] {
    return this.#slots.map((slot) => slot.worker);
  }

  get #what(): string {
    return `service ${this.name}: ${this.settings.script}`;
  }

  async #statusOf({ worker, restarts, draining }: Slot): Promise<WorkerStatus> {
    const counted = await within(COUNT_MS, worker.count({ delay: true }));
    const { hasExited, index, pid } = worker;
    const protocols = counted ?? worker.lastCounts;
    return {
      pid: hasExited ? null : pid,
      index,
      state: this.#stateOf(worker, draining),
      restarts,
      uptime: hasExited ? null : Math.round(performance.now() - worker.startedAt),
      memory: hasExited ? null : residentMemory(pid),
      answers: counted !== null && !hasExited,
      connections: total(protocols),
      protocols,
      eventLoopDelay: worker.takeDelay(),
    };
  }

  #stateOf(worker: Worker, draining: boolean): WorkerStatus['state'] {
    if (worker.hasExited) return this.#draining ? 'ended' : 'restarting';
    if (draining) return 'draining';
    return worker.isReady ? 'ready' : 'starting';
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
    inBackground(
      'clearing up after a worker',
      worker.cleared.finally(() => this.#clearing.delete(worker.cleared)),
    );
    worker.on('strayed', (who) => {
      const text = `${who}, which it has started, is in a session of its own and goes on; end it by hand if it should not`;
      this.emit('trouble', 'strayed', worker, text);
    });
    worker.on('release', (key, pid) => {
      this.#released.add(key, pid);
      this.#removeReleased();
    });
    worker.on('trouble', (kind, what) => this.emit('trouble', kind, worker, what));
    worker.on('childStart', () => this.#childStarted(worker));
    worker.on('childDone', (pid) => {
      this.#doneChildren.add(pid);
      setTimeout(() => this.#doneChildren.delete(pid), 2 * CHILD_END_MS).unref();
    });
    worker.on('childEnd', (end) => inBackground("the end of a worker's child", this.#childEnded(worker, end)));
    worker.once('ready', () => setTimeout(() => this.#tellOutside(worker), OUTSIDE_LOOKS * OUTSIDE_LOOK_MS).unref());
    // Once it has asked for all that it listens on in the same turn.
    worker.once('ready', () => {
      const counted = worker.count().then(() => this.#removeReleased());
      inBackground('removing released listeners', counted);
    });
    if (this.#except.length > 0) inBackground('pausing a worker', worker.pause({ except: this.#except }));
    return worker;
  }

  async #inTime(stages: Promise<void>[]): Promise<void> {
    const watch = this.#watchOutside();
    const hint = setTimeout(() => this.#hint(), LISTEN_HINT_MS);
    try {
      const refused = watch.found.then((outside) => {
        throw listensOutside(this.#what, outside);
      });
      if (await isDone(this.#context.readyMs, Promise.race([this.failed, refused, Promise.all(stages)]))) return;
    } finally {
      clearTimeout(hint);
      watch.close();
    }
    const waits = this.#workers.some((worker) => worker.awaits && !worker.isReady);
    const options = { waits, ready: this.settings.ready, ms: this.#context.readyMs, debuggers: this.#awaitedDebuggers };
    throw notReady(this.#what, options);
  }

  /** What a worker listens on beside what it has from us: no hand-over takes it along. */
  #tellOutside(worker: Worker): void {
    if (worker.hasExited || this.#draining) return;
    for (const outside of this.#lookOutside().filter((one) => one.worker === worker.pid)) {
      const who = outside.pid === worker.pid ? 'the program' : `pid ${outside.pid}, which it has started,`;
      const text = `${who} listens on ${outside.where} by itself, which an upgrade cannot hand over: ${adviceOnOutside(outside)}`;
      this.emit('trouble', 'outside', worker, text);
    }
  }

  /** Addresses on which its programs listen without us, and on which no other process does. */
  endingOutside(): Outside[] {
    this.#looked = null;
    return endWithWorkers(this.#lookOutside());
  }

  /** One look serves all workers that become ready at the same time. */
  #lookOutside(): readonly Outside[] {
    const now = performance.now();
    if (this.#looked !== null && now - this.#looked.at < OUTSIDE_LOOK_MS / 2) return this.#looked.found;
    const known = new Set(this.#context.ledger.all().map(({ socket }) => String(socket.inode)));
    const families = this.#workers.filter(({ hasExited }) => !hasExited).map(({ family }) => family);
    const found = this.#outside.at(families, known);
    this.#looked = { at: now, found };
    return found;
  }

  /** A program that says itself when it is ready may well wait for a child that listens. */
  #watchOutside(): OutsideWatch {
    const { ledger } = this.#context;
    const hasNone = ({ isReady, isBlocked, pids }: Worker): boolean =>
      !isReady && !isBlocked && !ledger.all().some(({ users }) => pids.some((pid) => users.has(pid)));
    return new OutsideWatch(() => {
      const starting = this.settings.ready === 'listen' ? this.#workers.filter(hasNone).map(({ pid }) => pid) : [];
      return starting.length === 0 ? [] : this.#lookOutside().filter(({ worker }) => starting.includes(worker));
    });
  }

  #reached(worker: Worker, stage: 'ready' | 'blocked'): Promise<void> {
    if (stage === 'ready' ? worker.isReady : worker.isBlocked) return Promise.resolve();
    return new Promise((resolve) => worker.once(stage, resolve));
  }

  #ended(worker: Worker, reason: string): void {
    const slot = this.#slots[worker.index] as Slot;
    if (this.#draining) {
      // A program may end by itself when it has nothing left to do.
      if (!slot.ending && reason !== DONE) this.emit('crash', worker, reason, null);
      return;
    }
    if (!this.#keepAlive) {
      this.#fail(endedTooSoon(this.#what, worker, reason));
      return;
    }
    this.#restart(slot, worker, reason, performance.now() - worker.startedAt);
  }

  #childStarted({ index }: Worker): void {
    const slot = this.#slots[index];
    if (slot !== undefined && slot.childMs > 0) slot.outlivesAt = performance.now() + slot.childMs;
  }

  /** As a worker that crashes; but it is the program that starts another one. Never rejects. */
  async #childEnded(worker: Worker, { pid, reason, keys, lived }: ChildEnd): Promise<void> {
    const slot = this.#slots[worker.index];
    if (this.#draining || slot === undefined) return;
    const before = { childMs: slot.childMs, outlivesAt: slot.outlivesAt };
    const added = keys.filter((key) => !slot.owed.has(key));
    for (const key of added) slot.owed.add(key);
    slot.childMs = Math.min(2 * (lived ?? OUTLIVES_MS), OUTLIVES_MS);
    slot.outlivesAt = performance.now() + slot.childMs;
    // Those of a worker that ends do so, too, some before it.
    if ((await isDone(CHILD_END_MS, worker.exited)) || this.#draining) return;
    if (this.#doneChildren.delete(pid)) {
      for (const key of added) slot.owed.delete(key);
      Object.assign(slot, before);
      return;
    }
    const where = keys.length === 0 ? '' : ` on ${keys.join(', ')}`;
    const what = lived === null ? `before it listened (${reason})` : `while it listened${where}`;
    this.emit('childCrash', worker, `pid ${pid}, which it has started, has ended ${what}`);
  }

  /** `lived`: ms. */
  #restart(slot: Slot, worker: Worker, reason: string, lived: number): void {
    const inMs = slot.backoff.next(lived);
    for (const key of worker.held) slot.owed.add(key);
    this.emit('crash', worker, reason, inMs);
    slot.timer = setTimeout(() => {
      slot.timer = null;
      try {
        slot.worker = this.#spawn(worker.index);
      } catch (error) {
        // Out of fds or memory, or a file is missing, for now: no reason to end what serves.
        if (!isSystemError(error) && !(error instanceof MotyaError)) throw error;
        this.#restart(slot, worker, `it cannot be started again: ${reasonOf(error)}`, 0);
        return;
      }
      slot.restarts += 1;
      slot.outlivesAt = performance.now() + Math.min(2 * lived, OUTLIVES_MS);
      this.emit('restart', slot.worker);
    }, inMs);
  }

  /** It may be right to wait: a program loads for as long as it loads. */
  #hint(): void {
    const debuggers = this.#awaitedDebuggers;
    if ((this.settings.ready !== 'listen' && debuggers === null) || this.#isHinted) return;
    const worker = this.#workers.find(({ isReady, isBlocked, hasExited }) => !isReady && !isBlocked && !hasExited);
    if (worker === undefined) return;
    this.#isHinted = true;
    this.emit('trouble', 'silent', worker, silenceHint(debuggers));
  }

  /** Where programs that do not begin without a debugger wait for it. */
  get #awaitedDebuggers(): string | null {
    const inspector = inspectorOf(this.settings);
    if (inspector?.waits !== true) return null;
    return (this.#context.inspectorPorts ?? []).map((port) => `${inspector.host}:${port}`).join(', ') || inspector.host;
  }

  #removeReleased(): void {
    if (this.#keepAlive && this.isWhole) this.#released.remove();
  }

  async #drainSlot(slot: Slot, cut: Promise<void>, killGrace: number): Promise<number> {
    if (slot.timer !== null) clearTimeout(slot.timer);
    const { worker } = slot;
    if (worker.hasExited) return 0;
    slot.draining = true;
    const timeout = Math.max(0, Math.min(this.settings.drainTimeout, this.#cutAt - performance.now()));
    const forced = worker.drain(timeout);
    await within(timeout, Promise.race([forced, cut]));
    worker.force();
    const closed = await within(FORCE_MS, forced);
    slot.ending = true;
    worker.signal(this.settings.killSignal);
    if ((await within(killGrace, worker.exited)) === null) {
      worker.signal('SIGKILL');
      await worker.exited;
    }
    // One that does not answer had what it counted last.
    const drained = closed ?? { forced: worker.lastCounts, ended: 0 };
    this.emit('drained', drained);
    return total(drained.forced);
  }
}

async function answerAll(workers: readonly Worker[], ms: number): Promise<boolean> {
  const answers = await Promise.all(workers.map((worker) => within(ms, worker.count())));
  return answers.every((counts) => counts !== null);
}
