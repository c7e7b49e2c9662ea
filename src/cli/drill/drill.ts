import { setTimeout as delay } from 'node:timers/promises';
import { longestOf } from '../../base/drain-kinds.js';
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
import { hintsFor } from './hints.js';
import { HalfRequest } from './http-request.js';
import { Load } from './load-driver.js';
import { type MovedConnections, movedConnections } from './moved-connections.js';
import { Failure, lostRequests, RequestCounts, type Seen } from './request-counts.js';
import { SandboxInstance } from './sandbox-instance.js';
import { kill } from './sandbox-processes.js';
import type { Step } from './step.js';
import { explore, type Place } from './target-address.js';

export interface DrillPlan {
  readonly settings: Settings;
  readonly upgrades: number;
  readonly path: string;
}

export interface LoadPlan {
  readonly places: readonly Place[];
  readonly clients: number;
  readonly paths: readonly string[];
  /** Listeners that get no requests. */
  readonly idle: readonly string[];
}

/** Receives the progress of a drill. */
export interface ProgressReporter {
  started(loadPlan: LoadPlan): void;
  step(step: Step): void;
}

export interface DrillResult {
  readonly steps: readonly Step[];
  readonly connections: MovedConnections;
  readonly hints: readonly string[];
}

/**
 * Runs the program in a sandbox under load: upgrades it, kills a successor, and starts one that throws.
 * @param cancelled ends the drill early. Nothing is left behind then, either.
 * @throws {MotyaError} the program cannot be drilled: it does not start, or gives no good answers to begin with.
 */
export async function drill(plan: DrillPlan, reporter: ProgressReporter, cancelled: AbortSignal): Promise<DrillResult> {
  checkPrivileges(plan.settings);
  const sandbox = new SandboxInstance(plan.settings);
  const interrupted = new Promise<never>((_, reject) => {
    cancelled.addEventListener('abort', () => reject(cancelled.reason), { once: true });
  });
  interrupted.catch(() => {});
  const run = new DrillRun(plan, sandbox, reporter);
  try {
    cancelled.throwIfAborted();
    return await Promise.race([run.all(), interrupted]);
  } catch (error) {
    if (!(error instanceof NotRunningError)) throw error;
    throw new MotyaError('ERR_MOTYA_DRILL', `the instance of the drill is gone: ${sandbox.lastError()}`, {
      cause: error,
    });
  } finally {
    await run.end();
  }
}

const keepsServing = (generation: number): string => `generation ${generation} serves on`;

/** The steps, in their order. */
class DrillRun {
  readonly #plan: DrillPlan;
  readonly #sandbox: SandboxInstance;
  readonly #reporter: ProgressReporter;
  readonly #steps: Step[] = [];
  #load: Load | null = null;

  constructor(plan: DrillPlan, sandbox: SandboxInstance, reporter: ProgressReporter) {
    this.#plan = plan;
    this.#sandbox = sandbox;
    this.#reporter = reporter;
  }

  async all(): Promise<DrillResult> {
    const { upgrades } = this.#plan;
    await this.#sandbox.start();
    const { places, paths } = await this.#startLoad();
    const load = this.#load as Load;
    await delay(DRILL_STEADY_MS);
    let continues = this.#report('steady', 'before any upgrade', load.counts.take(), '');
    for (let number = 1; continues && number <= upgrades; number++) {
      continues = await this.#upgrade(load.counts, `upgrade ${number} of ${upgrades}`);
    }
    if (continues) await this.#killSuccessor(load.counts);
    // From here on its programs end because the drill ends them.
    const log = this.#sandbox.log();
    if (continues) await this.#startBroken(load.counts);
    await load.stop();
    if (continues) await this.#terminate(places, paths);
    const hints = hintsFor({
      steps: this.#steps,
      log,
      programCalls: this.#sandbox.programCalls(),
      settings: this.#plan.settings,
    });
    return { steps: this.#steps, connections: movedConnections(log), hints };
  }

  /** May be called at any time, also while a step runs. */
  async end(): Promise<void> {
    await requestStop(this.#sandbox.controlSocket).catch(() => {});
    await this.#sandbox.close();
    await this.#load?.stop();
  }

  async #startLoad(): Promise<LoadPlan> {
    const { path, settings } = this.#plan;
    const paths = [...new Set([path, ...healthPathOf(settings)])];
    const { listeners } = await this.#status();
    const places = await explore(
      listeners.map(({ key }) => key),
      path,
    );
    const [first] = places;
    if (first === undefined) {
      const text = 'the program listens on no TCP or unix socket: there is nothing to ask';
      throw new MotyaError('ERR_MOTYA_DRILL', text, { details: { lacks: 'listener' } });
    }
    const asked = [...places].sort((one, other) => Number(one.speaks === 'tcp') - Number(other.speaks === 'tcp'));
    const chosen = asked.slice(0, DRILL_PLACES);
    for (const { key, status } of chosen) {
      if (status === null || status < 500) continue;
      const text = `GET ${path} of ${key} is answered with status ${status} before anything is upgraded`;
      const details = { path, listener: key, status };
      throw new MotyaError('ERR_MOTYA_DRILL', `${text}; name another one with --path`, { details });
    }
    const idle = listeners.map(({ key }) => key).filter((key) => chosen.every((place) => place.key !== key));
    const load = new Load(chosen, paths);
    this.#load = load;
    const loadPlan = { places: chosen, clients: load.clients, paths, idle };
    this.#reporter.started(loadPlan);
    return loadPlan;
  }

  /** @returns whether the next step makes sense. */
  #report(step: Step['step'], title: string, seen: Seen, text: string, happened = true): boolean {
    const done = { step, title, ok: happened && lostRequests(seen) === 0, text, ...seen };
    this.#steps.push(done);
    this.#reporter.step(done);
    return happened;
  }

  /** Until the old generation has drained. */
  async #upgrade(counts: RequestCounts, title: string): Promise<boolean> {
    const { generation } = await this.#status();
    const { ok, text } = await requestUpgrade(this.#sandbox.controlSocket);
    if (!ok) return this.#report('upgrade', title, counts.take(), `${text}; ${keepsServing(generation)}`, false);
    const isOver = await this.#waitForEnd(generation);
    const what = isOver ? `generation ${generation + 1} serves` : `generation ${generation} does not end`;
    return this.#report('upgrade', title, counts.take(), what, isOver);
  }

  /** Kills the successor, supervisor and workers, as the kernel does when memory runs out. */
  async #killSuccessor(counts: RequestCounts): Promise<void> {
    const before = await this.#status();
    const killed = { from: 0, killedAt: 0, to: 0 };
    const ready = (): void => {
      killed.from = performance.now();
    };
    let killing = Promise.resolve();
    const live = ({ pid }: { pid: number }): void => {
      killing = this.#kill(counts, pid, killed);
    };
    const { ok, code, text } = await requestUpgrade(this.#sandbox.controlSocket, { ready, live });
    killed.to = performance.now();
    await killing;
    await delay(DRILL_AFTER_MS);
    const happened = !ok && code === 'ERR_MOTYA_ROLLED_BACK' && (await this.#status()).pid === before.pid;
    const what = happened ? `generation ${before.generation} serves again` : text;
    this.#report('killed', 'successor killed', counts.take(killed), what, happened);
  }

  async #kill(counts: RequestCounts, pid: number, killed: { killedAt: number }): Promise<void> {
    const enough = counts.answers + (this.#load?.clients ?? 0);
    for (const late = performance.now() + DRILL_PROBATION_MS / 2; counts.answers < enough; await delay(DRILL_LOOK_MS)) {
      if (performance.now() > late) break;
    }
    const { pid: main, services } = await this.#status();
    if (main !== pid) return;
    killed.killedAt = performance.now();
    for (const one of [pid, ...services.flatMap(({ workers }) => workers.map((worker) => worker.pid ?? 0))]) {
      if (one > 0) kill(one);
    }
  }

  async #startBroken(counts: RequestCounts): Promise<void> {
    const before = await this.#status();
    this.#sandbox.breakNext();
    const { ok } = await requestUpgrade(this.#sandbox.controlSocket);
    this.#sandbox.repair();
    await delay(DRILL_AFTER_MS);
    const happened = !ok && (await this.#status()).pid === before.pid;
    const what = happened ? `rejected; ${keepsServing(before.generation)}` : 'a program that throws took over';
    this.#report('broken', 'successor that throws', counts.take(), what, happened);
  }

  /** The only load in this step is requests that the program has begun to read when the signal comes: the result does not depend on timing. */
  async #terminate(places: readonly Place[], paths: readonly string[]): Promise<void> {
    const place = places.find(({ speaks }) => speaks !== 'tcp');
    if (place === undefined) return;
    const counts = new RequestCounts();
    const from = performance.now();
    const held = Array.from({ length: DRILL_HELD }, () => new HalfRequest(place, paths[0] as string));
    await Promise.all(held.map((request) => request.begun));
    const { services } = await this.#statusOnceRead(held.length);
    const workers = services.flatMap((service) => service.workers.map(({ pid }) => pid ?? 0)).filter((pid) => pid > 0);
    const killedAt = performance.now();
    for (const pid of workers) kill(pid, 'SIGTERM');
    await this.#statusOnceRead();
    await Promise.all(held.map((request) => finish(request, counts)));
    const to = performance.now();
    // A program without a handler is ended by the kernel; one that ends by itself has chosen to.
    const reasons = await this.#exitReasons(workers, { wait: counts.failed > 0 });
    const isDefault = reasons.some((reason) => reason === 'signal SIGTERM');
    const seen = counts.take(isDefault ? { from, killedAt, to } : null);
    const text = isDefault
      ? 'it has no handler, which is fine: Motya sends it to programs that have drained'
      : `its own handler has it ${reasons.length === 0 ? 'go on' : `end (${reasons[0]})`}`;
    this.#report('sigterm', 'SIGTERM to the program', seen, text);
  }

  /** How these workers have ended. `wait`: waits until at least one has. */
  async #exitReasons(workers: readonly number[], { wait }: { wait: boolean }): Promise<string[]> {
    for (const late = performance.now() + DRILL_END_MS; ; await delay(DRILL_LOOK_MS)) {
      const ends = this.#sandbox
        .log()
        .filter(({ event, worker }) => event === 'worker-exit' && workers.includes(Number(worker)));
      if (!wait || ends.length > 0 || performance.now() > late) return ends.map(({ reason }) => String(reason));
    }
  }

  /** Waits for a generation's end, for as long as it may drain. */
  async #waitForEnd(generation: number): Promise<boolean> {
    const times = this.#plan.settings.services.map(({ drain, killGrace }) => longestOf(drain) + killGrace);
    for (const end = performance.now() + Math.max(...times) + DRILL_END_MS; ; await delay(DRILL_LOOK_MS)) {
      const lines = this.#sandbox.log();
      if (lines.some((line) => line.event === 'ended' && line.generation === generation)) return true;
      if (performance.now() > end) return false;
    }
  }

  /**
   * Asks for the status until the workers have this many connections, because libuv accepts one in each turn of the loop (since 1.45).
   * Then asks twice more: between two answers each event loop has read what had arrived before.
   */
  async #statusOnceRead(connections = 0): Promise<Status> {
    for (const end = performance.now() + DRILL_ANSWER_MS; performance.now() < end; ) {
      const { services } = await this.#status();
      const open = services.flatMap(({ workers }) => workers).reduce((sum, worker) => sum + worker.connections, 0);
      if (open >= connections) break;
    }
    await this.#status();
    return this.#status();
  }

  #status(): Promise<Status> {
    return requestStatus(this.#sandbox.controlSocket);
  }
}

async function finish(request: HalfRequest, counts: RequestCounts): Promise<void> {
  const begun = performance.now();
  try {
    await request.finish();
    counts.answer(performance.now() - begun);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    counts.fail(error);
  }
}

/** The path alone: a URL may lead to the program in production. */
function healthPathOf({ health: { path } }: Settings): string[] {
  if (path === null) return [];
  if (path.startsWith('/')) return [path];
  const { pathname, search } = new URL(path);
  return [pathname + search];
}
