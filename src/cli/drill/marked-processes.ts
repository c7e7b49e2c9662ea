import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { textsIn } from '../../base/os/processes.js';
import { SANDBOX_ENV } from '../../config/sandbox.js';
import { DRILL_LOOK_MS } from './drill-limits.js';

/** All processes that run in a sandbox, whoever started them: they have inherited its name. Zombies are none. */
export function processesIn(sandbox: string): number[] {
  const entry = `${SANDBOX_ENV}=${sandbox}`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && environmentOf(pid).includes(entry));
}

/** Waits until none is left, then kills what is. @returns how many had to be killed. */
export async function endAllIn(sandbox: string, ms: number): Promise<number> {
  for (const deadline = performance.now() + ms; performance.now() < deadline; await delay(DRILL_LOOK_MS)) {
    if (processesIn(sandbox).length === 0) return 0;
  }
  let killed = 0;
  // Again, as long as one starts another.
  for (let left = processesIn(sandbox); left.length > 0; left = processesIn(sandbox)) {
    killed += left.length;
    for (const pid of left) kill(pid);
    await delay(DRILL_LOOK_MS);
  }
  return killed;
}

/** With what is not there any more all is well. */
export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Empty for a process that has ended, or is somebody else's. */
function environmentOf(pid: number): string[] {
  try {
    return textsIn(pid, 'environ');
  } catch {
    return [];
  }
}
