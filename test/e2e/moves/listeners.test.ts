import assert from 'node:assert/strict';
import { it } from 'node:test';
import { freePorts, workspace } from '../harness/index.js';
import { ClientConnection } from './clients/index.js';
import { stageIn } from './stage.js';

/** Connections at each listener. */
const OF_EACH = 3;

it('connections go to the server that has their listener; those without one there drain', async (test) => {
  const space = workspace(test);
  const [one, two, six, other, removed] = (await freePorts(5)) as [number, number, number, number, number];
  const host = '127.0.0.1';
  const listeners = {
    one: { at: { host, port: one } },
    two: { at: { host, port: two } },
    six: { at: { host: '::1', port: six } },
    unix: { at: { path: space.path('web.sock') } },
    other: { at: { host, port: other }, later: 'no http' },
    removed: { at: { host, port: removed }, later: 'nothing' },
  };
  const stage = await stageIn(space, {
    port: one,
    program: 'listeners.cjs',
    env: { LISTENERS: JSON.stringify(listeners) },
  });
  const clients: { name: string; client: ClientConnection; stays: boolean }[] = [];
  for (const [name, { at, ...rest }] of Object.entries(listeners)) {
    for (let index = 0; index < OF_EACH; index++) {
      const client = await ClientConnection.connect(at, `${name}-${index}`, stage.tally);
      clients.push({ name, client, stays: 'later' in rest });
      const answer = await client.ask({ id: client.name });
      assert.deepEqual([answer?.store, answer?.generation], [name, 1]);
    }
  }
  try {
    await stage.deploy({ allowRemoved: true });
    const movable = clients.filter(({ stays }) => !stays);
    for (const { name, client } of movable) {
      await client.moves(2);
      assert.equal((await client.ask({ id: client.name }))?.store, name);
      assert.equal(client.isTold, false);
    }
    for (const { name, client, stays } of clients) {
      if (!stays) continue;
      const answer = await client.ask({ id: client.name });
      assert.deepEqual([answer?.store, answer?.generation, client.isTold], [name, 1, true]);
      await client.closed();
    }
    await stage.formerOnesEnd();
    const { untold, lost, wrong } = stage.tally.report();
    assert.deepEqual({ untold, lost, wrong }, { untold: 0, lost: 0, wrong: 0 });
    assert.equal((await stage.drained(1)).moved, movable.length);
  } finally {
    for (const { client } of clients) client.leave();
  }
});
