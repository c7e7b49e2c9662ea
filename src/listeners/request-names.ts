import { inetKey, unixKey } from './key.js';
import type { ListenRequest } from './listen-request.js';

/** Backlog when the program names none: Node's default. */
export const DEFAULT_BACKLOG = 511;

type InetRequest = Exclude<ListenRequest, { kind: 'unix' | 'systemd' }>;

/** Keys under which a request for a fixed port may be held: Node's `listen(port)` means `::`, else `0.0.0.0`. */
export function requestedKeys(request: InetRequest): string[] {
  const { kind, address, port, v6only } = request;
  if (address === null) {
    const any = inetKey('tcp', 'inet6', '::', port, v6only);
    // A v6only server and one on 0.0.0.0 share no client: a program may well have both.
    return v6only ? [any] : [any, inetKey('tcp', 'inet', '0.0.0.0', port, false)];
  }
  return [inetKey(kind, address.includes(':') ? 'inet6' : 'inet', address, port, v6only)];
}

/** What a request asks for, as it would be known, for messages. */
export function nameOf(request: ListenRequest): string {
  if (request.kind === 'systemd') return `systemd:${request.name}`;
  return request.kind === 'unix' ? unixKey(request.path) : (requestedKeys(request)[0] as string);
}

export function aliasOf(service: string, request: InetRequest): string {
  return `${service} ${requestedKeys(request)[0]} #${request.ordinal}`;
}

export function backlogOf(request: { backlog: number }): number {
  return request.backlog || DEFAULT_BACKLOG;
}
