import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { textsIn } from '../../base/os/processes.js';
import { SANDBOX_ENV } from '../../config/sandbox.js';
import { DRILL_LOOK_MS } from './drill-limits.js';

/** All processes that run in a sandbox: each has inherited its name in the environment. Zombies do not count. */
export function processesIn(sandbox: string): number[] {
  const entry = `${SANDBOX_ENV}=${sandbox}`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && environmentOf(pid).includes(entry));
}

/** Waits up to `ms` until none is left, then kills the rest. @returns how many were killed. */
export async function endAllIn(sandbox: string, ms: number): Promise<number> {
  for (const deadline = performance.now() + ms; performance.now() < deadline; await delay(DRILL_LOOK_MS)) {
    if (processesIn(sandbox).length === 0) return 0;
  }
  let killed = 0;
  // A process may have started another one meanwhile.
  for (let left = processesIn(sandbox); left.length > 0; left = processesIn(sandbox)) {
    killed += left.length;
    for (const pid of left) kill(pid);
    await delay(DRILL_LOOK_MS);
  }
  return killed;
}

/** Sends the signal, unless the process has ended already. */
export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Empty for a process that has ended, or that belongs to another user. */
function environmentOf(pid: number): string[] {
  try {
    return textsIn(pid, 'environ');
  } catch {
    return [];
  }
}
