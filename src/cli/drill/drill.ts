import { setTimeout as delay } from 'node:timers/promises';
import { MotyaError } from '../../base/errors.js';
import { checkPrivileges } from '../../config/privilege-check.js';
import type { Settings } from '../../config/settings.js';
import { NotRunningError, requestStatus, type Status } from '../../control/client.js';
import { requestStop, requestUpgrade } from './control-requests.js';
import {
  DRILL_AFTER_MS,
  DRILL_ANSWER_MS,
  DRILL_END_MS,
  DRILL_HELD,
  DRILL_LOOK_MS,
  DRILL_PLACES,
  DRILL_PROBATION_MS,
  DRILL_STEADY_MS,
} from './drill-limits.js';
import { hintsFrom } from './hints.js';
import { HalfRequest } from './http-request.js';
import { Load } from './load-driver.js';
import { kill } from './marked-processes.js';
import { Stage } from './sandbox-instance.js';
import type { Step } from './step.js';
import { Failure, lostIn, type Seen, Tally } from './tally.js';
import { explore, type Place } from './target-address.js';

export interface Plan {
  readonly settings: Settings;
  readonly upgrades: number;
  readonly path: string;
}

export interface Opening {
  readonly places: readonly Place[];
  readonly clients: number;
  readonly paths: readonly string[];
  /** Listeners that nobody asks anything. */
  readonly idle: readonly string[];
}

/** Who is told how it goes. */
export interface Audience {
  begins(opening: Opening): void;
  step(step: Step): void;
}

export interface Verdict {
  readonly steps: readonly Step[];
  readonly hints: readonly string[];
}

/**
 * Runs the program on a stage of its own, and upgrades it, kills it and breaks it under load.
 * @param cancelled ends it early; then nothing of it is left either.
 * @throws {MotyaError} the program cannot be drilled: it does not start, or gives no good answers to begin with.
 */
export async function drill(plan: Plan, audience: Audience, cancelled: AbortSignal): Promise<Verdict> {
  checkPrivileges(plan.settings);
  const stage = new Stage(plan.settings);
  const interrupted = new Promise<never>((_, reject) => {
    cancelled.addEventListener('abort', () => reject(cancelled.reason), { once: true });
  });
  interrupted.catch(() => {});
  const acts = new Acts(plan, stage, audience);
  try {
    cancelled.throwIfAborted();
    return await Promise.race([acts.all(), interrupted]);
  } catch (error) {
    if (!(error instanceof NotRunningError)) throw error;
    throw new MotyaError('ERR_MOTYA_DRILL', `the instance of the drill is gone: ${stage.lastWords()}`, {
      cause: error,
    });
  } finally {
    await acts.end();
  }
}

const servesOn = (generation: number): string => `generation ${generation} serves on`;

/** The steps, in their order. */
class Acts {
  readonly #plan: Plan;
  readonly #stage: Stage;
  readonly #audience: Audience;
  readonly #steps: Step[] = [];
  #load: Load | null = null;

  constructor(plan: Plan, stage: Stage, audience: Audience) {
    this.#plan = plan;
    this.#stage = stage;
    this.#audience = audience;
  }

  async all(): Promise<Verdict> {
    const { upgrades } = this.#plan;
    await this.#stage.start();
    const { places, paths } = await this.#begin();
    const load = this.#load as Load;
    await delay(DRILL_STEADY_MS);
    let goesOn = this.#done('steady', 'before any upgrade', load.tally.take(), '');
    for (let number = 1; goesOn && number <= upgrades; number++) {
      goesOn = await this.#upgrade(load.tally, `upgrade ${number} of ${upgrades}`);
    }
    if (goesOn) await this.#killOne(load.tally);
    // From here on its programs end because the drill ends them.
    const log = this.#stage.log();
    if (goesOn) await this.#breakOne(load.tally);
    await load.stop();
    if (goesOn) await this.#terminate(places, paths);
    const hints = hintsFrom({ steps: this.#steps, log, seen: this.#stage.seen(), settings: this.#plan.settings });
    return { steps: this.#steps, hints };
  }

  /** Also when it is called in the middle of it. */
  async end(): Promise<void> {
    await requestStop(this.#stage.controlSocket).catch(() => {});
    await this.#stage.close();
    await this.#load?.stop();
  }

  async #begin(): Promise<Opening> {
    const { path, settings } = this.#plan;
    const paths = [...new Set([path, ...healthPathOf(settings)])];
    const { listeners } = await this.#status();
    const places = await explore(
      listeners.map(({ key }) => key),
      path,
    );
    const [first] = places;
    if (first === undefined) {
      throw new MotyaError('ERR_MOTYA_DRILL', 'the program listens on no TCP or unix socket: there is nothing to ask');
    }
    const asked = [...places].sort((one, other) => Number(one.speaks === 'tcp') - Number(other.speaks === 'tcp'));
    const chosen = asked.slice(0, DRILL_PLACES);
    for (const { key, status } of chosen) {
      if (status === null || status < 500) continue;
      const text = `GET ${path} of ${key} is answered with status ${status} before anything is upgraded`;
      throw new MotyaError('ERR_MOTYA_DRILL', `${text}; name another one with --path`);
    }
    const idle = listeners.map(({ key }) => key).filter((key) => chosen.every((place) => place.key !== key));
    const load = new Load(chosen, paths);
    this.#load = load;
    const opening = { places: chosen, clients: load.clients, paths, idle };
    this.#audience.begins(opening);
    return opening;
  }

  /** @returns whether the next step makes sense. */
  #done(step: Step['step'], title: string, seen: Seen, text: string, happened = true): boolean {
    const done = { step, title, ok: happened && lostIn(seen) === 0, text, ...seen };
    this.#steps.push(done);
    this.#audience.step(done);
    return happened;
  }

  /** Until the old generation has drained. */
  async #upgrade(tally: Tally, title: string): Promise<boolean> {
    const { generation } = await this.#status();
    const { ok, text } = await requestUpgrade(this.#stage.controlSocket);
    if (!ok) return this.#done('upgrade', title, tally.take(), `${text}; ${servesOn(generation)}`, false);
    const isOver = await this.#ended(generation);
    const what = isOver ? `generation ${generation + 1} serves` : `generation ${generation} does not end`;
    return this.#done('upgrade', title, tally.take(), what, isOver);
  }

  /** A whole generation, supervisor and workers, as the kernel ends one that takes too much memory. */
  async #killOne(tally: Tally): Promise<void> {
    const before = await this.#status();
    const killed = { from: 0, killedAt: 0, to: 0 };
    const ready = (): void => {
      killed.from = performance.now();
    };
    let killing = Promise.resolve();
    const live = ({ pid }: { pid: number }): void => {
      killing = this.#kill(tally, pid, killed);
    };
    const { ok, code, text } = await requestUpgrade(this.#stage.controlSocket, { ready, live });
    killed.to = performance.now();
    await killing;
    await delay(DRILL_AFTER_MS);
    const happened = !ok && code === 'ERR_MOTYA_ROLLED_BACK' && (await this.#status()).pid === before.pid;
    const what = happened ? `generation ${before.generation} serves again` : text;
    this.#done('killed', 'successor killed', tally.take(killed), what, happened);
  }

  async #kill(tally: Tally, pid: number, killed: { killedAt: number }): Promise<void> {
    const enough = tally.answers + (this.#load?.clients ?? 0);
    for (const late = performance.now() + DRILL_PROBATION_MS / 2; tally.answers < enough; await delay(DRILL_LOOK_MS)) {
      if (performance.now() > late) break;
    }
    const { pid: main, services } = await this.#status();
    if (main !== pid) return;
    killed.killedAt = performance.now();
    for (const one of [pid, ...services.flatMap(({ workers }) => workers.map((worker) => worker.pid ?? 0))]) {
      if (one > 0) kill(one);
    }
  }

  async #breakOne(tally: Tally): Promise<void> {
    const before = await this.#status();
    this.#stage.breakNext();
    const { ok } = await requestUpgrade(this.#stage.controlSocket);
    this.#stage.mend();
    await delay(DRILL_AFTER_MS);
    const happened = !ok && (await this.#status()).pid === before.pid;
    const what = happened ? `rejected; ${servesOn(before.generation)}` : 'a program that throws took over';
    this.#done('broken', 'successor that throws', tally.take(), what, happened);
  }

  /** The only load here: requests that are inside the program when it gets the signal, so none is lost to bad timing. */
  async #terminate(places: readonly Place[], paths: readonly string[]): Promise<void> {
    const place = places.find(({ speaks }) => speaks !== 'tcp');
    if (place === undefined) return;
    const tally = new Tally();
    const from = performance.now();
    const held = Array.from({ length: DRILL_HELD }, () => new HalfRequest(place, paths[0] as string));
    await Promise.all(held.map((request) => request.begun));
    const { services } = await this.#takenIn(held.length);
    const workers = services.flatMap((service) => service.workers.map(({ pid }) => pid ?? 0)).filter((pid) => pid > 0);
    const killedAt = performance.now();
    for (const pid of workers) kill(pid, 'SIGTERM');
    await this.#takenIn();
    await Promise.all(held.map((request) => finish(request, tally)));
    const to = performance.now();
    // A program without a handler is ended by the kernel; one that ends by itself has chosen to.
    const reasons = await this.#reasons(workers, { wait: tally.failed > 0 });
    const isDefault = reasons.some((reason) => reason === 'signal SIGTERM');
    const seen = tally.take(isDefault ? { from, killedAt, to } : null);
    const text = isDefault
      ? 'it has no handler, which is fine: Motya sends it to programs that have drained'
      : `its own handler has it ${reasons.length === 0 ? 'go on' : `end (${reasons[0]})`}`;
    this.#done('sigterm', 'SIGTERM to the program', seen, text);
  }

  /** How these workers have ended; `wait`: at least one must have. */
  async #reasons(workers: readonly number[], { wait }: { wait: boolean }): Promise<string[]> {
    for (const late = performance.now() + DRILL_END_MS; ; await delay(DRILL_LOOK_MS)) {
      const ends = this.#stage
        .log()
        .filter(({ event, worker }) => event === 'worker-exit' && workers.includes(Number(worker)));
      if (!wait || ends.length > 0 || performance.now() > late) return ends.map(({ reason }) => String(reason));
    }
  }

  /** Waits for a generation's end, for as long as it may drain. */
  async #ended(generation: number): Promise<boolean> {
    const { services } = this.#plan.settings;
    const longest = Math.max(...services.map(({ drainTimeout, killGrace }) => drainTimeout + killGrace));
    for (const end = performance.now() + longest + DRILL_END_MS; ; await delay(DRILL_LOOK_MS)) {
      const lines = this.#stage.log();
      if (lines.some((line) => line.event === 'ended' && line.generation === generation)) return true;
      if (performance.now() > end) return false;
    }
  }

  /**
   * Asks the workers until they have so many connections, of which libuv accepts one a turn (since 1.45), and twice more: between two
   * answers, the event loop of each has read whatever had come before.
   */
  async #takenIn(connections = 0): Promise<Status> {
    for (const end = performance.now() + DRILL_ANSWER_MS; performance.now() < end; ) {
      const { services } = await this.#status();
      const open = services.flatMap(({ workers }) => workers).reduce((sum, worker) => sum + worker.connections, 0);
      if (open >= connections) break;
    }
    await this.#status();
    return this.#status();
  }

  #status(): Promise<Status> {
    return requestStatus(this.#stage.controlSocket);
  }
}

async function finish(request: HalfRequest, tally: Tally): Promise<void> {
  const begun = performance.now();
  try {
    await request.finish();
    tally.answer(performance.now() - begun);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    tally.fail(error);
  }
}

/** The path alone: a URL may lead to the program in production. */
function healthPathOf({ health: { path } }: Settings): string[] {
  if (path === null) return [];
  if (path.startsWith('/')) return [path];
  const { pathname, search } = new URL(path);
  return [pathname + search];
}
