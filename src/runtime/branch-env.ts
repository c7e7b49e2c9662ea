import { optionFor, PRELOAD } from './branch-option.js';
import { BRANCH_ENV, type WorkerRole } from './worker-messages.js';

/** Node processes that the program starts from here on become a part of this worker, once they listen. */
export function passOn(role: WorkerRole): void {
  process.env[BRANCH_ENV] = JSON.stringify(role);
  // Before theirs, as in the worker.
  process.env.NODE_OPTIONS = `${optionFor(PRELOAD)} ${process.env.NODE_OPTIONS ?? ''}`.trimEnd();
}
