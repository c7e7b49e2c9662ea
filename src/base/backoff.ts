/** ms before a crashed worker (or instance, by its keeper) is started again; doubles with each crash up to the second figure. */
export const RESTART_MS = 100;
const RESTART_MAX_MS = 30_000;
/** ms of life after which earlier crashes are forgotten. */
const RESTART_FORGET_MS = 10_000;

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
