import { fileURLToPath } from 'node:url';
import { quoteOption } from '../../node-options.js';
import { BRANCH_ENV, type WorkerRole } from '../messages.js';

export const PRELOAD = fileURLToPath(new URL('./branch-preload.cjs', import.meta.url));

/** Of any installation of Motya: the program may start another one. Quoted as {@link quoteOption} does it. */
const OPTION = /--require "(?:[^"\\]|\\.)*\/workers\/runtime\/branch-preload\.cjs" ?/;

const optionFor = (preload: string): string => `--require ${quoteOption(preload)}`;

/** Node processes that the program starts from here on become a part of this worker, once they listen. */
export function passOn(role: WorkerRole): void {
  process.env[BRANCH_ENV] = JSON.stringify(role);
  // Before theirs, as in the worker.
  process.env.NODE_OPTIONS = `${optionFor(PRELOAD)} ${process.env.NODE_OPTIONS ?? ''}`.trimEnd();
}

/** NODE_OPTIONS as they were before {@link passOn}: an instance that a program starts has workers of its own. */
export function withoutBranch(options: string | undefined): string | undefined {
  return options?.replace(OPTION, '').trim() || undefined;
}

/** NODE_OPTIONS of {@link passOn}, with the preload at another path. */
export const withBranchAt = (preload: string, options: string): string =>
  // Not as a text: a `$` in a path would be a pattern.
  options.replace(OPTION, () => `${optionFor(preload)} `).trimEnd();
