import { MotyaError, StartError } from '../base/errors.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { parentOf, processName } from '../base/os/processes.js';
import { type CopiedListener, OtherProcess } from '../listeners/copy-from-process.js';
import type { Listener } from '../listeners/listener.js';
import { socketsOf } from '../listeners/socket-users.js';
import type { Instance } from './instance.js';

/** What an instance has of another program's listeners, until it serves (`motya start --adopt PID`). */
export interface Adoption {
  /** As `pid 12 (nginx)`. */
  readonly from: string;
  readonly pid: number;
  /** How its user ends it without loss. */
  readonly stop: string;
  readonly listeners: readonly Listener[];
}

/**
 * Takes copies of what another process listens on; the programs and the settings find them by what they ask for.
 * @throws {StartError} there is nothing, or nothing that could be taken safely
 */
export function adopt(pid: number, instance: Instance): Adoption {
  const copies = copiesOf(pid);
  using owned = new OwnedFds(copies.listeners.map(({ fd }) => fd));
  const primary = parentOf(pid);
  if (isWorker(copies, primary)) {
    const text = `--adopt: pid ${pid} (${copies.name}) is a worker of pid ${primary}, which has its listeners too: name that one`;
    throw new StartError('ERR_MOTYA_ADOPT', text, { details: { pid, parent: primary } });
  }
  const from = `pid ${pid} (${copies.name})`;
  const keys = copies.listeners.map(({ key }) => key);
  const [twice] = keys.filter((key, index) => keys.indexOf(key) !== index);
  if (copies.listeners.length === 0 || twice !== undefined) {
    const why =
      twice === undefined
        ? `listens on nothing; if it is the worker of a cluster, name its parent, pid ${primary}`
        : `has several sockets on ${twice} (SO_REUSEPORT): clients that wait in the others would be reset; let it have one`;
    const details = { pid, parent: primary, ...(twice === undefined ? {} : { listener: twice }) };
    throw new StartError('ERR_MOTYA_ADOPT', `--adopt: ${from} ${why}`, { details });
  }
  const listeners = copies.listeners.map(({ fd, backlog }) => {
    // Its file is another program's, until ours serves on it: see keepAdopted.
    return instance.ledger.inherit(owned.release(fd), { alias: null, backlog, path: null, adoptedFrom: pid });
  });
  return { from, pid, stop: `kill -${copies.name.startsWith('nginx') ? 'QUIT' : 'TERM'} ${pid}`, listeners };
}

/**
 * Once every program has asked for what it wants: the rest is let go, and stays the other process's.
 * @returns keys of what is used, and of what is not
 * @throws {StartError} nothing is used
 */
export function keepAdopted(
  { from, pid, listeners }: Adoption,
  { ledger }: Instance,
): { kept: string[]; left: string[] } {
  const isUsed = ({ users, declared }: Listener): boolean => users.size > 0 || declared;
  const kept = listeners.filter(isUsed);
  const left = listeners.filter((listener) => !isUsed(listener));
  const keys = (some: readonly Listener[]): string[] => some.map(({ key }) => key);
  if (kept.length === 0) {
    const text = `--adopt: ${from} listens on ${keys(left).join(', ')}; the programs and the settings here ask for none of it`;
    throw new StartError('ERR_MOTYA_ADOPT', text, { details: { pid, unwanted: keys(left).join(', ') } });
  }
  for (const listener of left) ledger.remove(listener, { unlink: false });
  for (const listener of kept) ledger.ownPath(listener);
  return { kept: keys(kept), left: keys(left) };
}

/** The master of an nginx starts another worker for each that ends. False where it cannot be told: it is no more than advice. */
function isWorker({ name, listeners }: ReturnType<typeof copiesOf>, parent: number | null): boolean {
  if (parent === null) return false;
  try {
    const shared = new Set(socketsOf(parent));
    return processName(parent) === name && listeners.some(({ socket }) => shared.has(String(socket.inode)));
  } catch {
    return false;
  }
}

function copiesOf(pid: number): { name: string; listeners: CopiedListener[] } {
  try {
    const other = new OtherProcess(pid);
    try {
      return { name: other.name, listeners: other.copyListeners() };
    } finally {
      other.close();
    }
  } catch (error) {
    if (!(error instanceof MotyaError)) throw error;
    throw new StartError(error.code, `--adopt: ${error.message}`, { cause: error });
  }
}
