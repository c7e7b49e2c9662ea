import { atMost, type PerKind } from '../base/drain-kinds.js';
import type { ServiceSettings } from '../config/settings.js';
import { bothDrained, type Drained, NOTHING_DRAINED } from './drained.js';
import type { Moving } from './moves.js';
import type { Slot } from './slot.js';
import { lastKindsOf } from './worker-counts.js';
import type { Ending } from './worker-end.js';

export interface DrainOptions {
  /** Resolves when what is open is to be closed now. */
  readonly cut: Promise<void>;
  /** ms from the signal to SIGKILL, where the settings give more. */
  readonly mostGrace?: number;
  /** Where connections may go; null: nowhere. */
  readonly moving?: Moving | null;
}

/** The end of a service's workers. */
export class ServiceDrain {
  readonly #settings: ServiceSettings;
  readonly #slots: readonly Slot[];
  readonly #drained: (drained: Drained) => void;
  /** When it is cut (performance.now()). */
  #cutAt = Number.POSITIVE_INFINITY;

  /** @param drained called for each worker whose connections have gone */
  constructor(settings: ServiceSettings, slots: readonly Slot[], drained: (drained: Drained) => void) {
    this.#settings = settings;
    this.#slots = slots;
    this.#drained = drained;
  }

  /**
   * Lets every worker finish what it has and then ends it: SIGTERM when no connection is left, so that the program's own
   * clean-up runs; SIGKILL after its grace. What is open of a kind at the end of its time, or of any kind when `cut` resolves, is closed
   * by force.
   */
  async run({ cut, mostGrace = Number.POSITIVE_INFINITY, moving = null }: DrainOptions): Promise<Drained> {
    const { connections, killSignal } = this.#settings;
    const killGrace = Math.min(this.#settings.killGrace, mostGrace);
    const ending = { cut, killGrace, killSignal, moving: connections === 'move' ? moving : null };
    const drained = await Promise.all(this.#slots.map((slot) => this.#drain(slot, ending)));
    return drained.reduce(bothDrained, NOTHING_DRAINED);
  }

  /** Open connections by kind, as workers that drain have counted them last. */
  get lastKinds(): PerKind<number> {
    return lastKindsOf(this.#slots.map(({ worker }) => worker));
  }

  /** A run, now or later, is cut in `ms`. */
  hurry(ms: number): void {
    this.#cutAt = performance.now() + ms;
    for (const { worker, isDraining } of this.#slots) if (isDraining && !worker.hasExited) worker.hurry(ms);
  }

  async #drain(slot: Slot, ending: Omit<Ending, 'times' | 'signalling'>): Promise<Drained> {
    const times = atMost(this.#settings.drain, this.#cutAt - performance.now());
    const drained = await slot.drain({ ...ending, times });
    if (drained === null) return NOTHING_DRAINED;
    this.#drained(drained);
    return drained;
  }
}
