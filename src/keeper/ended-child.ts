import { constants } from 'node:os';
import type { EndedChild } from '../base/os/native.js';

/** Exit status of a process that a signal has ended, less the signal's number, as shells have it. */
const SIGNALLED = 128;
/** That of an instance which was told to stop before it had its handlers. */
export const STOPPED = SIGNALLED + constants.signals.SIGTERM;

export const statusOf = ({ status, signal }: EndedChild): number => status ?? SIGNALLED + (signal ?? 0);

export function wayOf({ status, signal }: EndedChild): string {
  if (signal === null) return `exit status ${status}`;
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return `signal ${name ?? signal}`;
}
