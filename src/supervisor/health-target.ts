import { isIPv4 } from 'node:net';
import { StartError } from '../base/errors.js';
import type { Address, Target } from '../base/probe.js';
import type { Settings } from '../config/settings.js';
import type { Listener } from '../listeners/listener.js';

/** Why a path cannot be asked. */
export const NO_LISTENER =
  'health.path needs a TCP or unix listener that a program has open, or a full URL (http://host:port/path)';

/**
 * What the health check asks. For a path: the first stream listener in use, in the order of the services in the settings, then of the
 * time at which it was opened. For a URL: the server that it names. Null: a path, and there is no such listener.
 */
export function healthTarget(path: string, settings: Settings, listeners: readonly Listener[]): Target | null {
  if (!path.startsWith('/')) {
    const url = new URL(path);
    return { url: path, isOwn: streamsInUse(listeners).some((listener) => isAt(url, listener)) };
  }
  const first = listenerOfPath(settings, listeners);
  if (first === null) return null;
  const address = addressOf(first);
  return address === null ? null : { address, speaks: first.tls ? 'https' : 'http', path };
}

/** On which a path is asked; null: there is none. */
export function listenerOfPath({ services }: Settings, listeners: readonly Listener[]): Listener | null {
  const order = ({ service }: Listener): number => services.findIndex(({ name }) => name === service);
  const [first = null] = streamsInUse(listeners).sort((a, b) => order(a) - order(b));
  return first;
}

const streamsInUse = (listeners: readonly Listener[]): Listener[] =>
  listeners.filter(({ socket, users }) => socket.type === 'stream' && users.size > 0);

/** For an instance whose programs are ready. @throws {StartError} they have opened datagram listeners only: no probation would pass. */
export function checkHealthPath({ health: { path } }: Settings, listeners: readonly Listener[]): void {
  const used = listeners.filter(({ users, declared }) => declared || users.size > 0);
  const isDatagramsOnly = used.length > 0 && used.every(({ socket }) => socket.type === 'dgram');
  if (path?.startsWith('/') && isDatagramsOnly)
    throw new StartError('ERR_MOTYA_HEALTH_PATH', `${NO_LISTENER}; it is ${path}`, { details: { path } });
}

function addressOf({ socket: { family, address, port, path, v6only } }: Listener): Address | null {
  if (family === 'unix') return path === null || path === '' ? null : { path };
  if (address === null || port === null) return null;
  // A dual-stack listener is reached over IPv4 also where the loopback interface has no ::1 (containers).
  const any = { '0.0.0.0': '127.0.0.1', '::': v6only ? '::1' : '127.0.0.1' }[address];
  return { host: any ?? address, port };
}

/** The URL leads to this very listener, without a name service in between that could say otherwise. */
function isAt({ protocol, hostname, port }: URL, { socket }: Listener): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  const wanted = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  const isLoopback = host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
  return socket.port === wanted && (isLoopback || host === socket.address);
}
