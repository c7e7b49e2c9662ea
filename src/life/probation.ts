import { once } from 'node:events';
import { deferred } from '../deferred.js';
import { type HandoverError, reasonOf } from '../errors.js';
import type { Dialogue } from '../handover/dialogue.js';
import type { HandedOver } from '../handover/incumbent.js';
import { observe, Proof } from '../handover/probation.js';
import type { Offer } from '../handover/successor.js';
import { GREETING_MS, REASON_LENGTH, STATS_MS } from '../limits.js';
import type { Totals } from '../observe/totals.js';
import { endsWithin } from '../processes.js';
import type { Ended } from '../supervisor-events.js';
import { total } from '../workers/counts.js';
import { HealthWatch } from './health.js';
import type { Life } from './life.js';
import { stopServing } from './stop.js';
import { takeBack } from './take-back.js';

/**
 * The incumbent's part after LIVE: waits how the probation goes, then drains or serves again.
 * @returns at the end of the probation: null, or why it serves again.
 */
export async function afterHandover(life: Life, handed: HandedOver): Promise<HandoverError | null> {
  const { instance, machine, events } = life;
  const { dialogue, txid, successor, gapMs, probationMs, kept, added, removed, unwanted } = handed;
  // For good: until then they would have gone on by themselves.
  void instance.fleet.pause({ except: unwanted });
  events.emit('handedOver', { successor, gapMs, kept, added, removed });
  instance.manager.handedTo(successor);
  instance.control?.dismissWatchers(`pid ${process.pid} has handed over to pid ${successor}`);
  if (probationMs > 0 && !life.stopping.aborted) {
    events.emit('probation', { successor, ms: probationMs });
    const tell = async (): Promise<void> => {
      const protocols = await instance.fleet.connections();
      // No counters: what is rolled back must not have been counted on both sides.
      dialogue.send({ type: 'STATS', txid, connections: total(protocols), left: 0, protocols, gap: gapOf(handed) });
    };
    void tell();
    const timer = setInterval(() => void tell(), STATS_MS);
    const verdict = await Promise.race([observe(handed), stopped(life)]);
    clearInterval(timer);
    if (verdict?.hungUp && !(await hasEnded(successor))) return drainAnyway(life, handed, verdict.reason);
    if (verdict !== null && verdict.reason !== null) {
      await serveAgain(life, handed, verdict.reason, verdict.counted);
      return verdict.reason;
    }
  }
  // In any case: until then the successor cannot know whether it is to give way.
  dialogue.send({ type: 'DRAINING', txid });
  machine.step('settled');
  void drainAway(life, handed);
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
  if (life.phase === 'draining') void drainAway(life, handed);
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
  instance.thaw();
  await accepting;
  instance.becomeMainAgain();
  const text = failure.message.slice(0, REASON_LENGTH);
  dialogue.send({ type: 'REVOKED', txid, code: failure.code, text });
  machine.step('resumed');
  life.courted = null;
  const generation = life.generation + 1;
  chronicle.rolledBack(failure.code, text, generation, counted);
  life.events.emit('rolledBack', failure);
  void life.predecessors.follow({ dialogue, pid, generation }, { counted });
  if (life.stopping.aborted) void stopServing(life);
}

/** The listeners are the successor's, the connections that are open stay ours. */
async function drainAway(life: Life, handed: HandedOver): Promise<void> {
  const { instance, drain, predecessors } = life;
  const text = `pid ${process.pid} has handed over to pid ${handed.successor}`;
  instance.control?.dismissWatchers(text, { forGood: true });
  if (life.stopping.aborted) drain.shorten();
  drain.begin();
  const retired = instance.ledger.all().filter(({ key }) => handed.unwanted.includes(key));
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
  const forced = await life.drain.run(({ connections, protocols, left }) => {
    dialogue.send({ type: 'STATS', txid, connections, left: Math.round(left), protocols, counters: counters(), gap });
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
  const { instance, chronicle, settings, predecessors } = life;
  const { dialogue, incumbent: pid, generation } = offer;
  const isOnProbation = offer.probation && settings.probation > 0;
  const decided = deferred<void>();
  life.undecided = decided.promise;
  const decide = (): void => {
    life.undecided = null;
    decided.resolve();
  };
  let watch: HealthWatch | null = null;
  if (isOnProbation) {
    const proof = new Proof(
      offer,
      settings.probation,
      () => chronicle.afterLive,
      () => watch?.lastLook() ?? null,
    );
    life.proof = proof;
    watch = new HealthWatch(life, (reason) => proof.fail(reason));
  }
  const settled = (): void => {
    decide();
    watch?.close();
    const early = life.proof?.isEarly ?? false;
    life.proof?.close();
    life.proof = null;
    dropUnused(life);
    if (isOnProbation) life.events.emit('settled', { early });
  };
  const revoked = await predecessors.follow({ dialogue, pid, generation }, { draining: settled });
  watch?.close();
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

/** The incumbent serves again. */
async function goBack(life: Life, offer: Offer, reason: HandoverError): Promise<void> {
  const { instance, machine } = life;
  const text = `pid ${offer.incumbent} serves again: ${reason.message}`;
  life.warn('rolled-back', `the incumbent took the hand-over back; ${text}`, { code: reason.code });
  machine.step('revoked');
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

const gapOf = ({ gapMs }: HandedOver): number => Math.round(gapMs * 1000);
