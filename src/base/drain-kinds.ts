/**
 * What a drain gives a time of its own. `http`: HTTP/1 requests, idle HTTP/1 connections, HTTP/2 without a stream response; `streams`:
 * responses whose head has gone out and has no Content-Length; `webSockets`: upgraded sockets; `tcp`: everything else.
 */
export const DRAIN_KINDS = ['http', 'streams', 'webSockets', 'tcp'] as const;
export type DrainKind = (typeof DRAIN_KINDS)[number];
export type PerKind<T> = { readonly [K in DrainKind]: T };

export const perKind = <T>(of: (kind: DrainKind) => T): PerKind<T> => ({
  http: of('http'),
  streams: of('streams'),
  webSockets: of('webSockets'),
  tcp: of('tcp'),
});

export const allKinds = <T>(value: T): PerKind<T> => perKind(() => value);

export const longestOf = (times: PerKind<number>): number => Math.max(...Object.values(times));

/** None is longer than `most`, or below 0. */
export const atMost = (times: PerKind<number>, most: number): PerKind<number> =>
  perKind((kind) => Math.max(0, Math.min(times[kind], most)));

export const sumOfKinds = (one: PerKind<number>, other: PerKind<number>): PerKind<number> =>
  perKind((kind) => one[kind] + other[kind]);
