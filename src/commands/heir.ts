import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import { HEIR_LOOK_MS, HEIR_MS } from '../limits.js';

/**
 * Who is there in the place of an instance that has hung up: its successor, or one that a keeper has started, once it serves; or
 * itself. Null: nobody yet.
 */
export async function heirOf(path: string, old: number): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + HEIR_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status !== null && (status.pid === old || status.phase === 'serving')) return status;
    await delay(HEIR_LOOK_MS);
  }
  return null;
}
