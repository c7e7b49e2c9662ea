import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Address, OWN_TLS, probe } from '../../base/probe.js';
import { DRILL_ANSWER_MS } from './drill-limits.js';

/** A listener of the drilled program, and what is spoken on it; `tcp`: nothing that a drill speaks. */
export interface Place {
  /** As the status names it, such as `tcp://127.0.0.1:40123`. */
  readonly key: string;
  readonly address: Address;
  readonly speaks: 'http' | 'https' | 'tcp';
  /** Of its answer to the first GET. */
  readonly status: number | null;
}

export function dial({ address, speaks }: Pick<Place, 'address' | 'speaks'>): Socket {
  return speaks === 'https' ? connectTls({ ...address, ...OWN_TLS, ALPNProtocols: ['http/1.1'] }) : connect(address);
}

/** The stream listeners, by their keys, and what they answer to GET `path`. */
export async function explore(keys: readonly string[], path: string): Promise<Place[]> {
  const streams = keys.flatMap((key) => {
    const address = addressOf(key);
    return address === null ? [] : [{ key, address }];
  });
  return Promise.all(
    streams.map(async ({ key, address }): Promise<Place> => {
      for (const speaks of ['http', 'https'] as const) {
        const status = await statusOf(address, speaks, path);
        // A TLS server for which HTTP is nonsense answers so, or hangs up.
        const isTls = speaks === 'http' && status === 400 && (await statusOf(address, 'https', path)) !== null;
        if (status !== null && !isTls) return { key, address, speaks, status };
      }
      return { key, address, speaks: 'tcp', status: null };
    }),
  );
}

function addressOf(key: string): Address | null {
  const path = /^unix:(.+)$/s.exec(key)?.[1];
  if (path !== undefined) return { path: path.replace(/^@/, '\0') };
  const [, host, port] = /^tcp:\/\/\[?([^\]]*?)\]?:(\d+)(?: v6only)?$/.exec(key) ?? [];
  return host === undefined ? null : { host, port: Number(port) };
}

/** Null: no HTTP came back. */
async function statusOf(address: Address, speaks: 'http' | 'https', path: string): Promise<number | null> {
  const answer = await probe({ address, speaks, path }, DRILL_ANSWER_MS, HEADERS);
  return 'status' in answer ? answer.status : null;
}

export const HEADERS = { host: 'localhost', 'user-agent': 'motya-drill' } as const;
