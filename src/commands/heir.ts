import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import { HEIR_LOOK_MS, HEIR_MS } from '../limits.js';

/** The instance that serves in the place of one that has died: its successor, or one that a keeper has started. Null: none yet. */
export async function heirOf(path: string, dead: number): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + HEIR_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status !== null && status.pid !== dead && status.phase === 'serving') return status;
    await delay(HEIR_LOOK_MS);
  }
  return null;
}
