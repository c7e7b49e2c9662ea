import { CLI } from './paths.js';
import { commandLineOf, environmentTextOf, isAlive, parentOf, pids, startTimeOf } from './proc.js';
import { until } from './until.js';

/** Environment variable that every process of a test inherits, however it was forked. */
export const MARKER = 'SUPERVISED_TEST_ID';

/** ms for what was asked to stop, and then for what was asked a second time, before it is killed. */
export const STOP_MS = 5_000;

/** Living processes that bear the marker `id`, or one below it (`id.…`). */
export function markedProcesses(id: string): number[] {
  const entry = `${MARKER}=${id}`;
  return pids().filter((pid) => {
    // Asked for each process of the machine: not as a map.
    const text = pid === process.pid ? '' : environmentTextOf(pid);
    const next = text[text.indexOf(entry) + entry.length];
    return text.includes(entry) && (next === '\0' || next === '.') && isAlive(pid);
  });
}

/**
 * Stops all processes with the marker: asks `own` pids and instances of Motya (twice: the second signal means now), waits
 * for the rest to follow, kills what does not. Returns the command lines of what had to be killed.
 */
export async function stopMarked(id: string, own: ReadonlySet<number>, stopMs: number): Promise<string[]> {
  const isInstance = (pid: number) => {
    const line = commandLineOf(pid);
    return line.some((part) => part === CLI || part.endsWith('/motya'));
  };
  for (let round = 0; round < 2 && markedProcesses(id).length > 0; round++) {
    const marked = markedProcesses(id);
    for (const pid of marked) {
      const isRoot = !marked.includes(parentOf(pid) ?? 0);
      if (own.has(pid) || (isRoot && isInstance(pid))) signal(pid, 'SIGTERM');
    }
    await allGone(id, stopMs, marked).catch(() => {});
  }
  const deaf = markedProcesses(id);
  const left = deaf.map(
    (pid) => `${pid} (parent ${parentOf(pid)}, started ${startTimeOf(pid)}): ${commandLineOf(pid).join(' ')}`,
  );
  for (const pid of deaf) signal(pid, 'SIGKILL');
  await allGone(id, STOP_MS, deaf).catch(() => {});
  return left;
}

/**
 * Waits until no process bears the marker `id`, and those that did, and `before`, have ended: one that exits loses its memory,
 * the marker with it, before its files and sockets (do_exit, Linux 6.18).
 */
export async function allGone(id: string, deadline: number, before: readonly number[] = []): Promise<void> {
  /** With the start of each: its pid may be another's soon. */
  const seen = new Map(before.map((pid) => [pid, startTimeOf(pid)]));
  const left = () => {
    for (const pid of markedProcesses(id)) seen.set(pid, startTimeOf(pid));
    return [...seen].flatMap(([pid, start]) => (startTimeOf(pid) === start && isAlive(pid) ? [pid] : []));
  };
  const instead = () => left().map((pid) => `${pid} ${commandLineOf(pid).join(' ')}`);
  await until(() => left().length === 0, { what: 'the end of all processes', deadline, instead });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
    // A stopped process does not hear anything but this.
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
