import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { native } from './native.js';
import { OwnedFds } from './owned-fds.js';
import { allPlaces, entriesOf } from './places.js';
import { parentOf, textsIn } from './processes.js';

const ENDING = '.control.sock';

/**
 * Whether a process belongs to an instance of Motya, in words that say what to do about it: `of the instance shop (pid 12), …`.
 * Null: it does not, or it is another user's, who may not be looked into.
 */
export function instanceOf(pid: number): string | null {
  if (serviceOf(pid) !== null) {
    const parent = parentOf(pid);
    const supervisor = parent !== null && isSupervisor(parent) ? parent : null;
    return supervisor === null
      ? `left behind by an instance that has died: kill ${pid} ends it`
      : described(supervisor);
  }
  return isSupervisor(pid) ? described(pid) : null;
}

function described(supervisor: number): string {
  const name = nameOf(supervisor);
  if (name === null) {
    return `of an instance of Motya (pid ${supervisor}) that has no control socket: kill -QUIT ${supervisor} upgrades it, kill ${supervisor} stops it`;
  }
  const from = variableOf(supervisor, 'PWD');
  const where = from === null ? '' : `, started from ${from}`;
  return `of the instance ${name} (pid ${supervisor})${where}: \`motya upgrade --name ${name}\` replaces it, \`motya stop --name ${name}\` ends it`;
}

/** By the control socket at which it answers. */
function nameOf(pid: number): string | null {
  for (const directory of allPlaces(process.env)) {
    for (const entry of entriesOf(directory)) {
      if (entry.endsWith(ENDING) && !entry.startsWith('.') && peerAt(join(directory, entry)) === pid) {
        return basename(entry, ENDING);
      }
    }
  }
  return null;
}

function peerAt(socket: string): number | null {
  try {
    using owned = new OwnedFds();
    return native.channel.peerCredentials(owned.own(native.channel.connect(socket))).pid;
  } catch {
    return null;
  }
}

/** Its children are workers. */
function isSupervisor(pid: number): boolean {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return children.some((child) => child !== '' && serviceOf(Number(child)) !== null);
  } catch {
    return false;
  }
}

/** The service whose worker it is: the supervisor says so in its environment. */
const serviceOf = (pid: number): string | null => variableOf(pid, 'MOTYA_SERVICE');

function variableOf(pid: number, name: string): string | null {
  try {
    return (
      textsIn(pid, 'environ')
        .find((entry) => entry.startsWith(`${name}=`))
        ?.slice(name.length + 1) ?? null
    );
  } catch {
    return null;
  }
}
