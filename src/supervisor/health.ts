import { setTimeout as delay } from 'node:timers/promises';
import { inBackground, reportDefect } from '../base/background.js';
import {
  HEALTH_ANSWER_LEAST_MS,
  HEALTH_ANSWER_MS,
  HEALTH_ANSWER_SHARE,
  HEALTH_FAILURES,
  HEALTH_MS,
  HEALTH_PAUSE_SHARE,
  OUTLIVES_MS,
} from '../base/deadlines.js';
import { type Details, HandoverError } from '../base/errors.js';
import { type Probed, probe } from '../base/probe.js';
import type { WorkerExit } from './events.js';
import { healthTarget, NO_LISTENER } from './health-target.js';
import type { Life } from './life.js';

/** ms between two looks whether a worker that has crashed is back. */
const OUTLIVES_LOOK_MS = 100;
/** ms between two looks at the shares of errors, at most: each asks every worker for two numbers, and clients get the errors. */
const ERRORS_LOOK_MS = 200;
/** Answers below which a share of errors says nothing. */
const HEALTH_ANSWERS = 20;

/** Looks at a successor on probation, by the rules of its settings, until one of them is broken. */
export class HealthWatch {
  readonly #life: Life;
  readonly #broken: (reason: HandoverError) => void;
  readonly #onExit: (worker: WorkerExit) => void;
  readonly #onChildExit: (text: string) => void;
  readonly #pauseMs: number;
  readonly #answerMs: number;
  readonly #timers = new Set<NodeJS.Timeout>();
  #crashes = 0;
  #failures = 0;
  /** What was wrong with the last answer, or null. */
  #fault: HandoverError | null = null;
  /** The question to health.path that is under way. */
  #asking: Promise<void> | null = null;
  #isClosed = false;

  /** `broken` is called once. */
  constructor(life: Life, broken: (reason: HandoverError) => void) {
    this.#life = life;
    this.#broken = broken;
    this.#onExit = ({ index, service, reason }) =>
      this.#crashed('workers have', 'a worker has', `the last one worker ${index} of ${service} (${reason})`, {
        service,
        worker: index,
        reason,
      });
    this.#onChildExit = (text) => this.#crashed('processes have', 'a process has', `the last one of ${text}`);
    life.events.on('workerExit', this.#onExit).on('childExit', this.#onChildExit);
    const { probation, health, services } = life.settings;
    this.#pauseMs = Math.min(HEALTH_MS, probation * HEALTH_PAUSE_SHARE);
    this.#answerMs = Math.min(
      HEALTH_ANSWER_MS,
      Math.max(HEALTH_ANSWER_LEAST_MS, Math.round(probation * HEALTH_ANSWER_SHARE)),
    );
    if (services.length === 0) return;
    const { path, errors } = health;
    if (path !== null) this.#repeat(() => this.#ask(path, this.#answerMs), this.#pauseMs);
    if (errors !== null) this.#repeat(() => this.#countErrors(errors), Math.min(ERRORS_LOOK_MS, this.#pauseMs));
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#life.events.off('workerExit', this.#onExit).off('childExit', this.#onChildExit);
  }

  /**
   * At the end. A worker that has crashed, and does not listen where it did, is one that the old version had; and the last answer to
   * health.path must be a good one. Waits for that no longer than one answer may take, and for a worker that was started again until
   * it has lived longer than the one before.
   */
  async lastLook(): Promise<HandoverError | null> {
    const fault = await this.#lastFault();
    if (this.#isClosed) return null;
    if (fault !== null) return fault;
    const { fleet } = this.#life.instance;
    const end = performance.now() + 2 * OUTLIVES_MS;
    while (!fleet.isBack && performance.now() < end) {
      await delay(OUTLIVES_LOOK_MS);
      if (this.#isClosed) return null;
    }
    if (fleet.isBack) return null;
    const times = this.#crashes > 1 ? `${this.#crashes} have` : 'one has';
    const what = fleet.isWhole ? 'a worker does not listen where it did before it crashed' : 'a worker is down';
    const details = { crashes: this.#crashes, missing: fleet.isWhole ? 'listener' : 'worker' };
    const text = `${what} at the end of the probation, in which ${times} crashed`;
    return new HandoverError('ERR_MOTYA_CRASHES', text, { details });
  }

  #crashed(many: string, one: string, last: string, details: Details = {}): void {
    this.#crashes += 1;
    const { crashes } = this.#life.settings.health;
    if (this.#crashes < crashes) return;
    const times = this.#crashes === 1 ? one : `${this.#crashes} ${many}`;
    const text = `${times} crashed on probation, ${last}`;
    this.#break(new HandoverError('ERR_MOTYA_CRASHES', text, { details: { crashes: this.#crashes, ...details } }));
  }

  /** Looks at once, and again after a pause of `ms`. */
  #repeat(look: () => Promise<void>, ms: number): void {
    const turn = async (): Promise<void> => {
      try {
        await look();
      } catch (error) {
        // A defect of ours says nothing about the program, and must not end the supervisor.
        reportDefect('the health check', error);
      }
      if (this.#isClosed) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        inBackground('the health check', turn());
      }, ms);
      this.#timers.add(timer);
    };
    inBackground('the health check', turn());
  }

  async #lastFault(): Promise<HandoverError | null> {
    const { health, services } = this.#life.settings;
    const { path } = health;
    if (path === null || services.length === 0) return null;
    const end = performance.now() + this.#answerMs;
    await this.#ask(path, this.#answerMs);
    // One that was refused may have hit a worker that crashed: there is time left to ask again.
    if (this.#fault !== null && !this.#isClosed && performance.now() + this.#pauseMs < end) {
      await delay(this.#pauseMs);
      await this.#ask(path, Math.ceil(end - performance.now()));
    }
    return this.#fault;
  }

  /** One question at a time: a second caller gets the same answer. */
  #ask(path: string, ms: number): Promise<void> {
    this.#asking ??= this.#askOnce(path, ms).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #askOnce(path: string, ms: number): Promise<void> {
    const { settings, instance } = this.#life;
    const target = healthTarget(path, settings, instance.programListeners());
    const answer = target === null ? { fault: NO_LISTENER, code: 'ERR_MOTYA_HEALTH_PATH' } : await probe(target, ms);
    if (this.#isClosed) return;
    this.#fault = faultIn(path, answer);
    this.#failures = this.#fault === null ? 0 : this.#failures + 1;
    if (this.#fault !== null && this.#failures >= HEALTH_FAILURES) this.#break(this.#fault);
  }

  async #countErrors(errors: number): Promise<void> {
    const { answers, failed } = await this.#life.instance.fleet.answered();
    if (this.#isClosed || answers < HEALTH_ANSWERS || failed / answers <= errors) return;
    const share = `${((failed / answers) * 100).toFixed(1)} %`;
    const text = `${failed} of ${answers} answers on probation had status 5xx (${share})`;
    this.#break(new HandoverError('ERR_MOTYA_ERROR_RATE', text, { details: { answers, failed } }));
  }

  #break(reason: HandoverError): void {
    if (this.#isClosed) return;
    this.close();
    this.#broken(reason);
  }
}

/** What is wrong with an answer, or null. */
function faultIn(path: string, answer: Probed): HandoverError | null {
  if ('fault' in answer) {
    const details = { path, reason: answer.code };
    return new HandoverError('ERR_MOTYA_UNHEALTHY', `${path}: ${answer.fault}`, { details });
  }
  const { status } = answer;
  if (status >= 200 && status < 300) return null;
  return new HandoverError('ERR_MOTYA_UNHEALTHY', `${path}: status ${status}`, { details: { path, status } });
}
