import type { Life } from './life.js';

/** Closes the listeners that no program uses and no setting names. No other generation has them. */
export function dropUnused({ instance, events }: Life): void {
  for (const key of instance.dropUnused()) events.emit('removed', key);
}

/** The same while the incumbent has them, too. @returns keys of those that it is to end */
export function letGoUnused({ instance, events }: Life): string[] {
  const keys = instance.letGoUnused();
  for (const key of keys) events.emit('removed', key);
  return keys;
}
