import { isatty } from 'node:tty';
import { detailFields } from '../base/errors.js';
import { count, duration } from '../base/units.js';
import { keeperOf } from '../keeper/keeper-choice.js';
import type { InstanceLog, Logger } from '../logging/log.js';
import { logDefect } from '../logging/log-defect.js';
import { drainText } from '../status/drain-text.js';
import type { Supervisor } from './supervisor.js';

const ENDS = {
  stopped: 'stopped',
  'handed-over': 'handed over',
  'rolled-back': 'the generation before it serves again',
} as const;
const STDERR = 2;
/** Keys that a line names one by one; beyond it their number says more. */
const KEYS_SHOWN = 3;

/**
 * Writes what happens to an instance into its log: a line an event, with durations in ms and counts. Its programs' lines go there
 * too. Any logger with `error`, `warn`, `info` and `debug` will do, such as one of winston: then programs' lines go where they went.
 */
export function logEvents(supervisor: Supervisor, log: Logger & Partial<InstanceLog>): void {
  if (log.outputs !== undefined) supervisor.outputs = log.outputs;
  const pid = process.pid;
  supervisor.on('generation', (generation) => {
    if ('generation' in log) log.generation = generation;
  });
  supervisor.on('phase', ({ from, to, ms, listeners }) => {
    // What they mean has lines of its own.
    log.debug(`${from} → ${to} after ${round(ms)} ms`, { event: 'phase', from, to, ms: round(ms), listeners });
  });
  supervisor.on('waiting', ({ generation, incumbent, ms }) => {
    log.info(
      `generation ${generation} (pid ${pid}) is booted and waits for generation ${generation - 1}: kill -QUIT ${incumbent}`,
      { event: 'waiting', pid, incumbent, ms: round(ms) },
    );
  });
  supervisor.on('serving', ({ generation, listeners, ms }) => {
    log.info(`generation ${generation} (pid ${pid}) serves on ${namesOf(listeners)}`, {
      event: 'serving',
      pid,
      listeners: listeners.length,
      ms: round(ms),
    });
  });
  supervisor.on('adopted', ({ from, pid: other, stop, kept, left }) => {
    const rest = left.length === 0 ? '' : `; no program here asks for ${namesOf(left)}`;
    const text = `took over ${namesOf(kept)} from ${from}, which accepts on it still: end it with ${stop}${rest}`;
    log.info(text, { event: 'adopted', from, other, stop, kept, left });
  });
  supervisor.on('removed', (listener) => {
    log.info(`${listener} is not used any more; it is closed`, { event: 'removed', listener });
  });
  supervisor.on('taken', ({ pid: successor, ms }) => {
    log.info(`the successor that waits (pid ${successor}${startedAgo(ms)}) is taken`, { event: 'taken', successor });
  });
  supervisor.on('stale', ({ pid: successor, ms }) => {
    const text = `the successor that waits (pid ${successor}${startedAgo(ms)}) has older files than the program has now: it is not taken`;
    log.warn(text, { event: 'stale', successor });
  });
  supervisor.on('successor', (successor) => {
    log.info(`started a successor (pid ${successor})`, { event: 'successor', successor });
  });
  supervisor.on('handedOver', ({ successor, gapMs, kept, added, removed }) => {
    const what = `${count(kept, 'listener')} kept, ${added} added, ${removed} removed`;
    log.info(`pid ${successor} serves, ${gapMs.toFixed(1)} ms from COMMIT to LIVE; ${what}`, {
      event: 'handover',
      successor,
      kept,
      added,
      removed,
      gapMs: Number(gapMs.toFixed(1)),
    });
  });
  supervisor.on('probation', ({ successor, ms }) => {
    const text = `pid ${successor} is on probation for ${ms / 1000} s: until then generation ${supervisor.generation} can serve again`;
    log.info(text, { event: 'probation', successor, ms });
  });
  supervisor.on('settled', ({ early }) => {
    const how = early ? 'is on probation no more: it stops, or is upgraded' : 'has passed its probation';
    log.info(`generation ${supervisor.generation} ${how}`, { event: 'settled', early });
  });
  supervisor.on('rolledBack', (error) => {
    const { code, message } = error;
    log.error(`rolled back, generation ${supervisor.generation} serves again: ${message}`, {
      event: 'rolled-back',
      code,
      ...detailFields(error),
    });
  });
  supervisor.on('rehearsed', (successor) => {
    log.info(`dry run: pid ${successor} could take over`, { event: 'dry-run', successor });
  });
  supervisor.on('rejected', (error) => {
    const { code, message } = error;
    log.error(`the upgrade failed, generation ${supervisor.generation} serves on: ${message}`, {
      event: 'rejected',
      code,
      ...detailFields(error),
    });
  });
  supervisor.on('workerExit', ({ service, index, pid, reason, code, inMs, stderr }) => {
    const next = inMs === null ? 'it drained, and what it still had is lost' : `it starts again in ${inMs} ms`;
    log.error(`worker ${index} of ${service} (pid ${pid}) ended: ${reason}; ${next}`, {
      event: 'worker-exit',
      service,
      index,
      worker: pid,
      reason,
      ...(code === null ? {} : { code }),
      inMs,
      ...(stderr.length === 0 ? {} : { stderr }),
    });
  });
  supervisor.on('workerRestart', ({ service, index, pid }) => {
    log.info(`worker ${index} of ${service} is started again (pid ${pid})`, {
      event: 'worker-restart',
      service,
      index,
      worker: pid,
    });
  });
  supervisor.on('signalled', ({ signal, workers }) => {
    log.info(`${signal} was passed on to ${count(workers, 'worker')}`, { event: 'signalled', signal, workers });
  });
  supervisor.on('stopping', () => {
    log.info(`pid ${pid} stops`, { event: 'stopping' });
  });
  supervisor.on('drained', ({ ms, forced, ended, moved, stayed }) => {
    const how = drainText({ forced, ended, moved });
    const reasons = Object.fromEntries(Object.entries(stayed).filter(([, connections]) => connections > 0));
    const fields = { event: 'drained', ms: round(ms), forced, ended, moved, stayed: reasons };
    log.info(`drained in ${(ms / 1000).toFixed(1)} s: ${how}`, fields);
  });
  supervisor.on('ended', ({ reason, forced }) => {
    // A user who started it in a terminal gets a prompt now, and should know what that means.
    const isLeft = reason === 'handed-over' && isatty(STDERR) && keeperOf(process.env) === null;
    const more = isLeft ? ': the server runs in the background now, `motya stop` ends it' : '';
    log.info(`pid ${pid} ends: ${ENDS[reason]}${more}`, { event: 'ended', reason, forced });
  });
  supervisor.on('defect', (defect) => logDefect(log, defect));
  supervisor.on('warning', ({ event, text, fields }) => {
    log.warn(text, { event, ...fields });
  });
}

const startedAgo = (ms: number | null): string => (ms === null ? '' : `, started ${duration(ms)} ago`);

function round(ms: number): number {
  return Math.round(ms);
}

function namesOf(keys: readonly string[]): string {
  if (keys.length === 0) return 'no listener';
  const shown = keys.slice(0, KEYS_SHOWN).join(', ');
  return keys.length <= KEYS_SHOWN ? shown : `${shown} and ${keys.length - KEYS_SHOWN} more`;
}
