import { MotyaError } from '../base/errors.js';

/**
 * The life of an instance as a table: phase → event → next phase. Whatever is not in it cannot happen; trying is a defect.
 * A first instance starts in `starting`, a successor in `waiting`.
 */
export const PHASES = {
  starting: { ready: 'serving', failed: 'ended' },

  // The successor's half.
  waiting: { contacted: 'adopting', incumbentGone: 'alone', failed: 'ended' },
  adopting: { adopted: 'booting', failed: 'ended' },
  booting: { ready: 'ready', failed: 'ended' },
  ready: { commit: 'taking', incumbentGone: 'alone', failed: 'ended' },
  taking: { live: 'probation', failed: 'ended' },
  // The incumbent has died, or was replaced by force.
  alone: { live: 'serving', failed: 'ended' },
  // It serves. The incumbent can serve again, until it has said that it drains.
  probation: { settled: 'serving', revoked: 'draining', stop: 'stopping' },

  serving: { upgrade: 'finding', stop: 'stopping' },

  // The incumbent's half.
  finding: { connected: 'offering', failed: 'serving', stop: 'stopping' },
  offering: { adopted: 'awaiting', failed: 'serving', stop: 'stopping' },
  awaiting: { ready: 'pausing', rehearsed: 'serving', failed: 'serving', stop: 'stopping' },
  pausing: { paused: 'committed', failed: 'resuming', stop: 'stopping' },
  committed: { live: 'standby', failed: 'resuming' },
  // The successor is on probation. The listeners are still here, and no program of this instance accepts on them.
  standby: { settled: 'draining', failed: 'resuming' },
  resuming: { resumed: 'serving' },
  draining: { drained: 'ended' },

  stopping: { drained: 'ended' },
  ended: {},
} as const;

export type Phase = keyof typeof PHASES;
export type PhaseEvent = { [P in Phase]: keyof (typeof PHASES)[P] }[Phase];

/** What is true in a phase. */
interface Traits {
  /** The instance's own workers accept, or do again in milliseconds: a readiness probe succeeds. */
  readonly isReady?: true;
  /** A start that can be given up: no incumbent counts on it. */
  readonly canGiveUp?: true;
  /** It serves in a moment: a request for an upgrade waits for that. */
  readonly isAboutToServe?: true;
  /** No other instance can be the main process. */
  readonly isMain?: true;
  /** The pidfile, its lock and the control socket are its own. During a hand-over they pass to the successor. */
  readonly ownsFiles?: true;
  /** It leads to nothing but the end. */
  readonly isEnding?: true;
  /** Why it cannot begin a hand-over; missing: it can, or will be able to. */
  readonly obstacle?: string;
}

const STARTS = 'it does not serve yet';
const UPGRADES = 'another upgrade is under way';
const HANDED_OVER = 'it has handed over already and drains';
const STOPS = 'it is being stopped';

const TRAITS: Readonly<Record<Phase, Traits>> = {
  starting: { canGiveUp: true, isAboutToServe: true, obstacle: STARTS },
  waiting: { canGiveUp: true, obstacle: STARTS },
  adopting: { canGiveUp: true, obstacle: STARTS },
  booting: { canGiveUp: true, obstacle: STARTS },
  ready: { canGiveUp: true, obstacle: STARTS },
  taking: { isAboutToServe: true, obstacle: STARTS },
  alone: { isAboutToServe: true, obstacle: STARTS },
  probation: { isReady: true, ownsFiles: true, obstacle: 'it is on probation' },
  serving: { isReady: true, isMain: true, ownsFiles: true },
  finding: { isReady: true, isMain: true, ownsFiles: true, obstacle: UPGRADES },
  offering: { isReady: true, isMain: true, obstacle: UPGRADES },
  awaiting: { isReady: true, isMain: true, obstacle: UPGRADES },
  pausing: { isReady: true, isMain: true, obstacle: UPGRADES },
  committed: { isReady: true, obstacle: UPGRADES },
  standby: { obstacle: HANDED_OVER },
  resuming: { isReady: true, isMain: true, obstacle: UPGRADES },
  draining: { isEnding: true, obstacle: HANDED_OVER },
  stopping: { isEnding: true, obstacle: STOPS },
  ended: { isEnding: true, obstacle: STOPS },
};

/** What is true in a phase: see {@link Traits}. */
export const traitsOf = (phase: Phase): Traits => TRAITS[phase];

/** Why an instance cannot begin a hand-over in a phase other than `serving`. */
export function obstacleIn(phase: Phase): string {
  const { isEnding, obstacle = STARTS } = TRAITS[phase];
  return isEnding || phase === 'standby' ? obstacle : `${obstacle} (${phase})`;
}

/** What an instance knows in some phases only. It is forgotten when the instance serves again. */
export interface PhaseData<Probation> {
  /** From `offering` on: pid of the successor. */
  readonly successor: number;
  /** From `probation` on. */
  readonly probation: Probation;
}

/** Where an instance stands in {@link PHASES}, since when, and what it knows there. */
export class PhaseMachine<Probation = unknown> {
  #phase: Phase;
  #since = performance.now();
  #data: Partial<PhaseData<Probation>> = {};
  readonly #changed: (from: Phase, to: Phase, ms: number) => void;

  /** `changed` is told of every step, with the ms that the phase before it took. */
  constructor(initial: Phase, changed: (from: Phase, to: Phase, ms: number) => void) {
    this.#phase = initial;
    this.#changed = changed;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** See {@link Traits}. */
  is(trait: Exclude<keyof Traits, 'obstacle'>): boolean {
    return TRAITS[this.#phase][trait] === true;
  }

  /** Pid of the successor that a hand-over is under way with, or has been made to. */
  get successor(): number | null {
    return this.#data.successor ?? null;
  }

  /** The probation that this instance is on; null: it is on none. */
  get currentProbation(): Probation | null {
    return this.#phase === 'probation' ? this.probation : null;
  }

  /** The probation that this instance is on, or was on when it began to end. */
  get probation(): Probation | null {
    return this.#data.probation ?? null;
  }

  /** ms in this phase. */
  get age(): number {
    return performance.now() - this.#since;
  }

  can(event: PhaseEvent): boolean {
    return event in PHASES[this.#phase];
  }

  /**
   * @param data what it knows from here on
   * @throws {MotyaError} `ERR_MOTYA_PHASE` when the table has no such step.
   */
  step(event: PhaseEvent, data: Partial<PhaseData<Probation>> = {}): void {
    const from = this.#phase;
    const to = (PHASES[from] as Partial<Record<PhaseEvent, Phase>>)[event];
    if (to === undefined) throw new MotyaError('ERR_MOTYA_PHASE', `${event} cannot happen while ${from}`);
    const now = performance.now();
    const ms = now - this.#since;
    this.#phase = to;
    this.#since = now;
    this.#data = to === 'serving' ? {} : { ...this.#data, ...data };
    this.#changed(from, to, ms);
  }
}
