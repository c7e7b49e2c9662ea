import { fstatSync } from 'node:fs';
import type { Activated } from '../base/os/activation.js';
import { native } from '../base/os/native.js';

/** Sockets that a keeper stores: four times the listeners of the largest instance that is tested; a leak must not take all fds. */
const STORED_FDS = 4096;

/** What a name that cannot be one becomes (sd_pid_notify_with_fds(3)). */
const UNNAMED = 'stored';

/**
 * The manager's copies of sockets (FDSTORE=1): never read, never accepted on. While they are here, clients of an instance that
 * was killed wait in the kernel's queue.
 */
export class StoredFds {
  readonly #stored: Activated[] = [];

  /** Takes the fds; a socket that is here already, whatever its name, is not stored twice. @returns how many found no room. */
  add(name: string | undefined, fds: readonly number[]): number {
    let refused = 0;
    for (const fd of fds) {
      const isNew = !this.#stored.some((stored) => isSame(stored.fd, fd));
      const hasRoom = this.#stored.length < STORED_FDS;
      if (isNew && hasRoom) {
        this.#stored.push({ fd, name: isName(name) ? name : UNNAMED });
        continue;
      }
      if (isNew) refused += 1;
      native.fd.close(fd);
    }
    return refused;
  }

  remove(name: string | undefined): void {
    for (const stored of this.#stored.filter((one) => one.name === name)) {
      this.#stored.splice(this.#stored.indexOf(stored), 1);
      native.fd.close(stored.fd);
    }
  }

  all(): readonly Activated[] {
    return this.#stored;
  }

  close(): void {
    for (const { fd } of this.#stored.splice(0)) native.fd.close(fd);
  }
}

/** fdname_is_valid in systemd: printable ASCII without the colon that separates names, at most 255 characters. */
const isName = (name: string | undefined): name is string => name !== undefined && /^[ -9;-~]{1,255}$/.test(name);

function isSame(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one, { bigint: true }), fstatSync(other, { bigint: true })];
  return a.dev === b.dev && a.ino === b.ino;
}
