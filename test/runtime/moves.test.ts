import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpClient } from './http-client.js';
import { deliver, drain, ROOM } from './moving.js';
import { type Message, supervised, type TestSupervisor, type TestWorker } from './supervisor.js';

interface Pair {
  readonly from: TestWorker;
  readonly to: TestWorker;
  readonly port: number;
  readonly clients: HttpClient[];
  /** MOVEs that have connections. */
  moved(count: number): Promise<TestWorker['moves'][number][]>;
}

/** Two workers on one listener; `from` has `clients` connections, on each of which a request was answered. */
async function pair(supervisor: TestSupervisor, count: number): Promise<Pair> {
  const from = supervisor.spawn('moving.cjs');
  const { port } = await from.address();
  const clients = await connected(port, count);
  for (const client of clients) await client.get('/');
  const to = supervisor.spawn('moving.cjs', { role: { held: true } });
  await to.address();
  const moved = (wanted: number): ReturnType<Pair['moved']> =>
    from.until(`${wanted} MOVEs`, () => {
      const moves = from.moves.filter(({ move }) => move.connections.length > 0);
      return moves.length >= wanted && moves;
    });
  return { from, to, port, clients, moved };
}

const connected = (port: number, count: number): Promise<HttpClient[]> =>
  Promise.all(Array.from({ length: count }, () => HttpClient.connect(port)));

/** Begins the drain, and says that there is room. */
async function begin(from: TestWorker, room = ROOM): Promise<void> {
  from.send(drain);
  const { id } = (await from.message('MOVE')) as Message<'MOVE'>;
  from.send({ type: 'MOVED', id, room });
}

test(
  'idle connections move: the client keeps its connection, and the other worker answers',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 3);
    const { from, to, clients } = scene;
    // Nothing was read from it yet.
    const [fresh] = await connected(scene.port, 1);
    assert.ok(fresh);
    await from.until('all connections', () => from.lines.filter(({ event }) => event === 'connection').length === 4);
    await begin(from);
    const [batch] = await scene.moved(1);
    assert.ok(batch);
    assert.equal(batch.move.connections.filter(({ isFresh }) => isFresh).length, 1);
    const room = await deliver(to, batch);
    from.send({ type: 'MOVED', id: batch.move.id, room });
    const { moved, ended, stayed } = (await from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([moved, ended, Object.values(stayed).some((count) => count > 0)], [4, 0, false]);
    assert.equal((await to.ask({ type: 'COUNT' }, 'COUNTS')).connections.idle, 4);
    for (const client of [...clients, fresh]) {
      const answer = await client.get('/');
      assert.deepEqual([answer.body, answer.closes], [String(to.child.pid), false]);
    }
  }),
);

test(
  'a connection in a request moves when it has been answered, without Connection: close; a touched one stays',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 2);
    const { from, to, clients } = scene;
    const [busy, touched] = clients as [HttpClient, HttpClient];
    await touched.get('/touch');
    busy.write('/hold');
    await from.line('held');
    await begin(from);
    from.child.kill('SIGUSR2');
    const held = await busy.answer();
    assert.deepEqual([held.body, held.closes], [String(from.child.pid), false]);
    const [batch] = await scene.moved(1);
    assert.ok(batch);
    from.send({ type: 'MOVED', id: batch.move.id, room: await deliver(to, batch) });
    assert.equal((await busy.get('/')).body, String(to.child.pid));
    const last = await touched.get('/');
    assert.deepEqual([last.body, last.closes], [String(from.child.pid), true]);
    const { moved, stayed } = (await from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([moved, stayed.touched], [1, 1]);
  }),
);

/** Each client is answered by this worker, and told to close: its connection drains there. */
async function drains(clients: readonly HttpClient[], worker: TestWorker): Promise<void> {
  for (const client of clients) {
    const answer = await client.get('/');
    assert.deepEqual([answer.body, answer.closes], [String(worker.child.pid), true]);
  }
  const { moved, ended, stayed } = (await worker.message('DRAINED')) as Message<'DRAINED'>;
  assert.deepEqual([moved, ended, stayed.refused], [0, clients.length, clients.length]);
}

test(
  'a MOVE that is lost: its connections come back, and drain',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 3);
    await begin(scene.from);
    const [batch] = await scene.moved(1);
    scene.from.send({ type: 'MOVED', id: batch?.move.id ?? 0, room: 0 });
    await drains(scene.clients, scene.from);
  }),
);

test(
  'a MOVE that comes after its connections were taken back: they are read by one worker alone',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 3);
    const { from, to } = scene;
    await begin(from);
    const [batch] = await scene.moved(1);
    assert.ok(batch);
    from.send({ type: 'MOVED', id: batch.move.id, room: 0 });
    await from.until(
      'the connections again',
      () => from.lines.filter(({ event }) => event === 'connection').length === 6,
    );
    await deliver(to, batch);
    assert.equal((await to.ask({ type: 'COUNT' }, 'COUNTS')).connections.idle, 0);
    await drains(scene.clients, from);
  }),
);

test(
  'a MOVE that comes twice: each connection is taken once',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 3);
    const { from, to, clients } = scene;
    await begin(from);
    const [batch] = await scene.moved(1);
    assert.ok(batch);
    await deliver(to, batch);
    const room = await deliver(to, batch);
    from.send({ type: 'MOVED', id: batch.move.id, room });
    assert.equal(((await from.message('DRAINED')) as Message<'DRAINED'>).moved, 3);
    assert.equal((await to.ask({ type: 'COUNT' }, 'COUNTS')).connections.idle, 3);
    for (const client of clients) assert.equal((await client.get('/')).body, String(to.child.pid));
  }),
);

test(
  'the supervisor dies: what was not taken comes back, what was taken stays with its new worker',
  supervised(async (supervisor) => {
    for (const isTaken of [false, true]) {
      const scene = await pair(supervisor, 3);
      const { from, to, clients } = scene;
      await begin(from);
      const [batch] = await scene.moved(1);
      assert.ok(batch);
      if (isTaken) await deliver(to, batch);
      from.channel.close();
      const owner = isTaken ? to : from;
      for (const client of clients) assert.equal((await client.get('/')).body, String(owner.child.pid));
      // An orphan ends with its last connection.
      for (const client of clients) client.close();
      await from.exited;
    }
  }),
);

test(
  'no room: nothing moves',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, 2);
    await begin(scene.from, 0);
    for (const client of scene.clients) assert.equal((await client.get('/')).closes, true);
    const { moved, ended } = (await scene.from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([moved, ended], [0, 2]);
  }),
);

test(
  'two listeners: the connections of each go when their own room is known',
  supervised(async (supervisor) => {
    const from = supervisor.spawn('moving.cjs', { args: ['2'] });
    const ports = await Promise.all(
      [0, 1].map(async (at) => (await from.nth('listening', at)).address as { port: number }),
    );
    const clients = await Promise.all(ports.map(({ port }) => HttpClient.connect(port)));
    for (const client of clients) await client.get('/');
    from.send(drain);
    const asked = (): Message<'MOVE'>[] =>
      from.moves.map(({ move }) => move).filter(({ connections }) => connections.length === 0);
    await from.until('both questions', () => asked().length === 2);
    for (const { id, key } of asked()) {
      from.send({ type: 'MOVED', id, room: ROOM });
      await from.until(`the connection of ${key}`, () =>
        from.moves.some(({ move }) => move.key === key && move.connections.length === 1),
      );
    }
    for (const client of clients) client.close();
  }),
);
