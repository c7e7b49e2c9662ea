import { rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { DRAIN_MARK } from '../base/os/paths.js';
import { entriesOf } from '../base/os/places.js';

/**
 * A generation that drains. It answers at a control socket of its own, because the instance's leads to the generation that serves,
 * or, when that one has died, nowhere.
 */
export interface Drainer {
  readonly pid: number;
  readonly path: string;
}

/** The generations of an instance that drain, by its control socket; the lowest pid first. */
export function drainersOf(controlSocket: string): Drainer[] {
  return drainSockets(controlSocket)
    .filter(({ path }) => answers(path))
    .sort((a, b) => a.pid - b.pid);
}

/** Removes the sockets of those that were killed. */
export function clearDrainers(controlSocket: string): void {
  for (const { path } of drainSockets(controlSocket)) if (!answers(path)) rmSync(path, { force: true });
}

function drainSockets(controlSocket: string): Drainer[] {
  const directory = dirname(controlSocket);
  const before = `${basename(controlSocket, '.control.sock')}${DRAIN_MARK}`;
  return entriesOf(directory).flatMap((name): Drainer[] => {
    const pid = name.startsWith(before) ? /^(\d+)\.sock$/.exec(name.slice(before.length))?.[1] : undefined;
    return pid === undefined ? [] : [{ pid: Number(pid), path: join(directory, name) }];
  });
}

function answers(path: string): boolean {
  try {
    native.fd.close(native.channel.connect(path));
    return true;
  } catch (error) {
    // ECONNREFUSED: the file of a dead process. What else is wrong says nothing about its life.
    return isSystemError(error) && error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT';
  }
}
