import type { PerKind } from '../base/drain-kinds.js';
import type { EventLoopDelay } from '../base/loop-delay.js';
import type { ConnectionCounts } from '../runtime/worker-messages.js';
import type { DrainWait } from './drain-waits.js';
import type { GenerationRecord, PhaseRecord, UpgradeRecord } from './history.js';
import type { Phase } from './phases.js';

/**
 * What can be seen of an instance: `motya status --json`, `/status.json` of the admin listener and the status page show this
 * one object. Durations are ms, memory is bytes, instants are ISO 8601 in UTC. Fields may be added, none changes its meaning.
 */
export interface Status {
  readonly name: string;
  readonly pid: number;
  /** The parent that holds copies of the listeners (docs/guides/containers.md), if there is one. */
  readonly keeper: number | null;
  readonly generation: number;
  /** Of Motya and of Node. */
  readonly version: string;
  readonly node: string;
  readonly startedAt: string;
  /** ms since the start of this process. */
  readonly uptime: number;
  readonly phase: Phase;
  /** ms in this phase so far. */
  readonly phaseMs: number;
  /** The phases before it, the oldest first; at most PHASES_KEPT. */
  readonly phases: readonly PhaseRecord[];
  /** The supervisor process itself. */
  readonly supervisor: { readonly memory: number | null; readonly eventLoopDelay: EventLoopDelay | null };
  readonly services: readonly ServiceStatus[];
  /** Those of the programs. */
  readonly listeners: readonly ListenerStatus[];
  /** The admin listener, such as `tcp://127.0.0.1:9901`; null when there is none. */
  readonly admin: string | null;
  /** While this instance is on probation: which process can take the service back, and until when. */
  readonly probation: { readonly incumbent: number; readonly until: string } | null;
  /** All generations that drain, the oldest first; this one too, when it does. */
  readonly draining: readonly DrainStatus[];
  /** A successor that is started and waits for the hand-over. */
  readonly successor: { readonly pid: number; readonly since: string } | null;
  /** The last of `upgrades`. */
  readonly lastUpgrade: UpgradeRecord | null;
  /** The oldest first; at most HISTORY_LENGTH of each, over all generations. */
  readonly generations: readonly GenerationRecord[];
  readonly upgrades: readonly UpgradeRecord[];
  readonly pidfile: string;
  readonly upgradeSocket: string;
  /** Working directory in which it was started, as it was typed. */
  readonly directory: string;
  /** Its settings file, as it was typed; null when there is none. */
  readonly config: string | null;
}

export interface ServiceStatus {
  readonly name: string;
  readonly workers: readonly WorkerStatus[];
}

export interface WorkerStatus {
  /** Null while it is not running. */
  readonly pid: number | null;
  readonly index: number;
  readonly state: 'starting' | 'ready' | 'draining' | 'restarting' | 'ended';
  /** How often this generation has started it again. */
  readonly restarts: number;
  /** ms since it was started (for the last time); null while it is not running. */
  readonly uptime: number | null;
  /** Resident bytes. */
  readonly memory: number | null;
  /** False: it did not answer in time, its event loop is held up; the numbers below are its last ones. */
  readonly answers: boolean;
  /** Open connections, and what is spoken on them. */
  readonly connections: number;
  readonly protocols: ConnectionCounts;
  /** Since the last question; null at the first one. */
  readonly eventLoopDelay: EventLoopDelay | null;
}

export interface ListenerStatus {
  readonly key: string;
  readonly service: string | null;
  readonly backlog: number;
  readonly inherited: boolean;
  readonly declared: boolean;
  /** Connections that wait to be accepted; null where the kernel does not tell (unix, udp). */
  readonly waiting: number | null;
}

export interface DrainStatus {
  readonly pid: number;
  readonly generation: number;
  readonly connections: number;
  readonly protocols: ConnectionCounts | null;
  /** The same connections by what a drain gives a time of its own; null: it has not said yet. */
  readonly waits: PerKind<DrainWait> | null;
  /** ms until the last of them is closed by force, as they are now, and when that will be; null: it has not said yet. */
  readonly left: number | null;
  readonly deadline: string | null;
  /** ms until it begins to drain: its successor is on probation, and until then it can serve again. Null: it drains. */
  readonly probation: number | null;
}

/** What a service manager shows in one line. */
export interface Overview {
  readonly generation: number;
  readonly phase: Phase;
  readonly connections: number;
  readonly draining: readonly DrainStatus[];
}

export function statusLine({ generation, phase, connections, draining }: Overview): string {
  // One that is on its way out, or has not told anything yet, is nothing to wait for.
  const open = draining.filter((one) => one.connections > 0);
  const seconds = (ms: number): number => Math.ceil(ms / 1000);
  const drains = open.map(({ generation, connections, left, probation }) => {
    if (probation !== null) return `; generation ${generation} can serve again for ${seconds(probation)} s`;
    return `; generation ${generation} drains ${connections}${left === null || left === 0 ? '' : `, ${seconds(left)} s left`}`;
  });
  // On probation it serves; what can serve again is told beside it.
  const does = phase === 'probation' ? 'serving' : phase;
  return `generation ${generation}: ${does}, ${connections} open connections${drains.join('')}`;
}
