import { UNWANTED_BYTES } from '../limits.js';
import type { Listener } from '../listeners/ledger.js';

/** What becomes of the incumbent's listeners. `unwanted`: keys of those that are `removed`, as many as READY has room for. */
export interface Claims {
  readonly kept: number;
  readonly added: number;
  readonly removed: number;
  readonly unwanted: string[];
}

/** `all`: what the successor holds; `unused`: what nobody there has asked for. */
export function claimsOn(all: readonly Listener[], unused: readonly Listener[]): Claims {
  const added = all.filter((listener) => !listener.inherited).length;
  const removed = unused.length;
  return { kept: all.length - added - removed, added, removed, unwanted: fitting(unused.map(({ key }) => key)) };
}

/** As many as READY has room for; the rest is closed as it is. */
function fitting(keys: readonly string[]): string[] {
  let room = UNWANTED_BYTES;
  return keys.filter((key) => {
    room -= Buffer.byteLength(JSON.stringify(key)) + 1;
    return room >= 0;
  });
}
