import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { deliver, drain, movedFrom, ROOM } from './moving.js';
import { type Message, supervised, type TestSupervisor, type TestWorker } from './supervisor.js';

/** ms after which a line will not come any more. */
const PATIENCE = 60_000;

/** Sends lines, and reads them. */
class Client {
  readonly socket: net.Socket;
  received = '';
  isClosed = false;
  #wake = (): void => {};

  constructor(socket: net.Socket) {
    this.socket = socket
      .on('error', () => {})
      .on('close', () => {
        this.isClosed = true;
        this.#wake();
      });
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.received += text;
      this.#wake();
    });
  }

  static async connect(port: number): Promise<Client> {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Client(socket);
  }

  /** The next line. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.received.indexOf('\n');
      if (end >= 0) {
        const line = this.received.slice(0, end);
        this.received = this.received.slice(end + 1);
        return line;
      }
      assert.ok(!this.isClosed, 'closed');
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no line; ${JSON.stringify(this.received)}`)), PATIENCE);
        this.#wake = () => {
          clearTimeout(late);
          resolve();
        };
      });
    }
  }

  ask(text: string): Promise<string> {
    this.socket.write(`${text}\n`);
    return this.line();
  }
}

interface Pair {
  readonly from: TestWorker;
  readonly to: TestWorker;
  readonly client: Client;
}

/** Two workers on one listener, and a client of the first one, which has been answered once. */
async function pair(
  supervisor: TestSupervisor,
  env: { from?: NodeJS.ProcessEnv; to?: NodeJS.ProcessEnv } = {},
): Promise<Pair> {
  const from = supervisor.spawn('handed-over.cjs', { env: env.from ?? {} });
  const { port } = await from.address();
  const client = await Client.connect(port);
  assert.equal(await client.ask('first'), `${from.child.pid} 1 first`);
  const to = supervisor.spawn('handed-over.cjs', { role: { held: true }, env: env.to ?? {} });
  await to.address();
  return { from, to, client };
}

async function moved({ from, to }: Pair): Promise<void> {
  const batch = await movedFrom(from);
  from.send({ type: 'MOVED', id: batch.move.id, room: await deliver(to, batch) });
  await from.line('moved');
}

const eventsOf = (worker: TestWorker): unknown[] =>
  worker.lines.filter(({ event }) => event === 'event').map(({ of }) => of);

test(
  'a socket that the program hands over: the other program goes on with what was saved; the old one hears nothing',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor);
    const { from, to, client } = scene;
    // The half line is in what the program saves.
    client.socket.write('ha');
    await from.ask({ type: 'COUNT' }, 'COUNTS');
    await moved(scene);
    assert.equal(await client.ask('lf'), `${to.child.pid} 2 half`);
    const { moved: count, ended, stayed } = (await from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([count, ended, Object.values(stayed).some((one) => one > 0)], [1, 0, false]);
    assert.deepEqual(eventsOf(from), []);
    assert.deepEqual(
      [await to.line('served')].map(({ may, from: hasAddress }) => [may, hasAddress]),
      [[true, true]],
    );
    // It is one of the worker's: its drain waits for it.
    assert.equal((await to.ask({ type: 'COUNT' }, 'COUNTS')).connections.other, 1);
    client.socket.destroy();
    await to.until('the end', () => eventsOf(to).includes('close'));
    assert.equal((await to.ask({ type: 'COUNT' }, 'COUNTS')).connections.other, 0);
  }),
);

test(
  'bytes that were read and not used travel along',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor);
    const { to, client, from } = scene;
    client.socket.write('pause\n');
    await client.line();
    client.socket.write('second\nthird\n');
    // They are in Node's buffer, or still in the kernel's: both are read once.
    await from.ask({ type: 'COUNT' }, 'COUNTS');
    await moved(scene);
    assert.deepEqual(
      [await client.line(), await client.line()],
      [`${to.child.pid} 3 second`, `${to.child.pid} 4 third`],
    );
  }),
);

for (const [what, to, from] of [
  ['has no onAdopt() of its kind', { KIND: 'others' }, {}],
  ['has no onAdopt()', { NONE: '1' }, {}],
] as const) {
  test(
    `refused: the new version ${what}; the old one goes on, and has heard nothing`,
    supervised(async (supervisor) => {
      const scene = await pair(supervisor, { to, from });
      const { client } = scene;
      client.socket.write('pause\n');
      await client.line();
      client.socket.write('later one\n');
      const batch = await movedFrom(scene.from);
      scene.from.child.kill('SIGUSR2');
      await scene.from.line('told');
      client.socket.write('second\n');
      scene.from.send({ type: 'MOVED', id: batch.move.id, room: await deliver(scene.to, batch) });
      await scene.from.ask({ type: 'COUNT' }, 'COUNTS');
      assert.deepEqual(eventsOf(scene.from), []);
      // It was paused, and is.
      assert.equal(client.received, '');
      scene.from.child.kill('SIGHUP');
      assert.equal(await client.ask('third'), `${scene.from.child.pid} 4 second`);
      client.socket.end();
      const { moved: count, ended, stayed } = (await scene.from.message('DRAINED')) as Message<'DRAINED'>;
      assert.deepEqual([count, ended, stayed.refused], [0, 1, 1]);
    }),
  );
}

test(
  'a MOVE that is lost: what the old program has written meanwhile, and what the client has sent, is all there, in order',
  supervised(async (supervisor) => {
    const { from, client } = await pair(supervisor);
    client.socket.write('later one\n');
    await from.line('held');
    const batch = await movedFrom(from);
    client.socket.write('second\n');
    from.child.kill('SIGUSR2');
    await from.line('told');
    from.send({ type: 'MOVED', id: batch.move.id, room: 0 });
    const { pid } = from.child;
    assert.deepEqual([await client.line(), await client.line()], [`${pid} late one`, `${pid} 3 second`]);
    client.socket.end();
    await from.message('DRAINED');
    await from.until('its end', () => eventsOf(from).join() === 'end,close');
  }),
);

test(
  'what old handlers still write: before anything of the new program, and between its writes later',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor, { from: { BYE: '1' }, to: { GREETS: '1' } });
    const { from, to, client } = scene;
    client.socket.write('later one\nlater two big\n');
    await from.until('two', () => from.lines.filter(({ event }) => event === 'held').length === 2);
    const batch = await movedFrom(from);
    from.child.kill('SIGUSR2');
    await from.line('told');
    const room = await deliver(to, batch);
    client.socket.write('later three\n');
    from.send({ type: 'MOVED', id: batch.move.id, room });
    assert.equal(await client.line(), `${from.child.pid} bye`);
    assert.equal(await client.line(), `${from.child.pid} late one`);
    const rest = [await client.line(), await client.line()].map((line) => line.replace(/^\.*/, ''));
    assert.deepEqual(rest.sort(), [`${from.child.pid} late two big`, `${to.child.pid} hello`].sort());
    await to.line('held');
    assert.deepEqual(eventsOf(from), []);
  }),
);

test(
  'a handler of the old program that answers after the move',
  supervised(async (supervisor) => {
    const scene = await pair(supervisor);
    const { from, to, client } = scene;
    client.socket.write('later one\n');
    await from.line('held');
    await moved(scene);
    from.child.kill('SIGUSR2');
    assert.equal(await client.line(), `${from.child.pid} late one`);
    assert.equal(await client.ask('next'), `${to.child.pid} 3 next`);
  }),
);

test(
  'it cannot be saved: it stays, and is served',
  supervised(async (supervisor) => {
    const { from, client } = await pair(supervisor, { from: { FAILS: '1', BYE: '1' } });
    from.send(drain);
    const { id } = (await from.message('MOVE')) as Message<'MOVE'>;
    from.send({ type: 'MOVED', id, room: ROOM });
    await from.until('a warning', () => from.stderr.includes('MotyaWarning'));
    assert.equal(await client.line(), `${from.child.pid} bye`);
    assert.equal(await client.ask('second'), `${from.child.pid} 2 second`);
    client.socket.end();
    const { moved: count, stayed } = (await from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([count, stayed.kept], [0, 1]);
  }),
);

test(
  'the supervisor dies: what was not taken comes back, what was taken stays',
  supervised(async (supervisor) => {
    for (const isTaken of [false, true]) {
      const { from, to, client } = await pair(supervisor);
      const batch = await movedFrom(from);
      if (isTaken) await deliver(to, batch);
      from.channel.close();
      assert.equal(await client.ask('second'), `${(isTaken ? to : from).child.pid} 2 second`);
      client.socket.destroy();
      await from.exited;
    }
  }),
);
