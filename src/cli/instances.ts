import { readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { PeerCredentials } from '../base/os/native.js';
import { DRAIN_MARK } from '../base/os/paths.js';
import { allPlaces, entriesOf } from '../base/os/places.js';
import { textsIn } from '../base/os/processes.js';
import {
  connectControl,
  connectKeeper,
  controlSocketBeside,
  NotRunningError,
  RestartingError,
  requestStatus,
  StartingError,
} from '../control/client.js';
import { drainersOf } from '../control/drainers.js';

const ENDING = '.control.sock';
const KEEPER_ENDING = '.keeper.sock';
/** Beside a pidfile of the default place: one that starts has no control socket yet. */
const LOCK = /\.pid\.lock$/;
const DRAINER = new RegExp(`${DRAIN_MARK}\\d+\\.sock$`);

/** An instance that runs, or that its keeper is about to start again. */
export interface Running {
  /** Of its control socket. */
  readonly path: string;
  readonly name: string;
  /** Of the main process, or of the keeper while there is none. */
  readonly pid: number;
  readonly uid: number;
  /** In which it was started, as it was typed; null: it does not say, and may not be looked into. */
  readonly directory: string | null;
  /** Its settings file; null also where it cannot be known. */
  readonly config: string | null;
}

/** Paths of the control sockets at which an instance answers, or a keeper in its place; `name`: of instances with that name only. */
export function runningSockets(name?: string): string[] {
  return allPlaces(process.env)
    .flatMap((directory) => (name === undefined ? controlSocketsIn(directory) : [join(directory, `${name}${ENDING}`)]))
    .map(controlSocketBeside)
    .filter((path, index, all) => all.indexOf(path) === index && peerAt(path) !== null);
}

/** Asks each of them what it is. Never rejects: one that does not answer is told by what the kernel knows of it. */
export async function describeAll(paths: readonly string[]): Promise<Running[]> {
  const all = await Promise.all(paths.map(describe));
  return all.flatMap((one) => one ?? []);
}

async function describe(path: string): Promise<Running | null> {
  const peer = peerAt(path);
  if (peer === null) return null;
  const { pid, uid } = peer;
  const known = { path, pid, uid };
  const status = await requestStatus(path).catch(() => null);
  if (status !== null) {
    const { name, directory, config } = status;
    return { ...known, name, directory, config };
  }
  return { ...known, name: basename(path, ENDING), directory: directoryOf(pid), config: null };
}

/** Null: no instance answers or starts, and no keeper, and no generation that has outlived them and drains. */
export function peerAt(path: string): Peer | null {
  try {
    const channel = connectControl(path);
    channel.close();
    return channel.peer;
  } catch (error) {
    if (!(error instanceof NotRunningError)) return null;
    if (error instanceof StartingError) return ownerOf(error.pid);
    const keeper = error instanceof RestartingError ? connectKeeper(path) : null;
    keeper?.close();
    return keeper?.peer ?? drainerAt(path);
  }
}

/** A process and its user. */
type Peer = Pick<PeerCredentials, 'pid' | 'uid'>;

function ownerOf(pid: number): Peer | null {
  const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
  return uid === undefined ? null : { pid, uid };
}

function drainerAt(path: string): Peer | null {
  const [drainer] = drainersOf(path);
  if (drainer === undefined) return null;
  try {
    const channel = connectControl(drainer.path);
    channel.close();
    return channel.peer;
  } catch {
    return null;
  }
}

/** Working directory of a process as its shell called it, where that is still the same one; null: it may not be seen. */
function directoryOf(pid: number): string | null {
  try {
    const real = readlinkSync(`/proc/${pid}/cwd`);
    const shell = textsIn(pid, 'environ')
      .find((entry) => entry.startsWith('PWD='))
      ?.slice('PWD='.length);
    return shell !== undefined && isSame(shell, real) ? shell : real;
  } catch {
    return null;
  }
}

function controlSocketsIn(directory: string): string[] {
  const names = entriesOf(directory)
    .filter((name) => !name.startsWith('.'))
    .map((name) => (name.endsWith(KEEPER_ENDING) ? `${name.slice(0, -KEEPER_ENDING.length)}${ENDING}` : name))
    .map((name) => name.replace(DRAINER, ENDING).replace(LOCK, ENDING))
    .filter((name) => name.endsWith(ENDING));
  return [...new Set(names)].map((name) => join(directory, name));
}

/** The working directory of a command: as typed, and what `$PWD` calls it when that leads elsewhere by now. */
export interface Here {
  readonly cwd: string;
  readonly shell: string | undefined;
}

/** Whether the instance was started from the directory, or with a settings file in it. */
export function isFrom({ directory, config }: Running, here: Here): boolean {
  return [directory, config === null ? null : dirname(config)].some((path) => path !== null && isHere(path, here));
}

function isHere(path: string, { cwd, shell }: Here): boolean {
  return isSame(path, cwd) || (path === shell && isSwapped(shell, cwd));
}

/**
 * Whether `shell`, the name that a shell has for its working directory, leads to another release by now: a symlink on the way
 * (`current`) has been swapped since. The real paths then differ in one step only. Anything else may be a `$PWD` that a program has
 * inherited from somewhere.
 */
function isSwapped(shell: string, cwd: string): boolean {
  if (!isAbsolute(shell)) return false;
  try {
    const now = realpathSync(shell);
    if (now === shell) return false;
    const [then, next] = [cwd.split('/'), now.split('/')];
    return then.length === next.length && then.filter((step, index) => step !== next[index]).length === 1;
  } catch {
    return false;
  }
}

function isSame(one: string, other: string): boolean {
  if (one === other) return true;
  try {
    const [a, b] = [statSync(one, { bigint: true }), statSync(other, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
