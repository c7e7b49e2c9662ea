import type { Listener } from '../listeners/listener.js';

/** Bytes of the keys in READY that are left out: 500 listeners, and room for the rest of the message. */
const LEFT_OUT_BYTES = 32 * 1024;

/**
 * What becomes of the incumbent's listeners. A listener is *unused* while no program of the instance that holds it has asked for it
 * and no setting names it. The successor *leaves out* the adopted listeners that are unused, and those that a program of the
 * incumbent has used and none of its own does: on these the incumbent goes on accepting. At the end of the probation the unused
 * ones are *removed*: the successor closes them, and the incumbent retires them.
 */
export interface ListenerDiff {
  readonly kept: number;
  readonly added: number;
  /** How many would be removed now. */
  readonly removed: number;
  /** Keys of those that are left out, as many as READY has room for. */
  readonly leftOut: string[];
}

/**
 * Of the listeners that the successor holds (`all`): those that are unused, and those that only programs of the incumbent have used.
 */
export function listenerDiff(
  all: readonly Listener[],
  unused: readonly Listener[],
  usedByIncumbentOnly: readonly Listener[],
): ListenerDiff {
  const [inherited, removed] = [all, unused].map((some) => some.filter((one) => one.inherited).length) as [
    number,
    number,
  ];
  const leftOut = new Set([...unused, ...usedByIncumbentOnly].filter((one) => one.inherited).map(({ key }) => key));
  return { kept: inherited - removed, added: all.length - inherited, removed, leftOut: fitting([...leftOut]) };
}

/** As many as a message has room for; the rest is closed as it is. */
export function fitting(keys: readonly string[]): string[] {
  let room = LEFT_OUT_BYTES;
  return keys.filter((key) => {
    room -= Buffer.byteLength(JSON.stringify(key)) + 1;
    return room >= 0;
  });
}
