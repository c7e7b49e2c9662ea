import net from 'node:net';
import type tls from 'node:tls';
import { isTlsLoaded, type TlsServerInternals } from './node-internals.js';

type SetTicketKeys = tls.Server['setTicketKeys'];

/** Servers whose program has set keys of its own. */
const own = new WeakSet<net.Server>();

/**
 * Notices programs that set their own ticket keys. `tls.Server.prototype` inherits from that of `net.Server` before it gets its
 * methods (lib/_tls_wrap.js), so a setter there sees the method come, without loading `tls` for it.
 */
export function watchTicketKeys(): void {
  if (isTlsLoaded()) {
    const { prototype } = process.getBuiltinModule('node:tls').Server;
    watch(prototype, prototype.setTicketKeys);
    return;
  }
  Object.defineProperty(net.Server.prototype, 'setTicketKeys', {
    configurable: true,
    get: () => undefined,
    set(setTicketKeys: SetTicketKeys) {
      watch(this, setTicketKeys);
    },
  });
}

function watch(prototype: tls.Server, setTicketKeys: SetTicketKeys): void {
  Object.defineProperty(prototype, 'setTicketKeys', {
    configurable: true,
    writable: true,
    value(this: tls.Server, keys: Buffer) {
      own.add(this);
      setTicketKeys.call(this, keys);
    },
  });
}

/**
 * Lets the sessions of a listener's clients be resumed by every worker of it, and over upgrades. Leaves a program alone that has
 * keys of its own, or a session id context: a session is resumed in the context only in which it was made.
 */
export function shareTicketKeys(server: net.Server, keys: string, key: string): void {
  const secure = server as TlsServerInternals;
  const { context } = secure._sharedCreds ?? {};
  if (context === undefined || secure.ticketKeys !== undefined || own.has(server)) return;
  // Node's default, which a program in the directory of another release would have otherwise.
  if (secure.sessionIdContext === contextOf(process.argv.join(' '))) {
    secure.sessionIdContext = contextOf(key);
    context.setSessionIdContext(secure.sessionIdContext);
  }
  // For setSecureContext(), too, which programs call with a new certificate.
  secure.ticketKeys = Buffer.from(keys, 'base64');
  context.setTicketKeys(secure.ticketKeys);
}

/** `crypto` takes 3 ms to load, and a server with a context has loaded it. */
const contextOf = (text: string): string =>
  process.getBuiltinModule('node:crypto').createHash('sha1').update(text).digest('hex').slice(0, 32);
