import type { EventEmitter } from 'node:events';
import { PAUSE_MS } from '../base/deadlines.js';
import { type Deferred, deferred } from '../base/deferred.js';
import { perKind } from '../base/drain-kinds.js';
import { HandoverError } from '../base/errors.js';
import { LoopDelay } from '../base/loop-delay.js';
import { isDone } from '../base/timeout.js';
import type { Settings } from '../config/settings.js';
import { Predecessors } from '../handover/predecessors.js';
import type { Probation } from '../handover/successor-probation.js';
import { Outputs } from '../logging/outputs.js';
import { total } from '../runtime/counts.js';
import { History } from '../status/history.js';
import { type Phase, PhaseMachine } from '../status/phases.js';
import type { Overview, Status } from '../status/status-document.js';
import type { Totals } from '../status/totals.js';
import type { Pause } from '../workers/conversation-events.js';
import type { Fleet } from '../workers/fleet.js';
import { Drain } from './drain.js';
import { EndOfOthers } from './end-others.js';
import type { Ended, SupervisorEvents } from './events.js';
import { Instance } from './instance.js';
import { collectStatus, type LifeStatus } from './status-report.js';

/** What the parts of one instance's life (birth, hand-over, drain, end) share. */
export class Life {
  readonly settings: Settings;
  readonly events: EventEmitter<SupervisorEvents>;
  readonly instance: Instance;
  readonly machine: PhaseMachine<Probation>;
  readonly history = new History();
  readonly predecessors = new Predecessors(this.history, {
    warn: (text, fields) => this.warn('peer', text, fields),
    adopt: (origin, move, fds) => this.instance.fleet.adopt(origin, move, fds),
    changed: () => {
      this.endOfOthers.look();
      this.instance.manager.tell();
    },
  });
  readonly endOfOthers: EndOfOthers;
  readonly drain: Drain;
  /** Settled when it serves, or never will. */
  readonly served: Deferred<void> = deferred();
  /** Resolved when a stop has nothing left to wait for. */
  readonly stopFinished: Deferred<void> = deferred();
  readonly ended: Deferred<Ended> = deferred();
  /** Where the lines of programs go; null: to stdout and stderr. */
  outputs: Outputs | null = null;
  generation = 1;
  /** Until when a successor that starts was meant for the upgrade which has brought this instance (performance.now()). */
  lateUntil = Number.NEGATIVE_INFINITY;
  readonly #loopDelay = new LoopDelay();
  readonly #startedAt = performance.now();
  /** Aborted when the instance is told to stop: whatever has not been committed by then will not be. */
  readonly #stopController = new AbortController();

  constructor(settings: Settings, events: EventEmitter<SupervisorEvents>) {
    this.settings = settings;
    this.events = events;
    this.endOfOthers = new EndOfOthers(settings.controlSocket, this.predecessors);
    const times = perKind((kind) => Math.max(0, ...settings.services.map(({ drain }) => drain[kind])));
    this.instance = new Instance(settings, this);
    this.drain = new Drain(this.instance, times, events);
    this.machine = new PhaseMachine<Probation>(settings.upgrade ? 'waiting' : 'starting', (from, to, ms) => {
      this.history.phase(from, ms);
      events.emit('phase', { from, to, ms, listeners: this.instance.ledger.size });
    });
  }

  get phase(): Phase {
    return this.machine.phase;
  }

  /** ms since the start. */
  get age(): number {
    return performance.now() - this.#startedAt;
  }

  /** Aborted, with a {@link HandoverError}, once the instance is told to stop. */
  get stopSignal(): AbortSignal {
    return this.#stopController.signal;
  }

  tellToStop(): void {
    this.#stopController.abort(
      new HandoverError('ERR_MOTYA_STOPPING', `pid ${process.pid} was told to stop`, { details: { pid: process.pid } }),
    );
  }

  /** The promise's outcome, or the reason of a stop that comes first. */
  async unlessStopped<T>(promise: Promise<T>): Promise<T> {
    this.stopSignal.throwIfAborted();
    const stopped = deferred<never>();
    const stop = (): void => stopped.reject(this.stopSignal.reason);
    this.stopSignal.addEventListener('abort', stop);
    try {
      return await Promise.race([promise, stopped.promise]);
    } finally {
      this.stopSignal.removeEventListener('abort', stop);
    }
  }

  /** Stops accepting. Never throws: a worker that does not answer accepts nothing either. */
  async pauseWorkers(how?: Pause): Promise<void> {
    const isPaused = await isDone(PAUSE_MS, this.instance.fleet.pause(how));
    if (!isPaused) this.warn('busy', 'a worker has not stopped accepting: it is busy');
  }

  /** To the process of every worker that runs. @returns how many there are */
  signalPrograms(signal: NodeJS.Signals): number {
    const workers = this.instance.signalPrograms(signal);
    this.events.emit('signalled', { signal, workers });
    return workers;
  }

  becameUser(): void {
    this.events.emit('user');
  }

  warn(event: string, text: string, fields: object = {}): void {
    this.events.emit('warning', { event, text, fields });
  }

  /** The workers of this instance, whose fate is told and counted. */
  makeFleet(options: { accepting: boolean }): Fleet {
    const { log } = this.settings;
    const outputs = log.programs === 'inherit' ? null : (this.outputs ?? new Outputs({ ...log, file: null }));
    const fleet = this.instance.makeFleet(this.generation, outputs, options);
    for (const service of fleet.services) {
      service.on('drained', (drained) => this.history.drained(drained));
      service.on('crash', (worker, reason, inMs, code) => {
        const { pid, index } = worker;
        this.history.crash(service.name);
        const stderr = worker.lastLines();
        this.events.emit('workerExit', { service: service.name, index, pid, reason, code, inMs, stderr });
      });
      service.on('trouble', (kind, { pid, index }, what, facts) => {
        const fields = { service: service.name, index, worker: pid, ...facts };
        this.warn(kind, `worker ${index} of ${service.name} (pid ${pid}): ${what}`, fields);
      });
      service.on('childCrash', ({ pid, index }, what) => {
        const text = `worker ${index} of ${service.name} (pid ${pid}): ${what}`;
        this.warn('child-exit', text, { service: service.name, index, worker: pid });
        this.events.emit('childExit', text);
      });
      service.on('restart', ({ pid, index }) => {
        this.history.restart(service.name);
        this.events.emit('workerRestart', { service: service.name, index, pid });
      });
    }
    return fleet;
  }

  /** The very end: nothing of the instance is left. */
  async end(ended: Ended): Promise<void> {
    await this.instance.manager.end();
    this.instance.fleet.closeOutput();
    this.instance.endpoints.disconnect();
    this.#loopDelay.stop();
    this.events.emit('ended', ended);
    this.ended.resolve(ended);
  }

  status(): Promise<Status> {
    return collectStatus(this.instance, this.#lifeStatus(), this.history, this.#loopDelay);
  }

  get totals(): Totals {
    return this.history.totals;
  }

  /** The status without what takes long to ask. */
  async overview(): Promise<Overview> {
    const protocols = await this.instance.fleet.connections();
    const { phase, generation, draining } = this.#lifeStatus();
    return { phase, generation, connections: total(protocols), draining: draining(protocols) };
  }

  #lifeStatus(): LifeStatus {
    const { phase, age, currentProbation: probation } = this.machine;
    return {
      probation: probation?.isTrial === true ? probationStatus(probation) : null,
      generation: this.generation,
      phase,
      phaseMs: Math.round(age),
      uptime: Math.round(this.age),
      draining: (protocols) => {
        const own = this.drain.status(protocols, this.generation);
        return [...this.predecessors.all(), ...(own === null ? [] : [own])];
      },
    };
  }
}

const probationStatus = ({ incumbent, left }: Probation): Status['probation'] => ({
  incumbent,
  until: new Date(Date.now() + left).toISOString(),
});
