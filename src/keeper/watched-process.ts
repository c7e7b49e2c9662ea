import { type NativePoll, native } from '../base/os/native.js';

/**
 * A main process that is no child of ours: somebody has started the successor by hand from outside (`docker exec … motya start
 * --upgrade`). Its end is seen, its exit status is not.
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
