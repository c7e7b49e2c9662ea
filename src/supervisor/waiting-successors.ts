import { GREETING_MS, LATE_MS } from '../base/deadlines.js';
import { endsWithin } from '../base/os/processes.js';
import { duration } from '../base/units.js';
import type { Life } from './life.js';
import { haveChanged } from './program-files.js';

/**
 * Until when a successor that starts was meant for the upgrade which has brought this instance (performance.now()). One that was
 * started before the hand-over was. So was one that comes soon after a signal to which the incumbent has answered with a successor
 * of its own, because none waited: an administrator who sends SIGQUIT first starts the successor next.
 * @param sinceSignal ms since that signal; null: there was none, or a successor waited
 */
export function lateUntil(sinceSignal: number | null): number {
  const now = performance.now();
  return sinceSignal === null ? now : Math.max(now, now - sinceSignal + LATE_MS);
}

/** Why a successor that announces itself is not wanted, or null. `startedAt`: of its process (performance.now()). */
export function lateness(life: Life, startedAt: number): string | null {
  // While an upgrade is under way it may be the one that this instance looks for.
  if ((life.phase !== 'serving' && life.phase !== 'probation') || startedAt >= life.lateUntil) return null;
  const { generation, machine } = life;
  const text = `the upgrade that this successor was started for has happened without it: generation ${generation} (pid ${process.pid})`;
  const wait = Math.ceil((life.lateUntil - performance.now()) / 1000);
  const more = wait > 0 ? `; for the next upgrade, start it in ${wait} s, or use \`motya upgrade\`` : '';
  return `${text} serves for ${duration(machine.age)}${more}`;
}

/**
 * Before this incumbent looks for a successor: one that waits, and whose files have changed since it was started, would deploy the
 * version before. It is told so, and ends.
 */
export async function dismissStale({ instance, events }: Life): Promise<void> {
  const { control } = instance.endpoints;
  const stale = (control?.watchers ?? []).flatMap(({ pid, started }) =>
    started !== null && haveChanged(started.program, started.program.fingerprint) ? [{ pid, at: started.at }] : [],
  );
  for (const { pid, at } of stale) {
    const ms = performance.now() - at;
    const text = `the files of the program have changed since this successor (pid ${pid}) was started ${duration(ms)} ago`;
    control?.dismiss(pid, { text, code: 'ERR_MOTYA_SUCCESSOR_STALE' });
    events.emit('stale', { pid, ms });
  }
  // It has the upgrade socket until it ends.
  await Promise.all(stale.map(({ pid }) => endsWithin(GREETING_MS, pid)));
}

/** The successor that this incumbent has found, unless it has started it itself, is told of. */
export function tellTaken({ instance, events }: Life, pid: number): void {
  const found = instance.endpoints.control?.watchers.find((watcher) => watcher.pid === pid);
  const started = found?.started ?? null;
  events.emit('taken', { pid, ms: started === null ? null : performance.now() - started.at });
}
