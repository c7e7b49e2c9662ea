import { createSocket } from 'node:dgram';
import { chmodSync, statSync } from 'node:fs';
import { isSystemError, MotyaError } from '../base/errors.js';
import { type HandleWrap, type ServerHandle, udpState } from './node-internals.js';

/** What `server.address()` is to tell while no real handle is there. */
export interface ParkedAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

interface Holder {
  /** The program has closed the server. */
  closed(): void;
  /** Keep the process alive, or do not. */
  keepAlive(wanted: boolean): void;
}

/** What a parked server has is not another server's. */
export class ParkedError extends MotyaError {
  constructor() {
    super('ERR_MOTYA_SERVER_PAUSED', 'the server given to listen() does not accept now: its listener cannot be shared');
  }
}

/**
 * A handle without a socket. `child.send('', server)` gives `server._handle` to native code, which takes it for a handle without
 * asking; one without a socket is a failed send (EBADF), any other object a segmentation fault.
 */
function emptyHandle(): new () => HandleWrap {
  const socket = createSocket('udp4');
  const handle = udpState(socket)?.handle;
  socket.close();
  return (handle?.constructor ?? NoHandle) as new () => HandleWrap;
}

class NoHandle implements HandleWrap {
  close(): void {}
  unref(): void {}
}

/**
 * Stands in for the `_handle` of a server that holds a listener without accepting, so that `listening`, `address()`, `ref()`,
 * `unref()` and `close()` are true to what the program sees. It has no `getsockname` where the address is not known yet:
 * `server.address()` is null then.
 */
export class ParkedHandle extends emptyHandle() implements ServerHandle {
  readonly #holder: Holder;
  readonly #path: string | null;
  #referenced = false;
  #closed = false;
  getsockname: ((out: object) => number) | undefined = undefined;

  /** @param path absolute path of a unix socket, for `readableAll` and `writableAll` */
  constructor(holder: Holder, path: string | null) {
    super();
    // It is no business of the loop: what keeps the process alive is the holder.
    super.unref();
    this.#holder = holder;
    this.#path = path;
  }

  describe(address: ParkedAddress): void {
    this.getsockname = (out) => {
      Object.assign(out, address);
      return 0;
    };
  }

  ref(): void {
    this.#reference(!this.#closed);
  }

  override unref(): void {
    this.#reference(false);
  }

  hasRef(): boolean {
    return this.#referenced;
  }

  override close(callback?: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    this.unref();
    this.#holder.closed();
    if (callback !== undefined) setImmediate(callback);
  }

  /** It is not needed any more. */
  free(): void {
    super.close();
  }

  /** As uv_pipe_chmod(): 1 gives all users read permission, 2 write permission. Negated errno, or 0. */
  fchmod(wanted: number): number {
    if (this.#path === null) return 0;
    try {
      const bits = (wanted & 1 ? 0o444 : 0) | (wanted & 2 ? 0o222 : 0);
      chmodSync(this.#path, (statSync(this.#path).mode & 0o7777) | bits);
      return 0;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return error.errno;
    }
  }

  #reference(wanted: boolean): void {
    if (wanted === this.#referenced) return;
    this.#referenced = wanted;
    this.#holder.keepAlive(wanted);
  }
}
