import { type NativePoll, native } from '../base/os/native.js';

/**
 * A main process that is not a child of the keeper: a successor that was started by hand (`docker exec … motya start --upgrade`).
 * Its end can be seen, its exit status cannot.
 */
export class WatchedProcess {
  readonly pid: number;
  readonly #fd: number;
  readonly #poll: NativePoll;

  /** @throws {SystemError} it has ended already, or the kernel (before 5.3) or a seccomp filter has no pidfds. */
  constructor(pid: number, ended: () => void) {
    this.pid = pid;
    this.#fd = native.pidfd.open(pid);
    this.#poll = native.poll.create(this.#fd, () => {
      this.close();
      ended();
    });
    this.#poll.watch(1);
  }

  signal(signal: number): void {
    native.pidfd.signal(this.#fd, signal);
  }

  close(): void {
    this.#poll.close();
    native.fd.close(this.#fd);
  }
}
