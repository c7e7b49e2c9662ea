import { createHash } from 'node:crypto';

/** Names under which the service manager holds listeners: ours (FDNAME=, sd_notify(3)) and those of .socket units. */

/** What we have stored begins with it; everything else that is passed to us comes from a .socket unit. */
const PREFIX = 'motya-';
/** FDNAME_MAX in systemd's fd-util.h. */
const NAME_LENGTH = 255;

export const isStoreName = (name: string | null): name is string => name?.startsWith(PREFIX) === true;

/** What the name of a listener tells: its key, the alias of a request for port 0, the process that may have the listener as well. */
export interface NamedListener {
  readonly key: string;
  readonly alias: string | null;
  readonly adoptedFrom: number | null;
}

/**
 * The name under which a listener is stored: any printable ASCII but the colon, which separates the names in `$LISTEN_FDNAMES`
 * (fdname_is_valid in systemd). It carries what an instance that is started again must know of the listener.
 */
export function storeName({ key, alias, adoptedFrom }: NamedListener): string {
  const known = alias ?? (adoptedFrom === null ? key : `${key} @${adoptedFrom}`);
  const text = known.replace(/[^ -~]|[%:]/gu, (one) =>
    one === ':' || one === '%' ? `%${one.charCodeAt(0).toString(16)}` : encodeURIComponent(one),
  );
  const name = `${PREFIX}${text}`;
  return name.length <= NAME_LENGTH ? name : `${PREFIX}${createHash('sha256').update(text).digest('hex')}`;
}

/** The alias by which a request for port 0 finds its listener again, when the stored name has it. */
export function aliasIn(name: string): string | null {
  if (!isStoreName(name) || !/ #\d+$/.test(name)) return null;
  try {
    return decodeURIComponent(name.slice(PREFIX.length));
  } catch {
    return null;
  }
}

/** The process that may have the listener as well (`adoptedFrom`), when the stored name has it. */
export function adoptedIn(name: string): number | undefined {
  const pid = isStoreName(name) ? / @(\d+)$/.exec(name)?.[1] : undefined;
  return pid === undefined ? undefined : Number(pid);
}
