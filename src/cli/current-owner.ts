import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import type { Result } from '../control/control-messages.js';

/** ms for another instance to serve after the incumbent has died in an upgrade: most programs have booted by then. */
const CURRENT_OWNER_MS = 10_000;
/** ms between two looks for it: a status costs an instance about one. */
const CURRENT_OWNER_LOOK_MS = 100;

/** The result of an upgrade whose incumbent has died or hung up before it could send one. */
export async function lost(path: string, pid: number): Promise<Result> {
  const owner = await currentOwner(path, pid);
  const text =
    owner === null
      ? `pid ${pid} ended before the upgrade was decided; no instance has answered for ${CURRENT_OWNER_MS / 1000} s: see motya status`
      : owner.pid === pid
        ? `pid ${pid} hung up before the upgrade was decided, but still answers: see motya status`
        : `pid ${pid} ended before the upgrade was decided; generation ${owner.generation} (pid ${owner.pid}) serves`;
  const details = { pid, serving: owner?.pid ?? null, generation: owner?.generation ?? null };
  return { type: 'RESULT', ok: false, code: 'ERR_MOTYA_CONNECTION_LOST', text, details };
}

/**
 * The instance that serves after another one has hung up: its successor, one that a keeper has started, or the same one. Null: none
 * within the deadline.
 */
async function currentOwner(path: string, old: number): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + CURRENT_OWNER_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status !== null && (status.pid === old || ['serving', 'probation'].includes(status.phase))) return status;
    await delay(CURRENT_OWNER_LOOK_MS);
  }
  return null;
}
