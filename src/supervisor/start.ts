import { inBackground } from '../base/background.js';
import { READY_MARGIN_MS } from '../base/deadlines.js';
import { HandoverError, StartError } from '../base/errors.js';
import { takeMainPid } from '../base/os/activation.js';
import { holdsLock } from '../base/os/pidfile.js';
import { asUser } from '../base/os/privileges.js';
import { VERSION } from '../base/version.js';
import {
  connectControl,
  NotRunningError,
  RestartingError,
  type Watched,
  WedgedError,
  watchIncumbent,
} from '../control/client.js';
import type { ListenerDiff } from '../handover/listener-diff.js';
import { fdsForNext, preflight, preflightFds } from '../handover/preflight.js';
import { decline, type Offer, SuccessorSession } from '../handover/successor.js';
import { Probation } from '../handover/successor-probation.js';
import { UpgradeSocket } from '../handover/upgrade-socket.js';
import { hasKeeper, keeperOf } from '../keeper/keeper-choice.js';
import type { Fleet } from '../workers/fleet.js';
import { adopt, keepAdopted } from './adoption.js';
import { startByForce } from './force.js';
import { checkHealthPath } from './health-target.js';
import { awaitLateListeners } from './late-listeners.js';
import type { Life } from './life.js';
import { prove } from './probation.js';
import { fingerprintOf } from './program-files.js';
import { dropUnused, letGoUnused } from './unused-listeners.js';
import { lateUntil } from './waiting-successors.js';

/** As the first instance. @throws {MotyaError} it could not start. */
export async function startAsFirst(life: Life): Promise<void> {
  const { instance, generation, settings } = life;
  refuseBesideKeeper(life);
  life.events.emit('generation', generation);
  const fleet = life.makeFleet({ accepting: true });
  instance.manager.starting(life.settings.readyTimeout + READY_MARGIN_MS);
  const isActivated = instance.acquire();
  // One that is started again after a crash has been there before: its listeners come from the service manager.
  const adoption = settings.adopt === null || isActivated ? null : adopt(settings.adopt, instance);
  instance.declare();
  fleet.start();
  await life.unlessStopped(fleet.ready());
  checkHealthPath(settings, instance.programListeners());
  if (adoption !== null) {
    const { from, pid, stop } = adoption;
    life.events.emit('adopted', { from, pid, stop, ...keepAdopted(adoption, instance) });
  }
  instance.becomeMain();
  dropUnused(life);
  const tight = fdsForNext(instance.ledger.size);
  if (tight !== null)
    life.warn('preflight', `it serves, but every upgrade would be rejected: ${tight.text}`, tight.details);
  life.history.firstServes(generation);
  life.machine.step('ready');
}

/** It holds the listeners, and is about to start an instance of its own. */
function refuseBesideKeeper({ settings }: Life): void {
  if (hasKeeper(process.env)) return;
  try {
    connectControl(settings.controlSocket).close();
  } catch (error) {
    if (error instanceof RestartingError) throw new StartError('ERR_MOTYA_RUNNING', error.message);
  }
}

/**
 * As the successor of an incumbent, for which it waits without limit; ./upgrade.ts is the incumbent's part.
 * @throws {MotyaError} it could not take over; the incumbent serves on.
 */
export async function startAsSuccessor(life: Life): Promise<void> {
  const { settings, instance } = life;
  const watched = await asUser(settings.user, () => findIncumbent(life));
  if ('wedged' in watched) {
    await startByForce(life, watched.wedged);
    succeeded(life, null, 'answered nothing');
    dropUnused(life);
    return;
  }
  life.generation = watched.generation + 1;
  life.events.emit('generation', life.generation);
  preflightFds(watched.keys.size);
  instance.gate.guardPaths(watched.paths);
  instance.gate.guardKeys(watched.keys);
  instance.reserve(new Set(watched.keys.keys()));
  const socket = new UpgradeSocket(settings.upgradeSocket, {
    pid: process.pid,
    version: VERSION,
    readyMs: settings.readyTimeout,
    probationMs: settings.probation,
    warn: (text, fields) => life.warn('peer', text, fields),
  });
  let offer: Offer | null | undefined;
  let reason: HandoverError | undefined;
  try {
    const fleet = life.makeFleet({ accepting: false });
    fleet.start();
    // A program that cannot start ends the wait; one that has booted changes nothing about it.
    const booted = fleet.booted().then(() => {
      if (life.phase !== 'waiting') return;
      life.events.emit('waiting', { generation: life.generation, incumbent: watched.pid, ms: life.age });
    });
    const failedToBoot = booted.then(() => new Promise<never>(() => {}));
    // 1. The incumbent finds this instance, and connects.
    offer = await life.unlessStopped(Promise.race([socket.offer, orphaned(watched), fleet.failed, failedToBoot]));
    // Its last words may be an offer that is read after its end, with the lock that we are about to take.
    if (offer === null) declineLater(socket, new HandoverError('ERR_MOTYA_INCUMBENT_DIED', 'the incumbent died'));
    await (offer === null ? replaceDead(life, watched, fleet) : takeOverFrom(life, offer, fleet));
  } catch (error) {
    reason = HandoverError.from(error);
    // One that has come in the very moment in which we fail is told why, too.
    if (offer === undefined) declineLater(socket, reason);
    throw error;
  } finally {
    socket.close(reason);
    watched.close();
  }
}

function declineLater(socket: UpgradeSocket, reason: HandoverError): void {
  const declined = socket.offer.then(
    (late) => decline(late, reason),
    () => {},
  );
  inBackground('declining an offer that comes too late', declined);
}

/** The steps of an upgrade from the offer on, from top to bottom, numbered as in docs/internals/protocol.md. @throws {HandoverError} the incumbent was told why and serves on */
async function takeOverFrom(life: Life, offer: Offer, fleet: Fleet): Promise<void> {
  const { instance, machine, settings } = life;
  const session = new SuccessorSession(offer, life.stopSignal);
  try {
    // 2. The offer is here. Adopt the listeners and the lock of the pidfile.
    machine.step('contacted');
    instance.manager.watchdogUsec = offer.watchdogUsec;
    instance.gate.awaitAddresses(offer.endingMs);
    instance.adopt(offer.listeners, offer.lockFd);
    session.adopted();
    machine.step('adopted');

    // 3. The programs boot, while the incumbent serves.
    const diff = await session.whileBooting(boot(life, fleet));
    machine.step('ready');
    session.ready(diff);

    // 4. to 6. The incumbent stops accepting, sends what its programs hand on, and commits; or it dies.
    const commit = await session.awaitCommit(fleet.failed);

    // 7. Accept, and say LIVE. Steps are logged; no process accepts now, so what is to be sent goes first.
    const live = instance.goLive(commit?.state);
    machine.step(commit === null ? 'incumbentGone' : 'commit');
    if (commit !== null) life.history.import(commit.history);
    await live;
    if (commit === null) {
      session.live();
      machine.step('live');
      succeeded(life, null);
      dropUnused(life);
      const text = `the incumbent (pid ${offer.incumbent}) died during the hand-over; its listeners are here`;
      life.warn('alone', text, { incumbent: offer.incumbent, bound: false });
      return;
    }
    const probation = new Probation(offer, settings.probation);
    session.live(probation.isTrial ? undefined : letGoUnused(life));
    machine.step('live', { probation });
    life.lateUntil = lateUntil(commit.sinceSignal);
    succeeded(life, offer.generation);

    // 8. Be on probation. 9. Hear of the incumbent until it has drained, or give everything back. In the background.
    inBackground('the probation', prove(life, offer, probation), { leadsToTheEnd: true });
  } catch (error) {
    const failure = HandoverError.from(error);
    session.abort(failure);
    throw failure;
  } finally {
    session.close();
  }
}

/** Until all programs have opened what they will open. @returns what becomes of the incumbent's listeners */
async function boot(life: Life, fleet: Fleet): Promise<ListenerDiff> {
  const { instance, settings } = life;
  const deadline = performance.now() + settings.readyTimeout;
  await life.unlessStopped(fleet.ready());
  await life.unlessStopped(Promise.race([awaitLateListeners(life, deadline), fleet.failed]));
  checkHealthPath(settings, instance.programListeners());
  preflight({ pidfile: settings.pidfile, listeners: instance.ledger.size });
  return instance.listenerDiff();
}

/** The incumbent died before its listeners were here. Clients are refused until they are bound anew. */
async function replaceDead(life: Life, watched: Watched, fleet: Fleet): Promise<void> {
  if (keeperOf(process.env) !== null) {
    // It holds them all: bound anew they are in use, and as long as we tried the next instance would find the lock taken.
    const text = `the incumbent (pid ${watched.pid}) died; the keeper starts the next instance, with its listeners`;
    throw new HandoverError('ERR_MOTYA_MANAGED', text);
  }
  life.machine.step('incumbentGone');
  const text = `the incumbent (pid ${watched.pid}) died; its listeners are bound anew`;
  life.warn('alone', text, { incumbent: watched.pid, bound: true });
  await life.instance.replaceDead();
  await life.unlessStopped(fleet.ready());
  await life.instance.goLive();
  life.machine.step('live');
  succeeded(life, null);
  dropUnused(life);
}

/** `predecessor`: the generation that has handed over; null when it has died. */
function succeeded({ history, generation, instance }: Life, predecessor: number | null, fate = 'died'): void {
  const code = predecessor === null ? 'ALONE' : 'LIVE';
  const end = predecessor === null ? `; the generation before it ${fate}` : '';
  const text = `generation ${generation} (pid ${process.pid}) serves${end}`;
  history.succeeded(generation, predecessor, { code, text });
  instance.endpoints.acceptAdmin();
}

/** `wedged`: the pid of one that answers nothing and is to be replaced all the same. */
async function findIncumbent({ settings }: Life): Promise<Watched | { wedged: number }> {
  const { pidfile, upgradeSocket, controlSocket, user, force, services, source } = settings;
  const meant = takeMainPid(process.env);
  try {
    // Before its programs are loaded: what changes from here on may be older there.
    const files = { scripts: services.map(({ script }) => script), cwds: services.map(({ cwd }) => cwd), source };
    // As the user (startAsSuccessor): the incumbent, which looks at them too, may be unable to read what root can.
    const program = { ...files, fingerprint: fingerprintOf(files) };
    const watched = await watchIncumbent(controlSocket, { age: Math.round(performance.now()), program });
    // Started by a reload for another one: its signal has come to nothing, or has gone to another successor; none would come here.
    if (meant !== null && meant !== watched.pid) {
      watched.close();
      const text = `the unit's main process, pid ${meant}, is not the one to take over from: pid ${watched.pid} serves`;
      throw new HandoverError('ERR_MOTYA_REPLACED', text);
    }
    return watched;
  } catch (error) {
    if (error instanceof WedgedError && force) return { wedged: error.peer.pid };
    if (!(error instanceof NotRunningError)) throw error;
    // Whatever is made for a moment must be the user's.
    const holder = asUser(user, () => holdsLock(pidfile));
    const text =
      holder === null
        ? `there is nothing to take over from: no instance runs with the upgrade socket ${upgradeSocket}; start without --upgrade`
        : `${holder.pid === null ? 'another instance' : `pid ${holder.pid}`} runs with the pidfile ${pidfile}, but not with the upgrade socket ${upgradeSocket}: give both the same (or try again, if it is still starting)`;
    const held = holder === null ? {} : { pidfile, pid: holder.pid };
    const details = { path: upgradeSocket, ...held };
    throw new HandoverError('ERR_MOTYA_NOTHING_TO_UPGRADE', text, { cause: error, details });
  }
}

/** Null when the incumbent died; throws when it was stopped: a successor is not wanted then. */
async function orphaned(watched: Watched): Promise<null> {
  const reason = await watched.gone;
  if (reason !== null) throw reason;
  return null;
}
