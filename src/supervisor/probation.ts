import { reportDefect } from '../base/background.js';
import { detailFields, failureFields, HandoverError, reasonOf } from '../base/errors.js';
import type { Offer } from '../handover/successor.js';
import type { Probation } from '../handover/successor-probation.js';
import { AcceptWatch } from './accept-watch.js';
import { drainToPeer } from './drain-to-peer.js';
import { HealthWatch } from './health.js';
import type { Life } from './life.js';
import { dropUnused, letGoUnused } from './unused-listeners.js';

/**
 * The successor's part after LIVE: is on probation, and listens to the incumbent until that has drained. Gives everything back when
 * the incumbent takes it back. ./standby.ts is the incumbent's part.
 */
export async function prove(life: Life, offer: Offer, probation: Probation): Promise<void> {
  try {
    await followIncumbent(life, offer, probation);
  } catch (error) {
    // Otherwise the incumbent would serve again after a silence, and this instance would not hear of it: both would serve.
    offer.dialogue.abort(offer.txid, HandoverError.from(error));
    if (life.machine.can('settled')) life.machine.step('settled');
    probation.close();
    throw error;
  }
}

async function followIncumbent(life: Life, offer: Offer, probation: Probation): Promise<void> {
  const { instance, predecessors } = life;
  const { dialogue, incumbent: pid, generation } = offer;
  const endTrial = probation.isTrial ? beginTrial(life, probation) : () => {};
  const settled = (): void => {
    endTrial();
    if (life.machine.can('settled')) life.machine.step('settled');
    probation.close();
    dropUnused(life);
    if (probation.isTrial) life.events.emit('settled', { early: probation.isEarly });
  };
  const revoked = await predecessors.follow({ dialogue, pid, generation }, { draining: settled }).finally(endTrial);
  if (revoked !== null && life.machine.can('revoked')) {
    await goBack(life, offer, probation, revoked);
    return;
  }
  if (probation.isOver) return;
  try {
    // It may have died when it had just taken these back.
    if (revoked === null) instance.endpoints.reclaim();
  } catch (error) {
    life.warn('take-back', reasonOf(error), failureFields(error));
  }
  settled();
}

/** @returns what ends the watch that is kept on it */
function beginTrial(life: Life, probation: Probation): () => void {
  const { instance, settings, history } = life;
  const fail = (reason: HandoverError): void => probation.fail(reason);
  const health = new HealthWatch(life, fail);
  const accepting = new AcceptWatch(life, fail);
  probation.begin({
    allowRemoved: settings.allowRemoved,
    counted: () => history.afterLive,
    fault: async () => {
      // At the same time, within LAST_LOOK_MS: the incumbent does not wait much longer.
      const faults = await Promise.all([health.lastLook(), accepting.lastLook()]);
      return faults.find((fault) => fault !== null) ?? null;
    },
    letGo: () => letGoUnused(life),
  });
  const tell = (): void => {
    try {
      probation.leftOut(instance.listenerDiff().leftOut);
    } catch (error) {
      // SETTLED says it again. The trial must go on: without it the incumbent is never told how it ends.
      reportDefect('telling the incumbent what is left out', error);
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
async function goBack(life: Life, offer: Offer, probation: Probation, reason: HandoverError): Promise<void> {
  const { instance, machine } = life;
  const text = `pid ${offer.incumbent} serves again: ${reason.message}`;
  life.warn('rolled-back', `the incumbent took the hand-over back; ${text}`, {
    code: reason.code,
    ...detailFields(reason),
  });
  machine.step('revoked');
  instance.fleet.openInspectors(false);
  instance.endpoints.control?.dismissWatchers(text, { forGood: true });
  instance.handBack(offer.incumbent);
  probation.close();
  await instance.retire(instance.added, life.drain.isCut);
  await drainToPeer(life, offer, { reason: 'rolled-back', counters: () => life.history.afterLive });
}
