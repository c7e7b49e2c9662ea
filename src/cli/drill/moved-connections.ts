import type { LogLine } from './sandbox-instance.js';

/** What became of the connections of the old versions: those that went on in the next one, and by reason those that could not. */
export interface MovedConnections {
  readonly moved: number;
  readonly stayed: Readonly<Record<string, number>>;
}

/** From the lines `drained` of the log. */
export function movedConnections(log: readonly LogLine[]): MovedConnections {
  const drained = log.filter(({ event }) => event === 'drained');
  const stayed: Record<string, number> = {};
  for (const line of drained) {
    for (const [reason, number] of Object.entries((line.stayed ?? {}) as Record<string, number>))
      stayed[reason] = (stayed[reason] ?? 0) + number;
  }
  return { moved: drained.reduce((sum, line) => sum + Number(line.moved ?? 0), 0), stayed };
}
