import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ROOT, until } from '../harness/index.js';
import { moveStage } from './stage.js';

const CLIENTS = 20;
const DEPLOYS = 3;
/** ms between two messages of a client. */
const EACH_MS = 20;

/** A client of the broker that is subscribed to its own topic: each number that it publishes comes back once, in order. */
class Subscriber {
  readonly #socket: Socket;
  readonly #topic: string;
  #rest = '';
  #held = '';
  #sent = 0;
  /** Numbers of the answers and of the messages that have come. */
  readonly oks: number[] = [];
  readonly messages: number[] = [];
  isClosed = false;

  constructor(socket: Socket, topic: string) {
    this.#socket = socket.setEncoding('utf8').on('error', () => {});
    this.#topic = topic;
    socket.on('close', () => {
      this.isClosed = true;
    });
    socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    });
    socket.write(`SUB ${topic}\n`);
  }

  /** The end of each second line comes with the next one: the program has half a line meanwhile. */
  publish(): void {
    const line = `${this.#held}PUB ${this.#topic} ${this.#sent++}\n`;
    const cut = this.#sent % 2 === 0 ? line.length : line.length - 3;
    this.#held = line.slice(cut);
    this.#socket.write(line.slice(0, cut));
  }

  finish(): void {
    this.#socket.write(this.#held);
  }

  assertWhole(): void {
    const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);
    assert.deepEqual([this.isClosed, this.messages], [false, upTo(this.#sent)], this.#topic);
    assert.deepEqual(
      this.oks,
      upTo(this.#sent + 1).map((index) => index + 1),
      this.#topic,
    );
  }

  get isAnswered(): boolean {
    return this.isClosed || this.oks.length > this.#sent;
  }

  leave(): void {
    this.#socket.destroy();
  }

  #take(line: string): void {
    const [kind, first, second] = line.split(' ');
    if (kind === 'OK') this.oks.push(Number(first));
    else this.messages.push(Number(second));
  }
}

it('clients of a raw socket keep their connection and their session over deploys (examples/connections/raw-socket.mjs)', async (test) => {
  const stage = await moveStage(test, { script: `${ROOT}examples/connections/raw-socket.mjs` });
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const socket = connect(stage.port, '127.0.0.1');
      await once(socket, 'connect');
      return new Subscriber(socket, `topic-${index}`);
    }),
  );
  const stop = new AbortController();
  const traffic = (async () => {
    while (!stop.signal.aborted) {
      for (const client of clients) client.publish();
      await wait(EACH_MS);
    }
  })();
  try {
    for (let deploy = 1; deploy <= DEPLOYS; deploy++) {
      await stage.deploy();
      const { moved, stayed } = (await stage.drained(deploy)) as unknown as { moved: number; stayed: object };
      assert.deepEqual([moved, Object.values(stayed ?? {}).some((count) => count > 0)], [CLIENTS, false]);
    }
    stop.abort();
    await traffic;
    for (const client of clients) client.finish();
    await until(() => clients.every(({ isAnswered }) => isAnswered), { what: 'all answers' });
    for (const client of clients) client.assertWhole();
  } finally {
    stop.abort();
    for (const client of clients) client.leave();
  }
});
