import type { SocketDescription } from '../base/os/native.js';
import type { PathIdentity } from '../base/os/path-identity.js';
import type { TicketKeys } from './ticket-keys.js';

/** ms after its readiness in which what a program opens belongs to its start: a database that is slow to answer takes seconds. */
const START_MS = 30_000;

/** A listener that this instance holds. */
export interface Listener {
  readonly key: string;
  readonly fd: number;
  readonly socket: SocketDescription;
  /** Queue length as asked for last. */
  backlog: number;
  /** How a request for port 0 finds it again, for example `web tcp://127.0.0.1:0 #0`; null for a fixed port. */
  readonly alias: string | null;
  /** The file at its unix path; null for all others, and for one that is another program's. */
  path: PathIdentity | null;
  /** True: came from the incumbent, or from the service manager. */
  readonly inherited: boolean;
  /** What its TLS sessions are encrypted with, if it has any; null for datagrams. */
  readonly tickets: TicketKeys | null;
  /** Name under which the service manager holds a copy (supervisor/fd-store.ts); null when it holds none. */
  heldAs: string | null;
  /** The process, another program's, that it was copied from and may have to be left with (`--adopt`); null for all others. */
  readonly adoptedFrom: number | null;
  /** `lateBy` in the incumbent; null: no program there has used it, or it did not come from an incumbent. */
  readonly wasLateBy: number | null;
  /** True: named in the settings or by a .socket unit, so it stays when no worker uses it. */
  declared: boolean;
  /** The service whose workers use it; null until one asks for it. */
  service: string | null;
  /** Workers that hold a copy now, by pid. */
  readonly users: Set<number>;
  /** A program of this instance listens on it: it has asked for it and has not closed it. True also while its worker restarts. */
  isUsed: boolean;
  /** ms from its worker's readiness to the request for it, 0 when it came before; null: no program here has asked for it. */
  lateBy: number | null;
  /** The program speaks TLS on it. False until a worker uses it. */
  tls: boolean;
}

/** What is told of a listener along with its fd. */
export type Inherited = Pick<Listener, 'alias' | 'backlog' | 'path'> & {
  readonly heldAs?: string | undefined;
  readonly adoptedFrom?: number | undefined;
  readonly tickets?: TicketKeys | undefined;
  readonly lateBy?: number | undefined;
};

/** It is told of changes. */
export interface LedgerWatcher {
  entered(listener: Listener): void;
  /** `isShared`: the incumbent has it too, and may serve on it again. */
  removed(listener: Listener, options: { isShared: boolean }): void;
}

/**
 * A program has opened it as it started, so the next version is expected to do so, too; not when a client asked for it, like a data
 * port of FTP.
 */
export function isOfStart({ lateBy, alias }: Listener): boolean {
  return lateBy !== null && lateBy <= (alias === null ? START_MS : 0);
}

/** What a listener is when it enters the ledger. */
export type NewListener = Omit<Listener, 'declared' | 'service' | 'users' | 'isUsed' | 'lateBy' | 'tls' | 'tickets'> & {
  tickets?: TicketKeys | undefined;
};
