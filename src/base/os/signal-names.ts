import { constants } from 'node:os';

/** Signals that an instance passes on to its programs when the settings say so (`signals: { USR2: pass }`), without their SIG. */
export const PASSABLE = [
  'HUP',
  'USR1',
  'USR2',
  'ALRM',
  'VTALRM',
  'PROF',
  'IO',
  'PWR',
  'WINCH',
  'XCPU',
  'XFSZ',
] as const;
export type Passable = (typeof PASSABLE)[number];

/** Those of {@link PASSABLE} that mean something to an instance itself, too, or whose default action ends no process. */
const HARMLESS: readonly Passable[] = ['HUP', 'WINCH'];

/**
 * Signals that would end an instance by their default action (signal(7)), or open a debugger in it (SIGUSR1 in Node). Those of
 * faults (SEGV, BUS, FPE, ILL, ABRT) keep their meaning.
 */
export const DEADLY: readonly NodeJS.Signals[] = [
  ...PASSABLE.filter((name) => !HARMLESS.includes(name)).map(nameOf),
  'SIGSTKFLT' as NodeJS.Signals,
  'SIGSYS' as NodeJS.Signals,
  'SIGTRAP' as NodeJS.Signals,
].filter((name) => name in constants.signals);

export function nameOf(short: Passable): NodeJS.Signals {
  return `SIG${short}` as NodeJS.Signals;
}
