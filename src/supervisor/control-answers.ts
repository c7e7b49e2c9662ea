import { isDone } from '../base/deadline.js';
import { HandoverError } from '../base/errors.js';
import { LIVE_MS } from '../base/limits.js';
import type { Result, Waited } from '../control/control-messages.js';
import { rejection, type UpgradeTold } from '../control/control-server.js';
import type { Phase } from '../status/phases.js';
import type { WaitingSuccessor } from './events.js';
import type { Life } from './life.js';
import { upgrade } from './upgrade.js';

/** An upgrade that a command has asked for, which hears of each phase and of the outcome. Never rejects. */
export async function upgradeForCommand(
  life: Life,
  { dryRun, allowRemoved }: { dryRun: boolean; allowRemoved: boolean },
  { progress, live }: UpgradeTold,
): Promise<Omit<Result, 'type'>> {
  /** The last phase of a dry run: whether it was done with or given up, the outcome tells. */
  let awaited: number | null = null;
  const tell = ({ from, to, ms }: { from: Phase; to: Phase; ms: number }): void => {
    if (to === 'serving' && from === 'awaiting') awaited = ms;
    // A step back is told by the result, and so is a probation.
    const forward = from !== 'probation' && to !== 'resuming' && to !== 'stopping' && to !== 'serving';
    if (forward) progress(from, ms, from === 'summoning' ? waited : {});
  };
  const waited: Waited = {};
  const taken = (successor: WaitingSuccessor): void => {
    Object.assign(waited, { waited: rounded(successor) });
  };
  const stale = (successor: WaitingSuccessor): void => {
    Object.assign(waited, { stale: rounded(successor) });
  };
  life.events.on('phase', tell).on('taken', taken).on('stale', stale);
  try {
    const upgraded = await upgrade(life, { dryRun, allowRemoved, mode: 'now' });
    const { pid, generation, gapMs, probationMs, settled } = upgraded;
    if (gapMs === null) {
      if (awaited !== null) progress('awaiting', awaited);
      return { ok: true, code: 'DRY_RUN', text: `pid ${pid} could take over`, pid, generation };
    }
    const text = `generation ${generation} (pid ${pid}) serves`;
    const gapMicros = Math.round(gapMs * 1000);
    const removed = [...upgraded.removed];
    if (live !== null && probationMs > 0) {
      live({ pid, generation, gapMicros, probation: probationMs, removed });
      const failure = await settled;
      if (failure !== null) return { ...rejection(failure), code: 'ERR_MOTYA_ROLLED_BACK' };
    }
    return { ok: true, code: 'LIVE', text, pid, generation, gapMicros, removed };
  } catch (error) {
    // systemd takes a reload's command that fails by itself during a stop for a failure of the unit; it ends the command anyway.
    if (life.phase === 'stopping' && life.instance.manager.exists) await life.stopped.promise;
    const told = rejection(error);
    // Each instance says it of itself.
    const isOurs = life.stopping.aborted;
    return told.code === 'ERR_MOTYA_STOPPING' && !isOurs ? { ...told, code: 'ERR_MOTYA_SUCCESSOR_STOPPED' } : told;
  } finally {
    life.events.off('phase', tell).off('taken', taken).off('stale', stale);
  }
}

const rounded = ({ pid, ms }: WaitingSuccessor) => ({ pid, ms: ms === null ? null : Math.round(ms) });

/** A command wants the incumbent back. */
export async function rollBackForCommand({ proof }: Life): Promise<Omit<Result, 'type'>> {
  if (proof === null) {
    const text = `pid ${process.pid} is not on probation: there is nothing to go back to; upgrade to the old version instead`;
    return rejection(new HandoverError('ERR_MOTYA_PROBATION_OVER', text));
  }
  const { incumbent } = proof;
  proof.fail(new HandoverError('ERR_MOTYA_ROLLBACK_REQUESTED', 'motya rollback has asked for it'));
  if (!(await isDone(LIVE_MS, proof.over))) {
    return rejection(new HandoverError('ERR_MOTYA_WEDGED', `the incumbent (pid ${incumbent}) does not answer`));
  }
  return { ok: true, code: 'ROLLED_BACK', text: `pid ${incumbent} serves again`, pid: incumbent };
}
