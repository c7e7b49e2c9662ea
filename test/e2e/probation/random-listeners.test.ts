import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childrenOf, freePorts, until } from '../harness/index.js';
import { type Scene, scene } from '../scene.js';
import { answerOn, command, program } from './opens-when-asked.js';

/** The same walk in each run of all tests; other walks, and longer ones, by hand: RANDOM_SEED=2 RANDOM_STEPS=500. */
const SEED = Number(process.env.RANDOM_SEED ?? 1);
const STEPS = Number(process.env.RANDOM_STEPS ?? 8);

/** Numbers from 0 to below 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A program that is upgraded, rolled back and killed while it opens and closes its listeners; what it holds is known here. */
class Walk {
  readonly #stage: Scene;
  readonly #names: readonly string[];
  readonly #random: () => number;
  #version = 'v1';
  /** What the version that serves opens at its start, and what it holds now. */
  #initial: readonly string[] = [];
  #held = new Set<string>();
  readonly done: string[] = [];

  constructor(stage: Scene, names: readonly string[], random: () => number) {
    this.#stage = stage;
    this.#names = names;
    this.#random = random;
  }

  async step(): Promise<void> {
    const steps = [() => this.#toggle(), () => this.#upgrade(), () => this.#rollBack(), () => this.#crash()];
    await this.#pick(steps)();
    await this.check();
  }

  /** Each listener that the program holds answers with its version; no other one does, and no client of one waits. */
  async check(): Promise<void> {
    for (const name of this.#names) {
      const where = `${name} after ${this.done.join(', ')}`;
      const isRight = async () => (await answerOn(name)) === this.#version;
      // Both generations read a UDP socket for the moment until the rolled back one has heard of that.
      if (this.#held.has(name) && name.startsWith('udp'))
        await until(isRight, { what: `${this.#version} on ${where}` });
      else if (this.#held.has(name)) assert.equal(await answerOn(name), this.#version, where);
      // The incumbent ends it within a moment; a datagram would tell nothing.
      else if (!name.startsWith('udp')) await until(() => isGone(name), { what: `no answer on ${where}` });
    }
  }

  async #toggle(): Promise<void> {
    const name = this.#pick(this.#names);
    const isHeld = this.#held.has(name);
    this.done.push(`${isHeld ? 'close' : 'open'} ${name}`);
    await command(this.#stage, `/${isHeld ? 'close' : 'open'}?${encodeURIComponent(name)}`);
    if (isHeld) this.#held.delete(name);
    else this.#held.add(name);
  }

  #deploy(): readonly string[] {
    this.#version = `v${Number(this.#version.slice(1)) + 1}`;
    const initial = this.#names.filter(() => this.#random() < 0.5);
    this.#stage.space.write('server.cjs', program(this.#version, initial));
    return initial;
  }

  async #upgrade(): Promise<void> {
    const initial = this.#deploy();
    this.done.push(`upgrade to ${this.#version} with ${initial.join(' ') || 'none'}`);
    const upgrading = this.#stage.upgrade('--json', '--allow-removed');
    await until(async () => (await command(this.#stage, '/')) === this.#version, { what: `version ${this.#version}` });
    [this.#initial, this.#held] = [initial, new Set(initial)];
    // On probation, if it is not over yet.
    for (let more = Math.floor(this.#random() * 3); more > 0; more--) await this.#toggle();
    const { code, stdout, stderr } = await upgrading;
    assert.equal(code, 0, `${this.done.join(', ')}\n${stdout}${stderr}`);
  }

  async #rollBack(): Promise<void> {
    const [version, held] = [this.#version, this.#held];
    const initial = this.#deploy();
    this.done.push(`roll back from ${this.#version}`);
    // The command ends before the probation, which is that of the running settings: taken back at once, or too late.
    assert.equal((await this.#stage.upgrade('--detach', '--allow-removed')).code, 0);
    const { code } = await this.#stage.space.run(['rollback', '--name', 'app']);
    if (code === 0) [this.#version, this.#held] = [version, held];
    else [this.#initial, this.#held] = [initial, new Set(initial)];
    if (code === 0) this.#stage.space.write('server.cjs', program(version, this.#initial));
    await until(async () => (await this.#stage.status()).probation === null, { what: 'the end of the probation' });
  }

  async #crash(): Promise<void> {
    this.done.push('crash');
    const { pid, services } = await this.#stage.status();
    const [worker] = services.flatMap(({ workers }) => workers.map((one) => one.pid));
    assert.ok(worker != null && childrenOf(pid).includes(worker));
    process.kill(worker, 'SIGKILL');
    const isBack = async (): Promise<boolean> => {
      const workers = (await this.#stage.status()).services.flatMap((service) => service.workers);
      return workers.every((one) => one.state === 'ready' && one.pid !== worker);
    };
    await until(isBack, { what: 'the worker to be back' });
    // What it opens only when it is asked to is not open; the listener is kept for it, and would hold clients.
    const lost = [...this.#held].filter((name) => !this.#initial.includes(name));
    for (const name of lost) await command(this.#stage, `/open?${encodeURIComponent(name)}`);
    for (const name of this.#initial.filter((one) => !this.#held.has(one))) {
      await command(this.#stage, `/close?${encodeURIComponent(name)}`);
    }
  }

  #pick<T>(among: readonly T[]): T {
    return among[Math.floor(this.#random() * among.length)] as T;
  }
}

async function isGone(name: string): Promise<boolean> {
  try {
    await answerOn(name);
    return false;
  } catch {
    return true;
  }
}

test('listeners that open and close at random moments of upgrades, rollbacks and crashes answer in the end', async (t) => {
  t.diagnostic(`RANDOM_SEED=${SEED} RANDOM_STEPS=${STEPS}`);
  const stage = await scene(t, '', program('v1'));
  const [a, b, c] = (await freePorts(3)) as [number, number, number];
  const names = [`tcp=${a}`, `tcp=${b}`, `udp=${c}`, `unix=${stage.space.path('walk.sock')}`];
  await stage.first(['--probation', '700ms', '--drain-timeout', '1s']);
  const walk = new Walk(stage, names, randomFrom(SEED));
  for (let step = 0; step < STEPS; step++) await walk.step();
});
