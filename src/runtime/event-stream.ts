import type { ServerResponse } from 'node:http';
import type { Connection } from './connections.js';

/** `_header`: the head as it has been sent, which getHeader() does not tell of what came with writeHead(). */
type WithHeader = ServerResponse & { readonly _header?: string | null };

const EVENT_STREAM = /^content-type:\s*text\/event-stream\b/im;

/** The head of the HTTP/1 response that is under way; empty: there is none, or it has not been sent. */
export function sentHead({ top }: Connection): string {
  const response = top._httpMessage as WithHeader | null | undefined;
  return response?.headersSent ? (response._header ?? '') : '';
}

/**
 * Ends an open event stream (HTTP/1), which may end after any event: its client sees a complete body, and its connection is closed
 * once the last chunk is on its way. Any other response that is cut must look cut.
 * @returns whether it is one
 */
export function endEventStream(connection: Connection): boolean {
  const { top } = connection;
  const response = top._httpMessage as ServerResponse | null | undefined;
  if (!response || response.writableEnded || !EVENT_STREAM.test(sentHead(connection))) return false;
  // The program may write on: that is no reason to end it.
  response.on('error', () => {});
  response.once('finish', () => {
    if ('destroySoon' in top && typeof top.destroySoon === 'function') top.destroySoon();
    else top.end();
  });
  response.end();
  return true;
}
