import { AsyncResource } from 'node:async_hooks';
import net from 'node:net';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { ListenRequest } from '../listeners/listen-request.js';
import type { Gate } from './accept-gate.js';
import { CLUSTER_HANDLE } from './cluster.js';
import type { Connections } from './connections.js';
import type { Exhaustion } from './exhaustion.js';
import { isTlsServer, type ServerInternals, TCP_IPV6ONLY } from './node-internals.js';
import type { Ordinals } from './ordinals.js';
import { ParkedError, ParkedHandle } from './parked-handle.js';
import type { Readiness } from './readiness.js';
import { ServerListener } from './server-listener.js';
import type { ListenAnswer, SupervisorLink } from './supervisor-link.js';

const MOST_BACKLOG = 0x7fffffff;
const SUN_PATH_BYTES = 108;
const PADS_ABSTRACT_NAMES = Number.parseInt(process.versions.node, 10) < 22;

interface Runtime {
  readonly link: SupervisorLink;
  readonly gate: Gate;
  readonly exhaustion: Exhaustion;
  readonly connections: Connections;
  readonly readiness: Readiness;
  readonly ordinals: Ordinals;
}

interface Options {
  readonly path?: unknown;
  readonly exclusive?: unknown;
  readonly reusePort?: unknown;
  readonly handle?: unknown;
  readonly _handle?: unknown;
}

/**
 * Servers get their listeners from the supervisor. Hooked is `_listen2`, which Node calls after it has checked the arguments
 * and resolved names; `listen` itself only to remember which options leave a server alone: `_listen2` is not told.
 */
export function hookListen(runtime: Runtime): void {
  const prototype = net.Server.prototype as ServerInternals;
  const { listen, _listen2: listen2 } = prototype;
  const alone = new WeakSet<net.Server>();

  prototype.listen = function (this: ServerInternals, ...args: unknown[]) {
    const options = args[0] as Options | null | undefined;
    // As Node looks for it; another server's listener may be given as the server, or as its handle.
    if ((options?._handle || options?.handle || options) instanceof ParkedHandle) throw new ParkedError();
    if (this._handle === null) isLeftAlone(options) ? alone.add(this) : alone.delete(this);
    const result = Reflect.apply(listen, this, args) as ServerInternals;
    // Not before: arguments that `listen` throws at settle nothing.
    if (typeof this._pipeName !== 'string' || !isOwnToProcess(this._pipeName)) runtime.readiness.watch(this);
    return result;
  } as ServerInternals['listen'];

  prototype._listen2 = function (address, port, addressType, backlog, fd, flags) {
    if (this._handle === CLUSTER_HANDLE) this._handle = null;
    if (addressType !== -1 && typeof fd !== 'number' && runtime.gate.leavesAlone(port ?? 0)) {
      // The drain waits for its connections.
      runtime.connections.watch(this);
      listen2.call(this, address, port, addressType, backlog, fd, flags);
      return;
    }
    if (
      this._handle !== null ||
      typeof fd === 'number' ||
      port === null ||
      addressType === null ||
      alone.has(this) ||
      (addressType === -1 && isOwnToProcess(address as string))
    ) {
      listen2.call(this, address, port, addressType, backlog, fd, flags);
      return;
    }
    // listen(2) takes any int, a negative one for the most there can be.
    const asked = Math.trunc(Number(backlog)) || 0;
    const depth = asked < 0 ? MOST_BACKLOG : Math.min(asked, MOST_BACKLOG);
    const wanted =
      addressType === -1
        ? unixRequest(address as string, depth)
        : tcpRequest(address, port, addressType, depth, flags, runtime.ordinals);
    const request = isTlsServer(this) ? { ...wanted, tls: true } : wanted;
    const filePath = request.kind === 'unix' && !request.path.startsWith('\0') ? request.path : null;
    runtime.connections.watch(this);
    const listener = new ServerListener(
      this,
      { address, port, addressType, backlog: depth, flags, path: filePath },
      listen2,
      runtime,
    );
    if (request.kind === 'tcp' && port !== 0) {
      listener.predict({ address: address ?? '::', family: net.isIPv4(address ?? '::') ? 'IPv4' : 'IPv6', port });
    }
    const answered = (answer: ListenAnswer): void => {
      if ('granted' in answer) listener.granted(answer.granted);
      else if (answer.refused.plain === true) listener.leftPlain();
      else listener.refused(listenError(answer.refused, address, port));
    };
    // The events are in the async context of the caller (AsyncLocalStorage), also when the answer comes later.
    runtime.link.askListener(request, AsyncResource.bind(answered));
  };
}

/**
 * `exclusive` on a port means nothing outside node:cluster, and libraries say it unasked (srvx, so h3 and Nitro): such a listener is
 * handed over like any other. On a path it is the way to have a socket of one's own.
 */
function isLeftAlone(options: Options | null | undefined): boolean {
  if (typeof options !== 'object' || options === null) return false;
  return Boolean(options.reusePort || (options.exclusive && options.path !== undefined));
}

/**
 * A socket in the temporary directory, with this process's pid in its path: no client could find it in the next generation, so only
 * the program itself connects to it, and its own children (`/tmp/tsx-0/1234.pipe`). Left to plain Node, and no sign of readiness.
 */
function isOwnToProcess(name: string): boolean {
  const place = path.relative(tmpdir(), path.resolve(name));
  const isBelow = place !== '' && !place.startsWith('..') && !path.isAbsolute(place);
  return isBelow && !name.startsWith('\0') && place.split(/\D+/).includes(String(process.pid));
}

/** `listen('systemd:http')`, where a path could stand: programs take one from $PORT as they take a number. */
const FROM_SYSTEMD = /^systemd:(.+)$/;

function unixRequest(name: string, backlog: number): ListenRequest {
  const passed = FROM_SYSTEMD.exec(name)?.[1];
  if (passed !== undefined) return { kind: 'systemd', name: passed, backlog };
  if (!name.startsWith('\0')) return { kind: 'unix', path: path.resolve(name), backlog };
  // Every byte of an abstract name counts (unix(7)), and Node 20 gives the kernel all of sun_path, in clients too.
  return { kind: 'unix', path: PADS_ABSTRACT_NAMES ? name.padEnd(SUN_PATH_BYTES, '\0') : name, backlog };
}

function tcpRequest(
  address: string | null,
  port: number,
  addressType: number,
  backlog: number,
  flags: number | undefined,
  ordinals: Ordinals,
): ListenRequest {
  const v6only = (address === null || addressType === 6) && ((flags ?? 0) & TCP_IPV6ONLY) !== 0;
  const ordinal = port === 0 ? ordinals.next(`tcp ${address}`) : 0;
  return { kind: 'tcp', address, port, v6only, backlog, ordinal };
}

/** The error that Node itself would have emitted (UVExceptionWithHostPort, lib/internal/errors.js). */
function listenError(
  refused: { code: string; errno: number },
  address: string | null,
  port: number,
): NodeJS.ErrnoException {
  // libuv calls a missing directory EACCES, as Windows does (uv_pipe_bind, src/unix/pipe.c).
  const missing = port === -1 && refused.code === 'ENOENT';
  const { code, errno } = missing ? { code: 'EACCES', errno: -constants.errno.EACCES } : refused;
  // Node tries '::' and then '0.0.0.0', but libuv reports EADDRINUSE only at listen(), when '::' has been bound.
  const tried = address ?? (code === 'EADDRINUSE' ? '::' : '0.0.0.0');
  const [, text = 'unknown error'] = getSystemErrorMap().get(errno) ?? [];
  const where = port > 0 ? `${tried}:${port}` : tried;
  const error = new Error(`listen ${code}: ${text} ${where}`);
  return Object.assign(error, { code, errno, syscall: 'listen', address: tried, ...(port !== 0 && { port }) });
}
