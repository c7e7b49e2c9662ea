import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { allProcesses, type ProcessStat, processEnd, processName, statOf, textsIn } from '../base/os/processes.js';
import { isDone } from '../base/timeout.js';
import { BRANCH_ENV } from '../runtime/worker-messages.js';

const { SIGKILL, SIGTERM } = constants.signals;
/** Looks for what is to be killed: one that forks in that very moment leaves a child for the next one. */
const KILL_ROUNDS = 5;

/** A worker's process, and those that its program has started. */
export interface Family {
  /** The worker led it, so its id is the worker's pid. */
  readonly session: number;
  /** In the environment that the program's children have inherited. */
  readonly mark: string;
}

/** Ends what is left of the session of a worker that has ended, and was reaped: SIGTERM, and SIGKILL after the grace (ms). Resolves when nothing is left. */
export async function endSession({ session }: Family, grace: number): Promise<void> {
  const told = await signalled(session, SIGTERM);
  if (told.length === 0) return;
  await isDone(grace, Promise.all(told.map((pid) => processEnd(pid))));
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const killed = await signalled(session, SIGKILL);
    if (killed.length === 0) return;
    await isDone(grace, Promise.all(killed.map((pid) => processEnd(pid))));
  }
}

/** Processes that have the mark and are in another session (setsid(2)): their program may want them to outlive it. */
export async function strayed({ session, mark }: Family): Promise<{ pid: number; name: string }[]> {
  const processes = await listed();
  return processes
    .filter((process) => process.session !== session && process.mark?.includes(mark))
    .map(({ pid }) => ({ pid, name: processName(pid) ?? 'ended' }));
}

class ListedProcess {
  readonly pid: number;
  readonly session: number;
  #mark: string | null | undefined;

  constructor({ pid, session }: ProcessStat) {
    this.pid = pid;
    this.session = session;
  }

  /** See {@link markIn}. */
  get mark(): string | null {
    if (this.#mark === undefined) this.#mark = markIn(this.pid);
    return this.#mark;
  }
}

let listing: Promise<readonly ListedProcess[]> | null = null;

/** Every process that runs. One list, made after the last of them has asked, serves all workers that end at the same time. */
function listed(): Promise<readonly ListedProcess[]> {
  listing ??= setImmediate().then(() => {
    listing = null;
    return allProcesses().map((process) => new ListedProcess(process));
  });
  return listing;
}

/** Pids of those that have been told. */
async function signalled(session: number, signal: number): Promise<number[]> {
  const members = (await listed()).filter((process) => process.session === session);
  // The kernel gives the number to no other process as long as one is in the session. Another one that leads it: all had ended.
  if (members.some(({ pid }) => pid === session)) return [];
  return members.map(({ pid }) => pid).filter((pid) => tell(pid, session, signal));
}

/** False: it has ended, or may not be told. */
function tell(pid: number, session: number, signal: number): boolean {
  using owned = new OwnedFds();
  try {
    const pidfd = owned.own(native.pidfd.open(pid));
    // From here on the pid is that of this process: is it still the one that was found?
    if (statOf(pid)?.session !== session) return false;
    native.pidfd.signal(pidfd, signal);
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}

/** What the process has from a worker, with that worker's {@link Family.mark} in it; null: nothing, or it may not be looked into. */
export function markIn(pid: number): string | null {
  try {
    return textsIn(pid, 'environ').find((text) => text.startsWith(`${BRANCH_ENV}=`)) ?? null;
  } catch {
    // It has ended, or is another user's.
    return null;
  }
}
