import type { ListenerStatus, Summary } from '../control/messages.js';
import type { Phase } from '../handover/phases.js';
import type { Instance } from '../instance.js';
import { native } from '../native.js';
import { VERSION } from '../version.js';

/** What only the supervisor knows of its instance. */
export interface LifeStatus {
  readonly generation: number;
  readonly phase: Phase;
  /** ms */
  readonly uptime: number;
  readonly draining: Summary['draining'];
  readonly lastUpgrade: Summary['lastUpgrade'];
}

export async function summarize({ settings, fleet }: Instance, life: LifeStatus): Promise<Summary> {
  const { name, pidfile, upgradeSocket } = settings;
  const services = await fleet.status();
  return { name, pid: process.pid, version: VERSION, pidfile, upgradeSocket, services, ...life };
}

/** The status in one line, for a service manager. */
export function statusLine({ generation, phase, services, draining }: Summary): string {
  const workers = services.flatMap((service) => service.workers);
  const connections = workers.reduce((sum, worker) => sum + worker.connections, 0);
  const drains = draining.map(
    (one) => `; generation ${one.generation} drains ${one.connections}, ${Math.ceil(one.left / 1000)} s left`,
  );
  return `generation ${generation}: ${phase}, ${connections} open connections${drains.join('')}`;
}

export function listenerStatus({ ledger }: Instance): ListenerStatus[] {
  return ledger.all().map(({ key, service, backlog, inherited, declared, fd, socket }) => {
    const isTcp = socket.family !== 'unix' && socket.type === 'stream';
    return { key, service, backlog, inherited, declared, waiting: isTcp ? native.queueLength(fd).waiting : null };
  });
}
