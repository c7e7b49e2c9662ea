import { fileURLToPath } from 'node:url';
import { BRANCH_ENV, type WorkerRole } from '../messages.js';

const PRELOAD = fileURLToPath(new URL('./branch-preload.cjs', import.meta.url));

/** Quoted as Node reads it (NODE_OPTIONS in Node's cli.md). */
const OPTION = `--require ${JSON.stringify(PRELOAD)}`;

/** Node processes that the program starts from here on become a part of this worker, once they listen. */
export function passOn(role: WorkerRole): void {
  process.env[BRANCH_ENV] = JSON.stringify(role);
  // Before theirs, as in the worker.
  process.env.NODE_OPTIONS = `${OPTION} ${process.env.NODE_OPTIONS ?? ''}`.trimEnd();
}

/** NODE_OPTIONS as they were before {@link passOn}: an instance that a program starts has workers of its own. */
export function withoutBranch(options: string | undefined): string | undefined {
  return options?.replace(OPTION, '').trim() || undefined;
}
