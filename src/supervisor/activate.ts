import { failureFields, MotyaError, reasonOf, type Warn } from '../base/errors.js';
import type { Activated } from '../base/os/activation.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { identify } from '../base/os/path-identity.js';
import { adoptedIn, aliasIn, isStoreName } from '../listeners/fd-name.js';
import type { Ledger } from '../listeners/ledger.js';
import { DEFAULT_BACKLOG } from '../listeners/request-names.js';
import type { ServiceManager } from './service-manager.js';

/** Takes a socket of the service manager's: from a .socket unit, or one that an instance before us has stored. */
export function activate({ fd, name }: Activated, ledger: Ledger, manager: ServiceManager, warn: Warn): void {
  using _owned = new OwnedFds([fd]);
  try {
    const socket = native.listener.describe(fd);
    if (socket.type !== 'dgram' && !socket.listening) throw new MotyaError('ERR_MOTYA_LISTENER', 'it does not listen');
    const path = socket.path?.startsWith('/') ? identify(socket.path) : null;
    const isGone = path === null && socket.path?.startsWith('/') === true;
    if (isGone && isStoreName(name)) {
      // systemd empties RuntimeDirectory= at a restart. It is made again when a program asks for it.
      manager.drop(name);
      return;
    }
    if (isGone) throw new MotyaError('ERR_MOTYA_LISTENER', `${socket.path} is not there any more`);
    const isTcp = socket.family !== 'unix' && socket.type === 'stream';
    const backlog = isTcp ? native.listener.queueLength(fd).backlog : DEFAULT_BACKLOG;
    const known = { alias: aliasIn(name), adoptedFrom: adoptedIn(name) };
    ledger.inherit(native.fd.dup(fd), { ...known, backlog, path, heldAs: name });
  } catch (error) {
    warn(`the socket ${name} that the service manager has passed is not used: ${reasonOf(error)}`, {
      ...failureFields(error),
      fdName: name,
    });
    manager.drop(name);
  }
}
