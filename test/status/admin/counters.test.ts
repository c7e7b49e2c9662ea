import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { until } from '../../e2e/harness/index.js';
import { program, type Scene, scene } from '../../e2e/scene.js';
import { adminSocket, Scrape, scrape } from './support.js';

/** ms between two scrapes. */
const EVERY_MS = 50;

/** Scrapes until it is stopped: none may fail, and nothing that counts may fall. */
class Scraper {
  readonly problems: string[] = [];
  last = new Scrape('');
  scrapes = 0;
  #going = true;
  readonly #done: Promise<void>;

  constructor(where: string) {
    this.#done = this.#go(where);
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#done;
  }

  async #go(where: string): Promise<void> {
    while (this.#going) {
      try {
        const next = await scrape(where);
        const values = next.growing();
        for (const [series, before] of this.last.growing()) {
          const now = values.get(series);
          if (now === undefined || now < before) this.problems.push(`${series}: ${before}, then ${now}`);
        }
        this.last = next;
        this.scrapes += 1;
      } catch (error) {
        this.problems.push(String(error));
      }
      await wait(EVERY_MS);
    }
  }
}

const generation = (stage: Scene, number: number) =>
  until(async () => (await stage.status()).generation === number, { what: `generation ${number}` });

test('over five upgrades no scrape is refused, no counter falls, and nothing is counted twice', async (t) => {
  const stage = await scene(t, '', program('one'));
  await stage.first(['--drain-timeout', '20s']);
  const at = adminSocket(stage);
  const scraper = new Scraper(at);
  t.after(() => scraper.stop());
  // A crash before the first upgrade, and one after it, in another process: both are counted on.
  const crash = async (): Promise<void> => {
    const { services } = await stage.status();
    const pid = services[0]?.workers[0]?.pid as number;
    process.kill(pid, 'SIGKILL');
    const isBack = async () => {
      const [worker] = (await stage.status()).services[0]?.workers ?? [];
      return worker?.state === 'ready' && worker.pid !== pid;
    };
    await until(isBack, { what: 'the worker to be back' });
  };
  await crash();
  for (let next = 2; next <= 6; next += 1) {
    // Each generation has one connection that outlives its hand-over.
    const held = await stage.hold();
    const { code, stderr } = await stage.upgrade();
    assert.equal(code, 0, stderr);
    await generation(stage, next);
    if (next === 2) await crash();
    held.finish();
    await held.answer;
  }
  stage.space.write('server.cjs', 'throw new Error("broken")');
  assert.equal((await stage.upgrade()).code, 3);
  const failed = 'motya_upgrades_total{outcome="failed",reason="ERR_MOTYA_PROGRAM"}';
  // An answer is up to ADMIN_REUSE_MS old.
  const isCounted = () => scraper.last.get('motya_drained_connections_total') === 5 && scraper.last.get(failed) === 1;
  const what = 'five drained connections and the failed upgrade';
  await until(isCounted, { what, instead: () => [...scraper.last.growing()] });
  await until(() => scraper.last.get('motya_draining_generations') === 0, { what: 'the end of all drains' });
  await until(() => scraper.scrapes > 50, { what: 'scrapes', instead: () => scraper.scrapes });
  await scraper.stop();
  const last = await scrape(at);
  assert.deepEqual(scraper.problems, []);

  const expected = {
    motya_generation: 6,
    'motya_upgrades_total{outcome="succeeded",reason="LIVE"}': 5,
    [failed]: 1,
    motya_drained_connections_total: 5,
    'motya_forced_connections_total{protocol="http1"}': 0,
    'motya_worker_crashes_total{service="server"}': 2,
    'motya_worker_restarts_total{service="server"}': 2,
    // Once in each hand-over; the sixth came as far as `finding`, or further.
    'motya_phase_seconds_count{phase="starting"}': 1,
    'motya_phase_seconds_count{phase="booting"}': 5,
    'motya_phase_seconds_count{phase="taking"}': 5,
    'motya_phase_seconds_count{phase="pausing"}': 5,
    'motya_phase_seconds_count{phase="committed"}': 5,
    'motya_phase_seconds_count{phase="draining"}': 5,
    'motya_phase_seconds_bucket{phase="draining",le="+Inf"}': 5,
  };
  const found = Object.fromEntries(Object.keys(expected).map((series) => [series, last.get(series)]));
  assert.deepEqual(found, expected);
  const sum = last.get('motya_phase_seconds_sum{phase="taking"}') ?? 0;
  assert.ok(sum > 0 && sum < 30, String(sum));
  const { upgrades, lastUpgrade } = await stage.status();
  assert.deepEqual(
    upgrades.map(({ ok, code, generation: number }) => [ok, code, number]),
    [...[2, 3, 4, 5, 6].map((number) => [true, 'LIVE', number]), [false, 'ERR_MOTYA_PROGRAM', 7]],
  );
  for (const { ok, ms, gapMs } of upgrades) assert.ok(ms !== null && ms > 0 && (gapMs !== null) === ok);
  assert.deepEqual(lastUpgrade, upgrades.at(-1));
});

test('what is closed by force is counted by protocol, by the generation that serves then', async (t) => {
  const stage = await scene(t);
  await stage.first(['--drain-timeout', '300ms']);
  const held = await stage.hold();
  held.answer.catch(() => {});
  assert.equal((await stage.upgrade()).code, 0);
  const at = adminSocket(stage);
  const forced = async () => (await scrape(at)).get('motya_forced_connections_total{protocol="http1"}');
  await until(async () => (await forced()) === 1, { what: 'the forced connection' });
  await until(async () => (await stage.status()).draining.length === 0, { what: 'the end of the drain' });
  assert.equal(await forced(), 1);
  const [first] = (await stage.status()).generations;
  assert.deepEqual([first?.generation, first?.forced], [1, 1]);
});
