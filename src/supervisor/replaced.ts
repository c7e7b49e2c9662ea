import { failureFields, reasonOf } from '../base/errors.js';
import { readPid } from '../base/os/pidfile.js';
import { answersAt } from '../control/client.js';
import type { Life } from './life.js';

/**
 * The pid of the instance that has taken over by force (./force.ts) while this process slept, or null. Anything may have written
 * to the pidfile, and its pid may have been used again: a pid from a file is believed only of the process that answers at the
 * control socket, or that has the open file of our lock.
 */
export function replacedBy({ instance, settings }: Life): number | null {
  // An instance that takes over publishes its own control socket first.
  if (instance.endpoints.control?.isPublished === true) return null;
  const { pidfile } = instance.endpoints;
  const named = readPid(settings.pidfile);
  const answering = answers(settings.controlSocket);
  const isOwner = (pid: number | null): boolean =>
    pid !== null && pid !== process.pid && ((pid === named && pid === answering) || pidfile.isLockedBy(pid));
  return [answering, named].find(isOwner) ?? null;
}

/** The main process's pidfile names it: whatever else is in it (or that it is gone) is mended, with a warning. */
export function restorePidfile(life: Life): void {
  const { pidfile } = life.instance.endpoints;
  if (pidfile.isOurs) return;
  const named = readPid(pidfile.path);
  const found = named === null ? 'had no pid in it' : `named pid ${named}, which is not an instance with this pidfile`;
  try {
    pidfile.publish();
    life.warn('pidfile', `${pidfile.path} ${found}; it names pid ${process.pid} again`);
  } catch (error) {
    life.warn('pidfile', `${pidfile.path} ${found}, and cannot be written: ${reasonOf(error)}`, failureFields(error));
  }
}

/** Null: nothing, or a process of another user. */
function answers(controlSocket: string): number | null {
  try {
    return answersAt(controlSocket);
  } catch {
    return null;
  }
}
