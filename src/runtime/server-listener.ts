import { AsyncResource } from 'node:async_hooks';
import type * as net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import type { Gate, GatedListener } from './accept-gate.js';
import { adoptConnection } from './adopt-connection.js';
import { type Exhaustion, isExhaustion } from './exhaustion.js';
import {
  DEFAULT_BACKLOG,
  type HttpServer,
  type Listen2,
  type ServerHandle,
  type ServerInternals,
} from './node-internals.js';
import { type ParkedAddress, ParkedHandle } from './parked-handle.js';
import { shareTicketKeys } from './server-ticket-keys.js';
import type { Grant, SupervisorLink } from './supervisor-link.js';
import type { MovedConnection } from './worker-messages.js';

/** The arguments of `_listen2` that are still wanted when the listener is there. */
export interface ListenArguments {
  readonly address: string | null;
  readonly port: number;
  readonly addressType: number;
  /** 0: the program names none. */
  readonly backlog: number;
  readonly flags: number | undefined;
  /** Absolute path of a unix socket that has one. */
  readonly path: string | null;
}

interface Runtime {
  readonly link: SupervisorLink;
  readonly gate: Gate;
  readonly exhaustion: Exhaustion;
}

/**
 * The listener of one `net.Server`. It keeps the fd as long as the program keeps the server open: a duplicate goes to Node
 * while the gate is open, and a {@link ParkedHandle} stands in for Node's handle while it is not.
 */
export class ServerListener implements GatedListener {
  readonly #server: ServerInternals;
  readonly #arguments: ListenArguments;
  readonly #listen2: Listen2;
  readonly #link: SupervisorLink;
  readonly takesFds = true;
  /** In the async context of listen(), as in Node: the handle hands that on to its connections. */
  readonly accept = AsyncResource.bind(() => this.#accept());
  readonly adopt = AsyncResource.bind((fd: number, connection: MovedConnection) =>
    adoptConnection(this.#server as net.Server as HttpServer, fd, connection),
  );
  readonly #gate: Gate;
  readonly #exhaustion: Exhaustion;
  readonly #parked: ParkedHandle;
  #grantedBacklog = DEFAULT_BACKLOG;
  #key: string | null = null;
  #port: number | null = null;
  #fd: number | null = null;
  #live: { readonly handle: ServerHandle; readonly close: ServerHandle['close'] } | null = null;
  #closed = false;
  #announced = false;
  #muted = 0;
  #accepted = 0;

  constructor(server: ServerInternals, args: ListenArguments, listen2: Listen2, { link, gate, exhaustion }: Runtime) {
    this.#server = server;
    this.#arguments = args;
    this.#listen2 = listen2;
    this.#link = link;
    this.#gate = gate;
    this.#exhaustion = exhaustion;
    this.#parked = new ParkedHandle(
      {
        closed: () => this.#closedByProgram(),
        keepAlive: (wanted) => (wanted ? link.hold() : link.letGo()),
      },
      args.path,
    );
    this.#parkServer();
  }

  get key(): string | null {
    return this.#key;
  }

  get server(): { server: ServerInternals; port: number | null } {
    return { server: this.#server, port: this.#port };
  }

  get counts(): { open: number; accepted: number } {
    return { open: this.#server._connections ?? 0, accepted: this.#accepted };
  }

  /** `address()` while the supervisor has not answered yet. */
  predict(address: ParkedAddress): void {
    this.#parked.describe(address);
  }

  granted(grant: Grant): void {
    this.#key = grant.key;
    this.#grantedBacklog = grant.backlog ?? DEFAULT_BACKLOG;
    this.#port = grant.port;
    this.#fd = grant.fd;
    if (this.#closed) {
      this.#release();
      return;
    }
    if (grant.lent === true) {
      native.fd.close(grant.fd);
      this.#fd = null;
    }
    if (grant.address !== null && grant.port !== null) {
      const family = grant.family === 'inet6' ? 'IPv6' : 'IPv4';
      this.#parked.describe({ address: grant.address, family, port: grant.port });
    }
    if (grant.ticketKeys !== undefined) shareTicketKeys(this.#server, grant.ticketKeys, grant.key);
    this.#gate.add(this);
    if (this.#live === null) this.#announce();
  }

  /** As Node would have listened without us. */
  leftPlain(): void {
    if (this.#closed) return;
    this.#discard();
    const { address, port, addressType, backlog, flags } = this.#arguments;
    this.#listen2.call(this.#server, address, port, addressType, backlog || DEFAULT_BACKLOG, undefined, flags);
  }

  refused(error: Error): void {
    if (this.#closed) return;
    this.#discard();
    process.nextTick(() => this.#server.emit('error', error));
  }

  #accept(): void {
    // Anything else there: the program has put it there, and it is in charge.
    if (this.#fd === null || this.#server._handle !== this.#parked) return;
    const { address, port, addressType, flags } = this.#arguments;
    const backlog = this.#arguments.backlog || this.#grantedBacklog;
    const server = this.#server;
    const fd = this.#duplicate(this.#fd);
    if (fd === null) return;
    server._handle = null;
    this.#listen2.call(server, null, null, null, backlog, fd, flags);
    if (this.#announced) this.#muteListening();
    this.#announced = true;
    const handle = server._handle as ServerHandle | null;
    if (handle === null) {
      this.#discard();
      return;
    }
    server._connectionKey = `${addressType}:${address}:${port}`;
    this.#parked.unref();
    const close = handle.close;
    handle.close = (callback) => {
      // The address is free before the supervisor hears of it.
      close.call(handle, callback);
      this.#closedByProgram();
    };
    this.#live = { handle, close };
    this.#exhaustion.watch();
    const { onconnection } = handle;
    const met = (error: number): void => this.#exhaustion.met(getSystemErrorName(error));
    const accepted = (): void => {
      this.#accepted++;
    };
    handle.onconnection = function (error, client) {
      if (isExhaustion(error)) {
        met(error);
        return;
      }
      accepted();
      onconnection?.call(this, error, client);
    };
  }

  #duplicate(fd: number): number | null {
    try {
      return native.fd.dup(fd);
    } catch (error) {
      if (!isSystemError(error) || !isExhaustion(error.errno)) throw error;
      this.#exhaustion.met(error.code);
      return null;
    }
  }

  park(): void {
    if (this.#live === null) return;
    const { handle, close } = this.#live;
    this.#live = null;
    const referenced = handle.hasRef?.() ?? true;
    close.call(handle);
    if (this.#server._handle !== handle) return;
    this.#parkServer();
    if (!referenced) this.#parked.unref();
  }

  giveUp(): void {
    if (this.#fd !== null) native.fd.close(this.#fd);
    this.#fd = null;
    this.#key = null;
  }

  #parkServer(): void {
    this.#server._handle = this.#parked;
    if (!this.#server._unref) this.#parked.ref();
  }

  #announce(): void {
    process.nextTick(() => {
      // An ACCEPT may have come first, with Node's own event.
      if (this.#announced) return;
      this.#announced = true;
      if (this.#server._handle === this.#parked || this.#server._handle === this.#live?.handle) {
        this.#server.emit('listening');
      }
    });
  }

  /** The server has no handle of ours any more, and no event tells that it had. */
  #discard(): void {
    if (this.#server._handle === this.#parked) this.#server._handle = null;
    this.#parked.unref();
    this.#closed = true;
    this.#release();
  }

  #closedByProgram(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#live = null;
    this.#release();
  }

  #release(): void {
    this.#gate.delete(this);
    const key = this.#key;
    this.giveUp();
    if (key !== null && !this.#gate.ending) this.#link.send({ type: 'RELEASE', key });
    this.#parked.free();
  }

  /**
   * The program has had its 'listening'; Node has queued one more for its next tick. An own `emit` for just that
   * long, so that no later event pays for it. Counted, because PAUSE and ACCEPT may come twice within a tick.
   */
  #muteListening(): void {
    const server = this.#server as ServerInternals & { emit: (event: string | symbol, ...args: unknown[]) => boolean };
    if (this.#muted++ === 0) {
      const own = Object.getOwnPropertyDescriptor(server, 'emit');
      const emit = server.emit;
      server.emit = (event, ...args) => event !== 'listening' && emit.call(server, event, ...args);
      this.#unmute = () => {
        if (own !== undefined) Object.defineProperty(server, 'emit', own);
        else Reflect.deleteProperty(server, 'emit');
      };
    }
    process.nextTick(() => {
      if (--this.#muted === 0) this.#unmute();
    });
  }
  #unmute = () => {};
}
