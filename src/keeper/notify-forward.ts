import type { NotifySocket } from '../base/os/notify-socket.js';

/** What the main process says of the service as a whole; which process is the main one, and its sockets, are the keeper's own business. */
const FORWARDED = [
  'READY',
  'RELOADING',
  'MONOTONIC_USEC',
  'STOPPING',
  'STATUS',
  'EXTEND_TIMEOUT_USEC',
  'WATCHDOG',
] as const;

/** To the keeper's own service manager, where it has one, as if the keeper said it: there it is the main process for good. */
export function forward(fields: ReadonlyMap<string, string>, socket: NotifySocket): void {
  const said = FORWARDED.flatMap((name) => (fields.has(name) ? [`${name}=${fields.get(name)}`] : []));
  if (said.length > 0) socket.send(said);
}
