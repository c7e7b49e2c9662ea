import { isIP, isIPv6 } from 'node:net';
import { LONGEST_TIMER_MS } from '../base/limits.js';
import type { DeclaredListener } from './settings.js';

/** Texts of the settings that stand for something else: durations, listeners, file modes. Each parser throws a RangeError
 * whose message completes the sentence "drainTimeout …". */

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A duration as a text; a number alone means seconds. */
export const durationPattern = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/;
/** A file mode or mask: octal digits. */
export const octalPattern = /^0?[0-7]{1,3}$/;

export const durationForm = "must be a number of seconds or a text such as '500ms', '5s', '2m' or '1h'";
export const octalForm = "must be octal digits in quotes, such as '022'";
export const listenerForm =
  "must be a text such as 'tcp://0.0.0.0:80', 'tcp://[::]:443', 'udp://0.0.0.0:53', 'unix:/path', 'unix:@name' or 'systemd:name'";

export const probePathForm = "must be a path such as '/healthz', or a URL such as 'http://127.0.0.1:8080/healthz'";
/** What {@link parseProbePath} looks at more closely. */
export const probePathPattern = /^(\/|https?:\/\/)/i;
/** URL's own parser drops tabs and line ends, and trims the rest of these. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/;

/**
 * A path or a URL that is to be asked by HTTP, as it goes over the wire: what a URL cannot hold (a space, `日本`) is
 * percent-encoded as browsers do it.
 */
export function parseProbePath(value: string): string {
  if (!probePathPattern.test(value)) throw new RangeError(probePathForm);
  if (CONTROL.test(value)) throw new RangeError('must not hold control characters');
  if (value.includes('#')) throw new RangeError('must not hold a #fragment: clients keep it to themselves');
  const isPath = value.startsWith('/');
  const base = isPath ? 'http://localhost' : undefined;
  if (!URL.canParse(value, base)) throw new RangeError(probePathForm);
  const url = new URL(value, base);
  if (!isPath) return url.href;
  // What follows two slashes (or `/\\`) is a host for a URL.
  if (/^\/[/\\]/.test(value))
    throw new RangeError('must not begin with two slashes: it names a host, but not how to ask it');
  return `${url.pathname}${url.search}`;
}

/** @returns ms, rounded. */
export function parseDuration(value: number | string): number {
  const match = durationPattern.exec(String(value));
  if (match === null) throw new RangeError(durationForm);
  const ms = Math.round(Number(match[1]) * MS[(match[2] ?? 's') as keyof typeof MS]);
  if (ms > LONGEST_TIMER_MS) throw new RangeError('must be at most 24 days');
  return ms;
}

export const parseOctal = (value: string): number => Number.parseInt(value, 8);

/** What the object form of a listener can say beyond its address. */
export interface ListenerDetails {
  readonly backlog?: number | undefined;
  readonly ipv6Only?: boolean | undefined;
  /** Octal digits. */
  readonly mode?: string | undefined;
}

/** `unix:` paths may be relative here; resolveSettings() makes them absolute. */
export function parseListener(value: string, details: ListenerDetails = {}): DeclaredListener {
  const backlog = details.backlog === undefined ? {} : { backlog: details.backlog };
  const name = /^systemd:(.+)$/s.exec(value)?.[1];
  if (name !== undefined) {
    if (details.mode !== undefined || details.ipv6Only !== undefined) {
      throw new RangeError('cannot have a mode or ipv6Only: the .socket unit says what it is');
    }
    // Whatever fdname_is_valid in systemd takes.
    if (!/^[ -9;-~]{1,255}$/.test(name)) throw new RangeError("must name a socket unit's FileDescriptorName=");
    return { family: 'systemd', name, ...backlog };
  }
  const unix = /^unix:(.+)$/s.exec(value)?.[1];
  if (unix !== undefined) {
    if (details.ipv6Only !== undefined) throw new RangeError('cannot have ipv6Only: it is no IPv6 listener');
    if (unix.startsWith('//') || unix === '@' || unix.includes('\0')) throw new RangeError(listenerForm);
    if (unix.startsWith('@')) {
      if (details.mode !== undefined) throw new RangeError('cannot have a mode: an abstract name is not a file');
      return { family: 'unix', type: 'stream', path: `\0${unix.slice(1)}`, ...backlog };
    }
    const mode = details.mode === undefined ? {} : { mode: parseOctal(details.mode) };
    return { family: 'unix', type: 'stream', path: unix, ...mode, ...backlog };
  }
  const match = /^(tcp|udp):\/\/(?:\[([^[\]]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(value);
  if (match === null) throw new RangeError(listenerForm);
  const [, protocol, bracketed, plain, digits] = match;
  const address = bracketed ?? plain ?? '';
  const port = Number(digits);
  if (bracketed === undefined ? isIP(address) !== 4 : !isIPv6(address)) {
    throw new RangeError('must have a numeric address: IPv4, or IPv6 in brackets');
  }
  if (port > 65_535) throw new RangeError('must have a port from 0 to 65535');
  if (details.mode !== undefined) throw new RangeError('cannot have a mode: only unix: listeners are files');
  if (details.ipv6Only !== undefined && bracketed === undefined) {
    throw new RangeError('cannot have ipv6Only: it is no IPv6 listener');
  }
  if (protocol === 'udp' && details.backlog !== undefined) throw new RangeError('cannot have a backlog: UDP has none');
  return {
    family: bracketed === undefined ? 'inet' : 'inet6',
    type: protocol === 'tcp' ? 'stream' : 'dgram',
    address,
    port,
    ...(bracketed === undefined ? {} : { v6only: details.ipv6Only ?? false }),
    ...backlog,
  };
}
