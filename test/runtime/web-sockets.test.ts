import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { HttpClient } from './http-client.js';
import { deliver, movedFrom } from './moving.js';
import { type Message, supervised, type TestSupervisor, type TestWorker } from './supervisor.js';

/** ms after which a message will not come any more. */
const PATIENCE = 60_000;

class Client {
  readonly webSocket: WebSocket;
  readonly #received: string[] = [];
  code: number | undefined;
  #wake = (): void => {};

  constructor(webSocket: WebSocket) {
    this.webSocket = webSocket.on('error', () => {});
    webSocket.on('message', (data) => {
      this.#received.push(String(data));
      this.#wake();
    });
    webSocket.on('close', (code) => {
      this.code = code;
      this.#wake();
    });
  }

  /** The next message, or the code of the close frame. */
  async next(): Promise<string> {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return message;
      if (this.code !== undefined) return `closed ${this.code}`;
      assert.ok(Date.now() < deadline, 'no message');
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, deadline - Date.now());
        this.#wake = () => {
          clearTimeout(late);
          resolve();
        };
      });
    }
  }

  ask(text: string): Promise<string> {
    this.webSocket.send(text);
    return this.next();
  }
}

interface Scene {
  readonly from: TestWorker;
  readonly to: TestWorker;
  readonly client: Client;
}

async function scene(
  supervisor: TestSupervisor,
  {
    from: fromEnv = {},
    to: toEnv = {},
    both = {},
  }: { from?: NodeJS.ProcessEnv; to?: NodeJS.ProcessEnv; both?: NodeJS.ProcessEnv } = {},
): Promise<Scene> {
  const from = supervisor.spawn('web-sockets.cjs', { env: { ...both, ...fromEnv } });
  const { port } = await from.address();
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/room?ticket=1`, { headers: { 'user-agent': 'test' } });
  const client = new Client(webSocket);
  await once(webSocket, 'open');
  assert.equal(await client.ask('first'), `${from.child.pid} 1 first`);
  const to = supervisor.spawn('web-sockets.cjs', { role: { held: true }, env: { ...both, ...toEnv } });
  await to.address();
  return { from, to, client };
}

async function move({ from, to }: Scene): Promise<void> {
  const batch = await movedFrom(from);
  from.send({ type: 'MOVED', id: batch.move.id, room: await deliver(to, batch) });
  await from.line('moved');
}

const eventsOf = (worker: TestWorker): unknown[] =>
  worker.lines.filter(({ event }) => event === 'event').map(({ of }) => of);

test(
  "a WebSocket moves: without restore() the program's handler runs again, with the original request",
  supervised(async (supervisor) => {
    const stage = await scene(supervisor);
    await move(stage);
    const { from, to, client } = stage;
    assert.equal(await client.ask('second'), `${to.child.pid} 1 second`);
    const { url, agent } = await to.line('served');
    assert.deepEqual([url, agent], ['/room?ticket=1', 'test']);
    const { moved } = (await from.message('DRAINED')) as Message<'DRAINED'>;
    assert.deepEqual([moved, eventsOf(from)], [1, []]);
    client.webSocket.close();
    await to.until('the end', () => eventsOf(to).includes('close'));
  }),
);

test(
  'with restore() it gets what was saved; an old handler that answers late is heard',
  supervised(async (supervisor) => {
    const stage = await scene(supervisor, { both: { RESTORE: '1' }, to: { REFUSES: '1' } });
    const { from, to, client } = stage;
    client.webSocket.send('later one');
    await from.line('held');
    await move(stage);
    assert.equal(await client.ask('second'), `${to.child.pid} 3 second`);
    from.child.kill('SIGUSR2');
    assert.equal(await client.next(), `${from.child.pid} late one`);
    const { url, agent, session } = await to.line('served');
    assert.deepEqual([url, agent, session], ['/room?ticket=1', 'test', { count: 2 }]);
  }),
);

for (const options of [
  '{}',
  '{"clientNoContextTakeover":true}',
  '{"clientMaxWindowBits":10,"serverMaxWindowBits":9}',
]) {
  test(
    `permessage-deflate ${options}: messages refer to those before the move`,
    supervised(async (supervisor) => {
      const stage = await scene(supervisor, { both: { DEFLATE: options, RESTORE: '1' } });
      const { from, to, client } = stage;
      const texts = [randomBytes(300).toString('hex'), randomBytes(20_000).toString('hex'), 'a'.repeat(50_000)];
      let count = 1;
      const askAll = async (worker: TestWorker): Promise<void> => {
        for (const text of texts) assert.equal(await client.ask(text), `${worker.child.pid} ${++count} ${text}`);
      };
      await askAll(from);
      client.webSocket.send('later one');
      count++;
      await from.line('held');
      await move(stage);
      from.child.kill('SIGUSR2');
      assert.equal(await client.next(), `${from.child.pid} late one`);
      await askAll(to);
      await askAll(to);
    }),
  );
}

test(
  'permessage-deflate: a WebSocket that is not taken goes on where it was',
  supervised(async (supervisor) => {
    const { from, to, client } = await scene(supervisor, { both: { DEFLATE: '{}', RESTORE: '1' }, to: { NONE: '1' } });
    const text = randomBytes(5_000).toString('hex');
    assert.equal(await client.ask(text), `${from.child.pid} 2 ${text}`);
    const batch = await movedFrom(from);
    from.send({ type: 'MOVED', id: batch.move.id, room: await deliver(to, batch) });
    assert.equal(await client.ask(text), `${from.child.pid} 3 ${text}`);
    assert.equal(await client.ask(text), `${from.child.pid} 4 ${text}`);
    assert.deepEqual(eventsOf(from), []);
  }),
);

for (const [what, env] of [
  ['refuses the request', { REFUSES: '1' }],
  ['answers with other extensions', { DEFLATE: '{}' }],
] as const) {
  test(
    `the new version ${what}: the WebSocket ends with 1012`,
    supervised(async (supervisor) => {
      const stage = await scene(supervisor, { to: env });
      await move(stage);
      assert.equal(await stage.client.next(), 'closed 1012');
    }),
  );
}

test(
  'handOver() of an http connection that is not upgraded: it may not',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('web-sockets.cjs');
    const client = await HttpClient.connect((await worker.address()).port);
    assert.equal((await client.get('/')).body, 'false');
    client.close();
  }),
);
