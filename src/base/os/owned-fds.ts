import { native } from './native.js';

/**
 * Owner of fds, for a scope (`using`): at its end it closes those that were not released to another owner.
 */
export class OwnedFds {
  readonly #fds: Set<number>;

  constructor(fds: Iterable<number> = []) {
    this.#fds = new Set(fds);
  }

  /** @returns the fd */
  own(fd: number): number {
    this.#fds.add(fd);
    return fd;
  }

  /** Another owner has it from here on. @returns the fd */
  release(fd: number): number {
    this.#fds.delete(fd);
    return fd;
  }

  releaseAll(): void {
    this.#fds.clear();
  }

  /** Before the end of the scope. */
  close(fd: number): void {
    native.fd.close(this.release(fd));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) this.close(fd);
  }
}

/** Duplicates of all of them; none is left when it throws. @throws {SystemError} EMFILE, EBADF */
export function duplicates(fds: readonly number[]): number[] {
  using owned = new OwnedFds();
  const copies = fds.map((fd) => owned.own(native.fd.dup(fd)));
  owned.releaseAll();
  return copies;
}
