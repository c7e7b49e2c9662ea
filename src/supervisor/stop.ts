import { inBackground } from '../base/background.js';
import { GREETING_MS, STATS_MS } from '../base/deadlines.js';
import { processEnd } from '../base/os/processes.js';
import { within } from '../base/timeout.js';
import type { Life } from './life.js';
import { replacedBy, restorePidfile } from './replaced.js';

/** ms for the other generations of a unit to end, at a stop, before its main process does: what a worker has by default (killGrace). */
const OTHERS_END_MS = 5_000;

export interface StopOptions {
  /** What is open is closed. */
  readonly now?: boolean | undefined;
  /** One that stops already goes on as it does. */
  readonly once?: boolean | undefined;
}

/** What SIGTERM does; see the Supervisor's method. */
export function stop(life: Life, { now = false, once = false }: StopOptions = {}): void {
  const { drain, machine, stopSignal } = life;
  const again = stopSignal.aborted;
  if (now || (again && !once)) drain.cut();
  if (again) return;
  life.tellToStop();
  if (life.phase === 'draining') shorten(life);
  // In other phases it is too late to take back what runs, or what runs has heard the signal.
  else if (machine.can('stop')) inBackground('the stop', stopOnceDecided(life), { leadsToTheEnd: true });
}

/**
 * A stop of this instance means that the one before it is not wanted either. That one may be about to serve again all the same: then
 * the paths of its listeners must stay.
 */
export async function stopOnceDecided(life: Life): Promise<void> {
  // No answer: it stops all the same, and leaves the paths alone.
  const { currentProbation: probation } = life.machine;
  if (probation !== null) {
    await Promise.allSettled([probation.settle(), within(GREETING_MS, probation.over)]);
  }
  if (life.phase === 'draining') shorten(life);
  else if (life.machine.can('stop')) await stopServing(life);
}

/** Of a generation that has handed over. The generations before it, of which it alone may know, end with it. */
function shorten(life: Life): void {
  life.drain.shorten();
  withOthers(life);
}

/**
 * Ends the generations that drain together with this one. Below a service manager they have the time that is theirs, unless it is
 * cut: this process outlasts them.
 */
function withOthers(life: Life): void {
  const { drain, instance, endOfOthers } = life;
  if (!instance.manager.exists && !drain.wasCut) endOfOthers.begin({ now: false });
  inBackground(
    'ending other generations',
    drain.isCut.then(() => endOfOthers.begin({ now: true })),
  );
}

/** The graceful end without a successor: no new connections, drain, end. */
export async function stopServing(life: Life): Promise<void> {
  const { instance, machine } = life;
  machine.step('stop');
  const owner = replacedBy(life);
  if (owner !== null) return leaveTo(owner, life);
  // Ours, so that it goes with us.
  restorePidfile(life);
  life.events.emit('stopping');
  withOthers(life);
  instance.manager.beginStop();
  const reason = 'the incumbent was stopped; there is nothing to take over';
  instance.endpoints.control?.dismissWatchers(reason, { forGood: true });
  // A hand-over that was given up for this may have paused them. Clients that wait are served.
  inBackground('accepting until the stop', instance.fleet.accept());
  // An incumbent that does not answer may serve on them again when it wakes.
  const unlink = machine.probation === null || machine.probation.isOver;
  await instance.closeListeners(life.drain.isCut, { unlink });
  await life.pauseWorkers();
  const { forced } = await life.drain.run(life.generation, ({ connections }) =>
    instance.manager.goOnStopping(connections),
  );
  await outlastOthers(life);
  life.stopFinished.resolve();
  machine.step('drained');
  instance.close({ unlink });
  await life.end({ reason: 'stopped', forced });
}

/** Another instance has taken over by force (./force.ts) while this process slept. They share the listeners, so these go on. */
async function leaveTo(owner: number, life: Life): Promise<void> {
  const { instance, machine } = life;
  life.warn('replaced', `pid ${owner} has taken over by force; pid ${process.pid} drains`);
  instance.manager.handedTo(owner);
  instance.endpoints.pauseAdmin();
  await life.pauseWorkers();
  instance.giveAway();
  const { forced } = await life.drain.run(life.generation, () => {});
  life.stopFinished.resolve();
  machine.step('drained');
  await life.end({ reason: 'handed-over', forced });
}

/** Without its main process, a service manager kills what is left of the unit (KillMode=mixed, systemd.kill(5)). */
async function outlastOthers({ instance: { manager }, predecessors, machine, drain }: Life): Promise<void> {
  if (!manager.exists) return;
  const pids = predecessors.all().map(({ pid }) => pid);
  if (machine.successor !== null) pids.push(machine.successor);
  const sum = (): number => predecessors.all().reduce((total, { connections }) => total + connections, 0);
  const timer = setInterval(() => manager.goOnStopping(sum()), STATS_MS);
  await within(drain.left, Promise.race([predecessors.gone(), drain.isCut]));
  // What is left of them is their own end.
  await within(OTHERS_END_MS, Promise.race([Promise.all(pids.map((pid) => processEnd(pid))), drain.isCut]));
  clearInterval(timer);
}
