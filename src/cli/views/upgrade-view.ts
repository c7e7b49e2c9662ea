import { count, duration, visible } from '../../base/units.js';
import type { Live, Result, Waited } from '../../control/control-messages.js';
import { UNKNOWN_ENDS } from '../../control/outcomes.js';
import { type RemovedListener, removedText } from '../../control/removed-listeners.js';
import { drainText } from '../../status/drain-text.js';
import type { DrainStatus } from '../../status/status-document.js';
import { printFailure } from '../failure-line.js';
import { type Differences, differenceLines } from '../process-differences.js';
import { LiveLine } from '../terminal/screen.js';
import type { Drain, DrainEnd } from './drain-view.js';
import { connectionsOf } from './status-view.js';

/** How an upgrade is told while it happens. Durations are ms. */
export interface UpgradeReport {
  /** What the caller has otherwise than the instance. */
  differs(differences: Differences): void;
  /** The incumbent has done with a phase (status/phases.ts). `waited`: what became of a successor that waited. */
  phase(phase: string, ms: number, waited: Waited): void;
  /** It serves, `ms` after the command, and is on probation. */
  live(live: Live, ms: number): void;
  /** `old`: pid of the incumbent; `drain`: how it drains, after a hand-over that happened. */
  outcome(result: Result, told: { ms: number; old: number; drain: Drain | null }): void;
  draining(drain: DrainStatus): void;
  /** `how`: what has become of its connections; null where it is not known. */
  drained(old: { pid: number; how: DrainEnd | null; ms: number }): void;
  close(): void;
}

/** One JSON object a line. */
export const jsonReporter: UpgradeReport = {
  differs: (differs) => say({ differs }),
  phase: (phase, ms, { waited, stale }) => say({ phase, ms, waited, stale }),
  live: ({ pid, generation, gapMicros, probation, removed = [] }, ms) =>
    say({ live: { pid, generation, gapMs: gapMicros / 1000, probationMs: probation, removed }, ms }),
  outcome({ type: _, gapMicros, ...rest }, { ms, drain }) {
    const gap = gapMicros === undefined ? {} : { gapMs: gapMicros / 1000 };
    const draining = drain === null || typeof drain === 'string' ? {} : { draining: drain };
    say({ ...rest, ...gap, ms, ...draining });
  },
  draining: (draining) => say({ draining }),
  drained: ({ pid, how, ms }) => say({ drained: { pid, ms, forced: how?.forced ?? null, moved: how?.moved ?? null } }),
  close: () => {},
};

const say = (object: object): void => console.log(JSON.stringify(object));

const startOf = ({ pid, ms }: NonNullable<Waited['waited']>): string =>
  ms === null ? `pid ${pid}` : `pid ${pid}, started ${duration(ms)} ago`;

/** What the incumbent does in each of its phases, and what is done at its end; in their order. */
const STEPS: readonly (readonly [phase: string, doing: string, done: string])[] = [
  ['finding', 'the successor starts', 'successor started and connected'],
  ['offering', 'the listeners are handed over', 'listeners handed to the successor'],
  ['awaiting', 'the successor boots', 'successor booted and ready'],
  ['pausing', 'the incumbent stops accepting', 'incumbent stopped accepting'],
  ['committed', 'the successor accepts', 'successor accepts'],
];
/** ms between two looks of what lasts; on a terminal only. */
const REFRESH_MS = 100;

/** Lines for people; on a terminal the last one says what is happening now. */
export class PeopleReport implements UpgradeReport {
  readonly #line = new LiveLine(process.stdout);
  readonly #timer: NodeJS.Timeout | undefined;
  #step = 0;
  #since = performance.now();
  #connections = -1;
  /** While the successor is on probation: which generation, until when (performance.now()). */
  #trial: { generation: number; end: number } | null = null;

  constructor() {
    if (process.stdout.isTTY) this.#timer = setInterval(() => this.#refresh(), REFRESH_MS);
  }

  differs(differences: Differences): void {
    this.#line.clear();
    for (const line of differenceLines(differences)) console.error(`motya: ${visible(line)}`);
  }

  phase(phase: string, ms: number, { waited, stale }: Waited): void {
    if (stale !== undefined)
      this.#print(
        `the successor that waited (${startOf(stale)}) has older files than the program: a fresh one is started`,
      );
    if (waited !== undefined) this.#print(`the successor that waited (${startOf(waited)}) is taken`);
    const index = STEPS.findIndex(([name]) => name === phase);
    this.#step = index + 1;
    this.#since = performance.now();
    this.#print(`${String(ms).padStart(7)} ms  ${STEPS[index]?.[2] ?? phase}`);
  }

  live({ pid, generation, gapMicros, probation, removed = [] }: Live, ms: number): void {
    const gap = `${(gapMicros / 1000).toFixed(1)} ms from COMMIT to LIVE`;
    this.#print(
      `generation ${generation} (pid ${pid}) serves (${ms} ms, ${gap}); on probation for ${duration(probation)}`,
    );
    this.#removed(removed);
    this.#trial = { generation, end: performance.now() + probation };
  }

  outcome(
    { ok, code, text, gapMicros, removed = [] }: Result,
    { ms, old, drain }: { ms: number; old: number; drain: Drain | null },
  ): void {
    clearInterval(this.#timer);
    this.#line.clear();
    if (code === 'ERR_MOTYA_ROLLED_BACK') {
      printFailure(`rolled back: ${text}; pid ${old} serves again`, code);
      return;
    }
    if (!ok) {
      if (UNKNOWN_ENDS.includes(code)) printFailure(`the upgrade failed: ${text}`, code);
      else printFailure(`the upgrade was rejected: ${text}; pid ${old} serves on`, code);
      return;
    }
    if (this.#trial !== null) this.#print(`generation ${this.#trial.generation} has passed its probation`);
    const gap = gapMicros === undefined ? '' : `, ${(gapMicros / 1000).toFixed(1)} ms from COMMIT to LIVE`;
    if (this.#trial === null) {
      this.#print(`${text} (${ms} ms${gap})`);
      this.#removed(removed);
    }
    if (drain === null || typeof drain === 'string' || drain.connections === 0) return;
    const most = drain.left === null || drain.left === 0 ? '' : `, for at most ${duration(drain.left)}`;
    this.#print(
      `generation ${drain.generation} (pid ${drain.pid}) still drains ${count(drain.connections, 'connection')}${most}`,
    );
  }

  draining({ generation, connections, protocols, left }: DrainStatus): void {
    const time = left === null ? '' : left > 0 ? `; ${duration(left)} left` : '; closing';
    const text = `generation ${generation} drains ${connectionsOf(connections, protocols)}${time}`;
    if (process.stdout.isTTY) this.#line.update(`          ${text}`);
    else if (connections !== this.#connections) console.log(text);
    this.#connections = connections;
  }

  drained({ pid, how, ms }: { pid: number; how: DrainEnd | null; ms: number }): void {
    this.#print(`pid ${pid} has drained in ${duration(ms)}${how === null ? '' : `: ${drainText(how)}`}`);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#line.clear();
  }

  #refresh(): void {
    const { generation, end } = this.#trial ?? { generation: 0, end: 0 };
    if (this.#trial !== null) {
      const left = duration(Math.max(0, end - performance.now()));
      this.#line.update(`        …  generation ${generation} is on probation, ${left} left`);
      return;
    }
    const doing = STEPS[this.#step]?.[1];
    if (doing !== undefined) this.#line.update(`        …  ${doing}, ${duration(performance.now() - this.#since)}`);
  }

  #removed(removed: readonly RemovedListener[]): void {
    for (const one of removed) this.#print(`removed ${removedText(one)}`);
  }

  #print(line: string): void {
    this.#line.clear();
    console.log(visible(line));
  }
}
