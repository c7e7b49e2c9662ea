import type { Code, FailureCode, ResultCode } from '../base/error-catalog.js';
import type { DrainOutcome } from '../runtime/drain-connections.js';
import { Totals } from './totals.js';

/** Generations, and upgrades, that are remembered: what fits on a screen. */
export const HISTORY_LENGTH = 20;
/** UTF-16 units of a reason in the history, which goes through COMMIT: a line or two. */
const HISTORY_TEXT = 300;
/** Phases of this instance that are remembered: four upgrades that failed. */
export const PHASES_KEPT = 32;
/** Bytes of what COMMIT carries for the successor's memory: room for the counters in any case, and far from MESSAGE_BYTES. */
export const HISTORY_BYTES = 48 * 1024;

/** A generation that served, or serves. Instants are ISO 8601 in UTC. */
export interface GenerationRecord {
  readonly generation: number;
  readonly pid: number;
  readonly startedAt: string;
  readonly liveAt: string;
  /** When its successor was live. */
  handedOverAt: string | null;
  /** When its last connection had gone; null also when it has died before. */
  drainedAt: string | null;
  /** Connections closed by force at the end of its drain; and how many went on in the generation after it. */
  forced: number | null;
  moved: number | null;
}

/** An upgrade that was tried. Instants are ISO 8601 in UTC. */
export interface UpgradeRecord {
  readonly ok: boolean;
  /** It served, and the generation before it serves again. False: it succeeded, or was rejected before it served. */
  readonly rolledBack: boolean;
  /** Stable, for example `LIVE` or `ERR_MOTYA_PROGRAM`. */
  readonly code: Code;
  readonly text: string;
  /** When it was decided. */
  readonly at: string;
  /** The generation that was to serve. */
  readonly generation: number;
  /** ms from SIGQUIT (or the command) to the decision; null where the incumbent did not tell. */
  readonly ms: number | null;
  /** ms from COMMIT to LIVE, in which neither instance accepted and clients waited; null when LIVE was not reached. */
  gapMs: number | null;
}

export interface PhaseRecord {
  readonly phase: string;
  readonly ms: number;
}

/** Phases whose duration says nothing about an upgrade: an instance is idle in them. */
const IDLE_PHASES: readonly string[] = ['serving', 'waiting', 'ended'];

/** What an instance remembers: counters, the generations and upgrades so far. Passed on to the successor in COMMIT. */
export class History {
  readonly startedAt = new Date();
  readonly #totals = new Totals();
  readonly #phases: PhaseRecord[] = [];
  #generations: GenerationRecord[] = [];
  #upgrades: UpgradeRecord[] = [];
  /** The counters as the successor got them in COMMIT. */
  #committed: Totals | null = null;
  /** The counters as they were inherited. */
  #imported = new Totals();
  #upgradeBegan: Date | null = null;

  get phases(): readonly PhaseRecord[] {
    return this.#phases;
  }

  get generations(): readonly GenerationRecord[] {
    return this.#generations;
  }

  get upgrades(): readonly UpgradeRecord[] {
    return this.#upgrades;
  }

  /**
   * The counters, to be shown. From COMMIT on they stand still: the successor has them and goes on; what it has not heard of
   * yet must not be shown here, or a client that asks both in turn would see a counter fall.
   */
  get totals(): Totals {
    return this.#committed ?? this.#totals;
  }

  phase(phase: string, ms: number): void {
    this.#phases.push({ phase, ms: Math.round(ms * 1000) / 1000 });
    if (this.#phases.length > PHASES_KEPT) this.#phases.shift();
    if (!IDLE_PHASES.includes(phase)) this.#totals.observePhase(phase, ms);
  }

  crash(service: string): void {
    this.#totals.count(['crashes', service]);
  }

  restart(service: string): void {
    this.#totals.count(['restarts', service]);
  }

  /** A worker's drain. */
  drained({ ended, forced, moved, stayed }: DrainOutcome): void {
    this.#totals.count(['drained'], ended);
    this.#totals.count(['moved'], moved);
    for (const [protocol, count] of Object.entries(forced)) this.#totals.count(['forced', protocol], count);
    for (const [reason, count] of Object.entries(stayed)) this.#totals.count(['stayed', reason], count);
  }

  upgradeBegins(): void {
    this.#upgradeBegan = new Date();
  }

  /** An upgrade that did not happen: this instance serves on. */
  upgradeFailed(code: FailureCode, text: string, generation: number): void {
    this.#committed = null;
    this.#totals.count(['upgrades', 'failed', code]);
    this.#recordFailure(code, text, generation, { rolledBack: false });
  }

  /** An upgrade that had happened and was taken back. `counted`: what the successor has told of its counters since LIVE. */
  rolledBack(code: FailureCode, text: string, generation: number, counted: Totals): void {
    this.#committed = null;
    this.#totals.add(counted);
    this.#totals.count(['upgrades', 'rolled-back', code]);
    this.#recordFailure(code, text, generation, { rolledBack: true });
  }

  upgradeRehearsed(code: ResultCode): void {
    this.#totals.count(['upgrades', 'rehearsed', code]);
  }

  /** A first instance serves. */
  firstServes(generation: number): void {
    this.#recordServing(generation);
  }

  /** A successor serves. `predecessor`: the generation that drains now; null when it has died. */
  succeeded(generation: number, predecessor: number | null, { code, text }: { code: ResultCode; text: string }): void {
    const at = this.#recordServing(generation);
    const before = this.#generations.find((one) => one.generation === predecessor);
    if (before !== undefined) before.handedOverAt = at;
    this.#totals.count(['upgrades', 'succeeded', code]);
    const ms = since(this.#upgradeBegan);
    this.#recordUpgrade({ ok: true, rolledBack: false, code, text, at, generation, ms, gapMs: null });
  }

  /** The incumbent has measured it. */
  gap(generation: number, gapMs: number): void {
    const upgrade = this.#upgrades.findLast((one) => one.ok && one.generation === generation);
    if (upgrade !== undefined) upgrade.gapMs = gapMs;
  }

  generationEnded(generation: number, { forced, moved }: { forced: number; moved: number }): void {
    const ended = this.#generations.find((one) => one.generation === generation);
    if (ended !== undefined) Object.assign(ended, { drainedAt: now(), forced, moved });
  }

  /** For COMMIT. Undefined when it would make the message too long: no hand-over may fail for it. */
  export(): object | undefined {
    this.#committed = this.#totals.copy();
    const totals = this.#committed;
    const upgrades = this.#upgrades.map((one) => ({ ...one, text: one.text.slice(0, HISTORY_TEXT) }));
    const all = { totals, generations: this.#generations, upgrades, began: this.#upgradeBegan };
    return [all, { totals }].find((exported) => Buffer.byteLength(JSON.stringify(exported)) <= HISTORY_BYTES);
  }

  /** What the incumbent has sent with COMMIT, whichever version it is of: what we do not understand, we do without. */
  import(exported: unknown): void {
    if (!isRecord(exported)) return;
    this.#totals.add(Totals.from(exported.totals));
    this.#imported = this.#totals.copy();
    this.#generations = validEntries<GenerationRecord>(exported.generations, [
      'generation',
      'pid',
      'startedAt',
      'liveAt',
    ]);
    this.#upgrades = validEntries<UpgradeRecord>(exported.upgrades, ['ok', 'code', 'text', 'at', 'generation']);
    const began = new Date(typeof exported.began === 'string' ? exported.began : Number.NaN);
    if (!Number.isNaN(began.valueOf())) this.#upgradeBegan = began;
  }

  /** What has been counted since COMMIT, all of it: sent again and again, so that nothing is lost or counted twice. */
  get afterCommit(): Totals {
    return this.#totals.since(this.#committed ?? this.#totals);
  }

  /** What has been counted since our own LIVE, all of it, as long as no other counters have been added. */
  get afterLive(): Totals {
    return this.#totals.since(this.#imported);
  }

  /** Counters of a predecessor that has handed over to us. */
  add(totals: Totals): void {
    this.#totals.add(totals);
  }

  /** Another instance counts them from here on. */
  subtract(totals: Totals): void {
    this.#totals.subtract(totals);
  }

  #recordServing(generation: number): string {
    const liveAt = now();
    const startedAt = this.startedAt.toISOString();
    const record = {
      generation,
      pid: process.pid,
      startedAt,
      liveAt,
      handedOverAt: null,
      drainedAt: null,
      forced: null,
      moved: null,
    };
    this.#generations = [...this.#generations, record].slice(-HISTORY_LENGTH);
    return liveAt;
  }

  #recordFailure(code: FailureCode, text: string, generation: number, how: { rolledBack: boolean }): void {
    const ms = since(this.#upgradeBegan);
    this.#recordUpgrade({ ok: false, ...how, code, text, at: now(), generation, ms, gapMs: null });
  }

  #recordUpgrade(upgrade: UpgradeRecord): void {
    this.#upgrades = [...this.#upgrades, upgrade].slice(-HISTORY_LENGTH);
    this.#upgradeBegan = null;
  }
}

const now = (): string => new Date().toISOString();
const since = (began: Date | null): number | null => (began === null ? null : Date.now() - began.valueOf());
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Entries of a list that a peer sent and that have at least these fields. */
function validEntries<T>(sent: unknown, needed: readonly (keyof T & string)[]): T[] {
  if (!Array.isArray(sent)) return [];
  const valid = sent.filter((entry) => isRecord(entry) && needed.every((name) => entry[name] !== undefined));
  return (valid as T[]).slice(-HISTORY_LENGTH);
}
