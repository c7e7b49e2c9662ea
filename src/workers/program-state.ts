import { GIVE_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { within } from '../base/timeout.js';
import type { Worker } from './worker.js';

/** What the program of one worker hands to the next generation: a file with the value serialized, whose owner has it. */
export interface Given {
  readonly index: number;
  readonly fd: number;
}

/** The same, and whose successor is to have it. */
export interface HandedOn extends Given {
  readonly service: string;
}

export function closeValues(values: readonly Given[]): void {
  for (const { fd } of values) native.fd.close(fd);
}

/** All that is given, or nothing. @throws the first failure; the values of the others are closed */
export async function allGiven<T extends Given>(giving: readonly Promise<readonly T[]>[]): Promise<T[]> {
  const given = await Promise.allSettled(giving);
  const values = given.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  const failed = given.find((one) => one.status === 'rejected');
  if (failed === undefined) return values;
  closeValues(values);
  throw failed.reason;
}

/**
 * What a worker's program hands on; nothing when it has nothing, or has ended.
 * @throws {HandoverError} it has failed to, or is not done within {@link GIVE_MS}
 */
export async function giveInTime(worker: Worker): Promise<Given[]> {
  if (!worker.gives || worker.hasExited) return [];
  const { index } = worker;
  const giving = worker.give().then((fd) => (fd === null ? [] : [{ index, fd }]));
  const given = await within(GIVE_MS, giving);
  if (given !== null) return given;
  giving.then(closeValues).catch(() => {});
  const details = { service: worker.service, worker: index, awaits: 'handover', ms: GIVE_MS };
  const text = `${worker.name}: onHandover() is not done within ${GIVE_MS} ms`;
  throw new HandoverError('ERR_MOTYA_STATE', text, { details });
}

/** Deals values out: to the worker with the same index, or, where there are fewer workers than were, in turn. */
export function deal(values: readonly Given[], workers: readonly Worker[]): void {
  for (const worker of workers) {
    const own = values.filter(({ index }) => index % workers.length === worker.index);
    worker.inherit(own.sort((a, b) => a.index - b.index).map(({ fd }) => fd));
  }
}
