import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import type { Result } from '../control/control-messages.js';

/** ms for somebody to serve in the place of an incumbent that has died in an upgrade: most programs have booted by then. */
const HEIR_MS = 10_000;
/** ms between two looks for it: a status costs an instance about one. */
const HEIR_LOOK_MS = 100;

/** Whoever would have told how the upgrade went has died, or hung up. */
export async function lost(path: string, pid: number): Promise<Result> {
  const heir = await heirOf(path, pid);
  const text =
    heir === null
      ? `pid ${pid} ended before it was decided; nobody has answered for ${HEIR_MS / 1000} s: motya status tells more`
      : heir.pid === pid
        ? `pid ${pid} hung up before it was decided, and answers: motya status tells more`
        : `pid ${pid} ended before it was decided; generation ${heir.generation} (pid ${heir.pid}) serves`;
  return { type: 'RESULT', ok: false, code: 'ERR_MOTYA_CONNECTION_LOST', text };
}

/**
 * Who is there in the place of an instance that has hung up: its successor, or one that a keeper has started, once it serves; or
 * itself. Null: nobody yet.
 */
async function heirOf(path: string, old: number): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + HEIR_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status !== null && (status.pid === old || ['serving', 'probation'].includes(status.phase))) return status;
    await delay(HEIR_LOOK_MS);
  }
  return null;
}
