import { once } from 'node:events';
import { inBackground, reportDefect } from '../base/background.js';
import { deferred } from '../base/deferred.js';
import { type HandoverError, reasonOf } from '../base/errors.js';
import { GREETING_MS, REASON_LENGTH, RETIRED_MS, STATS_MS } from '../base/limits.js';
import { endsWithin } from '../base/os/processes.js';
import type { Dialogue } from '../handover/dialogue.js';
import type { HandedOver } from '../handover/incumbent.js';
import { toldOf } from '../handover/predecessors.js';
import { observe, Proof } from '../handover/probation-session.js';
import type { Offer } from '../handover/successor.js';
import { total } from '../runtime/counts.js';
import type { Totals } from '../status/totals.js';
import { AcceptWatch } from './accept-watch.js';
import type { Ended } from './events.js';
import { HealthWatch } from './health.js';
import type { LeftOut } from './left-out.js';
import type { Life } from './life.js';
import { stopServing } from './stop.js';
import { takeBack } from './take-back.js';

/**
 * The incumbent's part after LIVE: waits how the probation goes, then drains or serves again.
 * @returns at the end of the probation: null, or why it serves again.
 */
export async function afterHandover(
  life: Life,
  handed: HandedOver,
  leftOut: LeftOut,
  { allowRemoved }: { allowRemoved: boolean },
): Promise<HandoverError | null> {
  const { instance, machine, events } = life;
  const { dialogue, txid, successor, gapMs, probationMs, kept, added, removed } = handed;
  let { unwanted } = handed;
  events.emit('handedOver', { successor, gapMs, kept, added, removed });
  instance.manager.handedTo(successor);
  const text = `pid ${process.pid} has handed over to pid ${successor}, without this successor`;
  instance.control?.dismissWatchers(text, { forGood: true, code: 'ERR_MOTYA_SUCCESSOR_LATE' });
  if (probationMs > 0 && !life.stopping.aborted) {
    events.emit('probation', { successor, ms: probationMs });
    const end = performance.now() + probationMs;
    const tell = async (): Promise<void> => {
      const protocols = await instance.fleet.connections();
      const probation = Math.max(0, Math.round(end - performance.now()));
      const left = probation + life.drain.longest;
      const others = othersOf(life);
      const connections = total(protocols);
      // No counters: what is rolled back must not have been counted on both sides.
      dialogue.send({ type: 'STATS', txid, connections, left, probation, protocols, gap: gapOf(handed), others });
    };
    const tellInBackground = (): void => inBackground('telling the successor how many connections are open', tell());
    tellInBackground();
    const timer = setInterval(tellInBackground, STATS_MS);
    const verdict = await Promise.race([observe(handed, (keys) => leftOut.set(keys)), stopped(life)]);
    clearInterval(timer);
    if (verdict?.hungUp && !(await hasEnded(successor))) return drainAnyway(life, handed, verdict.reason);
    if (verdict !== null) {
      unwanted = verdict.unused ?? unwanted;
      const isJudged = verdict.reason === null && !verdict.unconditional && !allowRemoved;
      const reason = isJudged ? await leftOut.fault(unwanted) : verdict.reason;
      if (reason !== null) {
        await serveAgain(life, handed, reason, verdict.counted);
        return reason;
      }
    }
  }
  // In any case: until then the successor cannot know whether it is to give way.
  dialogue.send({ type: 'DRAINING', txid });
  machine.step('settled');
  inBackground('the drain', drainAway(life, handed, unwanted));
  return null;
}

/**
 * Whether a successor that has hung up has died: the kernel closes a dying process's files a moment before it tells of its end
 * (do_exit). One that lives has taken our hang-up, or a failure of its own, for our end, and serves: both must not.
 */
async function hasEnded(successor: number): Promise<boolean> {
  return endsWithin(GREETING_MS, successor);
}

/** After a defect of ours: the successor serves, and an incumbent that holds listeners for ever would do harm. */
export function drainAnyway(life: Life, handed: HandedOver, error: unknown): null {
  life.warn('defect', `the probation is given up: ${reasonOf(error)}`);
  if (life.machine.can('settled')) life.machine.step('settled');
  if (life.phase === 'draining') inBackground('the drain', drainAway(life, handed, handed.unwanted));
  return null;
}

/** Whoever stops an incumbent whose successor serves does not want it back. */
async function stopped({ stopping }: Life): Promise<null> {
  if (!stopping.aborted) await once(stopping, 'abort');
  return null;
}

async function serveAgain(life: Life, handed: HandedOver, failure: HandoverError, counted: Totals): Promise<void> {
  const { instance, machine, chronicle } = life;
  const { dialogue, txid, successor: pid } = handed;
  // Clients wait: nothing comes before this.
  const accepting = takeBack(life);
  machine.step('failed');
  // What the successor alone has had runs dry before it is closed.
  if (handed.added > 0) instance.gate.awaitAddresses(RETIRED_MS);
  instance.thaw();
  instance.fleet.openInspectors(true);
  await accepting;
  instance.becomeMainAgain();
  const text = failure.message.slice(0, REASON_LENGTH);
  dialogue.send({ type: 'REVOKED', txid, code: failure.code, text });
  machine.step('resumed');
  life.courted = null;
  const generation = life.generation + 1;
  chronicle.rolledBack(failure.code, text, generation, counted);
  life.events.emit('rolledBack', failure);
  const followed = life.predecessors.follow({ dialogue, pid, generation }, { counted });
  inBackground('following a generation that drains', followed);
  if (life.stopping.aborted) inBackground('the stop', stopServing(life));
}

/** The listeners are the successor's, the connections that are open stay ours. `unwanted`: keys of listeners that end. */
async function drainAway(life: Life, handed: HandedOver, unwanted: readonly string[]): Promise<void> {
  const { instance, drain, predecessors } = life;
  if (life.stopping.aborted) drain.shorten();
  drain.begin();
  // Those that it accepts on until they are empty.
  inBackground('pausing the programs', instance.fleet.pause({ except: unwanted }));
  const retired = instance.ledger.all().filter(({ key }) => unwanted.includes(key));
  await instance.retire(retired, drain.isCut);
  instance.giveAway();
  await drainTo(life, handed, {
    reason: 'handed-over',
    gap: gapOf(handed),
    counters: () => {
      predecessors.passOn(handed);
      return life.chronicle.afterCommit;
    },
  });
}

/** Drains, and tells the other generation about it until the end. */
async function drainTo(
  life: Life,
  { dialogue, txid }: { dialogue: Dialogue; txid: string },
  { reason, gap, counters }: { reason: Ended['reason']; gap?: number; counters: () => Totals },
): Promise<void> {
  const forced = await life.drain.run(life.generation, ({ connections, protocols, left }) => {
    const sums = counters();
    const others = othersOf(life);
    const ms = Math.round(left);
    dialogue.send({ type: 'STATS', txid, connections, left: ms, protocols, counters: sums, gap, others });
  });
  // Before BYE, whose counters have this phase in them.
  life.machine.step('drained');
  dialogue.send({ type: 'BYE', txid, forced, counters: counters() });
  dialogue.close();
  await life.end({ reason, forced });
}

/**
 * The successor's part after LIVE: is on probation, if the incumbent can take the service back, and listens to it until it has
 * drained. Gives everything back when it takes it back.
 */
export async function prove(life: Life, offer: Offer): Promise<void> {
  const { instance, predecessors } = life;
  const { dialogue, incumbent: pid, generation } = offer;
  const isTried = isOnProbation(life, offer);
  const decided = deferred<void>();
  life.undecided = decided.promise;
  const decide = (): void => {
    life.undecided = null;
    decided.resolve();
  };
  const close = isTried ? beginTrial(life, offer) : () => {};
  const settled = (): void => {
    decide();
    close();
    const early = life.proof?.isEarly ?? false;
    life.proof?.close();
    life.proof = null;
    dropUnused(life);
    if (isTried) life.events.emit('settled', { early });
  };
  const revoked = await predecessors.follow({ dialogue, pid, generation }, { draining: settled });
  close();
  if (revoked !== null && life.machine.can('revoked')) {
    const gone = goBack(life, offer, revoked);
    decide();
    await gone;
  } else if (life.undecided !== null) {
    try {
      // It may have died when it had just taken these back.
      if (revoked === null) instance.reclaim();
    } catch (error) {
      life.warn('take-back', reasonOf(error));
    }
    settled();
  }
}

export const isOnProbation = ({ settings }: Life, offer: Offer): boolean => offer.probation && settings.probation > 0;

/** @returns what ends the watch that is kept on it */
function beginTrial(life: Life, offer: Offer): () => void {
  const { instance, settings, chronicle } = life;
  const fail = (reason: HandoverError): void => proof.fail(reason);
  const proof = new Proof(offer, {
    ms: settings.probation,
    allowRemoved: settings.allowRemoved,
    counted: () => chronicle.afterLive,
    fault: async () => {
      // At the same time, within LAST_LOOK_MS: the incumbent does not wait much longer.
      const faults = await Promise.all([health.lastLook(), accepting.lastLook()]);
      return faults.find((fault) => fault !== null) ?? null;
    },
    letGo: () => letGoUnused(life),
  });
  life.proof = proof;
  const health = new HealthWatch(life, fail);
  const accepting = new AcceptWatch(life, fail);
  const tell = (): void => {
    try {
      proof.unused(instance.claims().unwanted);
    } catch (error) {
      // SETTLED says it again. The trial must go on: without it the incumbent is never told how it ends.
      reportDefect('telling the incumbent what is unused', error);
    }
  };
  instance.ledger.uses.on('change', tell);
  // What has changed since READY.
  tell();
  return () => {
    health.close();
    accepting.close();
    instance.ledger.uses.off('change', tell);
  };
}

/** The incumbent serves again. */
async function goBack(life: Life, offer: Offer, reason: HandoverError): Promise<void> {
  const { instance, machine } = life;
  const text = `pid ${offer.incumbent} serves again: ${reason.message}`;
  life.warn('rolled-back', `the incumbent took the hand-over back; ${text}`, { code: reason.code });
  machine.step('revoked');
  instance.fleet.openInspectors(false);
  instance.control?.dismissWatchers(text, { forGood: true });
  instance.handBack(offer.incumbent);
  life.proof?.close();
  life.proof = null;
  await instance.retire(instance.added, life.drain.isCut);
  await drainTo(life, offer, { reason: 'rolled-back', counters: () => life.chronicle.afterLive });
}

export function dropUnused({ instance, events }: Life): void {
  for (const key of instance.dropUnused()) events.emit('removed', key);
}

/** The same while the incumbent has them, too. @returns keys of those that it is to end */
export function letGoUnused({ instance, events }: Life): string[] {
  const keys = instance.letGoUnused();
  for (const key of keys) events.emit('removed', key);
  return keys;
}

/** Generations before this one whose conversations are not, or not yet, the other generation's. */
const othersOf = ({ predecessors }: Life) => predecessors.all().map(toldOf);

const gapOf = ({ gapMs }: HandedOver): number => Math.round(gapMs * 1000);
