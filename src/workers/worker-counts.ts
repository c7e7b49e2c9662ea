import { COUNT_MS } from '../base/deadlines.js';
import { allKinds, type PerKind, sumOfKinds } from '../base/drain-kinds.js';
import { within } from '../base/timeout.js';
import { both, NO_ANSWERS, NO_CONNECTIONS, plus } from '../runtime/counts.js';
import type { AnswerCounts, ConnectionCounts } from '../runtime/worker-messages.js';
import type { WorkerListenerCounts } from './listener-counts.js';
import type { Worker } from './worker.js';

/** Open connections of all workers, idle ones included. One that does not answer has what it counted last. */
export async function countConnections(workers: readonly Worker[]): Promise<ConnectionCounts> {
  const counted = workers.map(async (worker) => (await within(COUNT_MS, worker.count())) ?? worker.lastCounts);
  return (await Promise.all(counted)).reduce(plus, NO_CONNECTIONS);
}

/** As workers that run and drain have counted them last. */
export function lastKindsOf(workers: readonly Worker[]): PerKind<number> {
  const running = workers.filter(({ hasExited }) => !hasExited);
  return running.map(({ lastKinds }) => lastKinds).reduce(sumOfKinds, allKinds(0));
}

/** HTTP answers of all workers, since they were asked for first. */
export async function countAnswers(workers: readonly Worker[]): Promise<AnswerCounts> {
  await Promise.all(workers.map((worker) => within(COUNT_MS, worker.count({ answers: true }))));
  return workers.map(({ lastAnswers }) => lastAnswers).reduce(both, NO_ANSWERS);
}

/** What each process that runs has counted on the listeners with these keys; null for one that does not answer in time. */
export function countOnListeners(workers: readonly Worker[], keys: readonly string[]): Promise<WorkerListenerCounts[]> {
  const running = workers.flatMap(({ processes }) => processes).filter(({ hasExited }) => !hasExited);
  return Promise.all(
    running.map(async (one) => ({ pid: one.pid, counts: await within(COUNT_MS, one.countListeners(keys)) })),
  );
}

/** Whether each of them answers within `ms`. */
export async function allAnswer(workers: readonly Worker[], ms: number): Promise<boolean> {
  const answers = await Promise.all(workers.map((worker) => within(ms, worker.count())));
  return answers.every((counts) => counts !== null);
}
