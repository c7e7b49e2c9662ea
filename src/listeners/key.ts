import { SocketAddress } from 'node:net';
import type { SocketDescription } from '../base/os/native.js';
import type { DeclaredListener } from '../config/settings.js';

/**
 * The key of a listener: what the socket is (family, type, address, port or path, v6only), computed from the socket, never from
 * what was written to get it. Two sockets with one key would compete for the same clients.
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
  const host = canonical(address, family === 'inet6' ? 'ipv6' : 'ipv4');
  if (family === 'inet') return `${scheme}://${host}:${port}`;
  // Only on `::` does it make a difference. Bound to any other address, the kernel sets it whatever was asked for (__inet6_bind).
  return `${scheme}://[${host}]:${port}${host === '::' && v6only ? ' v6only' : ''}`;
}

/** Node 20 pads abstract names with NULs, later versions do not: over an upgrade of Node the listener is still the same. */
export function unixKey(path: string): string {
  return `unix:${path.startsWith('\0') ? `@${path.slice(1).replace(/\0+$/, '')}` : path}`;
}

/** The key that a listener bound to this would have; with port 0 it names no listener. */
export function keyOf(spec: DeclaredListener): string {
  if (spec.family === 'systemd') return `systemd:${spec.name}`;
  if (spec.family === 'unix') return unixKey(spec.path);
  return inetKey(
    spec.type === 'dgram' ? 'udp' : 'tcp',
    spec.family,
    spec.address,
    spec.port,
    spec.family === 'inet6' && spec.v6only === true,
  );
}

/** `0:0::1` and `::1` are one address. A scope (`fe80::1%eth0`) stays as it is: the kernel gives it back by interface name. */
function canonical(address: string, family: 'ipv4' | 'ipv6'): string {
  if (address.includes('%')) return address.toLowerCase();
  return new SocketAddress({ address, family, port: 0 }).address;
}
