import { once } from 'node:events';
import { LATE_LISTENER_MS } from '../base/deadlines.js';
import type { Listener } from '../listeners/listener.js';
import type { Life } from './life.js';

/**
 * Programs open some of their listeners after they are ready: a port for metrics at once, that of the clients when the database
 * has answered. Waits until they use what the incumbent's programs use, each listener for twice as long as it took there, and
 * LATE_LISTENER_MS at least; not beyond `deadline` (performance.now()).
 */
export async function awaitLateListeners({ instance }: Life, deadline: number): Promise<void> {
  const ready = performance.now();
  const end = ({ wasLateBy }: Listener): number =>
    Math.min(deadline, ready + Math.max(LATE_LISTENER_MS, 2 * (wasLateBy ?? 0)));
  for (;;) {
    const left = Math.max(0, ...instance.usedByIncumbentOnly().map(end)) - performance.now();
    if (left <= 0) return;
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), left);
    await once(instance.ledger.uses, 'change', { signal: over.signal }).catch(() => {});
    clearTimeout(timer);
  }
}
