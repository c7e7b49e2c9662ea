import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { reasonOf } from './errors.js';

/** One HTTP/1.1 GET to a listener or a URL, for the health check of a probation and for a drill. */

/** Where a listener is reached, as net.connect takes it. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * TLS options for a listener of our own. Its certificate bears the name that clients use, not the address that it is asked at.
 * Without a server name every server answers with its default certificate.
 */
export const OWN_TLS = { rejectUnauthorized: false, servername: '' } as const;

/** What is asked. `isOwn`: the certificate is not checked. */
export type Target =
  | { readonly address: Address; readonly speaks: 'http' | 'https'; readonly path: string }
  | { readonly url: string; readonly isOwn: boolean };

/** The status of the answer, or why there is none: in words, and Node's code of the failure. */
export type Probed = { readonly status: number } | { readonly fault: string; readonly code: string };

/** `ms` for the head of the answer; the rest of it is not read. Never rejects. */
export function probe(target: Target, ms: number, headers: Readonly<Record<string, string>> = {}): Promise<Probed> {
  return new Promise((resolve) => {
    const late = setTimeout(() => sent?.destroy(failed('ETIMEDOUT', `no answer within ${ms / 1000} s`)), ms);
    const settle = (result: Probed): void => {
      clearTimeout(late);
      resolve(result);
    };
    let sent: ReturnType<typeof requestHttp> | undefined;
    try {
      sent = open(target, headers);
    } catch (error) {
      // Node refuses some texts before it connects.
      settle(fault(error));
      return;
    }
    sent.on('response', ({ statusCode = 0 }) => {
      settle({ status: statusCode });
      sent.destroy();
    });
    sent.on('error', (error) => settle(fault(error)));
    // After an upgrade that nothing has connected to before, say.
    sent.on('close', () => settle(fault(failed('ECONNRESET', 'the connection was closed without an answer'))));
    sent.end();
  });
}

const failed = (code: string, text: string): Error => Object.assign(new Error(text), { code });

function fault(error: unknown): Probed {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'ERR_INVALID_URL';
  return { fault: reasonOf(error), code };
}

function open(target: Target, headers: Readonly<Record<string, string>>): ReturnType<typeof requestHttp> {
  // A connection of its own, which Node announces to close.
  const options = { agent: false, headers: { ...headers } } as const;
  if ('url' in target) {
    const own = target.isOwn ? { rejectUnauthorized: false } : {};
    return (target.url.startsWith('https:') ? requestHttps : requestHttp)(target.url, { ...options, ...own });
  }
  const { address, speaks, path } = target;
  return (speaks === 'https' ? requestHttps : requestHttp)({ ...options, ...requestOptions(address), path });
}

/** As http.request takes a listener of our own. */
export function requestOptions(address: Address) {
  const where = 'path' in address ? { socketPath: address.path } : address;
  return { ...where, ...OWN_TLS };
}
