import type { Details } from '../base/errors.js';

/** How a call that must fail as the kernel would have failed it is answered. */
export interface Refusal {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

export const IN_USE: Refusal = { code: 'EADDRINUSE', errno: -98, syscall: 'bind' };
/** What is in the way of an address: in words, and as facts. */
export interface Obstacle {
  readonly text: string;
  readonly details: Details;
}

/** Not ENOENT, which Node would report as a missing right. */
export const NOT_PASSED: Refusal = { code: 'EADDRNOTAVAIL', errno: -99, syscall: 'listen' };

export function inUse(key: string, holder: string): Error {
  return Object.assign(new Error(`bind EADDRINUSE: address already in use ${key} (by ${holder})`), IN_USE);
}
