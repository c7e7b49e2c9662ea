import net from 'node:net';
import { constants, networkInterfaces } from 'node:os';
import type { Gate } from './accept-gate.js';
import type { ServerInternals } from './node-internals.js';
import type { SupervisorLink } from './supervisor-link.js';

interface Target {
  readonly host: string;
  readonly port: number;
}

type Connect = (this: net.Socket, ...args: unknown[]) => net.Socket;

/**
 * A listener has one queue for all generations, so a program that connects to a port of its own reaches another process than it
 * expects while listeners change hands:
 * - A program of a successor that boots and looks whether its port answers would find the incumbent, and take another port. It is
 *   refused, as when it is started alone.
 * - A program that has stopped accepting, and proxies to a server of its own, would find its successor's server, or none. Its own
 *   server gets the connection, over a port that only this process knows.
 */
export function hookConnect({ gate, link }: { readonly gate: Gate; readonly link: SupervisorLink }): void {
  const prototype = net.Socket.prototype as unknown as { connect: Connect };
  const { connect } = prototype;
  const relays = new WeakMap<net.Server, number>();
  prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    if (gate.open) return connect.apply(this, args);
    const target = tcpTarget(args);
    if (target === null) return connect.apply(this, args);
    if (!gate.isLeaving) {
      const isRefused = isLocal(target.host) && link.isIncumbents(target.port);
      return isRefused ? refuse(this, target) : connect.apply(this, args);
    }
    // Asked first: a proxy connects for each request, and to read the addresses of this machine takes longer.
    const server = gate.serverOn(target.port);
    if (server === null || !isLocal(target.host)) return connect.apply(this, args);
    const port = relays.get(server) ?? relayTo(server);
    if (port === null) return connect.apply(this, args);
    relays.set(server, port);
    return connect.apply(this, redirected(args, port));
  };
}

/** `net.connect` passes what it was given as a list, whose first item is the options (lib/net.js, normalizeArgs). */
const given = (args: readonly unknown[]): readonly unknown[] => (Array.isArray(args[0]) ? args[0] : args);

/** Null: no TCP port. */
function tcpTarget(args: readonly unknown[]): Target | null {
  const [first, second] = given(args);
  const options = typeof first === 'object' && first !== null ? first : { port: first, host: second };
  const { port, host, path } = options as { port?: unknown; host?: unknown; path?: unknown };
  const number = Number(port);
  if (typeof path === 'string' || port === undefined || port === null || !Number.isInteger(number)) return null;
  if (number < 1 || number > 65_535) return null;
  return { host: typeof host === 'string' && host !== '' ? host : 'localhost', port: number };
}

/** Whether it is an address of this machine, as far as can be told without a lookup. */
function isLocal(host: string): boolean {
  if (host === 'localhost' || host === '::1' || host === '::' || host === '0.0.0.0' || host.startsWith('127.'))
    return true;
  if (net.isIP(host) === 0) return false;
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host));
}

function refuse(socket: net.Socket, { host, port }: Target): net.Socket {
  const address = host === 'localhost' ? '127.0.0.1' : host;
  const [code, errno] = ['ECONNREFUSED', -constants.errno.ECONNREFUSED];
  const error = Object.assign(new Error(`connect ${code} ${address}:${port}`), {
    code,
    errno,
    syscall: 'connect',
    address,
    port,
  });
  process.nextTick(() => socket.destroy(error));
  return socket;
}

function redirected(args: readonly unknown[], port: number): unknown[] {
  const [first, ...rest] = given(args);
  const [options, callback] =
    typeof first === 'object' && first !== null
      ? [first, rest[0]]
      : [{}, rest.find((one) => typeof one === 'function')];
  const target = { ...options, host: '127.0.0.1', port };
  return typeof callback === 'function' ? [target, callback] : [target];
}

/** @returns the port of a socket on the loopback address whose connections are the server's; null: there are no fds for one */
function relayTo(server: net.Server): number | null {
  const relay = net.createServer((socket) => server.emit('connection', socket)) as ServerInternals;
  relay.on('error', () => {});
  const IPV4 = 4;
  // The part of listen() that comes after the lookup of the address; it binds before it returns.
  relay._listen2('127.0.0.1', 0, IPV4, undefined);
  relay.unref();
  return (relay.address() as net.AddressInfo | null)?.port ?? null;
}
