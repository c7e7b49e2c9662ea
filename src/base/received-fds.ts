import { ProtocolError } from './errors.js';
import { native } from './os/native.js';

/** Fds that came with a message. Those that no handler takes are closed when the message's handlers have returned. */
export class ReceivedFds {
  readonly #fds: (number | null)[];
  constructor(fds: readonly number[]) {
    this.#fds = [...fds];
  }
  get length(): number {
    return this.#fds.length;
  }
  /** Hands over fd `index`; the caller owns it from here. */
  take(index: number): number {
    const fd = this.#fds[index];
    if (fd === undefined || fd === null) throw new ProtocolError(`the message carries no fd ${index}`);
    this.#fds[index] = null;
    return fd;
  }
  /** As {@link take}, all of them. */
  takeAll(): number[] {
    return Array.from(this.#fds, (_, index) => this.take(index));
  }
  closeRest(): void {
    for (const [index, fd] of this.#fds.entries()) {
      if (fd !== null) native.fd.close(fd);
      this.#fds[index] = null;
    }
  }
}
