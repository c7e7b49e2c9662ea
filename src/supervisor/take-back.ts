import { reasonOf } from '../base/errors.js';
import { RECLAIM_MS } from '../base/limits.js';
import type { Phase } from '../status/phases.js';
import type { Life } from './life.js';

/** Phases in which nobody else can be the main process. */
export const MAIN: readonly Phase[] = ['resuming', 'serving', 'summoning', 'offering', 'awaiting', 'pausing'];

/** Accepts again, and is the main process: what cannot be had back at once (out of fds, a full disk) is tried for until it can. */
export async function takeBack(life: Life): Promise<void> {
  try {
    await life.instance.takeBack();
  } catch (error) {
    life.warn('take-back', `${reasonOf(error)}; it accepts, and tries again`);
    const timer = setInterval(() => {
      if (MAIN.includes(life.phase) && !canReclaim(life)) return;
      clearInterval(timer);
    }, RECLAIM_MS).unref();
  }
}

function canReclaim({ instance }: Life): boolean {
  try {
    instance.reclaim();
    return true;
  } catch {
    return false;
  }
}
