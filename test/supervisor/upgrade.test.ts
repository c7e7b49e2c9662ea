import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Defect, onDefect } from '#src/base/background.js';
import { HandoverError } from '#src/base/errors.js';
import { loadSettings } from '#src/config/load.js';
import type { Settings } from '#src/config/settings.js';
import type { Phase } from '#src/status/phases.js';
import { CommandHandler } from '#src/supervisor/command-handler.js';
import type { SupervisorEvents } from '#src/supervisor/events.js';
import { Life } from '#src/supervisor/life.js';
import { startAsFirst, startAsSuccessor } from '#src/supervisor/start.js';
import { stop } from '#src/supervisor/stop.js';
import { upgrade } from '#src/supervisor/upgrade.js';
import { openFds } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

/** One generation without programs: its listener is the settings' own. Both generations are in this process. */
class Generation {
  readonly events = new EventEmitter<SupervisorEvents>();
  readonly phases: Phase[] = [];
  readonly warnings: string[] = [];
  readonly life: Life;

  constructor(settings: Settings) {
    this.life = new Life(settings, this.events);
    this.life.instance.endpoints.answerCommands(new CommandHandler(this.life));
    this.events.on('phase', ({ to }) => this.phases.push(to));
    this.events.on('warning', ({ event }) => this.warnings.push(event));
  }

  async start(): Promise<void> {
    const { life } = this;
    try {
      await (life.settings.upgrade ? startAsSuccessor(life) : startAsFirst(life));
      life.served.resolve();
    } catch (error) {
      life.machine.step('failed');
      await life.instance.abandon();
      throw error;
    }
  }

  comesTo(phase: Phase): Promise<unknown> {
    return until(() => this.life.phase === phase, { what: phase, instead: () => this.phases });
  }
}

interface Pair {
  readonly first: Generation;
  /** Waits on the upgrade socket. */
  readonly second: Generation;
  /** Settled when it serves, or never will. */
  readonly started: Promise<unknown>;
}

async function pair(t: TestContext, { probation = 0 }: { probation?: number } = {}): Promise<Pair> {
  const directory = mkdtempSync(join(tmpdir(), 'motya-upgrade-'));
  const before = openFds();
  const pidfile = join(directory, 'web.pid');
  const env = { HOME: directory, PATH: process.env.PATH };
  const flags = {
    name: 'web',
    pidfile,
    'upgrade-socket': join(directory, 'web.upgrade.sock'),
    probation: `${probation}ms`,
  };
  const loaded = loadSettings({ flags, env, cwd: directory });
  const settings = (isSuccessor: boolean): Settings => ({ ...loaded, services: [], upgrade: isSuccessor });
  const generations: Generation[] = [];
  t.after(async () => {
    for (const { life } of generations) if (life.machine.can('stop')) stop(life, { now: true });
    await until(() => generations.every(({ life }) => life.phase === 'ended'), {
      what: 'the end of both',
      instead: () => generations.map(({ phases }) => phases),
    });
    await until(() => openFds() <= before, { what: 'fds as before', instead: () => openFds() - before });
    rmSync(directory, { recursive: true });
  });
  const first = new Generation(settings(false));
  generations.push(first);
  await first.start();
  const second = new Generation(settings(true));
  generations.push(second);
  const started = second.start();
  started.catch(() => {});
  await until(() => first.life.instance.endpoints.control?.watcher !== null, { what: 'a successor that waits' });
  return { first, second, started };
}

const failsWith = (code: string) => (error: unknown) => error instanceof HandoverError && error.code === code;

test('the steps of an upgrade, on both sides', async (t) => {
  const { first, second, started } = await pair(t);
  const { pid, generation, removed, settled } = await upgrade(first.life, { mode: 'wait' });
  await started;
  assert.deepEqual([pid, generation, removed, await settled], [process.pid, 2, [], null]);
  await first.comesTo('ended');
  await second.comesTo('serving');
  assert.deepEqual(first.phases, [
    ...['serving', 'finding', 'offering', 'awaiting', 'pausing', 'committed', 'standby', 'draining', 'ended'],
  ]);
  assert.deepEqual(second.phases, ['adopting', 'booting', 'ready', 'taking', 'probation', 'serving']);
  assert.equal(second.life.generation, 2);
  assert.deepEqual([first.warnings, second.warnings], [[], []]);
});

test('a dry run: as far as READY, and back', async (t) => {
  const { first, second, started } = await pair(t);
  const { gapMs } = await upgrade(first.life, { mode: 'wait', dryRun: true });
  assert.equal(gapMs, null);
  await assert.rejects(started, failsWith('ERR_MOTYA_DRY_RUN'));
  assert.deepEqual(first.phases, ['serving', 'finding', 'offering', 'awaiting', 'serving']);
  assert.deepEqual(second.phases.at(-1), 'ended');
  assert.equal(first.life.machine.successor, null, 'what was known of it is forgotten');
});

test('a stop before COMMIT ends the upgrade on both sides', async (t) => {
  const { first, started } = await pair(t);
  first.events.on('phase', ({ to }) => {
    if (to === 'awaiting') stop(first.life);
  });
  await assert.rejects(upgrade(first.life, { mode: 'wait' }), failsWith('ERR_MOTYA_STOPPING'));
  await assert.rejects(started, failsWith('ERR_MOTYA_STOPPING'));
  await first.comesTo('ended');
});

test('on probation: a rollback gives everything back, and the incumbent serves', async (t) => {
  const { first, second, started } = await pair(t, { probation: 60_000 });
  const { settled, probationMs } = await upgrade(first.life, { mode: 'wait' });
  await started;
  assert.equal(probationMs, 60_000);
  assert.deepEqual([first.life.phase, second.life.phase], ['standby', 'probation']);
  assert.equal((await second.life.status()).probation?.incumbent, process.pid);

  const refused = await new CommandHandler(first.life).rollBack();
  assert.deepEqual([refused.ok, refused.code], [false, 'ERR_MOTYA_PROBATION_OVER']);
  const back = await new CommandHandler(second.life).rollBack();
  assert.deepEqual([back.ok, back.code], [true, 'ROLLED_BACK']);
  assert.equal((await settled)?.code, 'ERR_MOTYA_ROLLBACK_REQUESTED');
  await second.comesTo('ended');
  assert.deepEqual(first.phases.slice(-3), ['standby', 'resuming', 'serving']);
  // A stop would signal a generation that drains: this process.
  await first.life.predecessors.gone();
  assert.deepEqual(second.phases.slice(-3), ['probation', 'draining', 'ended']);
});

test('on probation: a dry run is refused, an upgrade or a stop settles it', async (t) => {
  const { first, second, started } = await pair(t, { probation: 60_000 });
  await upgrade(first.life, { mode: 'wait' });
  await started;
  await assert.rejects(upgrade(second.life, { mode: 'wait', dryRun: true }), failsWith('ERR_MOTYA_BUSY'));
  assert.equal(second.life.phase, 'probation');
  await assert.rejects(upgrade(first.life, { mode: 'wait' }), failsWith('ERR_MOTYA_BUSY'), 'it stands by');
  stop(second.life);
  await first.comesTo('ended');
  await second.comesTo('ended');
  assert.deepEqual(first.phases.slice(-3), ['standby', 'draining', 'ended']);
  assert.deepEqual(second.phases.slice(-4), ['probation', 'serving', 'stopping', 'ended']);
});

test('on probation: a defect of the successor leaves it serving alone', async (t) => {
  const { first, second, started } = await pair(t, { probation: 60_000 });
  const defect = new Error('a defect');
  const told = new Promise<unknown>((resolve) => {
    const tell = ({ error }: Defect): boolean => {
      resolve(error);
      return true;
    };
    t.after(onDefect(tell));
  });
  second.life.predecessors.follow = () => Promise.reject(defect);
  await upgrade(first.life, { mode: 'wait' });
  await started;
  assert.equal(await told, defect);
  await first.comesTo('ended');
  assert.deepEqual(first.phases.slice(-3), ['standby', 'draining', 'ended']);
  assert.equal(second.life.phase, 'serving');
});
