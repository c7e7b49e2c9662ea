import { once } from 'node:events';
import { inBackground, repeatInBackground, reportDefect } from '../base/background.js';
import { GREETING_MS, RETIRED_MS, STATS_MS } from '../base/deadlines.js';
import { detailFields, failureFields, HandoverError } from '../base/errors.js';
import { REASON_LENGTH } from '../base/limits.js';
import { endsWithin } from '../base/os/processes.js';
import type { HandedOver } from '../handover/incumbent.js';
import { hearVerdict, type Verdict } from '../handover/incumbent-verdict.js';
import { total } from '../runtime/counts.js';
import type { Totals } from '../status/totals.js';
import { drainToPeer, othersOf } from './drain-to-peer.js';
import type { LeftOut } from './left-out.js';
import type { Life } from './life.js';
import { stopServing } from './stop.js';
import { takeBack } from './take-back.js';

/**
 * The incumbent's part after LIVE: stands by until the successor's probation is over, then drains or serves again. Never rejects.
 * ./probation.ts is the successor's part.
 * @returns at the end of the probation: null, or why this instance serves again.
 */
export async function standBy(
  life: Life,
  handed: HandedOver,
  leftOut: LeftOut,
  options: { allowRemoved: boolean },
): Promise<HandoverError | null> {
  try {
    tellOfHandover(life, handed);
    const verdict =
      handed.probationMs > 0 && !life.stopSignal.aborted ? await awaitVerdict(life, handed, leftOut) : null;
    if (verdict?.hungUp && !(await hasEnded(handed.successor))) return drainAnyway(life, handed, verdict.reason);
    const removed = verdict?.removed ?? handed.leftOut;
    const reason = verdict === null ? null : await faultIn(verdict, removed, leftOut, options);
    if (verdict !== null && reason !== null) {
      await serveAgain(life, handed, reason, verdict.counted);
      return reason;
    }
    // In any case: until then the successor cannot know whether it is to give way.
    handed.dialogue.send({ type: 'DRAINING', txid: handed.txid });
    life.machine.step('settled');
    inBackground('the drain', drainAway(life, handed, removed), { leadsToTheEnd: true });
    return null;
  } catch (error) {
    return drainAnyway(life, handed, error);
  }
}

function tellOfHandover({ events, instance }: Life, handed: HandedOver): void {
  const { successor, gapMs, kept, added, removed } = handed;
  events.emit('handedOver', { successor, gapMs, kept, added, removed });
  instance.manager.handedTo(successor);
  const text = `pid ${process.pid} has handed over to pid ${successor}, without this successor`;
  instance.endpoints.control?.dismissWatchers(text, { forGood: true, code: 'ERR_MOTYA_SUCCESSOR_LATE' });
}

/** Tells the successor once a second what is open here. @returns null: this instance was told to stop */
async function awaitVerdict(life: Life, handed: HandedOver, leftOut: LeftOut): Promise<Verdict | null> {
  const { dialogue, txid, successor, probationMs } = handed;
  life.events.emit('probation', { successor, ms: probationMs });
  const end = performance.now() + probationMs;
  const tell = async (): Promise<void> => {
    const protocols = await life.instance.fleet.connections();
    const probation = Math.max(0, Math.round(end - performance.now()));
    const left = probation + life.drain.longest;
    const others = othersOf(life);
    const connections = total(protocols);
    // No counters: what is rolled back must not have been counted on both sides.
    dialogue.send({ type: 'STATS', txid, connections, left, probation, protocols, gap: gapOf(handed), others });
  };
  const timer = repeatInBackground('telling the successor how many connections are open', STATS_MS, tell);
  try {
    return await Promise.race([hearVerdict(handed, (keys) => leftOut.set(keys)), toldToStop(life)]);
  } finally {
    clearInterval(timer);
  }
}

/** A stop of an incumbent whose successor serves does not want the incumbent back. */
async function toldToStop({ stopSignal }: Life): Promise<null> {
  if (!stopSignal.aborted) await once(stopSignal, 'abort');
  return null;
}

/** Why the hand-over is taken back, or null. `removed`: keys of the listeners that are to end with this instance. */
async function faultIn(
  { reason, unconditional }: Verdict,
  removed: readonly string[],
  leftOut: LeftOut,
  { allowRemoved }: { allowRemoved: boolean },
): Promise<HandoverError | null> {
  const isJudged = reason === null && !unconditional && !allowRemoved;
  return isJudged ? leftOut.fault(removed) : reason;
}

/**
 * Whether a successor that has hung up has died: the kernel closes a dying process's files a moment before it tells of its end
 * (do_exit). One that lives has taken our hang-up, or a failure of its own, for our end, and serves: both must not.
 */
async function hasEnded(successor: number): Promise<boolean> {
  return endsWithin(GREETING_MS, successor);
}

/** After a defect of ours: the successor serves, and an incumbent that holds listeners for ever would do harm. */
function drainAnyway(life: Life, handed: HandedOver, error: unknown): null {
  // A peer that has hung up is not a defect of ours.
  if (error instanceof HandoverError)
    life.warn('probation', `the probation is given up: ${error.message}`, failureFields(error));
  else reportDefect('the stand-by', error);
  if (life.machine.can('settled')) life.machine.step('settled');
  if (life.phase === 'draining')
    inBackground('the drain', drainAway(life, handed, handed.leftOut), { leadsToTheEnd: true });
  return null;
}

async function serveAgain(life: Life, handed: HandedOver, failure: HandoverError, counted: Totals): Promise<void> {
  const { instance, machine, history } = life;
  const { dialogue, txid, successor: pid } = handed;
  // Clients wait: nothing comes before this.
  const accepting = takeBack(life);
  machine.step('failed');
  // What the successor alone has had runs dry before it is closed.
  if (handed.added > 0) instance.gate.awaitAddresses(RETIRED_MS);
  instance.thaw();
  await accepting;
  instance.becomeMainAgain();
  const text = failure.message.slice(0, REASON_LENGTH);
  dialogue.send({ type: 'REVOKED', txid, code: failure.code, text, ...detailFields(failure) });
  machine.step('resumed');
  const generation = life.generation + 1;
  history.rolledBack(failure.code, text, generation, counted);
  life.events.emit('rolledBack', failure);
  const followed = life.predecessors.follow({ dialogue, pid, generation }, { counted });
  inBackground('following a generation that drains', followed);
  if (life.stopSignal.aborted) inBackground('the stop', stopServing(life), { leadsToTheEnd: true });
}

/** The listeners are the successor's, the connections that are open stay ours. `removed`: keys of listeners that end. */
async function drainAway(life: Life, handed: HandedOver, removed: readonly string[]): Promise<void> {
  const { instance, drain, predecessors } = life;
  if (life.stopSignal.aborted) drain.shorten();
  drain.begin();
  // Those that it accepts on until they are empty.
  inBackground('pausing the programs', instance.fleet.pause({ except: removed }));
  const retired = instance.ledger.all().filter(({ key }) => removed.includes(key));
  await instance.retire(retired, drain.isCut);
  instance.giveAway();
  await drainToPeer(life, handed, {
    reason: 'handed-over',
    gap: gapOf(handed),
    counters: () => {
      predecessors.passOn(handed);
      return life.history.afterCommit;
    },
  });
}

const gapOf = ({ gapMs }: HandedOver): number => Math.round(gapMs * 1000);
