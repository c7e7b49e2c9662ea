/**
 * `motya/worker`: what a program can tell Motya, and learn from it. Harmless outside a worker, so that the same program runs
 * under plain `node`.
 */
import type { Socket } from 'node:net';
import { moveWebSockets, type WebSocketHandOver, type WebSocketServerLike } from './hand-over-web-sockets.js';
import { type DrainCallback, type DrainInfo, workerState } from './worker-state.js';

export type { DrainCallback, DrainInfo, WebSocketHandOver, WebSocketServerLike };

const state = workerState();

/** False under plain `node` (and in threads of a worker). True in Node processes that a worker starts. */
export const isWorker: boolean = state !== undefined;
/** How many upgrades there have been, plus 1. */
export const generation: number = state?.generation ?? 1;
/** Name of the service; '' outside a worker. */
export const service: string = state?.service ?? '';
/** From 0 to the number of the service's workers - 1. */
export const workerIndex: number = state?.workerIndex ?? 0;

/**
 * The program is ready to serve. Counts only for services whose readiness is set to `signal`; the others are ready as soon as
 * they listen.
 */
export function ready(): void {
  state?.ready();
}

/**
 * Calls `callback` when the worker begins to drain: the moment to say goodbye on WebSockets and other long connections.
 * @returns a function that takes the callback back.
 */
export function onDrain(callback: DrainCallback): () => void {
  state?.drainCallbacks.add(callback);
  return () => state?.drainCallbacks.delete(callback);
}

/**
 * Keeps a connection in this process: at an upgrade it drains instead of moving to the next generation. For programs that have
 * something in memory that belongs to it, such as a login, and that no property or listener of the socket shows.
 * @param socket as `req.socket`, or as 'connection' gives it
 * @returns whether it is a connection of this worker; false under plain `node`
 */
export function stay(socket: Socket): boolean {
  return state?.stay(socket) ?? false;
}

/**
 * Lets a connection go to the next generation of this program, at an upgrade: the client keeps it. For plain TCP and unix sockets; of a
 * server that speaks HTTP, those that were upgraded. When nothing waits to be written to it, `save` is called, and what it returns travels
 * along (structured clone, 1 MiB at most), as do the bytes that have been read and not used. The next generation takes it with
 * {@link onAdopt}. If it does not, nothing changes, and the connection drains; so `save` must not change anything. Once it has been
 * taken, this program hears no event of the socket any more; what it still writes to it is written by the next generation, whole
 * writes at a time, and what it had written before that comes first.
 * @param kind names the callback of the other side; 100 characters at most
 * @param moved called when it has been taken: the moment to stop timers
 * @returns whether it may go; false for TLS, for HTTP that is not upgraded, and under plain `node`
 */
export function handOver<T>(kind: string, socket: Socket, save: () => T, moved?: () => void): boolean {
  return state?.handOver(socket, { kind, save, ...(moved && { moved }) }) ?? false;
}

/**
 * Takes the connections of this kind that the generation before hands over ({@link handOver}): `callback` gets each as a new
 * socket, in place of a 'connection' event. To be called before the program is ready. Once for a kind.
 * @returns a function that takes it back.
 */
export function onAdopt<T>(kind: string, callback: (socket: Socket, value: T) => void): () => void {
  return state?.onAdopt(kind, (socket, value) => callback(socket, value as T)) ?? (() => {});
}

/**
 * Lets the WebSockets of a `WebSocketServer` of ws 8 go to the next generation of this program, which calls this too: the client keeps
 * its WebSocket, and no message is lost. To be called before the program is ready. Without `restore`, the request is replayed there:
 * the program's own handlers run again, 'connection' too. With it, `restore` gets the WebSocket and what `save` has returned instead. One
 * that the next generation would accept on other terms (an error, other extensions, another subprotocol) is closed with 1012.
 */
export function handOverWebSockets<W extends object, T>(
  server: WebSocketServerLike<W>,
  how: WebSocketHandOver<W, T> = {},
): void {
  if (state !== undefined) moveWebSockets(state, server, how);
}

/**
 * Hands the value that `give` returns, or resolves to, to the next generation. It is called when this worker has stopped to accept
 * for an upgrade, and the next one waits to: within a second, please (GIVE_MS). The value is cloned (structured clone, as
 * `v8.serialize` has it; 16 MiB at most). An error, a late or an unfit value rejects the upgrade. `undo` is called when this worker
 * is about to accept again after all: the upgrade was rejected, or rolled back. Once per worker.
 * @returns a function that takes it back.
 */
export function onHandover<T>(give: () => T | Promise<T>, undo?: () => void | Promise<void>): () => void {
  return state?.onHandover(give, undo) ?? (() => {});
}

/**
 * What the worker of the generation before with the same service and index has handed on; undefined in the first generation, after
 * a crash, and under plain `node`. Resolves before this worker accepts its first connection, which is after `listen()`, and with
 * `ready: signal` after {@link ready}: a program must not wait for it before that.
 */
export async function inherited<T>(): Promise<T | undefined> {
  return (await inheritedAll<T>())[0];
}

/** As {@link inherited}, with the values of workers that have no successor of their own: of `n` workers, each n-th. */
export async function inheritedAll<T>(): Promise<T[]> {
  return ((await state?.inherited()) ?? []) as T[];
}
