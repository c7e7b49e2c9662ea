import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '../harness/index.js';
import { Fleet } from './clients/index.js';
import { allAt, moveStage } from './stage.js';

const DEPLOYS = 3;
const CLIENTS = { idle: 20, busy: 10, upload: 5, pieces: 5, pipelined: 5 } as const;
const COUNT = 45;

it('clients of all habits keep their connections over deploys, and the new generation answers them', async (test) => {
  const stage = await moveStage(test);
  const fleet = new Fleet({ port: stage.port, ...CLIENTS });
  try {
    await allAt(fleet, 1);
    for (let deploy = 1; deploy <= DEPLOYS; deploy++) {
      const generation = await stage.deploy();
      await allAt(fleet, generation);
      await stage.formerOnesEnd();
      const { connections, emitted } = await stage.facts();
      assert.equal(connections, COUNT);
      // 'connection' was emitted for each, once.
      const ports = fleet.connections.map(({ socket }) => Number(socket.localPort));
      for (const port of ports) assert.equal(emitted.filter((one) => one.port === port).length, 1, `port ${port}`);
      const { moved, forced } = await stage.drained(generation - 1);
      assert.deepEqual({ moved, forced }, { moved: COUNT, forced: 0 });
    }
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
});

it('a request in flight is answered by the process that has it, the next one by the new generation', async (test) => {
  const stage = await moveStage(test);
  const [held, idle, unused] = await stage.clients(3);
  assert.ok(held && idle && unused);
  for (const client of [idle, unused]) await client.ask({ id: client.name });
  const file = stage.scene.space.path('finish');
  const answer = held.ask({ id: 'held', file });
  await stage.deploy();
  await idle.moves(2);
  stage.scene.space.write('finish', '');
  assert.equal((await answer)?.generation, 1);
  await held.moves(2);
  await stage.formerOnesEnd();
  stage.assertUnnoticed();

  // In the new generation all are idle: those that have been used there, and the one that has not.
  await stage.facts('/close-idle');
  for (const client of [held, idle, unused]) await client.closed();
  await until(async () => (await stage.facts()).connections === 0, { what: 'no connections' });
});

it('a connection that has sent nothing yet is served when it does', async (test) => {
  const stage = await moveStage(test);
  const clients = await stage.clients(3);
  await until(async () => (await stage.facts()).connections === clients.length, { what: 'the connections' });
  await stage.deploy();
  await stage.formerOnesEnd();
  for (const client of clients) assert.equal((await client.ask({ id: client.name }))?.generation, 2);
  stage.assertUnnoticed();
});

it('deploys right after one another: busy connections and silent ones go along', async (test) => {
  const stage = await moveStage(test, { probation: '0' });
  const fleet = new Fleet({ port: stage.port, idle: 10, busy: 10 });
  const silent = await stage.clients(4);
  // Two that have been used, two that never were.
  for (const client of silent.slice(2)) await client.ask({ id: client.name });
  try {
    await allAt(fleet, 1);
    for (let deploy = 0; deploy < 3; deploy++) await stage.deploy();
    await allAt(fleet, 4);
    await stage.formerOnesEnd();
    for (const client of silent) assert.equal((await client.ask({ id: `${client.name}-last` }))?.generation, 4);
    stage.assertUnnoticed();
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
});
