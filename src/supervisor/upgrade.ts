import { inBackground, reportDefect } from '../base/background.js';
import { PAUSE_LEASE_MS } from '../base/deadlines.js';
import { failureFields, HandoverError, reasonOf } from '../base/errors.js';
import { REASON_LENGTH } from '../base/limits.js';
import { typedInvocation } from '../base/os/invocation.js';
import { type Launched, launch } from '../base/os/launch.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { HeldProcess } from '../base/os/processes.js';
import { type RemovedListener, removedText } from '../control/removed-listeners.js';
import { type FoundSuccessor, findSuccessor, ownReason } from '../handover/find-successor.js';
import { type HandedOver, IncumbentSession } from '../handover/incumbent.js';
import { obstacleIn } from '../status/phases.js';
import type { ListenerCounts } from '../workers/listener-counts.js';
import type { Upgraded, UpgradeOptions } from './events.js';
import { countAll, LeftOut } from './left-out.js';
import type { Life } from './life.js';
import { reclaimAfter } from './rejected.js';
import { replacedBy, restorePidfile } from './replaced.js';
import { standBy } from './standby.js';
import { stopServing } from './stop.js';
import { takeBack } from './take-back.js';
import { dismissStale, tellTaken } from './waiting-successors.js';

/**
 * The incumbent's part of an upgrade, from top to bottom, its steps numbered as in docs/internals/protocol.md: finds or starts a
 * successor, hands over, stands by, and drains in the background. ./start.ts is the successor's part.
 * @throws {HandoverError} it did not happen: this instance serves on.
 */
export async function upgrade(life: Life, options: UpgradeOptions): Promise<Upgraded> {
  const { instance, machine, history } = life;
  const { dryRun = false, allowRemoved = false } = options;
  const asked = performance.now();
  await becomeReadyToHandOver(life, dryRun);
  machine.step('upgrade');
  history.upgradeBegins();
  if (!dryRun) instance.manager.reloading();
  let found: FoundSuccessor | null = null;
  let successor: HeldProcess | null = null;
  let session: IncumbentSession | null = null;
  let before: Promise<ListenerCounts>;
  let handed: HandedOver;
  try {
    // 1. Find the successor that waits, or start one.
    await dismissStale(life);
    life.stopSignal.throwIfAborted();
    // A program of the new version may be told to begin with a debugger.
    instance.fleet.openInspectors(false);
    found = await findSuccessorOf(life, options);
    successor = holdSuccessor(life, found);
    session = new IncumbentSession(found.fd, life.stopSignal);

    // 2. Offer the listeners and the lock of the pidfile. The successor adopts them.
    instance.freeze();
    before = countAll(life);
    await session.offer({
      pid: process.pid,
      generation: life.generation,
      listeners: instance.ledger.all(),
      lockFd: instance.endpoints.pidfile.lockFd,
      watchdogUsec: instance.manager.watchdogUsec,
      endingMs: instance.gate.addressesAwaited,
    });
    machine.step('adopted');

    // 3. Its programs boot, while this instance serves.
    const { leftOut } = await session.awaitReady();
    if (dryRun) {
      session.endDryRun();
      return rehearsed(life, successor);
    }

    // 4. Stop accepting, but on what the successor has left out.
    machine.step('ready');
    instance.endpoints.handOverAdmin(leftOut);
    await session.race(life.pauseWorkers({ lease: PAUSE_LEASE_MS, except: leftOut }));

    // 5. Send what the programs hand on.
    await session.sendState(instance.fleet.give());

    // 6. Commit. From here on the successor may be live, and the counters stand still here.
    life.stopSignal.throwIfAborted();
    life.predecessors.commit();
    const wasStarted = found.launched !== null && options.mode !== 'now';
    const signalled = wasStarted ? { signalled: Math.round(performance.now() - asked) } : {};
    const exported = history.export();
    session.commit({ ...(exported === undefined ? {} : { history: exported }), ...signalled });
    // Steps are logged; no process accepts now, so what is to be sent goes first.
    machine.step('paused');

    // 7. The successor accepts.
    handed = await session.awaitLive();
    machine.step('live');
    successor.close();
  } catch (error) {
    const given = HandoverError.from(error);
    session?.abort(given);
    const failure = await reasonFor(life, given, found);
    if (life.phase !== 'stopping') await serveOn(life, failure, successor);
    else successor?.close();
    throw failure;
  }

  // 8. Stand by until its probation is over. 9. Drain and end, or serve again.
  const leftOut = new LeftOut(life, before, handed.leftOut);
  const settled = standBy(life, handed, leftOut, { allowRemoved });
  const removed = await tellOfRemoved(life, leftOut);
  const { successor: pid, gapMs, probationMs } = handed;
  return { pid, generation: life.generation + 1, gapMs, probationMs, removed, settled };
}

/** Ends a probation, and mends the pidfile. @throws {HandoverError} this instance cannot hand over now, and why; it is logged */
async function becomeReadyToHandOver(life: Life, dryRun: boolean): Promise<void> {
  try {
    await makeReady(life, dryRun);
  } catch (error) {
    life.warn('busy', reasonOf(error), failureFields(error));
    throw error;
  }
}

async function makeReady(life: Life, dryRun: boolean): Promise<void> {
  const { machine } = life;
  // systemd may send the next reload's signal in the moment in which it has read that we are the main process.
  if (machine.is('isAboutToServe')) await life.served.promise;
  await endProbation(life, dryRun);
  if (!machine.can('upgrade')) {
    const code = life.stopSignal.aborted ? 'ERR_MOTYA_STOPPING' : 'ERR_MOTYA_BUSY';
    const details = { pid: process.pid, phase: life.phase };
    throw new HandoverError(code, `pid ${process.pid} cannot hand over: ${obstacleIn(life.phase)}`, { details });
  }
  const owner = replacedBy(life);
  if (owner !== null) {
    const text = `pid ${owner} has taken over from pid ${process.pid} by force`;
    throw new HandoverError('ERR_MOTYA_REPLACED', text, { details: { pid: owner } });
  }
  restorePidfile(life);
}

/** A request for the next generation says that this one is wanted: it is on probation no more. */
async function endProbation({ machine }: Life, dryRun: boolean): Promise<void> {
  const { currentProbation: probation } = machine;
  if (probation === null) return;
  if (dryRun && probation.isTrial) {
    const left = Math.ceil(probation.left / 1000);
    const details = { pid: process.pid, phase: machine.phase };
    throw new HandoverError('ERR_MOTYA_BUSY', `pid ${process.pid} is on probation for another ${left} s`, { details });
  }
  await probation.settle();
}

function findSuccessorOf(life: Life, { mode }: UpgradeOptions): Promise<FoundSuccessor> {
  const { settings, instance } = life;
  return findSuccessor({
    upgradeSocket: settings.upgradeSocket,
    mode: mode ?? settings.onQuit,
    waitMs: settings.upgradeWait,
    announced: () => instance.endpoints.control?.watcher?.pid ?? null,
    launch: () => launchSuccessor(life),
    cancelled: life.stopSignal,
  });
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

/** @returns the successor's process; the connection is closed when this throws. */
function holdSuccessor(life: Life, { fd, launched }: FoundSuccessor): HeldProcess {
  using owned = new OwnedFds([fd]);
  const { pid } = native.channel.peerCredentials(fd);
  if (launched === null) tellTaken(life, pid);
  life.machine.step('connected', { successor: pid });
  // Its connection proves that it lives: from here on no other process is taken for it.
  const successor = new HeldProcess(pid);
  owned.release(fd);
  return successor;
}

/** After a dry run: this instance serves as before. */
function rehearsed(life: Life, successor: HeldProcess): Upgraded {
  const { instance, machine, history, events } = life;
  const { pid } = successor;
  successor.close();
  machine.step('rehearsed');
  instance.thaw();
  history.upgradeRehearsed('DRY_RUN');
  events.emit('rehearsed', pid);
  const generation = life.generation + 1;
  return { pid, generation, gapMs: null, probationMs: 0, removed: [], settled: Promise.resolve(null) };
}

/** Why it failed. A successor that was started for this upgrade may have said so on its pipe alone. */
async function reasonFor(life: Life, failure: HandoverError, found: FoundSuccessor | null): Promise<HandoverError> {
  // Only while this instance accepts there is time to ask.
  if (found === null || found.launched === null || life.phase !== 'offering') return failure;
  return ownReason(found.launched, failure);
}

/** After a hand-over that did not happen. `successor`: if it came that far; it is closed. */
async function serveOn(life: Life, failure: HandoverError, successor: HeldProcess | null): Promise<void> {
  const { instance, machine } = life;
  instance.endpoints.control?.dismissWatchers(`the upgrade was given up: ${failure.message}`);
  machine.step('failed');
  instance.thaw();
  if (life.phase === 'resuming') {
    await takeBack(life);
    machine.step('resumed');
  }
  if (successor !== null) inBackground('reclaiming the files of a successor', reclaimAfter(life, successor));
  instance.manager.notReloaded(failure.message);
  life.history.upgradeFailed(failure.code, failure.message.slice(0, REASON_LENGTH), life.generation + 1);
  life.events.emit('rejected', failure);
  if (life.stopSignal.aborted) inBackground('the stop', stopServing(life), { leadsToTheEnd: true });
}

/** The successor is live: a failure to count must not be taken for one of the hand-over. */
async function tellOfRemoved(life: Life, leftOut: LeftOut): Promise<readonly RemovedListener[]> {
  try {
    const removed = await leftOut.told();
    for (const one of removed) life.warn('removed', `the new version has not asked for ${removedText(one)}`, one);
    return removed;
  } catch (error) {
    reportDefect('telling what the new version has left out', error);
    return [];
  }
}
