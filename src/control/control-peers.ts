import { Channel } from '../base/channel.js';
import { CONTROL_PEERS } from '../base/limits.js';
import { native } from '../base/os/native.js';
import { type ControlShapes, controlCodec } from './control-messages.js';

/** The open connections of a process that answers commands. */
export class ControlPeers {
  readonly #channels = new Set<Channel<ControlShapes>>();

  /** Owns the fd. @returns the connection, which reads nothing until it is opened; null: it was closed, there are CONTROL_PEERS */
  admit(fd: number): Channel<ControlShapes> | null {
    if (this.#channels.size >= CONTROL_PEERS) {
      native.fd.close(fd);
      return null;
    }
    const channel = new Channel(fd, controlCodec);
    this.#channels.add(channel);
    channel.on('close', () => this.#channels.delete(channel));
    return channel;
  }

  /** Hangs up on all of them, once they have what was sent. */
  end(): void {
    for (const channel of this.#channels) channel.end();
  }
}
