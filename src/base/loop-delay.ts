import type { RecordableHistogram } from 'node:perf_hooks';
import { setInterval } from 'node:timers';

/** ms after the last question in which the delay of an event loop is still measured: a scraper's minute, and a margin. */
const DELAY_FORGET_MS = 75_000;
/** ms between two ticks of that measurement: 50 a second cost a worker nothing that could be measured. */
const DELAY_RESOLUTION_MS = 20;

/** How late timers ran, in ms, since the last question. */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** In whole µs, as messages have it. */
export const toMicros = (delay: EventLoopDelay): EventLoopDelay => scaled(delay, (ms) => Math.round(ms * 1000));
export const fromMicros = (delay: EventLoopDelay): EventLoopDelay => scaled(delay, (micros) => micros / 1000);

const scaled = ({ p50, p99, max }: EventLoopDelay, by: (value: number) => number): EventLoopDelay => ({
  p50: by(p50),
  p99: by(p99),
  max: by(max),
});

/** Of two measurements. */
export function worse(before: EventLoopDelay | null, later: EventLoopDelay): EventLoopDelay {
  if (before === null) return later;
  return {
    p50: Math.max(before.p50, later.p50),
    p99: Math.max(before.p99, later.p99),
    max: Math.max(before.max, later.max),
  };
}

/**
 * Measures how long this process's event loop is held up, but only while it is asked for: a timer that fires is not free.
 * Not by `monitorEventLoopDelay`, whose first tick after each `reset()` counts for nothing: a loop that is held up right after
 * a question would never be told.
 */
export class LoopDelay {
  #histogram: RecordableHistogram | null = null;
  #ticks: NodeJS.Timeout | undefined;
  #forget: NodeJS.Timeout | undefined;

  /** Null: it was not measured, or for too short a time. The measurement ends when it has not been asked for in a while. */
  read(): EventLoopDelay | null {
    clearTimeout(this.#forget);
    this.#forget = setTimeout(() => this.stop(), DELAY_FORGET_MS).unref();
    const histogram = this.#histogram ?? this.#start();
    if (histogram.count === 0) return null;
    const micros = [histogram.percentile(50), histogram.percentile(99), histogram.max];
    const [p50 = 0, p99 = 0, max = 0] = micros.map((value) => value / 1000);
    histogram.reset();
    return { p50, p99, max };
  }

  stop(): void {
    clearTimeout(this.#forget);
    clearInterval(this.#ticks);
    this.#histogram = null;
  }

  #start(): RecordableHistogram {
    // Loaded when it is wanted: no program should start later for it.
    const { createHistogram } = process.getBuiltinModule('node:perf_hooks');
    const histogram = createHistogram();
    let due = performance.now() + DELAY_RESOLUTION_MS;
    this.#ticks = setInterval(() => {
      const now = performance.now();
      // In µs, and it takes nothing below 1.
      histogram.record(Math.max(1, Math.round((now - due) * 1000)));
      due = now + DELAY_RESOLUTION_MS;
    }, DELAY_RESOLUTION_MS).unref();
    this.#histogram = histogram;
    return histogram;
  }
}
