import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { WEDGED_GRACE_MS } from '../base/deadlines.js';
import { failureFields, HandoverError, reasonOf } from '../base/errors.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { identify } from '../base/os/path-identity.js';
import { processEnd, textsIn } from '../base/os/processes.js';
import { within } from '../base/timeout.js';
import { preflight } from '../handover/preflight.js';
import { KEEPER_PID_ENV } from '../keeper/keeper-choice.js';
import { OtherProcess } from '../listeners/copy-from-process.js';
import type { Life } from './life.js';

/**
 * As the successor of an incumbent that answers nothing: copies its listeners and the open file that holds the pidfile's lock, goes
 * live beside it, and then ends it. Until it is live nothing has changed for the incumbent.
 * @throws {MotyaError} whatever serves serves on
 */
export async function startByForce(life: Life, pid: number): Promise<void> {
  const { instance, machine, settings } = life;
  const incumbent = new OtherProcess(pid);
  try {
    life.generation = generationOf(pid) + 1;
    life.events.emit('generation', life.generation);
    life.warn('force', `pid ${pid} answers nothing: its listeners are taken by force`, { incumbent: pid });
    refuseBelowManager(incumbent);
    const lockFd = incumbent.copyFile(`${settings.pidfile}.lock`);
    if (lockFd === null) {
      const text = `pid ${pid} does not hold the lock of ${settings.pidfile}: give --pidfile as it was given to that instance`;
      throw new HandoverError('ERR_MOTYA_LOCK_NOT_HELD', text, { details: { pid, path: settings.pidfile } });
    }
    const copies = copiesOf(incumbent, lockFd);
    // Not before: into a process that was root once only root may look (PR_SET_DUMPABLE, prctl(2)).
    instance.becomeUser();
    const fleet = life.makeFleet({ accepting: false });
    fleet.start();
    machine.step('incumbentGone');
    instance.adopt(
      copies.map(({ fd, key, backlog, socket }) => {
        const path = socket.path?.startsWith('/') ? identify(socket.path) : null;
        return { fd, entry: { key, alias: null, backlog, path } };
      }),
      lockFd,
    );
    await life.unlessStopped(fleet.ready());
    preflight({ pidfile: settings.pidfile, listeners: instance.ledger.size });
    await instance.goLive();
    machine.step('live');
  } catch (error) {
    incumbent.close();
    throw error;
  }
  end(life, incumbent).catch((error: unknown) =>
    life.warn('force', reasonOf(error), { ...failureFields(error), incumbent: pid }),
  );
}

/** A process that follows it would take its end for a crash and start another one beside us: it does not hear a process that is not its own. */
function refuseBelowManager(incumbent: OtherProcess): void {
  const { pid } = incumbent;
  const variables = incumbent.environment();
  const hasKeeper = variables.some((entry) => entry.startsWith(`${KEEPER_PID_ENV}=`));
  const isNotified = variables.some((entry) => entry.startsWith('NOTIFY_SOCKET='));
  const isElsewhere = readFileSync(`/proc/${pid}/cgroup`, 'utf8') !== readFileSync('/proc/self/cgroup', 'utf8');
  if (hasKeeper) {
    const text = `pid ${pid} has a keeper, which holds its listeners: kill -KILL ${pid}, and it starts the next one with them; no client is refused`;
    throw new HandoverError('ERR_MOTYA_MANAGED', text, { details: { pid, by: 'keeper' } });
  }
  if (isNotified && isElsewhere) {
    const text = `pid ${pid} belongs to a service manager, which does not know of this process: restart its unit (systemctl restart), which keeps the listeners that it stores`;
    throw new HandoverError('ERR_MOTYA_MANAGED', text, { details: { pid, by: 'service-manager' } });
  }
}

function copiesOf(incumbent: OtherProcess, lockFd: number): ReturnType<OtherProcess['copyListeners']> {
  using owned = new OwnedFds([lockFd]);
  const copies = incumbent.copyListeners();
  owned.release(lockFd);
  return copies;
}

/** One that only sleeps finds, when it wakes, that the pidfile names another process, and drains; see ./stop.ts. */
async function end(life: Life, incumbent: OtherProcess): Promise<void> {
  const { pid } = incumbent;
  const ended = processEnd(pid);
  incumbent.signal(constants.signals.SIGTERM);
  if ((await within(WEDGED_GRACE_MS, ended)) === null) {
    life.warn('force', `pid ${pid} does not end by itself and is killed`, { incumbent: pid });
    incumbent.signal(constants.signals.SIGKILL);
  }
  await ended;
  incumbent.close();
  life.instance.endpoints.clearAfter(pid);
}

/** Its workers know. */
function generationOf(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const found = children.flatMap((child) =>
      textsIn(Number(child), 'environ').flatMap((entry) => /^MOTYA_GENERATION=(\d+)$/.exec(entry)?.[1] ?? []),
    );
    return Math.max(1, ...found.map(Number));
  } catch {
    return 1;
  }
}
