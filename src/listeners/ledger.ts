import { EventEmitter } from 'node:events';
import { isSystemError, StartError } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { type ListenerSpec, native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { identify, unlinkIfSame } from '../base/os/path-identity.js';
import type { DeclaredListener } from '../config/settings.js';
import { createListener } from './create.js';
import { isStoreName } from './fd-name.js';
import { keyOf, listenerKey, unixKey } from './key.js';
import type { ListenRequest } from './listen-request.js';
import type { Inherited, LedgerWatcher, Listener, NewListener } from './listener.js';
import { overlaps } from './overlap.js';
import { IN_USE, inUse, NOT_PASSED, type Refusal } from './refusals.js';
import { aliasOf, backlogOf, DEFAULT_BACKLOG, nameOf, requestedKeys } from './request-names.js';
import { Reservations } from './reservations.js';
import { currentTicketKeys } from './ticket-keys.js';

/** Every listener of an instance: each fd enters here by name and leaves here by name. */
export class Ledger {
  readonly owner: Account | null;
  readonly #reservations = new Reservations();
  readonly #listeners = new Map<string, Listener>();
  readonly #aliases = new Map<string, Listener>();
  watcher: LedgerWatcher | null = null;
  /** `change`: a program has begun, or ceased, to listen on one. */
  readonly uses = new EventEmitter<{ change: [listener: Listener] }>();
  /** The incumbent still has what was inherited from it. */
  isShared = false;

  /** `owner`: whom root is to become; the files of its unix listeners are the owner's. */
  constructor(owner: Account | null = null) {
    this.owner = owner;
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** All, in the order in which they came. */
  all(): Listener[] {
    return [...this.#listeners.values()];
  }

  /** Those that no program uses and no setting names: no process would ever accept on them. */
  unused(): Listener[] {
    return this.all().filter(({ declared, isUsed }) => !declared && !isUsed);
  }

  /** The files of all unix listeners. */
  unixPaths(): string[] {
    return this.all().flatMap(({ path, socket }) => (path === null || socket.path === null ? [] : [socket.path]));
  }

  get(key: string): Listener | undefined {
    return this.#listeners.get(key);
  }

  /** Takes over a listener of the incumbent or the service manager; the fd is the ledger's from here, also when this throws. */
  inherit(fd: number, entry: Inherited): Listener {
    using owned = new OwnedFds([fd]);
    const socket = native.listener.describe(fd);
    const { lateBy, ...rest } = entry;
    const listener = this.#enter({
      ...rest,
      wasLateBy: lateBy ?? null,
      heldAs: entry.heldAs ?? null,
      adoptedFrom: entry.adoptedFrom ?? null,
      fd,
      socket,
      key: listenerKey(socket),
      inherited: true,
    });
    owned.release(fd);
    return listener;
  }

  /**
   * Binds what the settings name, for {@link declare} to find later; no client can connect until then. Does nothing where the kernel
   * chooses the port, or the service manager has the socket. @throws {SystemError}
   */
  reserve(spec: DeclaredListener): void {
    if (spec.family === 'systemd' || (spec.family !== 'unix' && spec.port === 0)) return;
    this.#reservations.make(spec, this.owner);
  }

  /** Closes what was reserved and not declared. */
  closeReservations(): void {
    this.#reservations.close();
  }

  /** Binds what the settings name for a service, or finds it among the inherited. @throws {SystemError} {StartError} */
  declare(service: string, spec: DeclaredListener): Listener {
    const listener = spec.family === 'systemd' ? this.#heldAs(spec.name) : this.#declared(spec);
    if (listener.service !== null && listener.service !== service) {
      throw new StartError(
        'ERR_MOTYA_LISTENER',
        `services ${listener.service} and ${service} both declare ${listener.key}`,
      );
    }
    listener.service = service;
    listener.declared = true;
    // That of a .socket unit is the unit's business, and so is that of another program until the settings name one.
    const isOurs = spec.family !== 'systemd' && listener.adoptedFrom === null;
    const backlog = spec.backlog ?? (isOurs ? DEFAULT_BACKLOG : listener.backlog);
    if (listener.inherited && backlog !== listener.backlog && listener.socket.type !== 'dgram') {
      native.listener.setBacklog(listener.fd, backlog);
      listener.backlog = backlog;
    }
    return listener;
  }

  /**
   * The listener that a worker asks for: one that is held already, else a new one. `lateBy`: see {@link Listener}.
   * @throws {SystemError} as the program's own bind would have failed.
   */
  addUser(service: string, pid: number, request: ListenRequest, lateBy = 0): Listener | Refusal {
    const listener = this.find(service, request) ?? this.#bindRequest(service, request);
    // A second listen on the same address fails in a plain program; in ours two services must not share clients unasked.
    if (listener.users.has(pid)) return IN_USE;
    if (listener.service !== null && listener.service !== service) return IN_USE;
    listener.service = service;
    // What the generation before has named is not to stay when this one names none.
    const isFirst = listener.users.size === 0;
    listener.users.add(pid);
    listener.lateBy ??= lateBy;
    this.#setUse(listener, true);
    listener.tls = 'tls' in request && request.tls === true;
    if ('backlog' in request && request.backlog > 0) listener.backlog = request.backlog;
    else if (isFirst && !listener.declared && listener.adoptedFrom === null) listener.backlog = DEFAULT_BACKLOG;
    return listener;
  }

  /** What a request would get, without binding anything. */
  find(service: string, request: ListenRequest): Listener | undefined {
    if (request.kind === 'unix') return this.#listeners.get(unixKey(request.path));
    if (request.kind === 'systemd') return this.all().find(({ heldAs }) => heldAs === request.name);
    if (request.port === 0) return this.#aliases.get(aliasOf(service, request));
    return requestedKeys(request)
      .map((key) => this.#listeners.get(key))
      .find((listener) => listener !== undefined);
  }

  /** Those whose address the kernel takes for that of the request (TCP). */
  overlapping(request: ListenRequest): Listener[] {
    return request.kind === 'tcp' ? this.all().filter(({ key }) => overlaps(nameOf(request), key)) : [];
  }

  /** A program has closed its server on it, and no other generation has it: closed here, its address is free. */
  isFree(listener: Listener): boolean {
    const { declared, isUsed, users } = listener;
    return !declared && !isUsed && users.size === 0 && !this.#isIncumbents(listener);
  }

  /** A process has ended: the one that takes its place is about to ask for the same. @returns keys of what it had */
  removeUser(pid: number): string[] {
    return this.all().flatMap(({ key, users }) => (users.delete(pid) ? [key] : []));
  }

  /** A program has closed its server; the listener stays until {@link remove} is called. */
  release(pid: number, key: string): void {
    const listener = this.#listeners.get(key);
    if (listener === undefined) return;
    listener.users.delete(pid);
    if (listener.users.size === 0) this.#setUse(listener, false);
  }

  /** The file of a unix listener that was another program's goes with the listener from here on. */
  ownPath(listener: Listener): void {
    const { path } = listener.socket;
    if (path?.startsWith('/')) listener.path = identify(path);
  }

  /** True when `path` is a listener's own path: unlinking it would take it from all generations. */
  owns(path: string): boolean {
    return this.#listeners.has(unixKey(path));
  }

  /**
   * Closes a listener here. `unlink`: also its path, if that is still the file that was bound. Never after a hand-over: then
   * the path is the successor's.
   */
  remove(listener: Listener, { unlink }: { unlink: boolean }): void {
    if (this.#listeners.get(listener.key) !== listener) return;
    this.#listeners.delete(listener.key);
    if (listener.alias !== null) this.#aliases.delete(listener.alias);
    this.watcher?.removed(listener, { isShared: this.#isIncumbents(listener) });
    native.fd.close(listener.fd);
    if (unlink && listener.path !== null && listener.socket.path !== null) {
      unlinkIfSame(listener.socket.path, listener.path);
    }
  }

  removeAll(options: { unlink: boolean }): void {
    for (const listener of this.all()) this.remove(listener, options);
  }

  /** After a failure to become the main process: what we have bound goes, paths too; what the incumbent gave stays its own. */
  abandonAll(): void {
    this.closeReservations();
    for (const listener of this.all()) this.remove(listener, { unlink: !listener.inherited });
  }

  #isIncumbents({ inherited }: Listener): boolean {
    return inherited && this.isShared;
  }

  #setUse(listener: Listener, isUsed: boolean): void {
    if (listener.isUsed === isUsed) return;
    listener.isUsed = isUsed;
    this.uses.emit('change', listener);
  }

  #declared(spec: ListenerSpec): Listener {
    return this.#listeners.get(keyOf(spec)) ?? this.#bind(spec, null);
  }

  #heldAs(name: string): Listener {
    const found = this.all().find((listener) => listener.heldAs === name);
    if (found !== undefined) return found;
    const passed = this.all().flatMap(({ heldAs }) => (heldAs === null || isStoreName(heldAs) ? [] : [heldAs]));
    const others = passed.length === 0 ? 'it has passed none' : `it has passed ${passed.join(', ')}`;
    throw new StartError(
      'ERR_MOTYA_LISTENER',
      `systemd has passed no socket with FileDescriptorName=${name}: ${others}`,
    );
  }

  #bindRequest(service: string, request: ListenRequest): Listener {
    if (request.kind === 'systemd') {
      throw Object.assign(new Error(`no socket ${request.name} has been passed`), NOT_PASSED);
    }
    if (request.kind === 'unix') {
      return this.#bind({ family: 'unix', type: 'stream', path: request.path, backlog: backlogOf(request) }, null);
    }
    const alias = request.port === 0 ? aliasOf(service, request) : null;
    if (request.kind === 'udp') {
      const { family, address, port, v6only, reuseAddr } = request;
      return this.#bind({ family, type: 'dgram', address, port, v6only, reuseAddr }, alias);
    }
    const tcp = { type: 'stream', port: request.port, v6only: request.v6only, backlog: backlogOf(request) } as const;
    if (request.address !== null) {
      const family = request.address.includes(':') ? 'inet6' : 'inet';
      return this.#bind({ ...tcp, family, address: request.address }, alias);
    }
    try {
      return this.#bind({ ...tcp, family: 'inet6', address: '::' }, alias);
    } catch (error) {
      // Node's own fallback for listen(port) on a machine without IPv6.
      if (!isSystemError(error) || !['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'].includes(error.code)) throw error;
      return this.#bind({ ...tcp, family: 'inet', address: '0.0.0.0' }, alias);
    }
  }

  #bind(spec: ListenerSpec, alias: string | null): Listener {
    const fd = this.#reservations.take(spec, spec.backlog ?? DEFAULT_BACKLOG) ?? createListener(spec, this.owner);
    using owned = new OwnedFds([fd]);
    const socket = native.listener.describe(fd);
    const path = socket.path?.startsWith('/') ? identify(socket.path) : null;
    const backlog = spec.backlog ?? DEFAULT_BACKLOG;
    // Throws where two UDP sockets with SO_REUSEADDR have one address: the kernel lets us bind what we hold already.
    const listener = this.#enter({
      key: listenerKey(socket),
      fd,
      socket,
      backlog,
      alias,
      path,
      heldAs: null,
      adoptedFrom: null,
      wasLateBy: null,
      inherited: false,
    });
    owned.release(fd);
    return listener;
  }

  #enter({ tickets, ...entry }: NewListener): Listener {
    // Its .socket unit holds it as well: bound anew it would be in use, and closed here it would still let clients in.
    const declared = entry.heldAs !== null && !isStoreName(entry.heldAs);
    const hasClients = entry.socket.type === 'stream';
    const listener: Listener = {
      ...entry,
      tickets: hasClients ? currentTicketKeys(tickets) : null,
      declared,
      service: null,
      users: new Set(),
      isUsed: false,
      lateBy: null,
      tls: false,
    };
    if (this.#listeners.has(listener.key)) throw inUse(listener.key, 'this instance');
    this.#listeners.set(listener.key, listener);
    if (listener.alias !== null) this.#aliases.set(listener.alias, listener);
    this.watcher?.entered(listener);
    return listener;
  }
}
