import { EventEmitter } from 'node:events';
import type { Observed } from './admin/routes.js';
import type { Settings } from './config/settings.js';
import { NotRunningError, type Watched, watchIncumbent } from './control/client.js';
import type { Result } from './control/messages.js';
import { type Controlled, rejection } from './control/server.js';
import { typedInvocation } from './daemon/invocation.js';
import { type Launched, launch, report, takeReportPipe } from './daemon/launch.js';
import { ensureRuntimeFolder } from './daemon/paths.js';
import { holdsLock } from './daemon/pidfile.js';
import { asUser, checkPrivileges } from './daemon/privileges.js';
import { HandoverError, MotyaError, reasonOf } from './errors.js';
import { DRY_RUN, type HandedOver, handOver } from './handover/incumbent.js';
import { obstacleIn, type Phase, PhaseMachine } from './handover/phases.js';
import { Predecessors } from './handover/predecessors.js';
import { decline, type Offer, takeOver } from './handover/successor.js';
import { ownReason, summon } from './handover/summon.js';
import { UpgradeSocket } from './handover/upgrade-socket.js';
import { Instance } from './instance.js';
import { OTHERS_END_MS, PAUSE_MS, READY_MARGIN_MS, REASON_LENGTH, STATS_MS, STOP_WHILE_DRAINING_MS } from './limits.js';
import { takeMainPid } from './manager/activation.js';
import { native } from './native.js';
import { Chronicle } from './observe/chronicle.js';
import { collectStatus, type LifeStatus } from './observe/collect.js';
import { LoopDelay } from './observe/loop-delay.js';
import type { DrainStatus, Status } from './observe/status.js';
import type { Totals } from './observe/totals.js';
import { Outlets } from './output/outlets.js';
import { processEnd } from './process-end.js';
import type { Ended, SupervisorEvents, Upgraded, UpgradeOptions } from './supervisor-events.js';
import { VERSION } from './version.js';
import { within } from './within.js';
import type { Fleet } from './workers/fleet.js';
import type { ConnectionCounts } from './workers/messages.js';
import { total } from './workers/service.js';

/**
 * The life of one instance of a server: its birth (alone, or from an incumbent), its hand-over to a successor, its graceful
 * drain. Runs no user code. What it holds, and how that changes hands, is in {@link Instance}.
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly settings: Settings;
  /** Where the lines of programs go, unless they write by themselves; null: to stdout and stderr. To be set before the start. */
  outlets: Outlets | null = null;
  readonly #instance: Instance;
  readonly #machine: PhaseMachine;
  readonly #chronicle = new Chronicle();
  readonly #loopDelay = new LoopDelay();
  readonly #predecessors = new Predecessors(this.#chronicle, (text) => this.#warn('peer', text));
  readonly #startedAt = performance.now();
  /** Aborted when the instance is told to stop: whatever has not been committed by then will not be. */
  readonly #stopping = new AbortController();
  /** Resolved when the drain is to end now. */
  readonly #cut = deferred<void>();
  readonly #served = deferred<void>();
  /** Resolved when a stop has nothing left to wait for. */
  readonly #stopped = deferred<void>();
  readonly #ended = deferred<Ended>();
  /** Pid of the successor that an upgrade is under way with; null when it went to nothing. */
  #courted: number | null = null;
  #generation = 1;
  #drainDeadline = Number.POSITIVE_INFINITY;
  /** As told last, while this instance drains. */
  #ownDrain: DrainStatus | null = null;

  constructor(settings: Settings) {
    super();
    this.settings = settings;
    this.#instance = new Instance(settings, this.#controlled(), this.#observed());
    this.#machine = new PhaseMachine(settings.upgrade ? 'waiting' : 'starting', (from, to, ms) => {
      this.#chronicle.phase(from, ms);
      this.emit('phase', { from, to, ms, listeners: this.#instance.ledger.size });
    });
  }

  get phase(): Phase {
    return this.#machine.phase;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Resolves when the instance has ended and nothing of it is left. */
  get ended(): Promise<Ended> {
    return this.#ended.promise;
  }

  /**
   * Starts the instance; a successor (`settings.upgrade`) waits for its incumbent here, without limit.
   * @throws {MotyaError} it could not start, or not take over; nothing of it is left.
   */
  async start(): Promise<void> {
    // Before anything is started, so that no child gets it.
    takeReportPipe();
    try {
      checkPrivileges(this.settings);
      const { runtimeFolder, user } = this.settings;
      if (runtimeFolder !== null) asUser(user, () => ensureRuntimeFolder(runtimeFolder));
      await (this.settings.upgrade ? this.#startAsSuccessor() : this.#startAsFirst());
    } catch (error) {
      this.#machine.step('failed');
      const code = error instanceof MotyaError ? error.code : 'MOTYA_INTERNAL';
      report({ ok: false, code, text: reasonOf(error) });
      this.#served.reject(error);
      if (!this.settings.upgrade) this.#instance.manager.failed(reasonOf(error));
      await this.#instance.abandon();
      throw error;
    }
    this.#served.resolve();
    this.#instance.manager.follow(this.#instance.ledger);
    report({ ok: true, pid: process.pid, generation: this.#generation });
    const listeners = this.#instance.programListeners().map((listener) => listener.key);
    this.emit('serving', { generation: this.#generation, listeners, ms: this.#age });
    // Told to stop while COMMIT and LIVE were on their way.
    if (this.#stopping.signal.aborted) void this.#stopServing();
  }

  /**
   * Hands over to the successor that waits, comes or is started now; what SIGQUIT does.
   * @throws {HandoverError} it did not happen: this instance serves on.
   */
  async upgrade({ dryRun = false, mode = this.settings.onQuit }: UpgradeOptions = {}): Promise<Upgraded> {
    // systemd may send the next reload's signal in the moment in which it has read that we are the main process.
    if (isAboutToServe(this.phase)) await this.#served.promise;
    if (!this.#machine.can('quit')) {
      const busy = new HandoverError('MOTYA_BUSY', `pid ${process.pid} cannot hand over: ${obstacleIn(this.phase)}`);
      this.#warn('busy', busy.message);
      throw busy;
    }
    this.#machine.step('quit');
    this.#chronicle.upgradeBegins();
    if (!dryRun) this.#instance.manager.reloading();
    let launched: Launched | null = null;
    try {
      const summoned = await summon({
        upgradeSocket: this.settings.upgradeSocket,
        mode,
        waitMs: this.settings.upgradeWait,
        announced: () => this.#instance.control?.watcher?.pid ?? null,
        launch: () => this.#launchSuccessor(),
        cancelled: this.#stopping.signal,
      });
      const { fd } = summoned;
      launched = summoned.launched;
      const { pid } = native.peerCredentials(fd);
      this.#machine.step('connected');
      this.#courted = pid;
      this.#instance.freeze();
      const handed = await handOver(fd, {
        pid: process.pid,
        generation: this.#generation,
        listeners: () => this.#instance.ledger.all(),
        lockFd: this.#instance.pidfile.lockFd,
        watchdogUsec: this.#instance.manager.watchdogUsec,
        readyMs: this.settings.readyTimeout,
        cancelled: this.#stopping.signal,
        dryRun,
        step: (event) => this.#machine.step(event),
        pause: () => {
          this.#instance.pauseAdmin();
          return this.#pause();
        },
        bequeath: () => {
          this.#predecessors.commit();
          return this.#chronicle.bequeath();
        },
      });
      const generation = this.#generation + 1;
      if (handed === 'dry-run') {
        this.#machine.step('failed');
        this.#instance.thaw();
        this.#chronicle.upgradeRehearsed(DRY_RUN);
        this.emit('rehearsed', pid);
        return { pid, generation, gapMs: null };
      }
      void this.#drainAway(handed);
      return { pid, generation, gapMs: handed.gapMs };
    } catch (error) {
      let failure = HandoverError.from(error);
      // Only while everybody accepts there is time to ask.
      if (launched !== null && this.phase === 'offering') failure = await ownReason(launched, failure);
      if (this.phase !== 'stopping') {
        this.#courted = null;
        await this.#serveOn(failure);
      }
      throw failure;
    }
  }

  /**
   * Graceful stop: no new connections, drain, end. `now`, or a second call, closes what is left. While it drains after a
   * hand-over the drain is only shortened.
   */
  stop({ now = false }: { now?: boolean } = {}): void {
    const again = this.#stopping.signal.aborted;
    if (now || again) this.#cut.resolve();
    if (again) return;
    this.#stopping.abort(new HandoverError('MOTYA_STOPPING', `pid ${process.pid} was told to stop`));
    if (this.phase === 'draining') this.#shortenDrain();
    // In other phases it is too late to take back what runs, or what runs has heard the signal.
    else if (this.#machine.can('stop')) void this.#stopServing();
  }

  /** Makes `fd` the stdout and stderr of this process and of its workers: a log file that was reopened. */
  redirectOutput(fd: number): void {
    native.redirect(fd, 1);
    native.redirect(fd, 2);
    this.#instance.fleet.redirectOutput(fd);
  }

  /** Passes SIGHUP on to the generations that still drain: they have the same log file open, and are no main process any more. */
  hangUpPredecessors(): void {
    this.#predecessors.signal('SIGHUP');
  }

  async #startAsFirst(): Promise<void> {
    this.emit('generation', this.#generation);
    const fleet = this.#makeFleet({ accepting: true });
    this.#instance.manager.starting(this.settings.readyTimeout + READY_MARGIN_MS);
    this.#instance.found();
    fleet.start();
    await this.#unlessStopped(fleet.ready());
    for (const key of this.#instance.becomeMain()) this.emit('removed', key);
    this.#chronicle.founded(this.#generation);
    this.#machine.step('ready');
  }

  async #startAsSuccessor(): Promise<void> {
    const { user } = this.settings;
    const watched = await asUser(user, () => this.#findIncumbent());
    this.#generation = watched.generation + 1;
    this.emit('generation', this.#generation);
    this.#instance.gate.guardPaths(watched.paths);
    this.#instance.reserve(watched.keys);
    const warn = (text: string, fields: object): void => this.#warn('peer', text, fields);
    const socket = new UpgradeSocket(this.settings.upgradeSocket, {
      pid: process.pid,
      version: VERSION,
      readyMs: this.settings.readyTimeout,
      warn,
    });
    let offer: Offer | null | undefined;
    let reason: HandoverError | undefined;
    try {
      const fleet = this.#makeFleet({ accepting: false });
      fleet.start();
      // A program that cannot start ends the wait; one that has booted changes nothing about it.
      const broken = fleet.booted().then(() => {
        if (this.phase !== 'waiting') return;
        this.emit('waiting', { generation: this.#generation, incumbent: watched.pid, ms: this.#age });
      });
      const never = broken.then(() => new Promise<never>(() => {}));
      offer = await this.#unlessStopped(Promise.race([socket.offer, orphaned(watched), fleet.failed, never]));
      await (offer === null ? this.#replaceDead(watched, fleet) : this.#takeOver(offer, fleet));
    } catch (error) {
      reason = HandoverError.from(error);
      // One that has come in the very moment in which we fail is told why, too.
      if (offer === undefined)
        void socket.offer.then((late) => decline(late, HandoverError.from(error))).catch(() => {});
      throw error;
    } finally {
      watched.close();
      socket.close(reason);
    }
  }

  async #takeOver(offer: Offer, fleet: Fleet): Promise<void> {
    this.#machine.step('contacted');
    this.#instance.manager.watchdogUsec = offer.watchdogUsec;
    const { signal } = this.#stopping;
    // From COMMIT on the way back is the incumbent's alone; a stop waits until it is decided.
    const cancel = (): void => {
      if (this.phase !== 'taking') offer.dialogue.abort(offer.txid, signal.reason as HandoverError);
    };
    signal.addEventListener('abort', cancel);
    try {
      const how = await takeOver(offer, {
        step: (event) => this.#machine.step(event),
        adopt: (listeners, lockFd) => this.#instance.adopt(listeners, lockFd),
        broken: fleet.failed,
        booted: async () => {
          await this.#unlessStopped(fleet.ready());
          return this.#instance.claims();
        },
        inherit: (legacy) => this.#chronicle.inherit(legacy),
        goLive: () => this.#goLive(),
      });
      const isAlone = how === 'alone';
      this.#succeeded(isAlone ? null : offer.generation);
      if (!isAlone) void this.#followDrain(offer);
      else
        this.#warn('alone', `the incumbent (pid ${offer.incumbent}) died during the hand-over; its listeners are here`);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** The incumbent died before its listeners were here. Clients are refused until they are bound anew. */
  async #replaceDead(watched: Watched, fleet: Fleet): Promise<void> {
    this.#machine.step('incumbentGone');
    this.#warn('alone', `the incumbent (pid ${watched.pid}) died; its listeners are bound anew`);
    await this.#instance.replaceDead();
    await this.#unlessStopped(fleet.ready());
    await this.#goLive();
    this.#machine.step('live');
    this.#succeeded(null);
  }

  /** `predecessor`: the generation that has handed over; null when it has died. */
  #succeeded(predecessor: number | null): void {
    const code = predecessor === null ? 'MOTYA_ALONE' : LIVE;
    const end = predecessor === null ? '; the generation before it died' : '';
    const text = `generation ${this.#generation} (pid ${process.pid}) serves${end}`;
    this.#chronicle.succeeded(this.#generation, predecessor, { code, text });
    this.#instance.acceptAdmin();
  }

  async #goLive(): Promise<void> {
    for (const key of await this.#instance.goLive()) this.emit('removed', key);
  }

  async #pause(): Promise<void> {
    const paused = this.#instance.fleet.pause().then(() => true);
    if ((await within(PAUSE_MS, paused)) === null) this.#warn('busy', 'a worker has not stopped accepting: it is busy');
  }

  /** After a hand-over that did not happen. */
  async #serveOn(failure: HandoverError): Promise<void> {
    this.#instance.control?.dismissWatchers(`the upgrade was given up: ${failure.message}`);
    this.#machine.step('failed');
    this.#instance.thaw();
    if (this.phase === 'resuming') {
      // It accepts in any case; a pidfile that cannot be written is no reason to be deaf from here on.
      await this.#instance.takeBack().catch((error: unknown) => this.#warn('take-back', reasonOf(error)));
      this.#machine.step('resumed');
    }
    this.#instance.manager.notReloaded(failure.message);
    const text = failure.message.slice(0, REASON_LENGTH);
    this.#chronicle.upgradeFailed(failure.code, text, this.#generation + 1);
    this.emit('rejected', failure);
    if (this.#stopping.signal.aborted) void this.#stopServing();
  }

  /** After a hand-over: the listeners are the successor's, the connections that are open stay ours. */
  async #drainAway(handed: HandedOver): Promise<void> {
    const { dialogue, txid, successor, gapMs, kept, added, removed } = handed;
    this.emit('handedOver', { successor, gapMs, kept, added, removed });
    this.#instance.manager.handedTo(successor);
    this.#instance.control?.dismissWatchers(`pid ${process.pid} has handed over to pid ${successor}`, {
      forGood: true,
    });
    this.#instance.giveAway();
    if (this.#stopping.signal.aborted) this.#shortenDrain();
    const gap = Math.round(gapMs * 1000);
    const forced = await this.#drain(({ connections, protocols, left }) => {
      this.#predecessors.passOn(handed);
      const counters = this.#chronicle.afterCommit;
      dialogue.send({ type: 'STATS', txid, connections, left: Math.round(left), protocols, counters, gap });
    });
    this.#predecessors.passOn(handed);
    // Before BYE, whose counters have this phase in them.
    this.#machine.step('drained');
    dialogue.send({ type: 'BYE', txid, forced, counters: this.#chronicle.afterCommit });
    dialogue.close();
    await this.#finish({ reason: 'handed-over', forced });
  }

  async #stopServing(): Promise<void> {
    this.#machine.step('stop');
    this.emit('stopping');
    this.#instance.manager.stopping();
    const reason = 'the incumbent was stopped; there is nothing to take over';
    this.#instance.control?.dismissWatchers(reason, { forGood: true });
    await this.#pause();
    this.#instance.closeListeners();
    const forced = await this.#drain(({ connections }) => this.#instance.manager.stillStopping(connections));
    await this.#outlastOthers();
    this.#stopped.resolve();
    this.#machine.step('drained');
    this.#instance.close();
    await this.#finish({ reason: 'stopped', forced });
  }

  /** Without its main process, a service manager kills what is left of the unit (KillMode=mixed, systemd.kill(5)). */
  async #outlastOthers(): Promise<void> {
    const { manager } = this.#instance;
    if (!manager.exists) return;
    const pids = this.#predecessors.all().map(({ pid }) => pid);
    if (this.#courted !== null) pids.push(this.#courted);
    const sum = (): number => this.#predecessors.all().reduce((total, { connections }) => total + connections, 0);
    const timer = setInterval(() => manager.stillStopping(sum()), STATS_MS);
    const left = Math.max(0, this.#drainDeadline - performance.now());
    await within(left, Promise.race([this.#predecessors.gone(), this.#cut.promise]));
    // What is left of them is their own end.
    await within(OTHERS_END_MS, Promise.race([Promise.all(pids.map(processEnd)), this.#cut.promise]));
    clearInterval(timer);
  }

  /** @returns how many connections were closed by force. */
  async #drain(progress: (drain: DrainStatus & { protocols: ConnectionCounts }) => void): Promise<number> {
    const { fleet } = this.#instance;
    const started = performance.now();
    const longest = Math.max(...this.settings.services.map((service) => service.drainTimeout));
    this.#drainDeadline = Math.min(this.#drainDeadline, started + longest);
    const tell = async (): Promise<void> => {
      const protocols = await fleet.connections();
      const connections = total(protocols);
      const left = Math.max(0, this.#drainDeadline - performance.now());
      const deadline = new Date(Date.now() + left).toISOString();
      const drain = { pid: process.pid, generation: this.#generation, connections, protocols, left, deadline };
      this.#ownDrain = drain;
      progress(drain);
      this.emit('draining', { connections, leftMs: left });
    };
    void tell();
    const timer = setInterval(() => void tell(), STATS_MS);
    const forced = await fleet.drain(this.#cut.promise);
    clearInterval(timer);
    this.emit('drained', { ms: performance.now() - started, forced });
    return forced;
  }

  #shortenDrain(): void {
    this.#drainDeadline = Math.min(this.#drainDeadline, performance.now() + STOP_WHILE_DRAINING_MS);
    setTimeout(() => this.#cut.resolve(), STOP_WHILE_DRAINING_MS).unref();
  }

  async #finish(end: Ended): Promise<void> {
    await this.#instance.manager.end();
    this.#instance.fleet.closeOutput();
    this.#instance.disconnect();
    this.#loopDelay.stop();
    this.emit('ended', end);
    this.#ended.resolve(end);
  }

  /** For status; and heeds a predecessor that takes the hand-over back. */
  async #followDrain(offer: Offer): Promise<void> {
    const takenBack = await this.#predecessors.follow(offer);
    if (takenBack === null) return;
    this.#warn('taken-back', `the incumbent took the hand-over back: ${takenBack.message}`, { code: takenBack.code });
    this.stop();
  }

  async #findIncumbent(): Promise<Watched> {
    const { pidfile, upgradeSocket, controlSocket, user } = this.settings;
    const meant = takeMainPid(process.env);
    try {
      const watched = await watchIncumbent(controlSocket);
      // Started by a reload for another one: its signal has come to nothing or to somebody else, and none would come here.
      if (meant !== null && meant !== watched.pid) {
        watched.close();
        const text = `the unit's main process, pid ${meant}, is not the one to take over from: pid ${watched.pid} serves`;
        throw new HandoverError('MOTYA_REPLACED', text);
      }
      return watched;
    } catch (error) {
      if (!(error instanceof NotRunningError)) throw error;
      // Whatever is made for a moment must be the user's.
      const holder = asUser(user, () => holdsLock(pidfile));
      const text =
        holder === null
          ? `there is nothing to take over from: no instance runs with the upgrade socket ${upgradeSocket}; start without --upgrade`
          : `${holder} runs with the pidfile ${pidfile}, but not with the upgrade socket ${upgradeSocket}: give both the same (or try again, if it is still starting)`;
      throw new HandoverError('MOTYA_NOTHING_TO_UPGRADE', text, { cause: error });
    }
  }

  #makeFleet(options: { accepting: boolean }): Fleet {
    const { log } = this.settings;
    const outlets = log.programs === 'inherit' ? null : (this.outlets ?? new Outlets({ ...log, file: null }));
    const fleet = this.#instance.makeFleet(this.#generation, outlets, options);
    for (const service of fleet.services) {
      service.on('drained', ({ ended, forced }) => this.#chronicle.drained(ended, forced));
      service.on('crash', (worker, reason, inMs) => {
        const { pid, index } = worker;
        this.#chronicle.crash(service.name);
        this.emit('workerExit', { service: service.name, index, pid, reason, inMs, stderr: worker.lastWords() });
      });
      service.on('denied', ({ pid, index }, what) => {
        const fields = { service: service.name, index, worker: pid };
        this.#warn('denied', `worker ${index} of ${service.name} (pid ${pid}): ${what}`, fields);
      });
      service.on('restart', ({ pid, index }) => {
        this.#chronicle.restart(service.name);
        this.emit('workerRestart', { service: service.name, index, pid });
      });
    }
    return fleet;
  }

  #launchSuccessor(): Launched {
    const launched = launch(typedInvocation(), { env: { ...process.env, MOTYA_UPGRADE: 'true' }, output: 'inherit' });
    this.emit('successor', launched.pid);
    return launched;
  }

  #observed(): Observed {
    const phase = (): Phase => this.phase;
    const totals = (): Totals => this.#chronicle.totals;
    return {
      get phase() {
        return phase();
      },
      get totals() {
        return totals();
      },
      status: () => this.#status(),
    };
  }

  #status(): Promise<Status> {
    return collectStatus(this.#instance, this.#life, this.#chronicle, this.#loopDelay);
  }

  #controlled(): Controlled {
    const generation = (): number => this.#generation;
    return {
      get generation() {
        return generation();
      },
      status: () => this.#status(),
      overview: async () => ({ ...this.#life, connections: total(await this.#instance.fleet.connections()) }),
      unixPaths: () => this.#instance.ledger.unixPaths(),
      listenerKeys: () => this.#instance.ledger.all().map(({ key }) => key),
      stop: (options) => this.stop(options),
      warn: (text, fields) => this.#warn('peer', text, fields),
      upgrade: (options, progress) => this.#upgradeForCommand(options, progress),
    };
  }

  async #upgradeForCommand(
    { dryRun }: { dryRun: boolean },
    progress: (phase: string, ms: number) => void,
  ): Promise<Omit<Result, 'type'>> {
    const tell = ({ from, to, ms }: { from: Phase; to: Phase; ms: number }): void => {
      // A step back is told by the result.
      const forward = to !== 'resuming' && to !== 'stopping' && (to !== 'serving' || (dryRun && from === 'awaiting'));
      if (forward) progress(from, ms);
    };
    this.on('phase', tell);
    try {
      const { pid, generation, gapMs } = await this.upgrade({ dryRun, mode: 'now' });
      if (gapMs === null) return { ok: true, code: DRY_RUN, text: `pid ${pid} could take over`, pid, generation };
      const text = `generation ${generation} (pid ${pid}) serves`;
      return { ok: true, code: LIVE, text, pid, generation, gapMicros: Math.round(gapMs * 1000) };
    } catch (error) {
      // systemd takes a reload's command that fails by itself during a stop for a failure of the unit; it ends the command anyway.
      if (this.phase === 'stopping' && this.#instance.manager.exists) await this.#stopped.promise;
      return rejection(error);
    } finally {
      this.off('phase', tell);
    }
  }

  async #unlessStopped<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    signal.throwIfAborted();
    const stopped = deferred<never>();
    const stop = (): void => stopped.reject(signal.reason);
    signal.addEventListener('abort', stop);
    try {
      return await Promise.race([promise, stopped.promise]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  get #life(): LifeStatus {
    const own = this.#ownDrain;
    const draining = [...this.#predecessors.all(), ...(own === null ? [] : [own])];
    const { phase, age } = this.#machine;
    return { generation: this.#generation, phase, phaseMs: Math.round(age), uptime: Math.round(this.#age), draining };
  }

  /** ms since the start. */
  get #age(): number {
    return performance.now() - this.#startedAt;
  }

  #warn(event: string, text: string, fields: object = {}): void {
    this.emit('warning', { event, text, fields });
  }
}

/** Code of an upgrade that happened. */
const LIVE = 'MOTYA_LIVE';

function isAboutToServe(phase: Phase): boolean {
  return phase === 'starting' || phase === 'taking' || phase === 'alone';
}

/** Null when the incumbent died; throws when it was stopped, for then nobody wants a successor. */
async function orphaned(watched: Watched): Promise<null> {
  const reason = await watched.gone;
  if (reason !== null) throw new HandoverError('MOTYA_INCUMBENT_STOPPED', reason);
  return null;
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((done, fail) => {
    resolve = done;
    reject = fail;
  });
  // Whoever waits for it is told; nobody has to wait.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
