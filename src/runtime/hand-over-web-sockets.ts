import type { IncomingMessage } from 'node:http';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { InflateRaw } from 'node:zlib';
import { canReadWindow, takeWindow } from './inflate-window.js';
import { bytesOfRequest, headersOf, type SavedRequest, swallowHead } from './replay.js';
import type { WorkerState } from './worker-state.js';

/** A `WebSocketServer` of ws 8. Nothing of ws is imported: its classes come with the program's own. */
export interface WebSocketServerLike<W> {
  readonly clients?: Set<W>;
  readonly options: object;
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, callback: (webSocket: W) => void): void;
  on(event: 'headers', listener: (headers: string[], request: IncomingMessage) => void): unknown;
}

export interface WebSocketHandOver<W, T> {
  /** What travels with a WebSocket (structured clone, 1 MiB at most). It must not change anything. */
  readonly save?: (webSocket: W) => T;
  /** Gets each WebSocket in place of a 'connection' event. */
  readonly restore?: (webSocket: W, request: IncomingMessage, value: T) => void;
  /** The next generation has it: the moment to stop timers. No event of it comes any more. */
  readonly moved?: (webSocket: W) => void;
}

/** Private parts of ws 8, on the side of a server. */
interface Parts {
  readonly _readyState: number;
  _extensions: { readonly 'permessage-deflate'?: Deflate };
  readonly _socket: Socket;
  readonly _receiver: {
    readonly _state: number;
    readonly _bufferedBytes: number;
    readonly _fragmented: number;
    readonly _loop: boolean;
    readonly writableLength: number;
  };
  readonly _sender: {
    readonly _queue: readonly unknown[];
    readonly _bufferedBytes: number;
    readonly _firstFragment: boolean;
    /** Before 8.18. */
    readonly _deflating?: boolean;
    readonly _state?: number;
  };
  close(code: number): void;
}

interface Deflate {
  _inflate: InflateRaw | null;
  _options: { readonly zlibInflateOptions?: object };
  readonly params: Readonly<Record<string, unknown>>;
}

const OPEN = 1;
/** lib/receiver.js: between two frames, and behind a message whose bytes zlib or the next turn still has. */
const GET_INFO = 0;
const INFLATING = 5;
/** Of permessage-deflate (RFC 7692 §7.1.2). */
const DEFAULT_WINDOW_BITS = 15;
/** A close frame with the code 1012, Service Restart (RFC 6455 §5.5.1). */
const RESTART = 1012;
const CLOSE_FRAME = Buffer.from([0x88, 2, RESTART >> 8, RESTART & 0xff]);

/** What travels with a WebSocket. */
interface Saved {
  readonly request: SavedRequest;
  /** What its answer has said of the protocol. */
  readonly terms: string;
  readonly value: unknown;
  /** Null: the client's messages refer to none that came before. */
  readonly window: Buffer | null;
}

/** How many servers of this program have a name. */
const names = new Map<string, number>();

/** See `handOverWebSockets` of ./api.ts. */
export function moveWebSockets<W extends object, T>(
  state: WorkerState,
  server: WebSocketServerLike<W>,
  { save, restore, moved }: WebSocketHandOver<W, T>,
): void {
  const { path } = server.options as { path?: unknown };
  const name = `websocket ${typeof path === 'string' ? path.slice(0, 60) : ''}`;
  const nth = (names.get(name) ?? 0) + 1;
  names.set(name, nth);
  const kind = nth === 1 ? name : `${name}#${nth}`;
  const windows = new WeakMap<object, Buffer>();
  let isTold = false;

  // Before the WebSocket is there, but after that nothing is read in this tick.
  server.on('headers', (headers, request) => process.nextTick(() => enlist(headers, request)));
  state.onAdopt(kind, (socket, saved) => adopt(socket, saved as Saved));

  function enlist(headers: readonly string[], request: IncomingMessage): void {
    const { socket } = request;
    const webSocket = webSocketOf(socket);
    if (socket.destroyed) return;
    if (webSocket === undefined || !isKnown(webSocket, socket)) {
      if (!isTold) process.emitWarning('WebSockets stay: this is not the ws that is known (8)', 'MotyaWarning');
      isTold = true;
      return;
    }
    const { method = 'GET', url = '/', rawHeaders } = request;
    const context = new Context(webSocket, windows.get(socket) ?? null);
    const original = { method, url: (request as { originalUrl?: string }).originalUrl ?? url, rawHeaders };
    const terms = termsOf(headers);
    const { _extensions: extensions } = webSocket;
    state.handOver(socket, {
      kind,
      readiness: () => (context.isKnown ? readinessOf(webSocket) : 'later'),
      save: (): Saved => {
        const value = save?.(webSocket as unknown as W);
        // What is still sent must not refer to what the next process's deflater does not know of.
        webSocket._extensions = {};
        return { request: original, terms, value, window: context.take() };
      },
      moved: () => {
        server.clients?.delete(webSocket as unknown as W);
        moved?.(webSocket as unknown as W);
      },
      returned: () => {
        webSocket._extensions = extensions;
        if (!context.giveBack()) webSocket.close(RESTART);
      },
    });
  }

  function adopt(socket: Socket, { request, terms, value, window }: Saved): void {
    if (window !== null) windows.set(socket, window);
    const isAlike = (head: string): boolean => termsOf(head.split('\r\n')) === terms;
    swallowHead(socket, isAlike, (write) => {
      write(CLOSE_FRAME);
      socket.destroySoon();
    });
    if (restore === undefined) {
      socket.unshift(bytesOfRequest(request));
      (socket as Socket & { server: Server }).server.emit('connection', socket);
      return;
    }
    const { IncomingMessage } = process.getBuiltinModule('http');
    const message = Object.assign(new IncomingMessage(socket), {
      method: request.method,
      url: request.url,
      httpVersion: '1.1',
      httpVersionMajor: 1,
      httpVersionMinor: 1,
      rawHeaders: [...request.rawHeaders],
      headers: headersOf(request),
    });
    // It was verified when it was accepted.
    const options = { value: { ...server.options, verifyClient: null } };
    const upgrading = Object.create(server, { options }) as WebSocketServerLike<W>;
    upgrading.handleUpgrade(message, socket, Buffer.alloc(0), (webSocket) => restore(webSocket, message, value as T));
  }
}

/** Its decompression, which goes on in another process with what it has put out last. */
class Context {
  readonly #deflate: Deflate | undefined;
  readonly #windowBits: number;
  #dictionary: Buffer | null;
  /** Bytes of its plain text. */
  #putOut: number;
  #state: 'whole' | 'taken' | 'broken' = 'whole';

  constructor({ _extensions: extensions }: Parts, dictionary: Buffer | null) {
    const deflate = extensions['permessage-deflate'];
    const bits = deflate?.params.client_max_window_bits;
    this.#windowBits = typeof bits === 'number' ? bits : DEFAULT_WINDOW_BITS;
    this.#dictionary = dictionary;
    this.#putOut = dictionary?.length ?? 0;
    if (deflate === undefined || deflate.params.client_no_context_takeover === true) return;
    this.#deflate = deflate;
    let inflate = deflate._inflate;
    // It is made with the first message.
    Object.defineProperty(deflate, '_inflate', {
      configurable: true,
      enumerable: true,
      get: () => inflate,
      set: (made: InflateRaw | null) => {
        inflate = made;
        this.#putOut = this.#dictionary?.length ?? 0;
        made?.on('data', (data: Buffer) => {
          this.#putOut += data.length;
        });
      },
    });
    this.#startWith(dictionary);
  }

  get isKnown(): boolean {
    const { _inflate: inflate } = this.#deflate ?? {};
    return !inflate || canReadWindow(inflate);
  }

  /** @returns null: there is none */
  take(): Buffer | null {
    const deflate = this.#deflate;
    if (!deflate?._inflate) return this.#dictionary;
    this.#state = 'broken';
    this.#dictionary = takeWindow(deflate._inflate, this.#putOut, this.#windowBits);
    this.#state = 'taken';
    return this.#dictionary;
  }

  /** The WebSocket stays here after all. @returns false: it cannot go on */
  giveBack(): boolean {
    if (this.#state === 'broken') return false;
    if (this.#state === 'taken' && this.#deflate !== undefined) {
      this.#startWith(this.#dictionary);
      this.#deflate._inflate = null;
    }
    this.#state = 'whole';
    return true;
  }

  #startWith(dictionary: Buffer | null): void {
    if (this.#deflate === undefined || !dictionary?.length) return;
    // An object of its own: ws shares that of the server.
    const { _options: options } = this.#deflate;
    this.#deflate._options = { ...options, zlibInflateOptions: { ...options.zlibInflateOptions, dictionary } };
  }
}

/** What an answer to an upgrade says of the protocol: the rest of its head is the program's. */
function termsOf(head: readonly string[]): string {
  return head
    .filter((line, index) => index === 0 || /^sec-websocket-/i.test(line))
    .join('\n')
    .toLowerCase();
}

function webSocketOf(socket: object): Parts | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'websocket');
  return symbol && ((socket as Record<symbol, unknown>)[symbol] as Parts | undefined);
}

function isKnown(webSocket: Parts, socket: Socket): boolean {
  const { _receiver: receiver, _sender: sender, _extensions: extensions } = webSocket;
  const deflate = extensions?.['permessage-deflate'];
  return (
    webSocket._socket === socket &&
    webSocket._readyState === OPEN &&
    [receiver?._state, receiver?._bufferedBytes, receiver?._fragmented, sender?._bufferedBytes].every(
      Number.isInteger,
    ) &&
    [receiver?._loop, sender?._firstFragment].every((flag) => typeof flag === 'boolean') &&
    (typeof sender._state === 'number' || typeof sender._deflating === 'boolean') &&
    Array.isArray(sender._queue) &&
    typeof webSocket.close === 'function' &&
    (deflate === undefined ||
      (deflate._inflate === null && typeof deflate.params === 'object' && typeof deflate._options === 'object'))
  );
}

function readinessOf({ _readyState: state, _receiver: receiver, _sender: sender }: Parts): 'now' | 'soon' | 'later' {
  if (state !== OPEN || !sender._firstFragment || receiver._fragmented > 0) return 'later';
  const isSending =
    sender._queue.length > 0 || sender._bufferedBytes > 0 || sender._deflating === true || (sender._state ?? 0) > 0;
  if (receiver._state >= INFLATING) return 'soon';
  if (receiver._state !== GET_INFO || receiver._bufferedBytes > 0) return 'later';
  return isSending || receiver._loop || receiver.writableLength > 0 ? 'soon' : 'now';
}
