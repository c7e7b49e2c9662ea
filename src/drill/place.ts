import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { DRILL_ANSWER_MS } from '../limits.js';
import { within } from '../within.js';

/** Where a listener is reached, as net.connect takes it. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** A listener of the drilled program, and what is spoken on it; `tcp`: nothing that a drill speaks. */
export interface Place {
  /** As the status names it, such as `tcp://127.0.0.1:40123`. */
  readonly key: string;
  readonly address: Address;
  readonly speaks: 'http' | 'https' | 'tcp';
  /** Of its answer to the first GET. */
  readonly status: number | null;
}

/** As an own certificate, on another port, is: nobody's name is in it. */
const UNCHECKED = { rejectUnauthorized: false, servername: 'localhost' } as const;

export function dial({ address, speaks }: Pick<Place, 'address' | 'speaks'>): Socket {
  return speaks === 'https' ? connectTls({ ...address, ...UNCHECKED, ALPNProtocols: ['http/1.1'] }) : connect(address);
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
        const status = await within(DRILL_ANSWER_MS, statusOf(address, speaks, path));
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
function statusOf(address: Address, speaks: 'http' | 'https', path: string): Promise<number | null> {
  return new Promise((resolve) => {
    const ask = speaks === 'http' ? requestHttp : requestHttps;
    const options = { ...requestOptions(address), path, agent: false, headers: HEADERS } as const;
    const sent = ask(options, ({ statusCode = 0 }) => {
      resolve(statusCode);
      sent.destroy();
    });
    sent.setTimeout(DRILL_ANSWER_MS, () => sent.destroy());
    sent.on('error', () => resolve(null));
    sent.on('close', () => resolve(null));
    sent.end();
  });
}

export const HEADERS = { host: 'localhost', 'user-agent': 'motya-drill' } as const;

/** As http.request takes it. */
export function requestOptions(address: Address) {
  const where = 'path' in address ? { socketPath: address.path } : address;
  return { ...where, ...UNCHECKED };
}
