import diagnostics from 'node:diagnostics_channel';
import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Connections } from './connections.js';
import type { HttpSocket } from './node-internals.js';

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];
type WriteHead = (status: number, ...rest: (string | Headers | undefined)[]) => ServerResponse;

/** Whether a connection need not close with its next response, because it goes to another process then. */
type WillMove = (socket: unknown) => boolean;

/**
 * From here on every HTTP/1 response says `Connection: close` (RFC 9112 §9.6). Idle connections stay open for the request
 * that may be on its way: closing them would lose it. A response whose head has gone out already is left as it is; the next
 * one on its connection closes.
 */
export function drainHttp1(connections: Connections, willMove: WillMove): void {
  diagnostics.subscribe('http.server.request.start', (message) => {
    forceClose((message as { response: ServerResponse }).response, willMove);
  });
  for (const { top } of connections) {
    const response = top._httpMessage as ServerResponse | null | undefined;
    if (response && !response.headersSent) forceClose(response, willMove);
  }
}

/** An own `writeHead`, through which Node sends implicit heads too, so that the program cannot ask for keep-alive again. */
function forceClose(response: ServerResponse, willMove: WillMove): void {
  const writeHead = response.writeHead as WriteHead;
  response.writeHead = ((status: number, ...rest: (string | Headers | undefined)[]) => {
    if (status < 200 || !isLastRequest(response) || willMove(response.req.socket))
      return writeHead.call(response, status, ...rest);
    response.shouldKeepAlive = false;
    const [reason] = rest;
    if (typeof reason === 'string') return writeHead.call(response, status, reason, withClose(response, rest[1]));
    return writeHead.call(response, status, withClose(response, reason ?? rest[1]));
  }) as ServerResponse['writeHead'];
}

/** A pipelined request that has been read already must still be answered on this connection (RFC 9112 §9.3.2). */
function isLastRequest(response: ServerResponse): boolean {
  const latest = (response.req.socket as HttpSocket | null)?.parser?.incoming;
  return latest === null || latest === undefined || latest === response.req;
}

/** The headers as the program gave them to `writeHead` (an object, a flat list, or a list of pairs), but for `Connection`. */
function withClose(response: ServerResponse, headers: string | Headers | undefined): Headers | undefined {
  const isConnection = (name: unknown) => String(name).toLowerCase() === 'connection';
  if (headers === undefined || headers === null || typeof headers === 'string') {
    response.setHeader('Connection', 'close');
    return undefined;
  }
  if (!Array.isArray(headers)) {
    const kept = Object.entries(headers).filter(([name]) => !isConnection(name));
    return { ...Object.fromEntries(kept), Connection: 'close' };
  }
  if (Array.isArray(headers[0])) {
    const pairs = (headers as unknown as [string, string][]).filter(([name]) => !isConnection(name));
    return [...pairs, ['Connection', 'close']] as unknown as OutgoingHttpHeader[];
  }
  const kept = headers.filter((_, index) => !isConnection(headers[index - (index % 2)]));
  return [...kept, 'Connection', 'close'];
}
