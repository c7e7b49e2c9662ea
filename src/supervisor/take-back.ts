import { failureFields, reasonOf } from '../base/errors.js';
import type { Life } from './life.js';

/** ms between two tries to have back the pidfile and the control socket, for which there was no room. */
const RECLAIM_MS = 1_000;

/** Accepts again, and is the main process: what cannot be had back at once (out of fds, a full disk) is tried for until it can. */
export async function takeBack(life: Life): Promise<void> {
  try {
    await life.instance.takeBack();
  } catch (error) {
    life.warn('take-back', `${reasonOf(error)}; it accepts, and tries again`, failureFields(error));
    const timer = setInterval(() => {
      if (life.machine.is('isMain') && !canReclaim(life)) return;
      clearInterval(timer);
    }, RECLAIM_MS).unref();
  }
}

function canReclaim({ instance }: Life): boolean {
  try {
    instance.endpoints.reclaim();
    return true;
  } catch {
    return false;
  }
}
