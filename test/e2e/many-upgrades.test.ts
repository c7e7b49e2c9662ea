import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { type Child, fdKinds, until } from './harness/index.js';
import type { LoadReport } from './load/index.js';
import { type Scene, scene } from './scene.js';
import * as chain from './traffic.js';

const UPGRADES = 50;
/** Of the memory of the second generation: that of two processes of the same age differs by some per cent. */
const MEMORY_GROWTH = 1.25;

it(`${UPGRADES} upgrades in a row under load: nothing fails and nothing grows`, async (test) => {
  const stage = await scene(test);
  const first = await stage.first(chain.NEVER_FORCED);
  await upgradesUnderLoad(stage, first, 2, 2);
  const early = await measure(stage);
  const { answers, gaps } = await upgradesUnderLoad(stage, first, 3, UPGRADES + 1);
  const late = await measure(stage);

  assert.deepEqual(late.fds, early.fds);
  assert.deepEqual(late.files, early.files);
  assert.ok(late.memory < early.memory * MEMORY_GROWTH, `${late.memory} KiB after ${early.memory} KiB`);
  test.diagnostic(
    `${answers} answers; COMMIT to LIVE: median ${gaps[gaps.length >> 1]} ms, longest ${gaps.at(-1)} ms; ` +
      `memory of an instance ${early.memory} KiB, then ${late.memory} KiB`,
  );
});

async function upgradesUnderLoad(stage: Scene, first: Child, from: number, to: number) {
  const clients = { keepAlive: 6, fresh: 2, slow: 1, upload: 1, slowMs: 100, uploadMs: 50 };
  const load = await chain.traffic({ port: stage.port, ...clients });
  const gaps: number[] = [];
  let report: LoadReport;
  try {
    for (let generation = from; generation <= to; generation++) {
      const upgraded = await chain.upgrade(stage.space);
      assert.equal(upgraded.generation, generation);
      gaps.push(upgraded.gapMs);
    }
    await chain.predecessorsEnd(first, to);
  } finally {
    report = await load.stop();
  }
  chain.assertFlawless(report);
  chain.assertNewOnesAreTheSuccessors(first, load, report);
  return { answers: report.answers, gaps: gaps.sort((one, other) => one - other) };
}

/** What there is when the instance is alone and has no clients. */
async function measure(stage: Scene) {
  const { pid, services } = await stage.status();
  const worker = services[0]?.workers[0]?.pid as number;
  const processes = () => stage.space.processes().sort((one, other) => one - other);
  await until(() => processes().length === 2, { what: 'supervisor and worker to be alone', instead: processes });
  assert.deepEqual(
    processes(),
    [pid, worker].sort((one, other) => one - other),
  );
  let fds: Readonly<Record<string, string[]>> = {};
  const settled = () => {
    const before = JSON.stringify(fds);
    fds = { supervisor: fdKinds(pid), worker: fdKinds(worker) };
    return JSON.stringify(fds) === before;
  };
  await until(settled, { what: 'the connections of clients and commands to be gone', every: 250 });
  const files = readdirSync(stage.space.runtimeDir, { recursive: true }).map(String).sort();
  return { fds, files, memory: memoryOf(pid) + memoryOf(worker) };
}

/** KiB that are not of files: how many processes share those changes from moment to moment. */
function memoryOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(/^Anonymous:\s+(\d+) kB/m.exec(text)?.[1]);
}
