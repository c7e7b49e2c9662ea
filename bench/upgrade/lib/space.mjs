import { Workspace } from '../../../dist-test/e2e/harness/index.js';

/** Runs `body` with a workspace whose processes and files are gone afterwards, whatever happened. */
export async function withSpace(body) {
  const space = new Workspace();
  try {
    return await body(space);
  } finally {
    await space.close();
  }
}

/**
 * Starts node in a session of its own, as Motya and pm2 start their workers: the kernel shares the CPU between sessions
 * (sched_autogroup, sched(7)), so on a busy machine it would be at a disadvantage in ours.
 */
export const startAlone = (space, args, options) => space.start('setsid', args, options);

/** Runs a command to its end; throws with its output if it fails. @returns its stdout */
export async function run(space, command, args, options = {}) {
  const child = space.start(command, args, options);
  const { code, signal } = await child.waitForExit({ deadline: options.deadline ?? 120_000 });
  if (code !== 0) throw new Error(`ended with ${code ?? signal}: ${child.describe()}`);
  return child.stdout;
}
