import { LIVE_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { isDone } from '../base/timeout.js';
import type { Result, Waited } from '../control/control-messages.js';
import { type CommandTarget, rejection, type UpgradeProgress } from '../control/control-server.js';
import type { Phase } from '../status/phases.js';
import type { Overview, Status } from '../status/status-document.js';
import type { WaitingSuccessor } from './events.js';
import type { Life } from './life.js';
import { type StopOptions, stop } from './stop.js';
import { upgrade } from './upgrade.js';
import { lateness } from './waiting-successors.js';

/** Does what commands ask of an instance. */
export class CommandHandler implements CommandTarget {
  readonly #life: Life;

  constructor(life: Life) {
    this.#life = life;
  }

  get generation(): number {
    return this.#life.generation;
  }

  status(): Promise<Status> {
    return this.#life.status();
  }

  overview(): Promise<Overview> {
    return this.#life.overview();
  }

  unixPaths(): string[] {
    return this.#life.instance.ledger.unixPaths();
  }

  listenerServices(): [key: string, service: string][] {
    return this.#life.instance.ledger.all().map(({ key, service }) => [key, service ?? '']);
  }

  signal(signal: NodeJS.Signals): number {
    return this.#life.signalPrograms(signal);
  }

  stop(options: StopOptions): void {
    stop(this.#life, options);
  }

  lateness(startedAt: number): string | null {
    return lateness(this.#life, startedAt);
  }

  warn(text: string, fields: object): void {
    this.#life.warn('peer', text, fields);
  }

  /** An upgrade that a command has asked for, which hears of each phase and of the outcome. Never rejects. */
  async upgrade(
    { dryRun, allowRemoved }: { dryRun: boolean; allowRemoved: boolean },
    { progress, live }: UpgradeProgress,
  ): Promise<Omit<Result, 'type'>> {
    const life = this.#life;
    /** The last phase of a dry run: whether it was done with or given up, the outcome tells. */
    let awaited: number | null = null;
    const tell = ({ from, to, ms }: { from: Phase; to: Phase; ms: number }): void => {
      if (to === 'serving' && from === 'awaiting') awaited = ms;
      // A step back is told by the result, and so is a probation.
      const forward =
        from !== 'standby' && from !== 'probation' && to !== 'resuming' && to !== 'stopping' && to !== 'serving';
      if (forward) progress(from, ms, from === 'finding' ? waited : {});
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
        if (failure !== null) {
          const { code: cause, details } = failure;
          return { ...rejection(failure), code: 'ERR_MOTYA_ROLLED_BACK', details: { cause, ...details } };
        }
      }
      return { ok: true, code: 'LIVE', text, pid, generation, gapMicros, removed };
    } catch (error) {
      // systemd takes a reload's command that fails by itself during a stop for a failure of the unit; it ends the command anyway.
      if (life.phase === 'stopping' && life.instance.manager.exists) await life.stopFinished.promise;
      const told = rejection(error);
      // Each instance says it of itself.
      const isOurs = life.stopSignal.aborted;
      return told.code === 'ERR_MOTYA_STOPPING' && !isOurs ? { ...told, code: 'ERR_MOTYA_SUCCESSOR_STOPPED' } : told;
    } finally {
      life.events.off('phase', tell).off('taken', taken).off('stale', stale);
    }
  }

  /** A command wants the incumbent back. */
  async rollBack(): Promise<Omit<Result, 'type'>> {
    const { currentProbation: probation } = this.#life.machine;
    if (probation?.isTrial !== true) {
      const text = `pid ${process.pid} is not on probation: there is nothing to go back to; put the old files or the link back, and upgrade`;
      return rejection(new HandoverError('ERR_MOTYA_PROBATION_OVER', text, { details: { pid: process.pid } }));
    }
    const { incumbent } = probation;
    probation.fail(new HandoverError('ERR_MOTYA_ROLLBACK_REQUESTED', 'motya rollback has asked for it'));
    if (!(await isDone(LIVE_MS, probation.over))) {
      const text = `the incumbent (pid ${incumbent}) does not answer`;
      return rejection(new HandoverError('ERR_MOTYA_WEDGED', text, { details: { pid: incumbent } }));
    }
    return { ok: true, code: 'ROLLED_BACK', text: `pid ${incumbent} serves again`, pid: incumbent };
  }
}

const rounded = ({ pid, ms }: WaitingSuccessor) => ({ pid, ms: ms === null ? null : Math.round(ms) });
