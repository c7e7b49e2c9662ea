import net from 'node:net';
import type { SocketHandle } from './node-internals.js';

/** What the program does not hear of a connection that lives on in another process. */
const UNHEARD = ['data', 'readable', 'end', 'close', 'error', 'timeout'];

/** Private parts of a `net.Socket` (lib/net.js). */
interface SocketParts {
  _handle: SocketHandle | null;
  _server?: (net.Server & { _connections?: number; _emitCloseIfDrained?: () => void }) | null;
  readonly _readableState: { readonly ended: boolean; readonly decoder?: { readonly lastNeed?: number } | null };
  _write: (data: string | Buffer, encoding: BufferEncoding | 'buffer', done: Done) => void;
  _writev: (chunks: { chunk: string | Buffer; encoding: BufferEncoding }[], done: Done) => void;
  _final: (done: Done) => void;
}
type Done = (error?: Error | null) => void;
const partsOf = (socket: net.Socket): SocketParts => socket as unknown as SocketParts;
const nodes = net.Socket.prototype as unknown as SocketParts;

/** Whether the private parts are as they are known to be (20, 22, 24, 26). */
export function isKnownSocket(socket: net.Socket): boolean {
  const handle = partsOf(socket)._handle as Partial<SocketHandle> | null;
  return (
    typeof handle?.readStart === 'function' &&
    typeof handle.readStop === 'function' &&
    typeof handle.writeQueueSize === 'number' &&
    typeof handle.fd === 'number' &&
    typeof partsOf(socket)._readableState?.ended === 'boolean' &&
    [nodes._write, nodes._writev, nodes._final].every((method) => typeof method === 'function')
  );
}

/** Nothing waits to be written, neither side has ended, and what has been read can travel as bytes. */
export function canLeave(socket: net.Socket): boolean {
  const { _handle: handle, _readableState: reading } = partsOf(socket);
  const isWhole = socket.readableEncoding === null || (socket.readableLength === 0 && !reading.decoder?.lastNeed);
  return (
    !socket.destroyed &&
    !socket.connecting &&
    socket.readable &&
    socket.writable &&
    !reading.ended &&
    isWhole &&
    socket.writableLength === 0 &&
    handle?.writeQueueSize === 0
  );
}

/** Stops reading, whatever the program asks for meanwhile. @returns ends it */
export function holdReading(socket: net.Socket): () => void {
  const { _handle: handle } = partsOf(socket);
  if (handle === null) return () => {};
  handle.readStop();
  // Node reads on when the program resumes the socket, or reads from it.
  handle.readStart = () => 0;
  return () => {
    Reflect.deleteProperty(handle, 'readStart');
    if (handle.reading && !socket.destroyed) handle.readStart();
  };
}

/**
 * The socket of a connection that is on its way to another process: the program has it as before, but nothing is read from it, and
 * what is written goes to `late`. {@link release} makes it what it was; {@link leave} leaves the program an empty shell.
 */
export class HeldSocket {
  readonly #socket: net.Socket;
  readonly #readOn: () => void;
  readonly #late: (data: Buffer, done: () => void) => void;
  /** What the program has written since then. */
  #written: Buffer[] = [];
  /** The program has ended it. */
  #ended: Done | null = null;
  #isGone = false;
  /** What Node has read and the program has not. */
  readonly unread: Buffer;

  constructor(socket: net.Socket, late: (data: Buffer, done: () => void) => void) {
    this.#socket = socket;
    this.#late = late;
    this.#readOn = holdReading(socket);
    this.unread = takeUnread(socket);
    Object.assign(socket, {
      _write: (data, encoding, done) => this.#write(bytesOf(data, encoding as BufferEncoding), done),
      _writev: (chunks, done) =>
        this.#write(Buffer.concat(chunks.map(({ chunk, encoding }) => bytesOf(chunk, encoding))), done),
      _final: (done) => {
        if (this.#isGone) done();
        else this.#ended = done;
      },
    } satisfies Pick<SocketParts, '_write' | '_writev' | '_final'>);
  }

  /** Of the connection. */
  get fd(): number {
    return partsOf(this.#socket)._handle?.fd ?? -1;
  }

  release(): void {
    const socket = this.#socket;
    for (const name of ['_write', '_writev', '_final']) Reflect.deleteProperty(socket, name);
    if (socket.destroyed) return;
    // Before anything that the program writes from here on. For its stream they have been written.
    for (const data of this.#written.splice(0)) nodes._write.call(socket, data, 'buffer', () => {});
    if (this.#ended !== null) nodes._final.call(socket, this.#ended);
    this.#readOn();
    if (this.unread.length > 0) socket.unshift(this.unread);
  }

  /** The program hears nothing of it any more; what it writes still goes to `late`. */
  leave(): void {
    const socket = this.#socket;
    const parts = partsOf(socket);
    this.#isGone = true;
    this.#written = [];
    for (const event of UNHEARD) socket.removeAllListeners(event);
    socket.on('error', () => {});
    this.#ended?.();
    if (socket.destroyed) return;
    // Asked for once, it is remembered.
    Reflect.get(socket, 'remoteAddress');
    socket.setTimeout(0);
    // As destroy() does it, but for the events: getConnections() and close() know of it.
    if (parts._server) {
      if (parts._server._connections) parts._server._connections -= 1;
      parts._server._emitCloseIfDrained?.();
      parts._server = null;
    }
    // No shutdown(2), which would end the connection for all.
    parts._handle?.close();
    parts._handle = null;
  }

  #write(data: Buffer, done: Done): void {
    if (!this.#isGone) this.#written.push(data);
    this.#late(data, () => done());
  }
}

/** A copy: the program may use its buffer again as soon as it has been written. */
const bytesOf = (data: string | Buffer, encoding: BufferEncoding): Buffer =>
  typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data);

function takeUnread(socket: net.Socket): Buffer {
  const pieces: Buffer[] = [];
  const own = Object.getOwnPropertyDescriptor(socket, 'emit');
  // read() emits 'data'.
  Object.defineProperty(socket, 'emit', { configurable: true, value: () => true });
  try {
    while (socket.readableLength > 0) {
      const piece: Buffer | null = socket.read();
      if (piece === null) break;
      pieces.push(piece);
    }
  } finally {
    if (own === undefined) Reflect.deleteProperty(socket, 'emit');
    else Object.defineProperty(socket, 'emit', own);
  }
  return Buffer.concat(pieces);
}
