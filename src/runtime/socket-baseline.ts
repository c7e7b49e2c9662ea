import type * as net from 'node:net';

/** What Node puts on a socket while it serves requests (20, 22, 24, 26). */
const OF_NODE: ReadonlySet<PropertyKey> = new Set(['_httpMessage', 'timeout', '_peername', '_sockname']);

/**
 * What the sockets of a server have on them once the 'connection' listeners have run: those run again in another process. What is
 * there beyond that is a request handler's, and would be lost. Maps with sockets as keys are not seen: `stay()` is for those.
 */
export class SocketBaseline {
  readonly #keys: ReadonlySet<PropertyKey>;
  readonly #listeners: ReadonlyMap<PropertyKey, string>;

  constructor(socket: net.Socket) {
    this.#keys = new Set(Reflect.ownKeys(socket));
    this.#listeners = new Map(socket.eventNames().map((event) => [event, listenersOf(socket, event)]));
  }

  /** Whether the socket has properties or listeners of its own. */
  isTouched(socket: net.Socket): boolean {
    const events = socket.eventNames();
    if (events.length !== this.#listeners.size) return true;
    if (events.some((event) => this.#listeners.get(event) !== listenersOf(socket, event))) return true;
    return Reflect.ownKeys(socket).some((key) => !this.#keys.has(key) && !OF_NODE.has(key));
  }
}

/** What an answer that is under way has on its socket (ServerResponse.assignSocket, lib/_http_server.js). */
const OF_AN_ANSWER = 'onServerResponseClose';

/** By name: Node binds its own to each socket. */
function listenersOf(socket: net.Socket, event: string | symbol): string {
  return socket
    .rawListeners(event)
    .map((listener) => ((listener as { listener?: { name: string } }).listener ?? listener).name)
    .filter((name) => name !== OF_AN_ANSWER)
    .sort()
    .join();
}
