import type { Server } from 'node:net';
import type { Connection } from './connections.js';
import type { ListenerCount, MovedConnection } from './worker-messages.js';

/** Something that can accept connections (or receive datagrams), or hold still without losing its socket. */
export interface GatedListener {
  /** Null: not granted yet, or given up. */
  readonly key: string | null;
  /** Each connection takes an fd. */
  readonly takesFds: boolean;
  /** Connections that are open, and how many connections or datagrams have come since the listener is here. */
  readonly counts: { readonly open: number; readonly accepted: number };
  /** Of a listener that accepts connections. `port`: null for a unix socket. */
  readonly server?: { readonly server: Server; readonly port: number | null } | null;
  /** Makes an open connection one of its server's; `fd` is the connection's from here on. */
  adopt?(fd: number, connection: MovedConnection): Connection | undefined;
  accept(): void;
  /** To be able to {@link accept} again. `isReadElsewhere`: another generation accepts. */
  park(isReadElsewhere: boolean): void;
  /** After {@link park}: the socket is not ours any more. */
  giveUp(): void;
  /** After {@link giveUp}: its address must become free, whatever still needs it here. */
  vacate?(): void;
}

/** Whether the worker's listeners accept. Closed for good once the listeners have been given up. */
export class Gate {
  readonly #listeners = new Set<GatedListener>();
  #open: boolean;
  /** Keys of listeners on which it is open all the same. */
  #except = new Set<string>();
  #givenUp = false;
  #isPaused = false;
  /** The process is ending: what it closes now is no decision of the program. */
  ending = false;

  constructor(open: boolean) {
    this.#open = open;
  }

  get open(): boolean {
    return this.#open;
  }

  get givenUp(): boolean {
    return this.#givenUp;
  }

  /**
   * Whether the program gets plain Node's own socket: for port 0, such as a data port of a session, and for a port on which it has a
   * server already. Any other fixed port may be a listener that is another generation's by now, which the supervisor knows.
   */
  leavesAlone(port: number): boolean {
    return port === 0 ? this.#isPaused || this.#givenUp : this.#givenUp && this.serverOn(port) !== null;
  }

  /** It has accepted, and does not any more. */
  get isLeaving(): boolean {
    return this.#isPaused;
  }

  /** The server of this program that has, or had, a TCP listener on this port. */
  serverOn(port: number): Server | null {
    for (const listener of this.#listeners) if (listener.server?.port === port) return listener.server.server;
    return null;
  }

  /** Of those that accept connections, by the server. */
  get connectionListeners(): Map<Server, GatedListener> {
    return new Map([...this.#listeners].flatMap((one) => (one.server ? [[one.server.server, one] as const] : [])));
  }

  /** Of the listeners with these keys. */
  counts(keys: ReadonlySet<string>): ListenerCount[] {
    return [...this.#listeners].flatMap(({ key, counts }) =>
      key !== null && keys.has(key) ? [{ key, ...counts }] : [],
    );
  }

  add(listener: GatedListener): void {
    this.#listeners.add(listener);
    if (this.#givenUp) listener.giveUp();
    else if (this.#isOpenFor(listener)) listener.accept();
  }

  delete(listener: GatedListener): void {
    this.#listeners.delete(listener);
  }

  accept(): void {
    if (this.#open || this.#givenUp) return;
    this.#open = true;
    this.#isPaused = false;
    for (const listener of this.#listeners) listener.accept();
  }

  pause({
    except = [],
    isForGood = false,
  }: {
    except?: readonly string[] | undefined;
    isForGood?: boolean;
  } = {}): void {
    // One that boots in a successor has not served yet: what it opens is the service's.
    this.#isPaused ||= this.#open;
    this.#open = false;
    this.#except = new Set(except);
    for (const listener of this.#listeners) {
      if (this.#isOpenFor(listener)) listener.accept();
      else listener.park(isForGood);
    }
  }

  /** Stops those that take fds for as long as there are none; {@link goOn} ends it, and what was decided meanwhile holds. */
  rest(): void {
    for (const listener of this.#listeners) if (listener.takesFds) listener.park(false);
  }

  goOn(): void {
    for (const listener of this.#listeners) if (listener.takesFds && this.#isOpenFor(listener)) listener.accept();
  }

  #isOpenFor({ key }: GatedListener): boolean {
    return this.#open || (key !== null && this.#except.has(key));
  }

  giveUp(): void {
    if (this.#givenUp) return;
    this.pause();
    this.#givenUp = true;
    for (const listener of this.#listeners) listener.giveUp();
  }

  /** The supervisor is gone, and with it perhaps the last other copy of each listener: the next instance may have to bind anew. */
  vacate(): void {
    this.giveUp();
    for (const listener of this.#listeners) listener.vacate?.();
  }
}
