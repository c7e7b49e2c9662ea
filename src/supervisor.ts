import { EventEmitter } from 'node:events';
import type { Settings } from './config/settings.js';
import { NotRunningError, type Watched, watchIncumbent } from './control/client.js';
import type { ListenerStatus, Result, Summary } from './control/messages.js';
import { type Controlled, ControlServer, rejection } from './control/server.js';
import { typedInvocation } from './daemon/invocation.js';
import { launch } from './daemon/launch.js';
import { ensureRuntimeFolder } from './daemon/paths.js';
import { Pidfile, readPid } from './daemon/pidfile.js';
import { HandoverError, isSystemError, MotyaError, reasonOf, StartError } from './errors.js';
import { PEER_GONE, PeerAbort } from './handover/dialogue.js';
import { DRY_RUN, type HandedOver, handOver } from './handover/incumbent.js';
import { type Phase, PhaseMachine } from './handover/phases.js';
import { type Offer, takeOver } from './handover/successor.js';
import { summon } from './handover/summon.js';
import { UpgradeSocket } from './handover/upgrade-socket.js';
import {
  ACCEPT_MS,
  AFTERLIFE_MS,
  PAUSE_MS,
  READY_MARGIN_MS,
  STATS_MS,
  STATS_SILENCE_MS,
  STOP_WHILE_DRAINING_MS,
} from './limits.js';
import { holderOf } from './listeners/holder.js';
import { Ledger } from './listeners/ledger.js';
import { native } from './native.js';
import type { InstanceLog } from './observe/log.js';
import { VERSION } from './version.js';
import { Fleet } from './workers/fleet.js';
import { ListenGate } from './workers/gate.js';
import { within } from './workers/service.js';

export interface SupervisorEvents {
  /** A step of the life of this instance (see PHASES): `ms` is how long `from` took. */
  phase: [step: { from: Phase; to: Phase; ms: number }];
  /** A successor has booted its programs and waits for the incumbent's listeners. */
  waiting: [incumbent: { pid: number; generation: number }];
  /** It accepts connections and is the main process. */
  serving: [instance: { generation: number; listeners: string[] }];
  /** This incumbent has handed over and drains. `gapMs`: how long nobody accepted. */
  handedOver: [handover: { successor: number; gapMs: number }];
  /** A hand-over did not happen; this incumbent serves on. */
  rejected: [reason: HandoverError];
  /** A worker has ended by itself; it is started again after `inMs`. */
  workerExit: [worker: { service: string; index: number; pid: number; reason: string; inMs: number }];
  workerRestart: [worker: { service: string; index: number; pid: number }];
  /** While it drains, about once a second. `leftMs`: until the rest is closed by force. */
  draining: [progress: { connections: number; leftMs: number }];
  /** The end. */
  ended: [end: Ended];
}

export interface Ended {
  readonly reason: 'stopped' | 'handed-over';
  /** Connections that had to be closed by force. */
  readonly forced: number;
}

/** What {@link Supervisor.upgrade} resolves with. */
export interface Upgraded {
  /** The successor. */
  readonly pid: number;
  readonly generation: number;
  /** ms from COMMIT to LIVE, in which nobody accepted; null for a dry run. */
  readonly gapMs: number | null;
}

export interface UpgradeOptions {
  /** As far as READY, then back. */
  readonly dryRun?: boolean;
  /** When no successor waits: `start` one after a short grace, `now` without it, or only `wait`. Default: the settings' onQuit. */
  readonly mode?: 'start' | 'now' | 'wait';
}

/**
 * One instance of a server: its pidfile, its listeners, its workers; its birth (alone, or from an incumbent), its hand-over to
 * a successor and its graceful drain. Runs no user code.
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly settings: Settings;
  readonly #log: InstanceLog;
  readonly #machine: PhaseMachine;
  readonly #ledger = new Ledger();
  readonly #gate: ListenGate;
  readonly #pidfile: Pidfile;
  readonly #startedAt = performance.now();
  /** Aborted when the instance is told to stop: whatever has not been committed by then will not be. */
  readonly #stopping = new AbortController();
  /** Resolved when the drain is to end now. */
  readonly #cut = deferred<void>();
  readonly #ended = deferred<Ended>();
  /** Instances before this one that still drain, by pid. */
  readonly #predecessors = new Map<number, Summary['draining'][number]>();
  #generation = 1;
  #fleet: Fleet | null = null;
  #control: ControlServer | null = null;
  #drainDeadline = 0;
  #lastUpgrade: Summary['lastUpgrade'] = null;

  constructor(settings: Settings, log: InstanceLog) {
    super();
    this.settings = settings;
    this.#log = log;
    this.#gate = new ListenGate(this.#ledger, { open: !settings.upgrade });
    this.#pidfile = new Pidfile(settings.pidfile);
    this.#machine = new PhaseMachine(settings.upgrade ? 'waiting' : 'starting', (from, to, ms) => {
      const listeners = this.#ledger.size;
      // The ends of a life have lines of their own.
      const level = from === 'starting' || to === 'ended' ? 'debug' : 'info';
      this.#log[level](`${from} → ${to} after ${round(ms)} ms`, { event: 'phase', from, to, ms: round(ms), listeners });
      this.emit('phase', { from, to, ms });
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
    try {
      if (this.settings.runtimeFolder !== null) ensureRuntimeFolder(this.settings.runtimeFolder);
      await (this.settings.upgrade ? this.#startAsSuccessor() : this.#startAsFirst());
    } catch (error) {
      await this.#abandon();
      throw error;
    }
    const listeners = this.#ledger.all().map((listener) => listener.key);
    const ms = round(performance.now() - this.#startedAt);
    const fields = {
      event: 'serving',
      pid: process.pid,
      generation: this.#generation,
      listeners: listeners.length,
      ms,
    };
    this.#log.info(`generation ${this.#generation} (pid ${process.pid}) serves on ${summaryOf(listeners)}`, fields);
    this.emit('serving', { generation: this.#generation, listeners });
    // Told to stop while COMMIT and LIVE were on their way.
    if (this.#stopping.signal.aborted) void this.#stopServing();
  }

  /**
   * Hands over to the successor that waits, comes or is started now; what SIGQUIT does.
   * @throws {HandoverError} it did not happen: this instance serves on.
   */
  async upgrade({ dryRun = false, mode = this.settings.onQuit }: UpgradeOptions = {}): Promise<Upgraded> {
    if (!this.#machine.can('quit')) {
      const busy = new HandoverError('MOTYA_BUSY', `pid ${process.pid} cannot hand over now: it is ${this.phase}`);
      this.#log.warn(busy.message, { event: 'busy', phase: this.phase });
      throw busy;
    }
    this.#machine.step('quit');
    try {
      const { fd, launched } = await summon({
        upgradeSocket: this.settings.upgradeSocket,
        mode,
        waitMs: this.settings.upgradeWait,
        ownMs: this.settings.readyTimeout,
        announced: () => this.#control?.watcher ?? null,
        launch: () => this.#launchSuccessor(),
        cancelled: this.#stopping.signal,
      });
      this.#machine.step('connected');
      const successor = native.peerCredentials(fd).pid;
      const handed = await handOver(fd, {
        pid: process.pid,
        generation: this.#generation,
        listeners: () => this.#ledger.all(),
        lockFd: this.#pidfile.lockFd,
        readyMs: this.settings.readyTimeout + READY_MARGIN_MS,
        cancelled: this.#stopping.signal,
        dryRun,
        step: (event) => this.#machine.step(event),
        pause: async () => {
          const paused = await within(
            PAUSE_MS,
            this.#running.pause().then(() => true),
          );
          if (paused === null) this.#log.warn('a worker has not stopped accepting: it is busy', { event: 'busy' });
        },
      });
      const pid = launched?.pid ?? successor;
      const generation = this.#generation + 1;
      if (handed === 'dry-run') {
        this.#machine.step('failed');
        this.#log.info(`dry run: pid ${pid} could take over`, { event: 'dry-run', successor: pid });
        return { pid, generation, gapMs: null };
      }
      void this.#drainAway(handed);
      return { pid, generation, gapMs: handed.gapMs };
    } catch (error) {
      const failure = HandoverError.from(error);
      if (this.phase === 'stopping') throw failure;
      this.#control?.dismissWatchers(`the upgrade was given up: ${failure.message}`);
      await this.#resume();
      this.#lastUpgrade = { ok: false, code: failure.code, text: failure.message, at: new Date().toISOString() };
      this.#log.error(`the upgrade failed, generation ${this.#generation} serves on: ${failure.message}`, {
        event: 'rejected',
        code: failure.code,
      });
      this.emit('rejected', failure);
      throw failure;
    }
  }

  /**
   * Graceful stop: no new connections, drain, end. `now`, or a second call, closes what is left. While it drains after a
   * hand-over the drain is only shortened.
   */
  stop({ now = false }: { now?: boolean } = {}): void {
    if (now || this.#stopping.signal.aborted) this.#cut.resolve();
    if (this.#stopping.signal.aborted) return;
    const stop = new HandoverError('MOTYA_STOPPING', `pid ${process.pid} was told to stop`);
    this.#stopping.abort(stop);
    // Too late to take it back: the successor may be live already. The drain that follows is short.
    if (this.phase === 'committed') return;
    if (this.phase === 'draining') this.#shortenDrain();
    else if (this.#machine.can('stop')) void this.#stopServing();
  }

  /** Makes `fd` the stdout and stderr of this process and of its workers: a log file that was reopened. */
  redirectOutput(fd: number): void {
    native.redirect(fd, 1);
    native.redirect(fd, 2);
    this.#fleet?.redirectOutput(fd);
  }

  async #startAsFirst(): Promise<void> {
    this.#log.generation = this.#generation;
    this.#pidfile.acquire();
    this.#pidfile.prepare();
    const fleet = this.#makeFleet({ accepting: true });
    this.#declareListeners();
    fleet.start();
    await this.#unlessStopped(fleet.ready());
    this.#control = new ControlServer(this.settings.controlSocket, this.#controlled());
    this.#becomeMain(fleet);
    this.#machine.step('ready');
  }

  async #startAsSuccessor(): Promise<void> {
    const watched = await this.#findIncumbent();
    this.#generation = watched.generation + 1;
    this.#log.generation = this.#generation;
    this.#gate.expectPaths(watched.paths);
    const warn = (text: string, fields: object): void => this.#log.warn(text, { event: 'peer', ...fields });
    const socket = new UpgradeSocket(this.settings.upgradeSocket, { pid: process.pid, version: VERSION, warn });
    try {
      const fleet = this.#makeFleet({ accepting: false });
      fleet.start();
      // A program that cannot start ends the wait; one that has booted changes nothing about it.
      const broken = fleet.booted().then(() => this.#announceWaiting(watched));
      const offer = await this.#unlessStopped(
        Promise.race([socket.offer, orphaned(watched), fleet.failed, broken.then(() => new Promise<never>(() => {}))]),
      );
      await (offer === null ? this.#goLiveAlone(watched, fleet) : this.#takeOver(offer, fleet));
    } finally {
      watched.close();
      socket.close();
    }
  }

  async #takeOver(offer: Offer, fleet: Fleet): Promise<void> {
    this.#machine.step('contacted');
    // From COMMIT on there is one way back only, the incumbent's; so a stop waits until it is decided.
    const cancel = (): void => {
      if (this.phase !== 'taking') offer.dialogue.abort(offer.txid, this.#stopping.signal.reason as HandoverError);
    };
    this.#stopping.signal.addEventListener('abort', cancel);
    try {
      const how = await takeOver(offer, {
        pid: process.pid,
        version: VERSION,
        step: (event) => this.#machine.step(event),
        adopt: (listeners, lockFd) => {
          this.#pidfile.inherit(lockFd);
          this.#adopt(listeners);
        },
        broken: fleet.failed,
        booted: async () => {
          await this.#unlessStopped(fleet.ready());
          return this.#claims();
        },
        goLive: () => this.#goLive(fleet),
      });
      if (how === 'alone') {
        this.#log.warn(`the incumbent (pid ${offer.incumbent}) died during the hand-over; its listeners are here`, {
          event: 'alone',
        });
      } else {
        void this.#followDrain(offer);
      }
    } finally {
      this.#stopping.signal.removeEventListener('abort', cancel);
    }
  }

  /** The incumbent died before its listeners were here: they are bound anew. Clients are refused until then. */
  async #goLiveAlone(watched: Watched, fleet: Fleet): Promise<void> {
    this.#machine.step('incumbentGone');
    this.#log.warn(`the incumbent (pid ${watched.pid}) died; its listeners are bound anew`, { event: 'alone' });
    await this.#pidfile.acquireAfterDeath(AFTERLIFE_MS);
    this.#declareListeners();
    this.#gate.openAfterDeath(AFTERLIFE_MS);
    await this.#unlessStopped(fleet.ready());
    await this.#goLive(fleet);
    this.#machine.step('live');
  }

  #adopt(listeners: Offer['listeners']): void {
    const [...rest] = listeners;
    try {
      for (let next = rest.shift(); next !== undefined; next = rest.shift()) this.#ledger.inherit(next.fd, next.entry);
    } finally {
      for (const { fd } of rest) native.close(fd);
    }
    this.#pidfile.prepare();
    this.#control = new ControlServer(this.settings.controlSocket, this.#controlled());
    this.#declareListeners();
    this.#gate.open();
  }

  async #goLive(fleet: Fleet): Promise<void> {
    this.#control ??= new ControlServer(this.settings.controlSocket, this.#controlled());
    const accepting = Promise.race([fleet.accept(), fleet.failed]).then(() => true);
    const accepted = await within(ACCEPT_MS, accepting);
    if (accepted === null) throw new HandoverError('MOTYA_ACCEPT', `the workers do not accept within ${ACCEPT_MS} ms`);
    this.#becomeMain(fleet);
    for (const listener of this.#ledger.unused()) {
      this.#log.info(`${listener.key} is not used any more`, { event: 'removed', listener: listener.key });
      this.#ledger.remove(listener, { unlink: true });
    }
  }

  #becomeMain(fleet: Fleet): void {
    fleet.keepAlive();
    this.#pidfile.publish();
    this.#control?.publish();
  }

  #claims(): { kept: number; added: number; removed: number } {
    const all = this.#ledger.all();
    const added = all.filter((listener) => !listener.inherited).length;
    const removed = this.#ledger.unused().length;
    return { kept: all.length - added - removed, added, removed };
  }

  /** After a hand-over: the listeners are the successor's, the connections that are open stay ours. */
  async #drainAway({ dialogue, txid, successor, gapMs }: HandedOver): Promise<void> {
    this.#log.info(`pid ${successor} serves; ${gapMs.toFixed(1)} ms without accepting`, {
      event: 'handover',
      successor,
      gapMs: round(gapMs),
    });
    this.emit('handedOver', { successor, gapMs });
    this.#ledger.removeAll({ unlink: false });
    // It names the successor by now; if it still names us, the successor has another one.
    this.#pidfile.release();
    this.#control?.close();
    if (this.#stopping.signal.aborted) this.#shortenDrain();
    const forced = await this.#drain((connections, left) => {
      dialogue.send({ type: 'STATS', txid, connections, left: Math.round(left) });
    });
    dialogue.send({ type: 'BYE', txid, forced });
    dialogue.close();
    this.#finish({ reason: 'handed-over', forced });
  }

  async #stopServing(): Promise<void> {
    this.#machine.step('stop');
    this.#log.info(`pid ${process.pid} stops`, { event: 'stopping' });
    this.#control?.dismissWatchers('the incumbent was stopped; there is nothing to take over');
    await within(PAUSE_MS, this.#running.pause());
    this.#ledger.removeAll({ unlink: true });
    const forced = await this.#drain(() => {});
    this.#pidfile.release();
    this.#control?.close();
    this.#finish({ reason: 'stopped', forced });
  }

  /** @returns how many connections were closed by force. */
  async #drain(progress: (connections: number, leftMs: number) => void): Promise<number> {
    const fleet = this.#running;
    const longest = Math.max(...this.settings.services.map((service) => service.drainTimeout));
    this.#drainDeadline = performance.now() + longest;
    const tell = async (): Promise<void> => {
      const connections = await fleet.connections();
      const leftMs = Math.max(0, this.#drainDeadline - performance.now());
      progress(connections, leftMs);
      this.emit('draining', { connections, leftMs });
    };
    void tell();
    const timer = setInterval(() => void tell(), STATS_MS);
    const started = performance.now();
    const forced = await fleet.drain(this.#cut.promise);
    clearInterval(timer);
    const ms = round(performance.now() - started);
    const how = forced === 0 ? 'every connection ended by itself' : `${forced} connections were closed by force`;
    this.#log.info(`drained in ${(ms / 1000).toFixed(1)} s: ${how}`, { event: 'drained', ms, forced });
    return forced;
  }

  #shortenDrain(): void {
    this.#drainDeadline = Math.min(this.#drainDeadline, performance.now() + STOP_WHILE_DRAINING_MS);
    setTimeout(() => this.#cut.resolve(), STOP_WHILE_DRAINING_MS).unref();
  }

  #finish(end: Ended): void {
    this.#machine.step('drained');
    this.#control?.disconnect();
    this.#log.info(`pid ${process.pid} ends (${end.reason})`, { event: 'ended', ...end });
    this.emit('ended', end);
    this.#ended.resolve(end);
  }

  /** After a failed hand-over: accepts again, and takes back what the successor may have taken already. */
  async #resume(): Promise<void> {
    if (!this.#machine.can('failed')) return;
    this.#machine.step('failed');
    if (this.phase !== 'resuming') return;
    await within(ACCEPT_MS, this.#running.accept());
    if (!this.#pidfile.isOurs) this.#pidfile.publish();
    if (this.#control !== null && !this.#control.isPublished) {
      this.#control.close();
      this.#control = new ControlServer(this.settings.controlSocket, this.#controlled());
      this.#control.publish();
    }
    this.#machine.step('resumed');
    if (this.#stopping.signal.aborted) void this.#stopServing();
  }

  /** A start that failed: what was bound goes, what the incumbent gave stays its own. */
  async #abandon(): Promise<void> {
    this.#machine.step('failed');
    this.#ledger.abandonAll();
    this.#control?.close();
    this.#control?.disconnect();
    this.#cut.resolve();
    await this.#fleet?.drain(this.#cut.promise);
    this.#pidfile.letGo();
  }

  /** Watches the predecessor's drain until its BYE, for status; and heeds an ABORT that crossed our LIVE. */
  async #followDrain({ dialogue, incumbent, generation }: Offer): Promise<void> {
    const entry = { pid: incumbent, generation, connections: 0, left: 0 };
    this.#predecessors.set(incumbent, entry);
    try {
      for (;;) {
        const { message } = await dialogue.expect(['STATS', 'BYE'], STATS_SILENCE_MS);
        if (message.type === 'BYE') return;
        Object.assign(entry, { connections: message.connections, left: message.left });
      }
    } catch (error) {
      if (error instanceof PeerAbort) {
        this.#log.error(`the incumbent took the hand-over back: ${error.message}`, {
          event: 'taken-back',
          code: error.code,
        });
        this.stop();
      } else if ((error as HandoverError).code !== PEER_GONE) {
        this.#log.warn(`generation ${generation} is not heard of any more: ${reasonOf(error)}`, { event: 'peer' });
      }
    } finally {
      this.#predecessors.delete(incumbent);
      dialogue.close();
    }
  }

  async #findIncumbent(): Promise<Watched> {
    try {
      return await watchIncumbent(this.settings.controlSocket);
    } catch (error) {
      if (!(error instanceof NotRunningError)) throw error;
      throw new HandoverError('MOTYA_NOTHING_TO_UPGRADE', this.#nothingToUpgrade(), { cause: error });
    }
  }

  #nothingToUpgrade(): string {
    const { pidfile, upgradeSocket } = this.settings;
    // The lock tells whether the pidfile's instance lives, not the file itself. Taking it for a moment hurts nobody.
    const lockFd = native.lockFile(`${pidfile}.lock`);
    if (lockFd === null) {
      return `pid ${readPid(pidfile)} runs with the pidfile ${pidfile}, but not with the upgrade socket ${upgradeSocket}: give both the same`;
    }
    native.close(lockFd);
    return `there is nothing to take over from: no instance runs with the upgrade socket ${upgradeSocket}; start without --upgrade`;
  }

  #announceWaiting(watched: Watched): void {
    if (this.phase !== 'waiting') return;
    const { pid, generation } = watched;
    const ms = round(performance.now() - this.#startedAt);
    this.#log.info(
      `generation ${this.#generation} (pid ${process.pid}) is booted and waits for generation ${generation}: kill -QUIT ${pid}`,
      { event: 'waiting', pid: process.pid, incumbent: pid, generation: this.#generation, ms },
    );
    this.emit('waiting', { pid, generation });
  }

  #makeFleet(options: { accepting: boolean }): Fleet {
    const context = {
      generation: this.#generation,
      ledger: this.#ledger,
      gate: this.#gate,
      readyMs: this.settings.readyTimeout,
    };
    this.#fleet = new Fleet(this.settings.services, context, options);
    for (const service of this.#fleet.services) {
      service.on('crash', ({ pid, index }, reason, inMs) => {
        const worker = { service: service.name, index, pid, reason, inMs };
        this.#log.error(
          `worker ${index} of ${service.name} (pid ${pid}) ended: ${reason}; it starts again in ${inMs} ms`,
          {
            event: 'worker-exit',
            ...worker,
          },
        );
        this.emit('workerExit', worker);
      });
      service.on('restart', ({ pid, index }) => {
        const worker = { service: service.name, index, pid };
        this.#log.info(`worker ${index} of ${service.name} is started again (pid ${pid})`, {
          event: 'worker-restart',
          ...worker,
        });
        this.emit('workerRestart', worker);
      });
    }
    return this.#fleet;
  }

  #declareListeners(): void {
    for (const service of this.settings.services) {
      for (const spec of service.listeners) {
        try {
          this.#ledger.declare(service.name, spec);
        } catch (error) {
          if (!isSystemError(error)) throw error;
          const holder = error.code === 'EADDRINUSE' ? holderOf(spec) : null;
          const by = holder === null ? '' : `, by ${holder}`;
          throw new StartError('MOTYA_LISTEN', `service ${service.name}: ${reasonOf(error)}${by}`, { cause: error });
        }
      }
    }
  }

  #launchSuccessor(): ReturnType<typeof launch> {
    const launched = launch(typedInvocation(), { env: { ...process.env, MOTYA_UPGRADE: 'true' }, output: 'inherit' });
    this.#log.info(`started a successor (pid ${launched.pid})`, { event: 'successor', successor: launched.pid });
    return launched;
  }

  #controlled(): Controlled {
    return {
      generation: this.#generation,
      summary: () => this.#summary(),
      listeners: () => this.#listenerStatus(),
      stop: (options) => this.stop(options),
      warn: (text, fields) => this.#log.warn(text, { event: 'peer', ...fields }),
      upgrade: async ({ dryRun }, progress): Promise<Omit<Result, 'type'>> => {
        const tell = ({ from, ms }: { from: Phase; ms: number }): void => progress(from, ms);
        this.on('phase', tell);
        try {
          const { pid, generation, gapMs } = await this.upgrade({ dryRun, mode: 'now' });
          if (gapMs === null) return { ok: true, code: DRY_RUN, text: `pid ${pid} could take over`, pid, generation };
          const gapMicros = Math.round(gapMs * 1000);
          return {
            ok: true,
            code: 'MOTYA_LIVE',
            text: `generation ${generation} (pid ${pid}) serves`,
            pid,
            generation,
            gapMicros,
          };
        } catch (error) {
          return rejection(error);
        } finally {
          this.off('phase', tell);
        }
      },
    };
  }

  async #summary(): Promise<Summary> {
    return {
      name: this.settings.name,
      pid: process.pid,
      generation: this.#generation,
      version: VERSION,
      phase: this.phase,
      uptime: round(performance.now() - this.#startedAt),
      services: await (this.#fleet?.status() ?? []),
      draining: [...this.#predecessors.values()],
      lastUpgrade: this.#lastUpgrade,
      pidfile: this.settings.pidfile,
      upgradeSocket: this.settings.upgradeSocket,
    };
  }

  #listenerStatus(): ListenerStatus[] {
    return this.#ledger.all().map(({ key, service, backlog, inherited, declared, fd, socket }) => {
      const tcp = socket.family !== 'unix' && socket.type === 'stream';
      return { key, service, backlog, inherited, declared, waiting: tcp ? native.queueLength(fd).waiting : null };
    });
  }

  async #unlessStopped<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#stopping;
    signal.throwIfAborted();
    const { promise: stopped, reject } = deferred<never>();
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([promise, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  get #running(): Fleet {
    if (this.#fleet === null) throw new MotyaError('MOTYA_PHASE', 'nothing has been started');
    return this.#fleet;
  }
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
  promise.catch(() => {});
  return { promise, resolve, reject };
}

function round(ms: number): number {
  return Math.round(ms);
}

function summaryOf(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).join(', ');
  return keys.length === 0 ? 'no listener' : keys.length <= 3 ? shown : `${shown} and ${keys.length - 3} more`;
}
