import type { LoopDelay } from '../base/loop-delay.js';
import { typedInvocation } from '../base/os/invocation.js';
import { native } from '../base/os/native.js';
import { VERSION } from '../base/version.js';
import { keeperOf } from '../keeper/keeper-choice.js';
import type { Listener } from '../listeners/listener.js';
import { NO_CONNECTIONS, plus } from '../runtime/counts.js';
import type { ConnectionCounts } from '../runtime/worker-messages.js';
import type { History } from '../status/history.js';
import type { Phase } from '../status/phases.js';
import type { DrainStatus, ListenerStatus, Status } from '../status/status-document.js';
import type { Instance } from './instance.js';

/** What only the supervisor knows of its instance. */
export interface LifeStatus {
  readonly generation: number;
  readonly phase: Phase;
  /** ms */
  readonly phaseMs: number;
  /** ms */
  readonly uptime: number;
  /** With the connections of this instance as they are now. */
  readonly draining: (protocols: ConnectionCounts) => readonly DrainStatus[];
  readonly probation: Status['probation'];
}

/** Asks all workers; one that does not answer delays it by COUNT_MS. */
export async function collectStatus(
  instance: Instance,
  life: LifeStatus,
  history: History,
  loopDelay: LoopDelay,
): Promise<Status> {
  const { settings, fleet, endpoints } = instance;
  const services = await fleet.status();
  const watcher = endpoints.control?.watcher ?? null;
  const protocols = services.flatMap(({ workers }) => workers).map((worker) => worker.protocols);
  return {
    name: settings.name,
    pid: process.pid,
    keeper: keeperOf(process.env),
    version: VERSION,
    node: process.version,
    startedAt: history.startedAt.toISOString(),
    ...life,
    draining: life.draining(protocols.reduce(plus, NO_CONNECTIONS)),
    phases: history.phases,
    supervisor: { memory: process.memoryUsage.rss(), eventLoopDelay: loopDelay.read() },
    services,
    listeners: instance.programListeners().map(listenerStatus),
    admin: endpoints.adminListener?.key ?? null,
    successor: watcher === null ? null : { pid: watcher.pid, since: watcher.since },
    lastUpgrade: history.upgrades.at(-1) ?? null,
    generations: history.generations,
    upgrades: history.upgrades,
    pidfile: settings.pidfile,
    upgradeSocket: settings.upgradeSocket,
    directory: typedInvocation().cwd,
    config: settings.source,
  };
}

function listenerStatus(listener: Listener): ListenerStatus {
  const { key, service, backlog, inherited, declared, fd, socket } = listener;
  const isTcp = socket.family !== 'unix' && socket.type === 'stream';
  return {
    key,
    service,
    backlog,
    inherited,
    declared,
    waiting: isTcp ? native.listener.queueLength(fd).waiting : null,
  };
}
