import { createHash } from 'node:crypto';
import type { Listener } from '../listeners/ledger.js';
import type { NotifySocket } from './notify-socket.js';

/** What we have stored begins with it; everything else that is passed to us comes from a .socket unit. */
const PREFIX = 'motya-';
/** FDNAME_MAX in systemd's fd-util.h. */
const NAME_LENGTH = 255;

/**
 * The manager's copies of our listeners (FDSTORE=, sd_notify(3)): while it holds them, clients of an instance that was killed
 * wait in the kernel's queue for the next one. What a .socket unit has passed is held by that unit already.
 */
export class FdStore {
  readonly #socket: NotifySocket;

  constructor(socket: NotifySocket) {
    this.#socket = socket;
  }

  /** Does nothing for a listener that the manager holds already. */
  add(listener: Listener): void {
    if (listener.heldAs !== null) return;
    const name = storeName(listener);
    // FDPOLL=0: else the manager would drop it at the first EPOLLHUP or EPOLLERR.
    if (this.#socket.send(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0'], [listener.fd])) listener.heldAs = name;
  }

  /** A listener that nobody accepts on any more would leave clients hanging instead of being refused. */
  remove(heldAs: string | null): void {
    if (isStoreName(heldAs)) this.#socket.send(['FDSTOREREMOVE=1', `FDNAME=${heldAs}`]);
  }
}

export const isStoreName = (name: string | null): name is string => name?.startsWith(PREFIX) === true;

/** Any printable ASCII but the colon, which separates the names in `$LISTEN_FDNAMES` (fdname_is_valid in systemd). */
function storeName({ key, alias }: Pick<Listener, 'key' | 'alias'>): string {
  const text = (alias ?? key).replace(/[^ -~]|[%:]/gu, (one) =>
    one === ':' || one === '%' ? `%${one.charCodeAt(0).toString(16)}` : encodeURIComponent(one),
  );
  const name = `${PREFIX}${text}`;
  return name.length <= NAME_LENGTH ? name : `${PREFIX}${createHash('sha256').update(text).digest('hex')}`;
}

/** The alias by which a request for port 0 finds its listener again, when the stored name has it. */
export function aliasIn(name: string): string | null {
  if (!isStoreName(name) || !/ #\d+$/.test(name)) return null;
  try {
    return decodeURIComponent(name.slice(PREFIX.length));
  } catch {
    return null;
  }
}
