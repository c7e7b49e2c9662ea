import { DRAIN_KINDS } from '../../base/drain-kinds.js';
import type { EventLoopDelay } from '../../base/loop-delay.js';
import { count, duration, size, timeOfDay, visible } from '../../base/units.js';
import type { ConnectionCounts } from '../../runtime/worker-messages.js';
import type { UpgradeRecord } from '../../status/history.js';
import type { DrainStatus, Status } from '../../status/status-document.js';
import { type Column, table } from '../terminal/table.js';

/** Listeners that are named one by one; beyond it their number says more. */
const LISTENERS_SHOWN = 20;
/** Upgrades that are told: a deployment that failed, and what came before it. */
const UPGRADES_SHOWN = 3;

/** What `motya status` shows to people. */
export function statusLines(status: Status): string[] {
  const { name, generation, pid, phase, phaseMs, uptime, version, node, draining } = status;
  // It serves in the phases of an upgrade too: each rejected one would look like an outage.
  const lasting = phase === 'serving' ? '' : ` for ${duration(phaseMs)}`;
  return [
    `${name}: generation ${generation}, pid ${pid}, ${phaseText(phase)}${lasting}, up ${duration(uptime)}`,
    `motya ${version}, node ${node}`,
    '',
    ...table(WORKER_COLUMNS, workerRows(status)),
    '',
    ...listenerLines(status),
    ...(draining.length === 0 ? [] : ['', ...table(DRAIN_COLUMNS, draining.flatMap(drainRows))]),
    ...(status.probation === null ? [] : ['', probationLine(status.probation)]),
    ...(status.successor === null
      ? []
      : ['', `successor: pid ${status.successor.pid} waits since ${timeOfDay(status.successor.since)}`]),
    ...upgradeLines(status.upgrades),
  ];
}

const left = (title: string): Column => ({ title });
const right = (title: string): Column => ({ title, align: 'right' });

const WORKER_COLUMNS = [
  left('PROCESS'),
  right('PID'),
  left('STATE'),
  right('UP'),
  right('MEMORY'),
  right('DELAY'),
  left('CONNECTIONS'),
];

/** The keeper, if there is one, the supervisor, then each worker. */
function workerRows({ pid, keeper, uptime, supervisor, services }: Status): string[][] {
  const { memory, eventLoopDelay } = supervisor;
  const own = ['supervisor', String(pid), '', duration(uptime), shownSize(memory), delay(eventLoopDelay), ''];
  const workers = services.flatMap(({ name, workers }) =>
    workers.map(({ index, pid, state, uptime, memory, answers, connections, protocols, restarts, eventLoopDelay }) => [
      `${name} ${index}`,
      pid === null ? '-' : String(pid),
      [state, ...(restarts === 0 ? [] : [`restarted ${restarts}×`]), ...(answers || pid === null ? [] : ['busy'])].join(
        ', ',
      ),
      uptime === null ? '-' : duration(uptime),
      shownSize(memory),
      delay(eventLoopDelay),
      connectionsOf(connections, protocols),
    ]),
  );
  return [...(keeper === null ? [] : [['keeper', String(keeper)]]), own, ...workers];
}

const shownSize = (bytes: number | null): string => (bytes === null ? '-' : size(bytes));
/** The 99th percentile: the mean hides what clients feel. */
const delay = (measured: EventLoopDelay | null): string => (measured === null ? '-' : `${measured.p99.toFixed(1)} ms`);

/** `3: 2 http1, 1 upgraded` */
export function connectionsOf(connections: number, protocols: ConnectionCounts | null): string {
  const kinds = Object.entries(protocols ?? {}).filter(([, number]) => number > 0);
  if (kinds.length === 0) return String(connections);
  return `${connections}: ${kinds.map(([kind, number]) => `${number} ${kind}`).join(', ')}`;
}

function listenerLines({ listeners, admin }: Status): string[] {
  const rows = listeners
    .slice(0, LISTENERS_SHOWN)
    .map(({ key, service, backlog, waiting }) => [
      visible(key),
      service ?? 'unused',
      waiting === null ? '-' : `${waiting} of ${backlog}`,
    ]);
  const more = listeners.length - rows.length;
  return [
    ...table([left(count(listeners.length, 'LISTENER').toUpperCase()), left('SERVICE'), left('WAITING')], rows),
    ...(more > 0 ? [`… and ${more} more`] : []),
    ...(admin === null ? [] : [`${visible(admin)}  (admin)`]),
  ];
}

function probationLine({ incumbent, until }: NonNullable<Status['probation']>): string {
  const left = duration(Math.max(0, Date.parse(until) - Date.now()));
  return `on probation for another ${left}: pid ${incumbent} can serve again (motya rollback)`;
}

const DRAIN_COLUMNS = [left('DRAINING'), right('PID'), left('UNTIL'), right('LEFT'), left('CONNECTIONS')];

/** With what it waits for below it, where that has different times. */
function drainRows(one: DrainStatus): string[][] {
  const { generation, pid, deadline, connections, protocols, waits, probation } = one;
  const until = deadline === null ? '-' : timeOfDay(deadline);
  const own = [`generation ${generation}`, String(pid), until, leftOf(one), connectionsOf(connections, protocols)];
  const kinds = probation === null ? waitRows(waits) : [];
  return [own, ...(new Set(kinds.map(([, , end]) => end)).size > 1 ? kinds : [])];
}

function waitRows(waits: DrainStatus['waits']): string[][] {
  if (waits === null) return [];
  return DRAIN_KINDS.filter((kind) => waits[kind].connections > 0).map((kind) => {
    const { connections, left, deadline } = waits[kind];
    return [`  ${kind}`, '', timeOfDay(deadline), left > 0 ? duration(left) : 'closing', String(connections)];
  });
}

/** How long it has: `24 s`; `closing` when its time is over and what is left is being closed; `drains in 8 s` before that. */
export function leftOf({ left, probation = null }: DrainStatus): string {
  if (probation !== null) return `drains in ${duration(probation)}`;
  if (left === null) return '-';
  return left > 0 ? duration(left) : 'closing';
}

/** The newest first. */
function upgradeLines(upgrades: readonly UpgradeRecord[]): string[] {
  const lines = upgrades
    .slice(-UPGRADES_SHOWN)
    .reverse()
    .map((one, at) => `${at === 0 ? 'last upgrade' : 'before that'}: ${upgradeText(one)}`);
  return lines.length === 0 ? [] : ['', ...lines];
}

function upgradeText(upgrade: UpgradeRecord): string {
  const { ok, code, at, text, ms, gapMs } = upgrade;
  const ago = `${duration(Math.max(0, Date.now() - Date.parse(at)))} ago`;
  if (!ok && code === 'ERR_MOTYA_ROLLBACK_REQUESTED') return `rolled back ${ago} by motya rollback`;
  if (!ok) return `${failureOf(upgrade)} ${ago}: ${visible(text)} (${visible(code)})`;
  const took = ms === null ? '' : ` in ${duration(ms)}`;
  const gap = gapMs === null ? '' : `, ${gapMs.toFixed(1)} ms from COMMIT to LIVE`;
  return `succeeded ${ago}${took}${gap}`;
}

const failureOf = ({ rolledBack }: UpgradeRecord): string => (rolledBack ? 'rolled back' : 'rejected');

/** What makes {@link statusLine} worth telling again: not the numbers that always change. */
export function eventsOf({ pid, phase, services, draining, lastUpgrade, successor, probation }: Status): string {
  const workers = services.map(({ workers }) => workers.map(({ pid, state }) => [pid, state]));
  return JSON.stringify([
    pid,
    phase,
    workers,
    draining.map(({ pid }) => pid),
    lastUpgrade?.at,
    successor?.pid,
    probation?.incumbent,
  ]);
}

/** On probation it serves. */
const phaseText = (phase: string): string =>
  phase === 'probation' ? 'serving on probation' : phase === 'standby' ? 'standing by' : phase;

/** One line: what serves, how many, what drains, what went wrong last. */
export function statusLine(status: Status): string {
  const { generation, pid, phase, services, lastUpgrade, successor, probation, draining } = status;
  const workers = services.flatMap((service) => service.workers);
  const ready = workers.filter(({ state }) => state === 'ready').length;
  const connections = workers.reduce((sum, worker) => sum + worker.connections, 0);
  const drains = draining.map(drainText);
  const waits = successor === null ? '' : `; pid ${successor.pid} waits to take over`;
  const failed =
    lastUpgrade?.ok === false ? `; the last upgrade was ${failureOf(lastUpgrade)}: ${visible(lastUpgrade.text)}` : '';
  const trial = probation === null ? '' : ` on probation until ${timeOfDay(probation.until)}`;
  const who = `generation ${generation} (pid ${pid}): ${phase === 'probation' ? 'serving' : phaseText(phase)}${trial}, ${ready} of ${count(workers.length, 'worker')} ready`;
  return `${who}, ${count(connections, 'connection')}${drains.join('')}${waits}${failed}`;
}

function drainText(one: DrainStatus): string {
  const { generation, connections, left, probation = null } = one;
  const open = count(connections, 'connection');
  if (probation !== null)
    return `; generation ${generation} has ${open} and can serve again for ${duration(probation)}`;
  const time = left === null ? '' : left > 0 ? `, ${leftOf(one)} left` : ', closing';
  return `; generation ${generation} drains ${open}${time}`;
}
