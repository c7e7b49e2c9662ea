import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import type { Channel } from '../base/channel.js';
import type { Listener } from '../listeners/listener.js';
import type { Obstacle, Refusal } from '../listeners/refusals.js';
import { nameOf } from '../listeners/request-names.js';
import type { WorkerShapes } from '../runtime/worker-messages.js';
import type { AddressRequest, ListenRequester } from './listen-gate.js';

/** The process that is answered. */
export interface Grantee {
  readonly service: string;
  readonly pid: number;
  /** performance.now(); null: it is not ready yet. */
  readonly readyAt: number | null;
  /** It waits for a listener that is not here yet. */
  becomeBlocked(): void;
  /** It may not listen where it wants to. */
  denied(refused: Obstacle): void;
}

/** The answers to LISTEN of one process, and the listeners that it has by them. */
export class ListenerGrants implements ListenRequester {
  readonly #grantee: Grantee;
  readonly #channel: Channel<WorkerShapes>;
  /** Keys of what its program listens on for now, and of the listeners that have these addresses. */
  readonly #lent = new Map<string, string>();
  /** Keys of those that it has been given and whose servers its program has not closed. */
  readonly keys = new Set<string>();
  /** What it was refused last, for the reason of a failed start. */
  lastRefusal: Obstacle | null = null;

  constructor(grantee: Grantee, channel: Channel<WorkerShapes>) {
    this.#grantee = grantee;
    this.#channel = channel;
  }

  get service(): string {
    return this.#grantee.service;
  }

  get pid(): number {
    return this.#grantee.pid;
  }

  get readyAt(): number | null {
    return this.#grantee.readyAt;
  }

  /** Its program has to close a server before it is ready. */
  get hasLent(): boolean {
    return this.#lent.size > 0;
  }

  grant(id: number, listener: Listener): void {
    const { key, backlog, fd, tickets } = listener;
    const { family, address, port, path } = listener.socket;
    const ticketKeys = tickets?.keys;
    this.keys.add(key);
    this.#channel.send({ type: 'LISTENER', id, key, family, address, port, path, backlog, ticketKeys }, [fd]);
  }

  wait(id: number): void {
    this.#channel.send({ type: 'PENDING', id });
    this.#grantee.becomeBlocked();
  }

  leavePlain(id: number): void {
    const { ECANCELED } = constants.errno;
    this.#channel.send({ type: 'REFUSED', id, code: 'ECANCELED', errno: -ECANCELED, syscall: 'listen', plain: true });
  }

  lend(id: number, request: AddressRequest, holder: Listener | null): void {
    const key = nameOf(request);
    // Not the holder's socket: a copy that is on its way would keep its address bound when it is closed.
    const none = openSync('/dev/null', 'r');
    try {
      this.#channel.send({ type: 'LISTENER', id, key, ...addressOf(request), lent: true }, [none]);
      if (holder !== null) this.#lent.set(key, holder.key);
    } finally {
      closeSync(none);
    }
  }

  refuse(id: number, refusal: Refusal, listener: string, why: Obstacle | null): void {
    const { code, syscall } = refusal;
    const text = `${syscall} ${code} ${listener}${why === null ? '' : ` (${why.text})`}`;
    this.lastRefusal = { text, details: { reason: code, syscall, listener, ...why?.details } };
    // A program may take any other for an answer, and try elsewhere; this one the operator has to mend.
    if (refusal.code === 'EACCES') this.#grantee.denied(this.lastRefusal);
    this.#channel.send({ type: 'REFUSED', id, code: refusal.code, errno: refusal.errno, syscall: refusal.syscall });
  }

  /** The program has closed its server. @returns whether it had the listener: what was lent was another one's */
  release(key: string): boolean {
    if (this.#lent.delete(key)) return false;
    this.keys.delete(key);
    return true;
  }

  /** It listens where another listener of its service does, and has not closed that: no client would reach it. */
  refuseLent(): void {
    const [lent] = this.#lent;
    if (lent === undefined) return;
    const [wanted, holder] = lent;
    const details = { reason: 'EADDRINUSE', syscall: 'listen', listener: wanted, overlaps: holder };
    this.lastRefusal = { text: `listen EADDRINUSE ${wanted} (it overlaps ${holder} of this service)`, details };
  }
}

/** As getsockname(2) would tell it. */
function addressOf(request: AddressRequest) {
  if (request.kind === 'unix') return { family: 'unix', address: null, port: null, path: request.path } as const;
  const { address, port } = request;
  const family = address === null || address.includes(':') ? 'inet6' : 'inet';
  return { family, address: address ?? '::', port, path: null } as const;
}
