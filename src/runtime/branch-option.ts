import { fileURLToPath } from 'node:url';
import { quoteOption } from '../base/os/node-options.js';

/** Loaded into every Node process that a program starts, so this imports little. */
export const PRELOAD = fileURLToPath(new URL('./branch-preload.cjs', import.meta.url));

/** Of any installation of Motya: the program may start another one. Quoted as {@link quoteOption} does it. */
const OPTION = /--require "(?:[^"\\]|\\.)*\/runtime\/branch-preload\.cjs" ?/;

/** What NODE_OPTIONS has for the processes that become a part of a worker. */
export const optionFor = (preload: string): string => `--require ${quoteOption(preload)}`;

/** NODE_OPTIONS as they were before passOn() (./branch-env.ts): an instance that a program starts has workers of its own. */
export function withoutBranch(options: string | undefined): string | undefined {
  return options?.replace(OPTION, '').trim() || undefined;
}

/** NODE_OPTIONS with the preload at another path. */
export const withBranchAt = (preload: string, options: string): string =>
  // Not as a text: a `$` in a path would be a pattern.
  options.replace(OPTION, () => `${optionFor(preload)} `).trimEnd();
