import type { Result } from '../control/messages.js';
import { rejection } from '../control/server.js';
import { DRY_RUN } from '../handover/incumbent.js';
import type { Phase } from '../handover/phases.js';
import type { Life } from './life.js';
import { upgrade } from './succession.js';

/** Code of an upgrade that happened. */
export const LIVE = 'MOTYA_LIVE';

/** An upgrade that a command has asked for, which hears of each phase and of the outcome. Never rejects. */
export async function upgradeForCommand(
  life: Life,
  { dryRun }: { dryRun: boolean },
  progress: (phase: string, ms: number) => void,
): Promise<Omit<Result, 'type'>> {
  const tell = ({ from, to, ms }: { from: Phase; to: Phase; ms: number }): void => {
    // A step back is told by the result.
    const forward = to !== 'resuming' && to !== 'stopping' && (to !== 'serving' || (dryRun && from === 'awaiting'));
    if (forward) progress(from, ms);
  };
  life.events.on('phase', tell);
  try {
    const { pid, generation, gapMs } = await upgrade(life, { dryRun, mode: 'now' });
    if (gapMs === null) return { ok: true, code: DRY_RUN, text: `pid ${pid} could take over`, pid, generation };
    const text = `generation ${generation} (pid ${pid}) serves`;
    return { ok: true, code: LIVE, text, pid, generation, gapMicros: Math.round(gapMs * 1000) };
  } catch (error) {
    // systemd takes a reload's command that fails by itself during a stop for a failure of the unit; it ends the command anyway.
    if (life.phase === 'stopping' && life.instance.manager.exists) await life.stopped.promise;
    return rejection(error);
  } finally {
    life.events.off('phase', tell);
  }
}
