import { setMaxListeners } from 'node:events';
import { freshClient, keepAliveClient, slowClient, uploadClient } from './http1.js';
import { http2Client } from './http2.js';
import type { Run } from './run.js';
import { type ClientKind, type LoadReport, Tally } from './tally.js';
import { addressesOf, type Target } from './target.js';
import { tcpClient } from './tcp.js';
import { udpClient } from './udp.js';
import { webSocketClient } from './websocket.js';

/** How many clients of each kind, and what they do. */
export interface LoadOptions extends Target, Partial<Readonly<Record<ClientKind, number>>> {
  /** Mean ms between two requests of one client; default 20. */
  readonly thinkMs?: number;
  /** An answer that takes more ms than this is late; default 30,000. Slow requests have their own time on top of it. */
  readonly limitMs?: number;
  /** What keepAlive, fresh and http2 clients GET; default `/`. */
  readonly resource?: string;
  /** Answers need not tell who gave them; default false. */
  readonly anonymous?: boolean;
  /** ms that the server takes for a slow request; default 500. */
  readonly slowMs?: number;
  /** Size of an upload; default 65,536. */
  readonly uploadBytes?: number;
  /** ms over which an upload is spread; default 500. */
  readonly uploadMs?: number;
  /** Concurrent requests of one HTTP/2 client; default 4. */
  readonly streams?: number;
}

/** Clients at work. Nothing is ever repeated, but what HTTP/2 says is safe to repeat. */
export interface Load {
  /** What was counted so far. */
  report(): Promise<LoadReport>;
  /** Lets every client finish the request that it has open, closes the connections in good order and reports. */
  stop(): Promise<LoadReport>;
}

/** A load whose latencies and stalls can be counted without those of its warm-up. */
export interface MarkedLoad extends Load {
  /** As {@link Load.report}; latencies and stalls are counted anew from here on. */
  mark(): Promise<LoadReport>;
}

const CLIENTS: Readonly<Record<ClientKind, (run: Run) => Promise<void>>> = {
  keepAlive: keepAliveClient,
  fresh: freshClient,
  slow: slowClient,
  upload: uploadClient,
  webSocket: webSocketClient,
  tcp: tcpClient,
  udp: udpClient,
  http2: http2Client,
};

/** Starts clients in this process. {@link startLoadProcess} gives them an event loop of their own. */
export function startLoad(options: LoadOptions): MarkedLoad {
  const tally = new Tally();
  const stop = new AbortController();
  // Every client in its think time listens to it.
  setMaxListeners(0, stop.signal);
  const run: Run = {
    tally,
    stop: stop.signal,
    nextAddress: addressesOf(options),
    tls: options.tls ?? false,
    limitMs: options.limitMs ?? 30_000,
    thinkMs: options.thinkMs ?? 20,
    resource: options.resource ?? '/',
    anonymous: options.anonymous ?? false,
    slowMs: options.slowMs ?? 500,
    uploadBytes: options.uploadBytes ?? 65_536,
    uploadMs: options.uploadMs ?? 500,
    streams: options.streams ?? 4,
  };
  const clients = (Object.keys(CLIENTS) as ClientKind[]).flatMap((kind) =>
    Array.from({ length: options[kind] ?? 0 }, () => CLIENTS[kind](run)),
  );
  if (clients.length === 0) throw new TypeError('a load needs at least one client');
  return {
    report: async () => tally.report(false),
    mark: async () => {
      const report = tally.report(false);
      tally.mark();
      return report;
    },
    stop: async () => {
      tally.stopping();
      stop.abort();
      await Promise.all(clients);
      return tally.report(true);
    },
  };
}
