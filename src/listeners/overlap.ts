import type { Obstacle } from './refusals.js';

/** What a key (./key.ts) of a TCP or UDP listener says; null for any other. */
function parse(key: string): { scheme: string; host: string; isV6: boolean; port: string; v6only: boolean } | null {
  const [, scheme, host, port, only] = /^(tcp|udp):\/\/(\[[^\]]*\]|[^:]*):(\d+)( v6only)?$/.exec(key) ?? [];
  if (scheme === undefined || host === undefined || port === undefined) return null;
  return { scheme, host, isV6: host.startsWith('['), port, v6only: only !== undefined };
}

/** Why an address cannot be bound that overlaps one of those that this instance holds (bind(2) says EADDRINUSE), or null. */
export function overlapWith(wanted: string, held: Iterable<string>): Obstacle | null {
  const found = [...held].find((key) => overlaps(wanted, key));
  if (found === undefined) return null;
  const text = `it overlaps ${found}, which this instance holds, or took over: an upgrade cannot bind both; stop and start`;
  return { text, details: { overlaps: found } };
}

/** Whether the kernel takes the addresses of two listeners, which are not the same, for one. */
export function overlaps(one: string, other: string): boolean {
  const [a, b] = [parse(one), parse(other)];
  if (a === null || b === null || one === other || a.scheme !== b.scheme || a.port !== b.port) return false;
  if (a.isV6 === b.isV6)
    return a.host === b.host || [a.host, b.host].some((host) => host === '0.0.0.0' || host === '[::]');
  // A socket on :: without IPV6_V6ONLY has the IPv4 addresses, too (ipv6(7)).
  const v6 = a.isV6 ? a : b;
  return v6.host === '[::]' && !v6.v6only;
}
