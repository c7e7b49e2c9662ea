import { constants } from 'node:os';
import { isSystemError, reasonOf } from '../errors.js';
import { ABANDON_MS, REJECTED_END_MS } from '../limits.js';
import { native } from '../native.js';
import { endsWithin, processEnd } from '../processes.js';
import type { Life } from './life.js';
import { MAIN } from './take-back.js';

/**
 * What a successor that failed has left behind goes with its end: files, if it was killed. And one that was about to be live
 * when it was told that it is not may have taken the pidfile and the control socket's path a moment after we had them back.
 */
export async function reclaimAfter(life: Life, successor: number): Promise<void> {
  try {
    await endInTime(life, successor).catch((error: unknown) => life.warn('rejected', reasonOf(error), { successor }));
    await processEnd(successor);
    life.instance.clearAfter(successor);
    if (MAIN.includes(life.phase)) life.instance.reclaim();
  } catch (error) {
    life.warn('take-back', reasonOf(error));
  }
}

/** A successor that was rejected ends by itself; one that does not would be in the way of the next. */
async function endInTime(life: Life, successor: number): Promise<void> {
  let pidfd: number;
  try {
    pidfd = native.openPidfd(successor);
  } catch (error) {
    // It has ended.
    if (isSystemError(error) && error.code === 'ESRCH') return;
    throw error;
  }
  try {
    if (await endsWithin(ABANDON_MS + REJECTED_END_MS, successor)) return;
    life.warn('rejected', `pid ${successor} was rejected and does not end; it is killed`, { successor });
    native.signalPidfd(pidfd, constants.signals.SIGKILL);
  } catch (error) {
    // It has ended just now.
    if (!isSystemError(error) || error.code !== 'ESRCH') throw error;
  } finally {
    native.close(pidfd);
  }
}
