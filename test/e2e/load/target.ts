import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Failure, socketFailure, type Tally } from './tally.js';

/** Where a load goes: addresses of one program. */
export interface Target {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Several ports are taken in turn. */
  readonly port?: number | readonly number[];
  /** A unix socket instead of a host and port. */
  readonly path?: string;
  /** TLS; the certificate is not checked. */
  readonly tls?: boolean;
}

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly path?: string;
}

/** Hands out the addresses of a target in turn. */
export function addressesOf(target: Target): () => Address {
  const host = target.host ?? '127.0.0.1';
  if (target.path !== undefined) {
    const address = { host, port: 0, path: target.path };
    return () => address;
  }
  const ports = [target.port ?? []].flat();
  if (ports.length === 0) throw new TypeError('a load needs a port or a path');
  let next = 0;
  return () => ({ host, port: ports[next++ % ports.length] as number });
}

/**
 * A connected socket, after the TLS handshake, in which it names `protocols` (ALPN). Rejects with a {@link Failure} of
 * the phase `connect`.
 */
export function dial(
  tally: Tally,
  address: Address,
  tls: boolean,
  limitMs: number,
  protocols?: string[],
): Promise<Socket> {
  tally.connections += 1;
  const options = address.path === undefined ? { host: address.host, port: address.port } : { path: address.path };
  const socket = tls
    ? connectTls({ ...options, rejectUnauthorized: false, ...(protocols && { ALPNProtocols: protocols }) })
    : connectTcp(options);
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const finish = (failure?: Failure) => {
      clearTimeout(timer);
      socket.off('error', onError).off('close', onClose);
      if (failure === undefined) return resolve(socket);
      // A late error of a socket that is given up must not become an uncaught exception.
      socket.on('error', () => {});
      socket.destroy();
      reject(failure);
    };
    const onError = (error: NodeJS.ErrnoException) => finish(socketFailure(error, 'connect'));
    const onClose = () => finish(new Failure('truncated', 'connect', 'closed within the handshake'));
    const timer = setTimeout(() => finish(new Failure('late', 'connect', `no connection in ${limitMs} ms`)), limitMs);
    socket.on('error', onError).on('close', onClose);
    socket.once(tls ? 'secureConnect' : 'connect', () => finish());
  });
}
