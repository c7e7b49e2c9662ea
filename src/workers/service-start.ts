import type { StartError } from '../base/errors.js';
import { LISTEN_HINT_MS } from '../base/limits.js';
import { isDone } from '../base/timeout.js';
import type { ServiceSettings } from '../config/settings.js';
import { inspectorOf } from './inspector-ports.js';
import type { ServiceOutside } from './service-outside.js';
import { endedTooSoon, listensOutside, notReady, silenceHint } from './start-failures.js';
import type { Worker } from './worker.js';

interface Starting {
  readonly settings: ServiceSettings;
  /** ms for all workers to become ready. */
  readonly readyMs: number;
  /** Ports of the workers' inspectors; none: the options of node ask for none. */
  readonly inspectorPorts: readonly number[];
  readonly workers: () => readonly Worker[];
  readonly outside: ServiceOutside;
  /** A worker listens on nothing for long; told once. `hint`: what may be the reason. */
  readonly silent: (worker: Worker, hint: string) => void;
}

/** The start of a service, until all its workers are ready. */
export class ServiceStart {
  readonly #starting: Starting;
  #isHinted = false;
  #fail!: (error: StartError) => void;
  /** Rejects when a worker has ended before it was to. */
  readonly failed: Promise<never>;

  constructor(starting: Starting) {
    this.#starting = starting;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  /** A worker has ended. */
  ended(worker: Worker, reason: string): void {
    this.#fail(endedTooSoon(this.#what, worker, reason));
  }

  /** Resolves when every worker is ready. @throws {StartError} one has ended, or the time for it has */
  async ready(): Promise<void> {
    await this.#inTime(this.#starting.workers().map((worker) => reached(worker, 'ready')));
  }

  /** Resolves when every worker is ready or waits for listeners that are not here yet. @throws {StartError} */
  async booted(): Promise<void> {
    const booted = (worker: Worker): Promise<void> =>
      Promise.race([reached(worker, 'ready'), reached(worker, 'blocked')]);
    await this.#inTime(this.#starting.workers().map(booted));
  }

  get #what(): string {
    const { name, script } = this.#starting.settings;
    return `service ${name}: ${script}`;
  }

  async #inTime(stages: Promise<void>[]): Promise<void> {
    const { settings, readyMs, workers, outside } = this.#starting;
    // A program that says itself when it is ready may well wait for a child that listens.
    const watch = settings.ready === 'listen' ? outside.watch() : null;
    const hint = setTimeout(() => this.#hint(), LISTEN_HINT_MS);
    try {
      const refused =
        watch === null ? [] : [watch.found.then((found) => Promise.reject(listensOutside(this.#what, found)))];
      if (await isDone(readyMs, Promise.race([this.failed, ...refused, Promise.all(stages)]))) return;
    } finally {
      clearTimeout(hint);
      watch?.close();
    }
    const waits = workers().some((worker) => worker.awaits && !worker.isReady);
    throw notReady(this.#what, { waits, ready: settings.ready, ms: readyMs, debuggers: this.#awaitedDebuggers });
  }

  /** It may be right to wait: a program loads for as long as it loads. */
  #hint(): void {
    const { settings, workers, silent } = this.#starting;
    const debuggers = this.#awaitedDebuggers;
    if ((settings.ready !== 'listen' && debuggers === null) || this.#isHinted) return;
    const worker = workers().find(({ isReady, isBlocked, hasExited }) => !isReady && !isBlocked && !hasExited);
    if (worker === undefined) return;
    this.#isHinted = true;
    silent(worker, silenceHint(debuggers));
  }

  /** Where programs that do not begin without a debugger wait for it. */
  get #awaitedDebuggers(): string | null {
    const { settings, inspectorPorts } = this.#starting;
    const inspector = inspectorOf(settings);
    if (inspector?.waits !== true) return null;
    return inspectorPorts.map((port) => `${inspector.host}:${port}`).join(', ') || inspector.host;
  }
}

function reached(worker: Worker, stage: 'ready' | 'blocked'): Promise<void> {
  if (stage === 'ready' ? worker.isReady : worker.isBlocked) return Promise.resolve();
  return new Promise((resolve) => worker.once(stage, resolve));
}
