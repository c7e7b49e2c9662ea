import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { until } from '../harness/index.js';
import { Fleet, type Report } from './clients/index.js';
import { allAt, type MoveStage, moveStage } from './stage.js';

/** The processes that a connection goes through. */
export const PROCESSES = ['old worker', 'new worker', 'old supervisor', 'new supervisor'] as const;
export type Process = (typeof PROCESSES)[number];

/** So many that their move takes some tens of ms. */
const CLIENTS = { idle: 150, busy: 10, upload: 5, pieces: 5, pipelined: 10 } as const;
/** ms after the first connection has moved, at most: the fault is anywhere in the move. */
const LATEST_MS = 40;
/** ms in which every client must have had an answer, or the end of its connection, after a fault. */
const HANG_MS = 10_000;
/** How often each fault; more for a long run. */
export const ROUNDS = Number(process.env.MOVE_ROUNDS ?? 1);

export interface Outcome {
  readonly stage: MoveStage;
  readonly report: Report;
  /** Names of clients that the new generation had answered when the fault began, and whose connection has ended. */
  readonly endedAfterMove: readonly string[];
}

/**
 * A deploy in which `signal` reaches `victim` while connections move. With SIGSTOP it goes on after `stopMs`. What holds whatever
 * happens is asserted here: no request is read by two processes, none has a wrong answer or two, and none waits for good.
 */
export async function faulted(
  test: TestContext,
  victim: Process,
  signal: 'SIGKILL' | 'SIGSTOP',
  stopMs = 0,
): Promise<Outcome> {
  const stage = await moveStage(test, { env: { HANDLED_FILE: 'handled' } });
  const fleet = new Fleet({ port: stage.port, ...CLIENTS });
  let report: Report;
  let endedAfterMove: string[];
  try {
    await allAt(fleet, 1);
    const pids = new Map<Process, number>([
      ['old supervisor', stage.first.pid],
      ['old worker', (await stage.facts()).pid],
    ]);
    const deployed = stage.deploy();
    deployed.catch(() => {});
    await stage.first.waitFor('probation');
    pids.set('new supervisor', (await stage.scene.status()).pid);
    pids.set('new worker', (await stage.facts()).pid);
    const pid = pids.get(victim) as number;

    await until(() => (fleet.generations().get(2) ?? 0) > 0, { what: 'the first connection that has moved', every: 1 });
    await wait(Math.random() * LATEST_MS);
    const moved = fleet.connections.filter(({ generation }) => generation === 2);
    const began = performance.now();
    process.kill(pid, signal);
    if (signal === 'SIGSTOP') {
      await wait(stopMs);
      process.kill(pid, 'SIGCONT');
    }
    const everybody = () => fleet.connections.every((one) => one.isTold || one.answeredAt > began);
    await until(everybody, {
      deadline: HANG_MS + stopMs,
      what: `an answer to all after ${signal} to the ${victim}`,
      instead: () =>
        fleet.connections
          .filter((one) => one.answeredAt <= began)
          .map(({ name, late, generation }) => `${name} of ${generation}: ${Math.round(late)} ms`),
    });
    endedAfterMove = moved.filter(({ ended }) => ended).map(({ name }) => name);
  } finally {
    report = await fleet.stop();
  }
  const { wrong, doubled, missing, details } = report;
  assert.deepEqual({ wrong, doubled, missing }, { wrong: 0, doubled: 0, missing: 0 }, JSON.stringify(details));
  assert.deepEqual(handledTwice(stage), []);
  const { answers, closes, saysClose, lost, longest } = report;
  test.diagnostic(
    `${signal} to the ${victim}: ${answers} answers, ${closes} closes, ${saysClose} told, ${lost} lost, longest ${Math.round(longest)} ms`,
  );
  return { stage, report, endedAfterMove };
}

/** A connection that is closed was told so by its last answer, and no request was lost. */
export function assertDrained({ report: { lost, untold, resets, details } }: Outcome): void {
  assert.deepEqual({ lost, resets, untold }, { lost: 0, resets: 0, untold: 0 }, JSON.stringify(details, undefined, 1));
}

/** Requests that two processes have read. */
function handledTwice(stage: MoveStage): string[] {
  const file = stage.scene.space.path('handled');
  if (!existsSync(file)) return [];
  const ids = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '');
  const seen = new Set<string>();
  return ids.filter((id) => seen.size === seen.add(id).size);
}
