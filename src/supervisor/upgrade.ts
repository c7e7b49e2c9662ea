import { inBackground, reportDefect } from '../base/background.js';
import { isDone } from '../base/deadline.js';
import { HandoverError } from '../base/errors.js';
import { GREETING_MS, PAUSE_LEASE_MS, REASON_LENGTH } from '../base/limits.js';
import { typedInvocation } from '../base/os/invocation.js';
import { type Launched, launch } from '../base/os/launch.js';
import { native } from '../base/os/native.js';
import { HeldProcess } from '../base/os/processes.js';
import { type RemovedListener, removedText } from '../control/removed-listeners.js';
import { ownReason, summon } from '../handover/find-successor.js';
import { handOver } from '../handover/incumbent.js';
import { obstacleIn, type Phase } from '../status/phases.js';
import type { Upgraded, UpgradeOptions } from './events.js';
import { countAll, LeftOut } from './left-out.js';
import type { Life } from './life.js';
import { afterHandover, drainAnyway } from './probation.js';
import { reclaimAfter } from './rejected.js';
import { replacedBy, restorePidfile } from './replaced.js';
import { stopServing } from './stop.js';
import { takeBack } from './take-back.js';
import { dismissStale, tellTaken } from './waiting-successors.js';

/**
 * The incumbent's part: finds or starts a successor, hands over, and drains in the background; ./birth.ts is the successor's.
 * @throws {HandoverError} it did not happen: this instance serves on.
 */
export async function upgrade(
  life: Life,
  { dryRun = false, allowRemoved = false, mode }: UpgradeOptions,
): Promise<Upgraded> {
  const { settings, instance, machine, chronicle, events } = life;
  const asked = performance.now();
  // systemd may send the next reload's signal in the moment in which it has read that we are the main process.
  if (isAboutToServe(life.phase)) await life.served.promise;
  if (life.undecided !== null) await endProof(life, dryRun);
  if (!machine.can('quit')) {
    const code = life.stopping.aborted ? 'ERR_MOTYA_STOPPING' : 'ERR_MOTYA_BUSY';
    const busy = new HandoverError(code, `pid ${process.pid} cannot hand over: ${obstacleIn(life.phase)}`);
    life.warn('busy', busy.message);
    throw busy;
  }
  const heir = replacedBy(life);
  if (heir !== null)
    throw new HandoverError('ERR_MOTYA_REPLACED', `pid ${heir} has taken over from pid ${process.pid} by force`);
  restorePidfile(life);
  machine.step('quit');
  chronicle.upgradeBegins();
  if (!dryRun) instance.manager.reloading();
  let launched: Launched | null = null;
  let successor: HeldProcess | null = null;
  try {
    await dismissStale(life);
    life.stopping.throwIfAborted();
    // A program of the new version may be told to begin with a debugger.
    instance.fleet.openInspectors(false);
    const summoned = await summon({
      upgradeSocket: settings.upgradeSocket,
      mode: mode ?? settings.onQuit,
      waitMs: settings.upgradeWait,
      announced: () => instance.control?.watcher?.pid ?? null,
      launch: () => launchSuccessor(life),
      cancelled: life.stopping,
    });
    launched = summoned.launched;
    successor = connected(life, summoned);
    const { pid } = successor;
    life.courted = pid;
    instance.freeze();
    const before = countAll(life);
    const handed = await handOver(summoned.fd, {
      pid: process.pid,
      generation: life.generation,
      listeners: () => instance.ledger.all(),
      lockFd: instance.pidfile.lockFd,
      watchdogUsec: instance.manager.watchdogUsec,
      endingMs: instance.gate.addressesAwaited,
      readyMs: settings.readyTimeout,
      cancelled: life.stopping,
      dryRun,
      step: (event) => machine.step(event),
      pause: (except) => {
        instance.pauseAdmin(except);
        return life.pauseWorkers({ lease: PAUSE_LEASE_MS, except });
      },
      gather: () => instance.fleet.give(),
      bequeath: () => {
        life.predecessors.commit();
        return chronicle.bequeath();
      },
      sinceSignal: () => (launched === null || mode === 'now' ? null : Math.round(performance.now() - asked)),
    });
    const generation = life.generation + 1;
    if (handed === 'dry-run') {
      successor.close();
      life.courted = null;
      machine.step('failed');
      instance.thaw();
      instance.fleet.openInspectors(true);
      chronicle.upgradeRehearsed('DRY_RUN');
      events.emit('rehearsed', pid);
      return { pid, generation, gapMs: null, probationMs: 0, removed: [], settled: Promise.resolve(null) };
    }
    successor.close();
    const { gapMs, probationMs, unwanted } = handed;
    const leftOut = new LeftOut(life, before, unwanted);
    const settled = afterHandover(life, handed, leftOut, { allowRemoved }).catch((error: unknown) =>
      drainAnyway(life, handed, error),
    );
    const removed = await toldOf(leftOut);
    for (const one of removed) life.warn('removed', `the new version has not asked for ${removedText(one)}`, one);
    return { pid, generation, gapMs, probationMs, removed, settled };
  } catch (error) {
    let failure = HandoverError.from(error);
    // Only while everybody accepts there is time to ask.
    if (launched !== null && life.phase === 'offering') failure = await ownReason(launched, failure);
    if (life.phase !== 'stopping') {
      life.courted = null;
      await serveOn(life, failure, successor);
    } else {
      successor?.close();
    }
    throw failure;
  }
}

/** @returns who is there; the connection is closed when this throws. */
function connected(life: Life, { fd, launched }: { fd: number; launched: Launched | null }): HeldProcess {
  try {
    const { pid } = native.peerCredentials(fd);
    if (launched === null) tellTaken(life, pid);
    life.machine.step('connected');
    // Its connection proves that it lives: from here on no other process is taken for it.
    return new HeldProcess(pid);
  } catch (error) {
    native.close(fd);
    throw error;
  }
}

/** After a hand-over that did not happen. `successor`: if it came that far; it is closed. */
async function serveOn(life: Life, failure: HandoverError, successor: HeldProcess | null): Promise<void> {
  const { instance, machine } = life;
  instance.control?.dismissWatchers(`the upgrade was given up: ${failure.message}`);
  machine.step('failed');
  instance.thaw();
  instance.fleet.openInspectors(true);
  if (life.phase === 'resuming') {
    await takeBack(life);
    machine.step('resumed');
  }
  if (successor !== null) inBackground('reclaiming the files of a successor', reclaimAfter(life, successor));
  instance.manager.notReloaded(failure.message);
  life.chronicle.upgradeFailed(failure.code, failure.message.slice(0, REASON_LENGTH), life.generation + 1);
  life.events.emit('rejected', failure);
  if (life.stopping.aborted) inBackground('the stop', stopServing(life));
}

/** Whoever wants the next generation wants this one: it is on probation no more. */
async function endProof({ proof, undecided }: Life, dryRun: boolean): Promise<void> {
  if (proof === null) {
    if (undecided === null || (await isDone(GREETING_MS, undecided))) return;
    throw new HandoverError('ERR_MOTYA_WEDGED', 'the incumbent does not say that it has let go: it may serve again');
  }
  if (dryRun) {
    const left = Math.ceil(proof.left / 1000);
    throw new HandoverError('ERR_MOTYA_BUSY', `pid ${process.pid} is on probation for another ${left} s`);
  }
  await proof.settle();
}

/** The successor is live: a failure to count must not be taken for one of the hand-over. */
async function toldOf(leftOut: LeftOut): Promise<readonly RemovedListener[]> {
  try {
    return await leftOut.told();
  } catch (error) {
    reportDefect('telling what the new version has left out', error);
    return [];
  }
}

function launchSuccessor({ events }: Life): Launched {
  const { args, ...invocation } = typedInvocation();
  const end = args.indexOf('--');
  // These were how this instance came, not how the next one does: by force it would end us as soon as we are late with an answer.
  const own = args.filter((word, at) => !/^--(force|allow-removed)(=|$)/.test(word) || (end >= 0 && at > end));
  const env = { ...process.env, MOTYA_UPGRADE: 'true', MOTYA_FORCE: undefined, MOTYA_ALLOW_REMOVED: undefined };
  const launched = launch({ ...invocation, args: own }, { env, output: 'inherit' });
  events.emit('successor', launched.pid);
  return launched;
}

function isAboutToServe(phase: Phase): boolean {
  return phase === 'starting' || phase === 'taking' || phase === 'alone';
}
