import { randomBytes } from 'node:crypto';
import { Channel } from '../base/channel.js';
import { isSystemError, reasonOf } from '../base/errors.js';
import { ACCEPT_RETRY_MS } from '../base/limits.js';
import { type NativePoll, native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { type WorkerShapes, workerCodec } from '../runtime/worker-messages.js';
import { Conversation } from './conversation.js';
import type { ListenGate } from './listen-gate.js';

/** A Node process that the program of a worker has started, and that listens itself: a part of the worker. */
export class Branch extends Conversation {
  readonly #channel: Channel<WorkerShapes>;
  readonly #worker: Conversation;

  constructor(worker: Conversation, gate: ListenGate, channel: Channel<WorkerShapes>) {
    super(worker.service, gate, channel);
    this.#channel = channel;
    this.#worker = worker;
    this.open();
  }

  /** As the kernel told when it connected. */
  get pid(): number {
    return this.#channel.peer.pid;
  }

  get index(): number {
    return this.#worker.index;
  }

  get name(): string {
    return `pid ${this.pid}, started by ${this.#worker.name}`;
  }

  /** The worker's: it is one for both. */
  override get readyAt(): number | null {
    return this.#worker.readyAt;
  }

  /** With the worker, whose program has started it. */
  override end(): void {
    this.#worker.end();
  }

  /** The process has ended: it keeps the channel as long as it lives. */
  protected override cutOff(error: Error | null): void {
    if (this.hasExited) return;
    this.close();
    this.emit('exit', error === null ? 'it has ended' : `its channel broke: ${reasonOf(error)}`);
  }
}

/**
 * Where Node processes that the program of one worker starts find the supervisor: an abstract unix socket (unix(7)), whose name
 * they have from their environment. Unlike an inherited fd, it reaches those that a shell or a package manager starts.
 */
export class BranchSocket {
  /** Without the leading NUL. */
  readonly name = `motya-worker-${process.pid}-${randomBytes(8).toString('hex')}`;
  readonly #fd: number;
  readonly #poll: NativePoll;
  readonly #joined: (channel: Channel<WorkerShapes>) => void;
  #retry: NodeJS.Timeout | null = null;
  #isClosed = false;

  /** @throws {SystemError} out of fds */
  constructor(joined: (channel: Channel<WorkerShapes>) => void) {
    this.#joined = joined;
    this.#fd = native.listener.create({ family: 'unix', type: 'seqpacket', path: `\0${this.name}` });
    using owned = new OwnedFds([this.#fd]);
    this.#poll = native.poll.create(this.#fd, () => this.#accept());
    this.#poll.watch(1);
    owned.release(this.#fd);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#poll.close();
    native.fd.close(this.#fd);
  }

  #accept(): void {
    try {
      for (let fd = native.channel.accept(this.#fd); fd !== null; fd = native.channel.accept(this.#fd)) {
        const channel = new Channel(fd, workerCodec);
        // The name is in /proc/net/unix for every process to see. The process makes the same check: joinWorker().
        if (channel.peer.uid === process.geteuid?.()) this.#joined(channel);
        else channel.close();
        if (this.#isClosed) return;
      }
    } catch (error) {
      if (!isSystemError(error)) throw error;
      // No fds left: they wait, and a poll that is always readable would spin.
      this.#poll.watch(0);
      this.#retry = setTimeout(() => {
        this.#retry = null;
        this.#poll.watch(1);
      }, ACCEPT_RETRY_MS).unref();
    }
  }
}
