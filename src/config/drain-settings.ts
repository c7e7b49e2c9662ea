import { allKinds, DRAIN_KINDS, type PerKind, perKind } from '../base/drain-kinds.js';
import { type Problem, valueAt } from './problems.js';
import type { ValidSettings } from './settings-schema.js';

type Drain = ValidSettings['drain'];

/** What one place of the settings, the instance or a service, says of its drain. */
interface Said {
  readonly drain?: Drain;
  readonly drainTimeout?: number | undefined;
}

/**
 * ms for each kind. A service's own `drain` goes before its `drainTimeout`, both before the instance's.
 * @param places the nearest first; the last has a `drainTimeout`
 */
export function drainTimes(...places: readonly Said[]): PerKind<number> {
  const said = places.flatMap(({ drain, drainTimeout }) => [timesOf(drain), timesOf(drainTimeout)]);
  return perKind((kind) => said.find((times) => times[kind] !== undefined)?.[kind] ?? 0);
}

/** ms for kinds that are not named. @param places as {@link drainTimes} has them */
export function drainTimeoutOf(...places: readonly Said[]): number {
  const said = places.flatMap(({ drain, drainTimeout }) => [drain, drainTimeout]);
  return said.find((time) => typeof time === 'number') ?? 0;
}

const timesOf = (drain: Drain): Partial<PerKind<number | undefined>> =>
  typeof drain === 'number' ? allKinds(drain) : (drain ?? {});

/** A `drain` of one duration is another way to write `drainTimeout`: they may not say different things. */
export function drainProblems(input: unknown, valid: ValidSettings): Problem[] {
  const places: [string[], Said][] = [
    [[], valid],
    ...Object.entries(valid.services ?? {}).map(([name, service]): [string[], Said] => [['services', name], service]),
  ];
  return places.flatMap(([path, { drain, drainTimeout }]): Problem[] => {
    const isGiven = valueAt(input, [...path, 'drainTimeout']) !== undefined;
    if (typeof drain !== 'number' || !isGiven || drain === drainTimeout) return [];
    const text = `is a time for all kinds, and drainTimeout is another one; leave one out, or name kinds (${DRAIN_KINDS.join(', ')})`;
    return [{ path: [...path, 'drain'], part: 'key', text }];
  });
}
