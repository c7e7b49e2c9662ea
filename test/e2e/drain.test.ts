import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { WebSocket } from 'ws';
import { app, type Child, DEADLINE_MS, makeCertificate, until } from './harness/index.js';
import { Exchange } from './load/exchange.js';
import { ResponseParser } from './load/index.js';
import { type Scene, scene } from './scene.js';
import * as chain from './traffic.js';

/** One keep-alive connection that asks when the test says so. */
class Client extends Exchange {
  static async connect(stage: Scene, tls = false): Promise<Client> {
    const target = { host: '127.0.0.1', port: stage.port };
    const socket: Socket = tls ? connectTls({ ...target, rejectUnauthorized: false }) : connectTcp(target);
    await once(socket, tls ? 'secureConnect' : 'connect');
    return new Client(socket);
  }

  async get(path = '/') {
    assert.equal(this.ended, false, 'the server has closed the connection');
    const write = () => void this.socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const response = await this.ask(new ResponseParser(), DEADLINE_MS, write);
    const { generation } = JSON.parse(response.body.toString()) as { generation: string };
    return { generation, closes: response.closes, connection: response.headers.get('connection') };
  }

  /** The server has to close first. */
  closed(): Promise<void> {
    return this.close(DEADLINE_MS, true);
  }
}

/** What the first generation says of its end, once it has ended. */
async function endOf(first: Child): Promise<{ ms: number; forced: number }> {
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  const line = chain.linesOf(first, 'drained').find(({ generation }) => generation === 1);
  return { ms: Number(line?.ms), forced: Number(line?.forced) };
}

async function connections(stage: Scene, count: number): Promise<void> {
  const open = async () => (await stage.status()).services[0]?.workers[0]?.connections === count;
  await until(open, { what: `${count} connections` });
}

/** A program whose connections drain, which keeps idle ones for longer than any test, and whose server is set up by `lines`. */
async function custom(test: TestContext, lines: string, tls = false): Promise<Scene> {
  const source = `'use strict';
const { address, announce, handler, tlsOptions } = require(${JSON.stringify(app('shared/handler.cjs'))});
const server = ${tls ? "require('node:https').createServer(tlsOptions())" : "require('node:http').createServer()"};
server.keepAliveTimeout = 600_000;
${lines}
server.listen(...address(), () => announce(server));
`;
  const stage = await scene(test, '', source);
  stage.space.env.MOTYA_CONNECTIONS = 'drain';
  return stage;
}

const LAST_ANSWER = { generation: '1', closes: true, connection: 'close' };

/** The worker hears that it drains a moment after the command has its answer: until then an answer keeps the connection. */
async function saysClose(client: Client): Promise<void> {
  let last: unknown;
  const isLast = async () => {
    last = await client.get();
    return isDeepStrictEqual(last, LAST_ANSWER);
  };
  await until(isLast, { what: 'the last answer', instead: () => last });
}

for (const tls of [false, true]) {
  describe(`connections of ${tls ? 'https' : 'http'} after the hand-over`, () => {
    const begin = async (test: TestContext) => {
      const stage = await custom(test, "server.on('request', handler);", tls);
      const first = await stage.first(chain.NEVER_FORCED, tls ? await makeCertificate(stage.space.dir) : {});
      return { stage, first, client: () => Client.connect(stage, tls) };
    };

    it('a request in flight is finished and its answer says close', async (test) => {
      const { stage, first, client } = await begin(test);
      const file = stage.space.path('finish');
      const [held, other] = [await client(), await client()];
      const answer = held.get(`/hold?file=${file}`);
      // Whatever was sent before this has reached the program.
      await other.get();
      await chain.upgrade(stage.space);
      await saysClose(other);
      stage.space.write('finish', '');
      assert.deepEqual(await answer, LAST_ANSWER);
      await held.closed();
      await other.closed();
      assert.equal((await endOf(first)).forced, 0);
    });

    it('an answer that has begun already goes on, and the next one says close', async (test) => {
      const { stage, first, client } = await begin(test);
      const file = stage.space.path('finish');
      const held = await client();
      const answer = held.get(`/hold?early&file=${file}`);
      await once(held.socket, 'data');
      await chain.upgrade(stage.space);
      stage.space.write('finish', '');
      assert.equal((await answer).generation, '1');
      await saysClose(held);
      await held.closed();
      assert.equal((await endOf(first)).forced, 0);
    });

    it('an idle one is left open for its next request; then the old generation ends at once', async (test) => {
      const { stage, first, client } = await begin(test);
      const idle = await client();
      assert.deepEqual(await idle.get(), { generation: '1', closes: false, connection: 'keep-alive' });
      await chain.upgrade(stage.space);
      // Not a wait for something: this is how long the client thinks.
      await wait(1_000);
      assert.equal(idle.ended, false);
      assert.equal(first.exit, undefined);
      assert.deepEqual(await idle.get(), LAST_ANSWER);
      await idle.closed();
      assert.equal((await endOf(first)).forced, 0);
    });

    it('one that has not spoken yet is served when it does', async (test) => {
      const { stage, first, client } = await begin(test);
      const silent = await client();
      await connections(stage, 1);
      await chain.upgrade(stage.space);
      await wait(500);
      assert.deepEqual(await silent.get(), LAST_ANSWER);
      await silent.closed();
      assert.equal((await endOf(first)).forced, 0);
    });
  });
}

describe('what the program has set', () => {
  it('a handler that asks for keep-alive is overruled', async (test) => {
    const stage = await custom(
      test,
      `server.on('request', (request, response) => {
  response.setHeader('Connection', 'keep-alive');
  response.setHeader('Keep-Alive', 'timeout=600');
  handler(request, response);
});`,
    );
    const first = await stage.first(chain.NEVER_FORCED);
    const client = await Client.connect(stage);
    assert.equal((await client.get()).closes, false);
    await chain.upgrade(stage.space);
    await saysClose(client);
    await client.closed();
    assert.equal((await endOf(first)).forced, 0);
  });

  it('its keepAliveTimeout ends idle connections, no sooner', async (test) => {
    const timeout = 3_000;
    const stage = await custom(test, `server.on('request', handler);\nserver.keepAliveTimeout = ${timeout};`);
    const first = await stage.first(chain.NEVER_FORCED);
    const idle = await Client.connect(stage);
    const asked = performance.now();
    assert.equal((await idle.get()).generation, '1');
    await chain.upgrade(stage.space);
    await idle.closed();
    assert.ok(performance.now() - asked >= timeout - 50, `closed after ${performance.now() - asked} ms`);
    assert.equal((await endOf(first)).forced, 0);
  });
});

describe('connections that only their ends can end', () => {
  it('a WebSocket is left alone until the drain timeout, then closed and counted', async (test) => {
    const timeout = 10_000;
    const stage = await scene(test, 'ws.cjs');
    const first = await stage.first(['--drain-timeout', `${timeout}ms`]);
    const sockets = [0, 1].map(() => new WebSocket(`ws://127.0.0.1:${stage.port}/`));
    const [socket, other] = sockets as [WebSocket, WebSocket];
    await Promise.all(sockets.map((each) => once(each, 'message')));
    await chain.upgrade(stage.space);
    socket.send('still there?');
    const [echo] = await once(socket, 'message');
    assert.equal(String(echo), 'still there?');
    const [status] = (await stage.status()).draining;
    assert.deepEqual([status?.pid, status?.generation], [first.pid, 1]);
    await Promise.all([once(socket, 'close'), once(other, 'close')]);
    const { ms, forced } = await endOf(first);
    assert.equal(forced, 2);
    // Below: clocks and rounding. Above: a machine that is busy.
    assert.ok(ms >= timeout - 50 && ms < timeout + 5_000, `${ms} ms`);
    assert.equal(chain.linesOf(first, 'ended')[0]?.forced, 2);
  });

  it('a WebSocket that its client closes ends the drain at once', async (test) => {
    const stage = await scene(test, 'ws.cjs');
    const first = await stage.first(chain.NEVER_FORCED);
    const socket = new WebSocket(`ws://127.0.0.1:${stage.port}/`);
    await once(socket, 'message');
    await chain.upgrade(stage.space);
    assert.equal(first.exit, undefined);
    socket.close(1000);
    await once(socket, 'close');
    assert.equal((await endOf(first)).forced, 0);
  });

  it('a plain TCP connection goes on until its client closes it', async (test) => {
    const stage = await scene(test, 'net-echo.cjs');
    const first = await stage.first(chain.NEVER_FORCED);
    const socket = connectTcp(stage.port, '127.0.0.1');
    await once(socket, 'data');
    for (const generation of [2, 3]) {
      await chain.upgrade(stage.space);
      socket.write(`after ${generation}`);
      const [echo] = await once(socket, 'data');
      assert.equal(String(echo), `after ${generation}`);
    }
    assert.equal(first.exit, undefined);
    socket.end();
    await once(socket, 'close');
    assert.equal((await endOf(first)).forced, 0);
    await chain.predecessorsEnd(first, 3);
  });

  it('a request that never ends is cut at the drain timeout and counted', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--drain-timeout', '1s']);
    const held = await stage.hold();
    await chain.upgrade(stage.space);
    await assert.rejects(held.answer);
    const { ms, forced } = await endOf(first);
    assert.equal(forced, 1);
    assert.ok(ms >= 950 && ms < 6_000, `${ms} ms`);
  });
});
