import type { NotifySocket } from '../base/os/notify-socket.js';
import { isStoreName, storeName } from '../listeners/fd-name.js';
import type { Listener } from '../listeners/listener.js';

/**
 * The manager's copies of our listeners (FDSTORE=, sd_notify(3)): while it holds them, clients of an instance that was killed
 * wait in the kernel's queue for the next one. What a .socket unit has passed is held by that unit already.
 */
export class FdStore {
  readonly #socket: NotifySocket;
  /** Names of those that were let go while the incumbent had them too. */
  readonly #later = new Set<string>();

  constructor(socket: NotifySocket) {
    this.#socket = socket;
  }

  /** Does nothing for a listener that the manager holds already. @returns false: the manager cannot be told. */
  add(listener: Listener): boolean {
    if (listener.heldAs !== null) return true;
    const name = storeName(listener);
    // Bound anew, so the incumbent has closed the one before it. Removed afterwards, both would go: they have one name.
    if (this.#later.delete(name)) this.remove(name);
    // FDPOLL=0: else the manager would drop it at the first EPOLLHUP or EPOLLERR.
    const isStored = this.#socket.send(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0'], [listener.fd]);
    if (isStored) listener.heldAs = name;
    return isStored;
  }

  /** A listener on which no program accepts would leave clients hanging instead of being refused. */
  remove(heldAs: string | null): void {
    if (isStoreName(heldAs)) this.#socket.send(['FDSTOREREMOVE=1', `FDNAME=${heldAs}`]);
  }

  /** As {@link remove}, at {@link removeNow}. */
  removeLater(heldAs: string | null): void {
    if (isStoreName(heldAs)) this.#later.add(heldAs);
  }

  removeNow(): void {
    for (const name of this.#later) this.remove(name);
    this.#later.clear();
  }
}
