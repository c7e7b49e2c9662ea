import { setTimeout as delay } from 'node:timers/promises';
import { requestStatus } from '../control/client.js';
import { HEIR_LOOK_MS, HEIR_MS } from '../limits.js';

/**
 * Who serves once an upgrade, of which nobody tells any more, is over: the successor, an instance that a keeper has started, or the
 * old one. Null: nobody yet.
 */
export async function heirOf(path: string): Promise<{ pid: number; generation: number } | null> {
  for (const deadline = performance.now() + HEIR_MS; performance.now() < deadline; ) {
    const status = await requestStatus(path).catch(() => null);
    if (status?.phase === 'serving') return status;
    await delay(HEIR_LOOK_MS);
  }
  return null;
}
