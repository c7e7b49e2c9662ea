import assert from 'node:assert/strict';
import { it } from 'node:test';
import { app, freePort, workspace } from '../harness/index.js';
import { Fleet } from './clients/index.js';
import { allAt, stageIn } from './stage.js';

it('with more, fewer, or as many workers: connections of worker i go to worker i, modulo the new number', async (test) => {
  const space = workspace(test);
  const port = await freePort();
  const config = (workers: number): string => `name: app
services:
  web: { script: ${app('moves/http.cjs')}, workers: ${workers}, env: { PORT: ${port} } }
`;
  const stage = await stageIn(space, { config: config(1), port });
  const deploy = async (workers: number): Promise<void> => {
    space.write('motya.yaml', config(workers));
    const generation = await stage.deploy();
    for (const fleet of fleets) await allAt(fleet, generation);
    await stage.formerOnesEnd();
  };
  /** Pid of the worker that has each connection. */
  const workersOf = (fleet: Fleet): Map<string, number | undefined> =>
    new Map(fleet.connections.map(({ name, pid }) => [name, pid]));
  /** Where the connections of each worker have gone. */
  const routes = (before: Map<string, unknown>, after: Map<string, unknown>): Map<unknown, Set<unknown>> => {
    const all = new Map<unknown, Set<unknown>>([...before.values()].map((pid) => [pid, new Set()]));
    for (const [name, pid] of before) all.get(pid)?.add(after.get(name));
    return all;
  };

  const fleets = [new Fleet({ port, idle: 10, busy: 10 })];
  try {
    const [first] = fleets as [Fleet];
    await allAt(first, 1);
    await deploy(2);
    assert.equal(new Set(workersOf(first).values()).size, 1);

    // Some of these have the other worker.
    const second = new Fleet({ port, idle: 20, busy: 20 });
    fleets.push(second);
    await allAt(second, stage.generation);
    await deploy(1);
    for (const fleet of fleets) assert.equal(new Set(workersOf(fleet).values()).size, 1);

    await deploy(4);
    const third = new Fleet({ port, idle: 20, busy: 20 });
    fleets.push(third);
    await allAt(third, stage.generation);
    const before = workersOf(third);
    await deploy(4);
    const ways = [...routes(before, workersOf(third)).values()];
    for (const way of ways) assert.equal(way.size, 1);
    assert.equal(new Set(ways.flatMap((way) => [...way])).size, ways.length);
  } finally {
    for (const fleet of fleets) stage.assertUnnoticed(await fleet.stop());
    stage.leave();
  }
});
