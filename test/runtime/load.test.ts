import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allKinds } from '#src/base/drain-kinds.js';
import { HttpClient } from './http-client.js';
import { supervised } from './supervisor.js';

/** Clients that never retry. Each keeps its connection until an answer says close, or opens one for each request. */
class Load {
  answered = 0;
  readonly failures: string[] = [];
  #running = true;
  readonly #clients: Promise<void>[];

  constructor(port: number, clients: number) {
    this.#clients = Array.from({ length: clients }, (_, index) => this.#run(port, index % 2 === 0));
  }

  /** Waits until so many more requests have been answered. */
  async answers(more: number): Promise<void> {
    const target = this.answered + more;
    while (this.answered < target && this.failures.length === 0) await new Promise(setImmediate);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#clients);
  }

  async #run(port: number, keepAlive: boolean): Promise<void> {
    try {
      let client: HttpClient | null = null;
      while (this.#running) {
        client ??= await HttpClient.connect(port);
        const { status, body, closes } = await client.get('/');
        if (status !== 200 || body !== 'ok') this.failures.push(`${status} ${body}`);
        this.answered++;
        if (closes) await client.closed;
        else if (!keepAlive) client.close();
        if (closes || !keepAlive) client = null;
      }
      client?.close();
    } catch (error) {
      this.failures.push(String(error));
    }
  }
}

test(
  'PAUSE and ACCEPT under load: no request fails',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('http.cjs', { args: ['[0, "127.0.0.1"]'] });
    const load = new Load((await worker.address()).port, 20);
    for (let round = 0; round < 30; round++) {
      await load.answers(20);
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    }
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.ok(load.answered >= 600);
  }),
);

test(
  'ten generations under load: no request fails, every old one drains',
  supervised(async (supervisor) => {
    const spawn = (generation: number) =>
      supervisor.spawn('http.cjs', { args: ['[0, "127.0.0.1"]'], role: { generation, held: generation > 1 } });
    let worker = spawn(1);
    const load = new Load((await worker.address()).port, 20);
    for (let generation = 2; generation <= 11; generation++) {
      const next = spawn(generation);
      await next.message('READY');
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      await next.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      const { forced } = await worker.ask({ type: 'DRAIN', times: allKinds(60_000) }, 'DRAINED');
      assert.deepEqual(forced, { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 });
      worker.child.kill('SIGTERM');
      assert.deepEqual(await worker.exited, [0, null]);
      worker = next;
      await load.answers(50);
    }
    await load.stop();
    assert.deepEqual(load.failures, []);
  }),
);
