import { EventEmitter } from 'node:events';
import { type Defect, inBackground, onDefect } from '../base/background.js';
import { failureFields, reasonOf } from '../base/errors.js';
import { report, takeReportPipe } from '../base/os/launch.js';
import { native } from '../base/os/native.js';
import { ensureRuntimeDirectory } from '../base/os/paths.js';
import { asUser } from '../base/os/privileges.js';
import { checkPrivileges } from '../config/privilege-check.js';
import type { Settings } from '../config/settings.js';
import type { Outputs } from '../logging/outputs.js';
import type { Phase } from '../status/phases.js';
import { CommandHandler } from './command-handler.js';
import type { Ended, SupervisorEvents, Upgraded, UpgradeOptions } from './events.js';
import { Life } from './life.js';
import { startAsFirst, startAsSuccessor } from './start.js';
import { type StopOptions, stop, stopOnceDecided } from './stop.js';
import { upgrade } from './upgrade.js';
import { keepReachable } from './upkeep.js';

/**
 * The life of one instance of a server: its birth (alone, or from an incumbent), its hand-over to a successor, its graceful
 * drain. Runs no user code. What it holds, and how that changes hands, is in instance.ts.
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly settings: Settings;
  readonly #life: Life;

  constructor(settings: Settings) {
    super();
    this.settings = settings;
    this.#life = new Life(settings, this);
    this.#life.instance.endpoints.answerCommands(new CommandHandler(this.#life));
  }

  /** Where the lines of programs go, unless they write by themselves; null: to stdout and stderr. To be set before the start. */
  get outputs(): Outputs | null {
    return this.#life.outputs;
  }

  set outputs(outputs: Outputs | null) {
    this.#life.outputs = outputs;
  }

  get phase(): Phase {
    return this.#life.phase;
  }

  /** It serves nothing new any more, and only finishes what it has. */
  get isEnding(): boolean {
    return this.#life.machine.is('isEnding');
  }

  /** The defect has cut short what leads to the end of an instance that ends: it would stay for good. */
  cannotEnd({ leadsToTheEnd }: Defect): boolean {
    return this.isEnding && leadsToTheEnd;
  }

  get generation(): number {
    return this.#life.generation;
  }

  /** Resolves when the instance has ended and nothing of it is left. */
  get ended(): Promise<Ended> {
    return this.#life.ended.promise;
  }

  /**
   * Starts the instance; a successor (`settings.upgrade`) waits for its incumbent here, without limit.
   * @throws {MotyaError} it could not start, or not take over; nothing of it is left.
   */
  async start(): Promise<void> {
    const life = this.#life;
    const { instance } = life;
    const unsubscribe = onDefect((defect) => this.emit('defect', defect));
    // Before anything is started, so that no child gets it.
    takeReportPipe();
    try {
      checkPrivileges(this.settings);
      const { runtimeDirectory, user } = this.settings;
      if (runtimeDirectory !== null) asUser(user, () => ensureRuntimeDirectory(runtimeDirectory));
      await (this.settings.upgrade ? startAsSuccessor(life) : startAsFirst(life));
    } catch (error) {
      life.machine.step('failed');
      report({ ok: false, text: reasonOf(error), ...failureFields(error) });
      life.served.reject(error);
      if (!this.settings.upgrade) instance.manager.failed(reasonOf(error));
      await instance.abandon();
      unsubscribe();
      throw error;
    }
    life.served.resolve();
    inBackground('the end', life.ended.promise.then(unsubscribe));
    keepReachable(life);
    instance.manager.follow(instance.ledger);
    report({ ok: true, pid: process.pid, generation: life.generation });
    const listeners = instance.programListeners().map((listener) => listener.key);
    this.emit('serving', { generation: life.generation, listeners, ms: life.age });
    // Told to stop while COMMIT and LIVE were on their way.
    if (life.stopSignal.aborted) inBackground('the stop', stopOnceDecided(life), { leadsToTheEnd: true });
  }

  /**
   * Hands over to the successor that waits, comes or is started now; what SIGQUIT does.
   * @throws {HandoverError} it did not happen: this instance serves on.
   */
  upgrade(options: UpgradeOptions = {}): Promise<Upgraded> {
    return upgrade(this.#life, options);
  }

  /**
   * Graceful stop: no new connections, drain, end. `now`, or a second call, closes what is left. While it drains after a
   * hand-over the drain is only shortened.
   */
  stop(options: StopOptions = {}): void {
    stop(this.#life, options);
  }

  /** Ends a start that has no launcher any more, as {@link stop} does. Does nothing once it serves, or is about to. */
  giveUp(): void {
    if (this.#life.machine.is('canGiveUp')) this.stop();
  }

  /** Makes `fd` the stdout and stderr of this process and of its workers: a log file that was reopened. */
  redirectOutput(fd: number): void {
    native.fd.redirect(fd, 1);
    native.fd.redirect(fd, 2);
    this.#life.instance.fleet.redirectOutput(fd);
  }

  /** Sends a signal to the process of every worker that runs. @returns how many there are */
  signalPrograms(signal: NodeJS.Signals): number {
    return this.#life.signalPrograms(signal);
  }

  /** Passes SIGHUP on to the generations that still drain: they have the same log file open, and are no main process any more. */
  hangUpPredecessors(): void {
    this.#life.predecessors.signal('SIGHUP');
  }
}
