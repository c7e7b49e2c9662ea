import type * as dgram from 'node:dgram';
import type * as http from 'node:http';
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type * as net from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Everything that the runtime touches of Node and that Node does not document, in one place; the same on 20, 22, 24 and 26.
 * `_listen2` keeps its name in Node "to avoid breaking code that wraps this method" (lib/net.js).
 */

export interface ServerHandle {
  close(callback?: () => void): void;
  hasRef?(): boolean;
  /** Called for each connection, or with a negated errno. */
  onconnection?: (this: ServerHandle, error: number, client: unknown) => void;
}

export type Listen2 = (
  this: ServerInternals,
  address: string | null,
  port: number | null,
  addressType: number | null,
  backlog: number | false | undefined,
  fd?: number,
  flags?: number,
) => void;

/** Private parts of a `net.Server`. */
export interface ServerInternals extends net.Server {
  _handle: ServerHandle | null;
  _listen2: Listen2;
  /** True after `server.unref()`. */
  _unref: boolean;
  _connectionKey: string;
  /** Open connections of this process; what `getConnections()` counts. */
  _connections?: number;
  /** Path of the unix socket that `listen()` was given last. */
  _pipeName?: string;
}

/** Private parts of a `tls.Server`. */
export interface TlsServerInternals extends net.Server {
  _sharedCreds?: {
    readonly context?: { setTicketKeys(keys: Buffer): void; setSessionIdContext(context: string): void };
  };
  /** As given to the constructor, or to `setSecureContext()`. */
  ticketKeys?: Buffer;
  sessionIdContext?: string;
}

/** Without a load of `tls`, which plain programs do not need. */
export function isTlsServer(server: net.Server): boolean {
  return (server as TlsServerInternals)._sharedCreds !== undefined;
}

/** By another `--require`, before ours. */
export function isTlsLoaded(): boolean {
  const { moduleLoadList = [] } = process as NodeJS.Process & { moduleLoadList?: readonly string[] };
  return moduleLoadList.includes('NativeModule tls');
}

/** Private parts of an `http.Server`. */
export interface HttpServer extends http.Server {
  _connections?: number;
  allowHalfOpen?: boolean;
  highWaterMark?: number;
  /** ms; not in every line of Node. */
  keepAliveTimeoutBuffer?: number;
}

/** Without a load of `http`, which plain TCP programs do not need. */
export function isHttpServer(server: net.Server): server is HttpServer {
  return typeof (server as HttpServer).closeIdleConnections === 'function' && !isTlsServer(server);
}

/** Node's HTTPParser (src/node_http_parser.cc), as it reads requests. */
export interface HttpParser {
  /** The request that is being read or answered. */
  incoming?: unknown;
  /** Called with each request, once its head has been read. */
  onIncoming: (...args: unknown[]) => unknown;
  /** @returns bytes read, or an error */
  execute(data: Buffer): number | Error;
}

/** What the http server puts on a socket that it reads. */
export interface HttpSocket extends Duplex {
  /** Null once the connection was upgraded; missing if HTTP/1 was never spoken. */
  parser?: HttpParser | null;
  /** The response that is being written. */
  _httpMessage?: unknown;
  /** The socket below a TLSSocket. */
  _parent?: unknown;
}

/** The streams of an HTTP/2 session that are open; none where Node has moved them. */
export function openStreams(session: Http2Session): ServerHttp2Stream[] {
  for (const symbol of Object.getOwnPropertySymbols(session)) {
    if (symbol.description !== 'state') continue;
    const { streams } =
      (session as unknown as Record<symbol, { streams?: Map<number, ServerHttp2Stream> }>)[symbol] ?? {};
    return streams === undefined ? [] : [...streams.values()];
  }
  return [];
}

/** What every handle of libuv is. */
export interface HandleWrap {
  close(): void;
  unref(): void;
}

/** What is below a plain `net.Socket`. */
export interface SocketHandle {
  /** It reads, or would. Set by lib/net.js. */
  reading?: boolean;
  readStart(): number;
  readStop(): number;
  close(): void;
  readonly fd: number;
  /** Bytes that the kernel has not taken yet. */
  readonly writeQueueSize: number;
}

export interface UdpHandle {
  /** Negated errno, or 0. */
  open(fd: number): number;
  bind(address: string, port: number, flags: number): number;
  connect(address: string, port: number): number;
  /** Negated errno (ENOTCONN), or 0. */
  getpeername(out: { address?: string; port?: number }): number;
  close(): void;
  lookup(address: string, callback: (error: Error | null, ip: string) => void): void;
  /** Called for each datagram. */
  onmessage?: (this: UdpHandle, ...args: unknown[]) => void;
  recvStart(): number;
  recvStop(): number;
  hasRef(): boolean;
  /** These four: negated errno, or 0. */
  addMembership: Membership;
  dropMembership: Membership;
  addSourceSpecificMembership: Membership;
  dropSourceSpecificMembership: Membership;
}

type Membership = (...addresses: (string | undefined)[]) => number;

/** Private parts of a `dgram.Socket`. */
export interface UdpState {
  /** Null once closed. */
  handle: UdpHandle | null;
  /** 0 until `bind()` was called. */
  bindState: number;
  reuseAddr?: boolean;
  reusePort?: boolean;
  ipv6Only?: boolean;
}

/** Null where Node has moved it: the socket must then be left to Node. */
export function udpState(socket: dgram.Socket): UdpState | null {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    if (symbol.description === 'state symbol') return (socket as unknown as Record<symbol, UdpState>)[symbol] ?? null;
  }
  return null;
}

/** UV_TCP_IPV6ONLY of libuv's uv.h. */
export const TCP_IPV6ONLY = 1;
/** What Node gives to listen(2) when the program names no backlog (lib/net.js). */
export const DEFAULT_BACKLOG = 511;

/** What the worker of a cluster asks its primary for (lib/internal/cluster/child.js). */
export interface ClusterQuery {
  readonly address: string | null;
  readonly port: number;
  readonly addressType: number | string;
  readonly fd?: number;
}

/** Private parts of `node:cluster` in a worker. */
export interface ClusterInternals {
  /** Called by `listen()` and `bind()`, unless they are `exclusive`. `answered`: with a negated errno, or 0. */
  _getServer(server: net.Server, query: ClusterQuery, answered: (errno: number, handle: ServerHandle) => void): void;
  readonly worker: { state: string };
}
