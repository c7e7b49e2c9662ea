import type { IntervalHistogram } from 'node:perf_hooks';
import { DELAY_FORGET_MS, DELAY_RESOLUTION_MS } from '../limits.js';

/** How late timers ran, in ms, since the last question. */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Measures how long this process's event loop is held up, but only while somebody asks: a timer that fires is not free. */
export class LoopDelay {
  #histogram: IntervalHistogram | null = null;
  #forget: NodeJS.Timeout | undefined;

  /** Null: it was not measured, or for too short a time. The measurement goes on until nobody has asked for a while. */
  read(): EventLoopDelay | null {
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => this.stop(), DELAY_FORGET_MS).unref();
    if (this.#histogram === null) {
      // Loaded when it is wanted: no program should start later for it.
      const { monitorEventLoopDelay } = process.getBuiltinModule('node:perf_hooks');
      this.#histogram = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
      this.#histogram.enable();
      return null;
    }
    const histogram = this.#histogram;
    if (histogram.count === 0) return null;
    const delay = {
      p50: late(histogram.percentile(50)),
      p99: late(histogram.percentile(99)),
      max: late(histogram.max),
    };
    histogram.reset();
    return delay;
  }

  stop(): void {
    clearTimeout(this.#forget);
    this.#histogram?.disable();
    this.#histogram = null;
  }
}

/** The histogram has the time from one tick of its timer to the next, in ns; what is more than the timer's own is delay. */
function late(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1000 - DELAY_RESOLUTION_MS * 1000) / 1000);
}
