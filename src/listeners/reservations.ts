import type { Account } from '../base/os/account.js';
import { type ListenerSpec, native } from '../base/os/native.js';
import { identify, type PathIdentity, unlinkIfSame } from '../base/os/path-identity.js';
import { createListener } from './create.js';
import { keyOf } from './key.js';

interface Reserved {
  readonly fd: number;
  readonly spec: ListenerSpec;
  /** The file of a unix listener. */
  readonly file: PathIdentity | null;
}

/**
 * Addresses that a successor has bound as root, before it became a user who may not, for listeners that the incumbent does not
 * have. They are bound and do not listen until the successor adopts: while it waits, for as long as that takes, clients must be refused as
 * before. They must not wait in a backlog that no process accepts.
 */
export class Reservations {
  readonly #reserved = new Map<string, Reserved>();

  /** @throws {SystemError} as bind(2) */
  make(spec: ListenerSpec, owner: Account | null): void {
    const key = keyOf(spec);
    if (this.#reserved.has(key)) return;
    const fd = createListener({ ...spec, bindOnly: true }, owner);
    const file = spec.family === 'unix' && !spec.path.startsWith('\0') ? identify(spec.path) : null;
    this.#reserved.set(key, { fd, spec, file });
  }

  /** The socket for `spec`, listening, whose owner the caller is from here; null when none was made. @throws {SystemError} */
  take(spec: ListenerSpec, backlog: number): number | null {
    const key = keyOf(spec);
    const reserved = this.#reserved.get(key);
    if (reserved === undefined) return null;
    native.listener.startListening(reserved.fd, backlog);
    this.#reserved.delete(key);
    return reserved.fd;
  }

  /** Closes what was not taken. */
  close(): void {
    for (const { fd, spec, file } of this.#reserved.values()) {
      native.fd.close(fd);
      if (spec.family === 'unix' && file !== null) unlinkIfSame(spec.path, file);
    }
    this.#reserved.clear();
  }
}
