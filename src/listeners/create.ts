import { lchownSync, lstatSync, unlinkSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { createForUser } from '../base/os/create-for-user.js';
import { type ListenerSpec, native } from '../base/os/native.js';

type UnixSpec = Extract<ListenerSpec, { family: 'unix' }>;

/**
 * Binds a listener. The file of a unix listener belongs to `owner`, where root is to become that user: later generations,
 * which are the owner's processes, can then remove and bind it anew.
 * @throws {SystemError}
 */
export function createListener(spec: ListenerSpec, owner: Account | null): number {
  if (spec.family !== 'unix' || spec.path.startsWith('\0')) return native.listener.create(spec);
  const byRoot = ({ uid, gid }: Account): number => {
    const fd = createUnix(spec);
    lchownSync(spec.path, uid, gid);
    return fd;
  };
  return createForUser(owner, spec.path, () => createUnix(spec), byRoot);
}

function createUnix(spec: UnixSpec): number {
  try {
    return native.listener.create(spec);
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'EADDRINUSE' || !isStale(spec.path)) throw error;
    unlinkSync(spec.path);
    return native.listener.create(spec);
  }
}

/**
 * A socket file that a killed process left. connect(2) with another type says EPROTOTYPE when a process listens, so the probe
 * never reaches a live listener's backlog. ECONNREFUSED means that no process listens (unix(7)).
 */
export function isStale(path: string): boolean {
  if (path.startsWith('\0') || lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  try {
    native.fd.close(native.channel.connect(path));
    return false;
  } catch (error) {
    return isSystemError(error) && error.code === 'ECONNREFUSED';
  }
}
