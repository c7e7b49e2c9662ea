import type { Connection } from './connections.js';

/** RFC 6455 §7.4.1 and the registry of IANA: "Service Restart"; clients that know it connect anew. */
const SERVICE_RESTART = 1012;
const REASON = 'service restart';
/** WebSocket.OPEN */
const OPEN = 1;

/** A WebSocket of the `ws` package (version 8), which Socket.IO uses as well. */
interface WsSocket {
  readonly readyState: number;
  readonly _socket?: unknown;
  close(code: number, reason: string): void;
}

/**
 * Sends the close frame on a WebSocket of the `ws` package, through that package: a frame that is half written, or waits for the
 * deflater, must come first. `ws` ends the connection when the client has answered.
 * @returns false: it is none, or it is being closed already
 */
export function closeWebSocket(connection: Connection): boolean {
  const ws = wsOf(connection);
  if (ws?.readyState !== OPEN) return false;
  try {
    ws.close(SERVICE_RESTART, REASON);
    return true;
  } catch {
    // The program has put a method of its own in its place.
    return false;
  }
}

/** `ws` puts it on the socket, under a symbol of its own (kWebSocket in ws/lib/constants.js), as its listeners need it. */
function wsOf({ top }: Connection): WsSocket | null {
  for (const symbol of Object.getOwnPropertySymbols(top)) {
    if (symbol.description !== 'websocket') continue;
    const ws = (top as unknown as Record<symbol, WsSocket | undefined>)[symbol];
    if (typeof ws?.close === 'function' && ws._socket === top) return ws;
  }
  return null;
}
