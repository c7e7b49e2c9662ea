import type { Listener } from '../listeners/listener.js';

/** Bytes of the keys in READY that its successor does not want: 500 listeners, and room for the rest of the message. */
const UNWANTED_BYTES = 32 * 1024;

/** What becomes of the incumbent's listeners. `unwanted`: keys of those that no program uses yet, as many as READY has room for. */
export interface ListenerDiff {
  readonly kept: number;
  readonly added: number;
  readonly removed: number;
  readonly unwanted: string[];
}

/**
 * `all`: what the successor holds; `unused`: what no program there has asked for and no setting names; `unserved`: what the
 * incumbent's programs use and none there does.
 */
export function listenerDiff(
  all: readonly Listener[],
  unused: readonly Listener[],
  unserved: readonly Listener[],
): ListenerDiff {
  const [inherited, removed] = [all, unused].map((some) => some.filter((one) => one.inherited).length) as [
    number,
    number,
  ];
  const unwanted = new Set([...unused, ...unserved].filter((one) => one.inherited).map(({ key }) => key));
  return { kept: inherited - removed, added: all.length - inherited, removed, unwanted: fitting([...unwanted]) };
}

/** As many as a message has room for; the rest is closed as it is. */
export function fitting(keys: readonly string[]): string[] {
  let room = UNWANTED_BYTES;
  return keys.filter((key) => {
    room -= Buffer.byteLength(JSON.stringify(key)) + 1;
    return room >= 0;
  });
}
