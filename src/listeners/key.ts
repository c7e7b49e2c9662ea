import { SocketAddress } from 'node:net';
import type { SocketDescription } from '../native.js';

/**
 * The key of a listener: what the socket is (family, type, address, port or path, v6only), computed from the socket, never from
 * what somebody wrote to get it. Two sockets with one key would compete for the same clients.
 * Shapes: `tcp://127.0.0.1:80`, `tcp://[::]:443`, `tcp://[::]:443 v6only`, `udp://0.0.0.0:53`, `unix:/run/a.sock`, `unix:@abstract`.
 */
export function listenerKey(socket: SocketDescription): string {
  if (socket.family === 'unix') return unixKey(socket.path ?? '');
  const scheme = socket.type === 'dgram' ? 'udp' : 'tcp';
  return inetKey(scheme, socket.family, socket.address ?? '', socket.port ?? 0, socket.v6only);
}

export function inetKey(
  scheme: 'tcp' | 'udp',
  family: 'inet' | 'inet6',
  address: string,
  port: number,
  v6only: boolean,
): string {
  const host = family === 'inet6' ? `[${canonical(address, 'ipv6')}]` : canonical(address, 'ipv4');
  return `${scheme}://${host}:${port}${family === 'inet6' && v6only ? ' v6only' : ''}`;
}

export function unixKey(path: string): string {
  return `unix:${path.startsWith('\0') ? `@${path.slice(1)}` : path}`;
}

/** `0:0::1` and `::1` are one address. A scope (`fe80::1%eth0`) stays as it is: the kernel gives it back by interface name. */
function canonical(address: string, family: 'ipv4' | 'ipv6'): string {
  if (address.includes('%')) return address.toLowerCase();
  return new SocketAddress({ address, family, port: 0 }).address;
}
