import { RETIRED_MS } from '../base/deadlines.js';
import { fitting } from '../handover/listener-diff.js';
import type { Listener } from '../listeners/listener.js';
import type { Life } from './life.js';

/** Closes the listeners that no program uses and no setting names. No other generation has them. */
export function dropUnused(life: Life): void {
  const { ledger, manager } = life.instance;
  ledger.isShared = false;
  manager.settled();
  close(life, ledger.unused(), { unlink: true });
}

/**
 * The same while the incumbent has them too, which is to end them; it holds their addresses until then.
 * @returns the keys of those that a message has room for
 */
export function letGoUnused(life: Life): string[] {
  const { ledger, gate } = life.instance;
  const unused = ledger.unused();
  const told = new Set(fitting(unused.map(({ key }) => key)));
  const ends = (listener: Listener): boolean => listener.inherited && told.has(listener.key);
  close(
    life,
    unused.filter((listener) => !ends(listener)),
    { unlink: true },
  );
  if (unused.length > 0) gate.awaitAddresses(RETIRED_MS);
  const ended = unused.filter(ends);
  close(life, ended, { unlink: false });
  return ended.map(({ key }) => key);
}

function close({ instance, events }: Life, listeners: readonly Listener[], options: { unlink: boolean }): void {
  for (const listener of listeners) {
    instance.ledger.remove(listener, options);
    events.emit('removed', listener.key);
  }
}
