import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import type { Result } from '../control/control-messages.js';

/** ms for somebody to serve in the place of an incumbent that has died in an upgrade: most programs have booted by then. */
const CURRENT_OWNER_MS = 10_000;
/** ms between two looks for it: a status costs an instance about one. */
const CURRENT_OWNER_LOOK_MS = 100;

/** Whoever would have told how the upgrade went has died, or hung up. */
export async function lost(path: string, pid: number): Promise<Result> {
  const owner = await currentOwner(path, pid);
  const text =
    owner === null
      ? `pid ${pid} ended before it was decided; nobody has answered for ${CURRENT_OWNER_MS / 1000} s: motya status tells more`
      : owner.pid === pid
        ? `pid ${pid} hung up before it was decided, and answers: motya status tells more`
        : `pid ${pid} ended before it was decided; generation ${owner.generation} (pid ${owner.pid}) serves`;
  return { type: 'RESULT', ok: false, code: 'ERR_MOTYA_CONNECTION_LOST', text };
}

/**
 * Who is there in the place of an instance that has hung up: its successor, or one that a keeper has started, once it serves; or
 * itself. Null: nobody yet.
 */
async function currentOwner(path: string, old: number): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + CURRENT_OWNER_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status !== null && (status.pid === old || ['serving', 'probation'].includes(status.phase))) return status;
    await delay(CURRENT_OWNER_LOOK_MS);
  }
  return null;
}
