import { setTimeout as wait } from 'node:timers/promises';

/** ms that a condition may take unless a test says otherwise: generous, because only a broken test waits for it. */
export const DEADLINE_MS = 30_000;
const EVERY_MS = 5;
/**
 * Of the time waited so far, and ms at most, between two questions: what takes long is not missed by much, and the questions take
 * no time from what is waited for.
 */
const SHARE = 0.1;
const SELDOM_MS = 25;

export interface UntilOptions {
  /** ms; default {@link DEADLINE_MS}. */
  readonly deadline?: number;
  /** What is waited for, for the message of the failure. */
  readonly what: string;
  /** Told in the message of the failure: what there is instead. */
  readonly instead?: () => unknown;
  /** ms between two questions, at least; default {@link EVERY_MS}. More, where a question costs processes. */
  readonly every?: number;
}

/** Asks `condition` every few ms until it gives something truthy, and returns that. What it throws ends the waiting. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { deadline = DEADLINE_MS, every = EVERY_MS, what, instead }: UntilOptions,
): Promise<NonNullable<Exclude<T, false | '' | 0>>> {
  const began = performance.now();
  for (;;) {
    const value = await condition();
    if (value) return value as NonNullable<Exclude<T, false | '' | 0>>;
    const waited = performance.now() - began;
    if (waited > deadline) {
      const found = instead?.();
      const detail =
        found === undefined ? '' : `; instead: ${typeof found === 'string' ? found : JSON.stringify(found)}`;
      throw new Error(`waited ${deadline} ms in vain for ${what}${detail}`);
    }
    await wait(Math.max(every, Math.min(waited * SHARE, SELDOM_MS)));
  }
}
