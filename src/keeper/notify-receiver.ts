import { randomBytes } from 'node:crypto';
import { failureFields, reasonOf, type Warn } from '../base/errors.js';
import { MESSAGES_PER_EVENT } from '../base/limits.js';
import { type NativePoll, native } from '../base/os/native.js';

/** Bytes of a message to a keeper; systemd takes as many (NOTIFY_BUFFER_MAX, its PIPE_BUF). */
const NOTIFY_BYTES = 4096;

/** One message of sd_notify(3). */
export interface Notification {
  /** Pid of the sender, which the kernel has written; a child of ours. */
  readonly sender: number;
  /** Assignments by name; of two with the same name the last. */
  readonly fields: ReadonlyMap<string, string>;
  /** The callback owns them. */
  readonly fds: readonly number[];
}

/**
 * The manager's end of `$NOTIFY_SOCKET`. An abstract name, because instances may run as another user than the keeper, whom no
 * path of ours would let in; so any process may send here, and only messages of our own children are taken.
 */
export class NotifyReceiver {
  /** As `$NOTIFY_SOCKET` says it. */
  readonly address: string;
  readonly #fd: number;
  readonly #poll: NativePoll;
  readonly #receive: (notification: Notification) => void;
  readonly #warn: Warn;

  constructor(hear: (notification: Notification) => void, warn: Warn) {
    const name = `motya-keeper-${randomBytes(12).toString('hex')}`;
    this.address = `@${name}`;
    this.#receive = hear;
    this.#warn = warn;
    this.#fd = native.listener.create({ family: 'unix', type: 'dgram', path: `\0${name}`, passCredentials: true });
    this.#poll = native.poll.create(this.#fd, () => this.#read(MESSAGES_PER_EVENT));
    this.#poll.watch(1);
  }

  /**
   * Reads all that has been sent so far. To be called before children are reaped: the last words of one that has ended count,
   * and the pid of a zombie is not given to another process. A process that keeps sending cannot keep us here for long.
   */
  drain(): void {
    this.#read(16 * MESSAGES_PER_EVENT);
  }

  close(): void {
    this.#poll.close();
    native.fd.close(this.#fd);
  }

  #read(atMost: number): void {
    for (let count = 0; count < atMost; count++) {
      try {
        const message = native.channel.receive(this.#fd, NOTIFY_BYTES);
        if (message === null) return;
        const { data, fds, sender } = message;
        if (sender !== undefined && sender.pid > 0 && native.children.signal(sender.pid, 0)) {
          this.#receive({ sender: sender.pid, fields: parse(data.toString()), fds });
        } else {
          for (const fd of fds) native.fd.close(fd);
        }
      } catch (error) {
        // One that is too long, or whose fds find no room here, is gone; the next one may be better.
        this.#warn(`a message to the keeper was lost: ${reasonOf(error)}`, failureFields(error));
      }
    }
  }
}

function parse(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1));
  }
  return fields;
}
