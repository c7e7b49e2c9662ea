import dgram from 'node:dgram';
import { constants } from 'node:os';
import { native } from '../base/os/native.js';
import type { ListenRequest } from '../listeners/listen-request.js';
import type { Gate, GatedListener } from './accept-gate.js';
import { isClusterWorker } from './cluster.js';
import { type UdpHandle, type UdpState, udpState } from './node-internals.js';
import type { Ordinals } from './ordinals.js';
import type { Readiness } from './readiness.js';
import type { Grant, ListenAnswer, SupervisorLink } from './supervisor-link.js';

interface Runtime {
  readonly link: SupervisorLink;
  readonly gate: Gate;
  readonly readiness: Readiness;
  readonly ordinals: Ordinals;
}

interface BindOptions {
  readonly port?: unknown;
  readonly fd?: unknown;
  readonly exclusive?: unknown;
  readonly recvStart?: unknown;
}

/**
 * UDP sockets get their listeners from the supervisor. `bind()` runs as Node wrote it; only its last two steps are replaced for
 * that one call: after the lookup of the address the supervisor is asked (an unanswered bind looks like an unfinished lookup,
 * so sends are queued), and instead of binding the handle opens the fd that came.
 */
export function hookBind(runtime: Runtime): void {
  const bind = dgram.Socket.prototype.bind as (this: dgram.Socket, ...args: unknown[]) => dgram.Socket;

  dgram.Socket.prototype.bind = function (this: dgram.Socket, ...args: unknown[]) {
    const [first] = args;
    const options: BindOptions = typeof first === 'object' && first !== null ? first : { port: first };
    const state = udpState(this);
    const handle = state?.handle;
    // `exclusive` is also what Node itself says when send() binds an unbound socket.
    if (!state || !handle || state.bindState !== 0) return bind.apply(this, args);
    if (state.reusePort || isLeftAlone(options) || runtime.gate.leavesAlone(portOf(options.port))) {
      bind.apply(this, args);
      // Port 0 is for what it asks others: no program is ready by that.
      if (portOf(options.port) !== 0 || typeof options.fd === 'number') runtime.readiness.watch(this);
      return this;
    }
    const { lookup } = handle;
    handle.lookup = (address, callback) => {
      lookup.call(handle, address, (error, ip) => {
        if (error !== null || state.handle !== handle) {
          callback(error, ip);
          return;
        }
        runtime.link.askListener(bindRequest(this, state, ip, portOf(options.port), runtime.ordinals), (answer) =>
          finishBind(handle, state, answer, () => callback(null, ip), runtime),
        );
      });
    };
    try {
      bind.apply(this, isClusterWorker() ? alone(args) : args);
    } finally {
      handle.lookup = lookup;
    }
    runtime.readiness.watch(this);
    return this;
  };
}

const isLeftAlone = (options: BindOptions): boolean =>
  typeof options.fd === 'number' || Boolean(options.exclusive) || typeof options.recvStart === 'function';

/** The same call as {@link BindOptions} that say `exclusive`: the worker of a cluster would ask its primary instead of us. */
function alone(args: readonly unknown[]): unknown[] {
  const [first, address] = args;
  const rest = args.filter((argument) => typeof argument === 'function');
  if (typeof first === 'object' && first !== null) return [{ ...first, exclusive: true }, ...rest];
  const host = typeof address === 'string' ? { address } : {};
  return [{ port: typeof first === 'function' ? 0 : first, ...host, exclusive: true }, ...rest];
}

/** `bind(callback)` and `bind()` mean port 0. */
const portOf = (port: unknown): number => (typeof port === 'function' ? 0 : Number(port) || 0);

function bindRequest(
  socket: dgram.Socket,
  state: UdpState,
  address: string,
  port: number,
  ordinals: Ordinals,
): ListenRequest {
  const family = (socket as dgram.Socket & { type: dgram.SocketType }).type === 'udp6' ? 'inet6' : 'inet';
  return {
    kind: 'udp',
    family,
    address,
    port,
    v6only: family === 'inet6' && Boolean(state.ipv6Only),
    reuseAddr: Boolean(state.reuseAddr),
    ordinal: port === 0 ? ordinals.next(`udp ${address}`) : 0,
  };
}

function finishBind(
  handle: UdpHandle,
  state: UdpState,
  answer: ListenAnswer,
  goOn: () => void,
  { link, gate }: Runtime,
): void {
  const { bind } = handle;
  if ('refused' in answer) {
    if (state.handle !== handle) return;
    if (answer.refused.plain !== true) handle.bind = () => answer.refused.errno;
  } else if (answer.granted.lent === true) {
    const { fd, family } = answer.granted;
    native.fd.close(fd);
    if (state.handle !== handle) return;
    // What it sends goes out from another port: datagrams to this one are another generation's.
    handle.bind = () => bind.call(handle, family === 'inet6' ? '::' : '0.0.0.0', 0, 0);
  } else {
    const listener = new UdpListener(state, handle, answer.granted, link, gate);
    if (state.handle !== handle) {
      listener.abandoned();
      return;
    }
    handle.bind = () => listener.open();
  }
  goOn();
  handle.bind = bind;
}

/** The listener of one UDP socket. Its fd belongs to Node's handle, which receives from ACCEPT until DRAIN. */
class UdpListener implements GatedListener {
  readonly takesFds = false;
  readonly #state: UdpState;
  readonly #handle: UdpHandle;
  readonly #grant: Grant;
  readonly #link: SupervisorLink;
  readonly #gate: Gate;
  readonly #recvStart: UdpHandle['recvStart'];
  #admitted = false;
  #receiving = false;
  #wanted = false;
  #holding = false;
  #received = 0;

  constructor(state: UdpState, handle: UdpHandle, grant: Grant, link: SupervisorLink, gate: Gate) {
    this.#state = state;
    this.#handle = handle;
    this.#grant = grant;
    this.#link = link;
    this.#gate = gate;
    this.#recvStart = handle.recvStart;
  }

  get key(): string {
    return this.#grant.key;
  }

  get counts(): { open: number; accepted: number } {
    return { open: 0, accepted: this.#received };
  }

  /** Gives the fd to the handle. Negated errno, or 0. */
  open(): number {
    const handle = this.#handle;
    const errno = handle.open(this.#grant.fd);
    if (errno !== 0) {
      this.abandoned();
      return errno;
    }
    handle.recvStart = () => {
      this.#wanted = true;
      return this.#follow();
    };
    const { close, onmessage } = handle;
    const received = (): void => {
      this.#received++;
    };
    handle.onmessage = function (...args) {
      received();
      onmessage?.apply(this, args);
    };
    handle.close = () => {
      this.#released();
      close.call(handle);
    };
    this.#shareGroups();
    this.#gate.add(this);
    return 0;
  }

  /** The listener came too late to be used. */
  abandoned(): void {
    this.#link.send({ type: 'RELEASE', key: this.#grant.key });
    native.fd.close(this.#grant.fd);
  }

  accept(): void {
    this.#admitted = true;
    this.#follow();
  }

  /** Goes on receiving until another process does: a queue without a reader may overflow (udp(7)). */
  park(isReadElsewhere: boolean): void {
    if (!isReadElsewhere) return;
    this.#admitted = false;
    this.#follow();
  }

  /** The fd stays until the process ends: answers to datagrams that came before still leave through it. */
  giveUp(): void {
    this.#admitted = false;
    this.#follow();
  }

  /**
   * What the program still sends goes out from another port, without the options that it has set: better than an error in a program
   * that finishes what it has.
   */
  vacate(): void {
    if (this.#state.handle !== this.#handle) return;
    const isIPv6 = this.#grant.family === 'inet6';
    const spare = udpState(dgram.createSocket(isIPv6 ? 'udp6' : 'udp4'));
    if (spare?.handle == null) return;
    spare.handle.bind(isIPv6 ? '::' : '0.0.0.0', 0, 0);
    const peer: { address?: string; port?: number } = {};
    if (this.#handle.getpeername(peer) === 0) spare.handle.connect(peer.address ?? '', peer.port ?? 0);
    this.#state.handle = spare.handle;
    spare.handle = null;
    this.#handle.close();
  }

  /** Groups are joined by the socket (ip(7)), which other workers have, and other generations: it is in them once, for all. */
  #shareGroups(): void {
    const handle = this.#handle;
    const join = (name: 'addMembership' | 'addSourceSpecificMembership'): void => {
      const original = handle[name];
      handle[name] = (...args) => {
        const errno = original.apply(handle, args);
        return errno === -constants.errno.EADDRINUSE ? 0 : errno;
      };
    };
    const leave = (name: 'dropMembership' | 'dropSourceSpecificMembership'): void => {
      const original = handle[name];
      handle[name] = (...args) => (this.#admitted ? original.apply(handle, args) : 0);
    };
    join('addMembership');
    join('addSourceSpecificMembership');
    leave('dropMembership');
    leave('dropSourceSpecificMembership');
  }

  #follow(): number {
    if (!this.#wanted) return 0;
    const receive = this.#admitted;
    // A handle that does not receive keeps nothing alive (libuv); the bound socket of the program should.
    this.#hold(!receive && this.#handle.hasRef());
    if (receive === this.#receiving) return 0;
    this.#receiving = receive;
    return receive ? this.#recvStart.call(this.#handle) : this.#handle.recvStop();
  }

  #released(): void {
    this.#wanted = false;
    this.#hold(false);
    this.#gate.delete(this);
    if (!this.#gate.givenUp && !this.#gate.ending) this.#link.send({ type: 'RELEASE', key: this.#grant.key });
  }

  #hold(wanted: boolean): void {
    if (wanted === this.#holding) return;
    this.#holding = wanted;
    if (wanted) this.#link.hold();
    else this.#link.letGo();
  }
}
