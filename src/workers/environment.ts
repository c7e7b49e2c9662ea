import { MANAGER_VARIABLES } from '../base/os/activation.js';
import { programOptions, quoteOption, requires, SET_ASIDE } from '../base/os/node-options.js';
import type { ServiceSettings } from '../config/settings.js';
import { withoutBranch } from '../runtime/branch-option.js';
import { BRANCH_ENV, WORKER_ENV, type WorkerRole } from '../runtime/worker-messages.js';

/** How its supervisor was started is no business of a program: what it starts itself is no successor. */
const STARTING = ['MOTYA_UPGRADE', 'MOTYA_FORCE', 'MOTYA_ALLOW_REMOVED', 'MOTYA_ADOPT'];
/** A program that spoke to the service manager would speak as if it were the instance. */
const withoutTheirs = Object.fromEntries(
  [...STARTING, ...MANAGER_VARIABLES, BRANCH_ENV].map((name) => [name, undefined]),
);

/**
 * What a worker's program finds in its environment, once `preload` has made it a worker. `onTerminal`: what it writes to its pipe
 * comes to a terminal in the end.
 */
export function workerEnvironment(
  settings: ServiceSettings,
  role: WorkerRole,
  preload: string,
  onTerminal: boolean,
): NodeJS.ProcessEnv {
  const nodeOptions = nodeOptionsOf(settings);
  // These are loaded before those of the command line, and may listen.
  const isFirst = nodeOptions === undefined || !requires(nodeOptions);
  return {
    ...process.env,
    ...withoutTheirs,
    PWD: settings.cwd,
    ...(onTerminal ? colours(settings) : {}),
    ...settings.env,
    MOTYA_SERVICE: role.service,
    MOTYA_WORKER_INDEX: String(role.index),
    MOTYA_GENERATION: String(role.generation),
    [SET_ASIDE]: undefined,
    NODE_OPTIONS: isFirst ? nodeOptions : `--require ${quoteOption(preload)} ${nodeOptions}`,
    [WORKER_ENV]: JSON.stringify(isFirst ? role : { ...role, nodeOptions }),
  };
}

/** NODE_OPTIONS of its programs. */
export function nodeOptionsOf({ env }: ServiceSettings): string | undefined {
  return env.NODE_OPTIONS ?? withoutBranch(programOptions(process.env));
}

/** For programs that ask whether stdout is a terminal (https://force-color.org). */
function colours({ env }: ServiceSettings): { FORCE_COLOR?: string } {
  const said = [process.env, env].some(({ NO_COLOR, FORCE_COLOR }) => (NO_COLOR ?? FORCE_COLOR) !== undefined);
  return said ? {} : { FORCE_COLOR: '1' };
}
