import { RESTART_FORGET_MS, RESTART_MAX_MS, RESTART_MS } from './limits.js';

/** How long to wait before what has crashed is started again: doubled with each crash, forgotten after a life that was long enough. */
export class Backoff {
  #ms = RESTART_MS;

  /** @param livedMs ms for which it ran this time. @returns ms to wait. */
  next(livedMs: number): number {
    const ms = livedMs > RESTART_FORGET_MS ? RESTART_MS : this.#ms;
    this.#ms = Math.min(ms * 2, RESTART_MAX_MS);
    return ms;
  }
}
