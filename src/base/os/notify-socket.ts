import { isSystemError, reasonOf } from '../errors.js';
import { native } from './native.js';
import { OwnedFds } from './owned-fds.js';

/** ms in which a service manager reads what was sent to it: systemd needs microseconds, unless it is reloading itself. */
const BARRIER_MS = 1_000;

/**
 * The way to the service manager: systemd, or a keeper of ours (sd_notify(3)). Without `$NOTIFY_SOCKET` nothing is sent. A manager
 * that cannot be told is warned of once and is no reason to stop serving.
 */
export class NotifySocket {
  /** As the addon takes it; null when there is no manager. */
  readonly #path: string | null;
  readonly #warn: (text: string) => void;
  readonly #given: string | undefined;
  #unreachable = false;

  constructor(env: NodeJS.ProcessEnv, warn: (text: string) => void) {
    this.#warn = warn;
    this.#given = env.NOTIFY_SOCKET;
    this.#path = addressOf(this.#given);
  }

  get exists(): boolean {
    return this.#path !== null;
  }

  /** Whether the manager is systemd, whose units can be asked about. */
  get isSystemd(): boolean {
    return this.#path?.endsWith('/systemd/notify') === true;
  }

  /** Each assignment is one `NAME=value` without a newline. @returns whether the manager has it in its queue. */
  send(assignments: readonly string[], fds: readonly number[] = []): boolean {
    if (this.#path === null) {
      if (this.#given) this.#unheard(`NOTIFY_SOCKET=${this.#given} is neither a path nor an abstract name`);
      return false;
    }
    try {
      native.notify.send(this.#path, assignments.map((line) => line.replaceAll('\n', ' ')).join('\n'), fds);
      this.#unreachable = false;
      return true;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#unheard(reasonOf(error));
      return false;
    }
  }

  #unheard(why: string): void {
    if (!this.#unreachable) this.#warn(`the service manager cannot be told anything: ${why}`);
    this.#unreachable = true;
  }

  /**
   * Resolves when the manager has read all that was sent before, or after {@link BARRIER_MS}. It finds the unit of a sender by
   * its pid: the last words of a process that has ended are dropped.
   */
  async barrier(): Promise<void> {
    if (this.#path === null || this.#unreachable) return;
    try {
      const [reader, writer] = native.fd.pipe();
      using owned = new OwnedFds([reader, writer]);
      // Alone in its message, by the protocol; the manager closes the fd when it comes to it.
      const isSent = this.send(['BARRIER=1'], [writer]);
      owned.close(writer);
      if (isSent) await closed(reader);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#warn(`it is not known whether the service manager has read all messages: ${reasonOf(error)}`);
    }
  }
}

/** The other end has been closed everywhere, or {@link BARRIER_MS} have passed. */
function closed(reader: number): Promise<void> {
  return new Promise((resolve) => {
    const poll = native.poll.create(reader, () => done());
    const timer = setTimeout(() => done(), BARRIER_MS);
    const done = (): void => {
      clearTimeout(timer);
      poll.close();
      resolve();
    };
    poll.watch(1);
  });
}

function addressOf(given: string | undefined): string | null {
  if (given?.startsWith('/')) return given;
  return given?.startsWith('@') && given.length > 1 ? `\0${given.slice(1)}` : null;
}
