import { MotyaError } from '../base/errors.js';

/**
 * The life of an instance as a table: phase → event → next phase. Whatever is not in it cannot happen; trying is a defect.
 * A first instance starts in `starting`, a successor in `waiting`.
 */
export const PHASES = {
  starting: { ready: 'serving', failed: 'ended' },

  // the successor's half
  waiting: { contacted: 'adopting', incumbentGone: 'alone', failed: 'ended' },
  adopting: { adopted: 'booting', failed: 'ended' },
  booting: { ready: 'ready', failed: 'ended' },
  ready: { commit: 'taking', incumbentGone: 'alone', failed: 'ended' },
  taking: { live: 'serving', failed: 'ended' },
  alone: { live: 'serving', failed: 'ended' },

  // `revoked`: its probation has failed, and the incumbent accepts again
  serving: { quit: 'summoning', stop: 'stopping', revoked: 'draining' },

  // the incumbent's half
  summoning: { connected: 'offering', failed: 'serving', stop: 'stopping' },
  offering: { adopted: 'awaiting', failed: 'serving', stop: 'stopping' },
  awaiting: { ready: 'pausing', failed: 'serving', stop: 'stopping' },
  pausing: { paused: 'committed', failed: 'resuming', stop: 'stopping' },
  committed: { live: 'probation', failed: 'resuming' },
  // the successor is on probation: its listeners are still here, and nobody accepts on them
  probation: { settled: 'draining', failed: 'resuming' },
  resuming: { resumed: 'serving' },
  draining: { drained: 'ended' },

  stopping: { drained: 'ended' },
  ended: {},
} as const;

export type Phase = keyof typeof PHASES;
export type PhaseEvent = { [P in Phase]: keyof (typeof PHASES)[P] }[Phase];

/** Phases of a start that can be given up: no incumbent counts on it. */
export const BEFORE_COMMIT: readonly Phase[] = ['starting', 'waiting', 'adopting', 'booting', 'ready'];

/** Phases that lead to nothing but the end. */
export const ENDING: readonly Phase[] = ['draining', 'stopping', 'ended'];

/** Why an instance cannot begin a hand-over in a phase other than `serving`. */
export function obstacleIn(phase: Phase): string {
  switch (phase) {
    case 'probation':
    case 'draining':
      return 'it has handed over already and drains';
    case 'stopping':
    case 'ended':
      return 'it is being stopped';
    case 'summoning':
    case 'offering':
    case 'awaiting':
    case 'pausing':
    case 'committed':
    case 'resuming':
      return `another upgrade is under way (${phase})`;
    default:
      return `it does not serve yet (${phase})`;
  }
}

/** Where an instance stands in {@link PHASES}, and since when. */
export class PhaseMachine {
  #phase: Phase;
  #since = performance.now();
  readonly #changed: (from: Phase, to: Phase, ms: number) => void;

  /** `changed` is told of every step, with the ms that the phase before it took. */
  constructor(initial: Phase, changed: (from: Phase, to: Phase, ms: number) => void) {
    this.#phase = initial;
    this.#changed = changed;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** ms in this phase. */
  get age(): number {
    return performance.now() - this.#since;
  }

  can(event: PhaseEvent): boolean {
    return event in PHASES[this.#phase];
  }

  /** @throws {MotyaError} `ERR_MOTYA_PHASE` when the table has no such step. */
  step(event: PhaseEvent): void {
    const from = this.#phase;
    const to = (PHASES[from] as Partial<Record<PhaseEvent, Phase>>)[event];
    if (to === undefined) throw new MotyaError('ERR_MOTYA_PHASE', `${event} cannot happen while ${from}`);
    const now = performance.now();
    const ms = now - this.#since;
    this.#phase = to;
    this.#since = now;
    this.#changed(from, to, ms);
  }
}
