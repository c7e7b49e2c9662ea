import { native } from '../base/os/native.js';

/**
 * Which process owns a connection that moves: a word each, in a file that both ends map. Acknowledgements cannot tell it: what carries
 * them may die while both ends live, and then both would read.
 */

/** States of a word. The sender may take back what is offered; the receiver adopts only what it has taken. */
const SENDERS = 0;
const OFFERED = 1;
const RECEIVERS = 2;

/** The sender's side of one MOVE: `count` connections are offered. @returns the fd of the words, the caller's */
export function offerOwnership(count: number): number {
  const fd = native.ownership.create();
  for (let index = 0; index < count; index++) native.ownership.exchange(fd, index, SENDERS, OFFERED);
  return fd;
}

/** @returns whether connection `index` is the sender's again; false: the receiver has it */
export const takeBackOwnership = (fd: number, index: number): boolean =>
  native.ownership.exchange(fd, index, OFFERED, SENDERS);

/** @returns whether connection `index` is the receiver's now; false: the sender has taken it back */
export const takeOwnership = (fd: number, index: number): boolean =>
  native.ownership.exchange(fd, index, OFFERED, RECEIVERS);
