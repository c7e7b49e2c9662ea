import type { Summary } from '../control/messages.js';
import { type HandoverError, reasonOf } from '../errors.js';
import { STATS_SILENCE_MS } from '../limits.js';
import { PEER_GONE, PeerAbort } from './dialogue.js';
import type { Offer } from './successor.js';

/** The generations before this one that still drain, as far as they have told. */
export class Predecessors {
  readonly #draining = new Map<number, Summary['draining'][number]>();

  all(): Summary['draining'] {
    return [...this.#draining.values()];
  }

  /**
   * Listens to a predecessor until its BYE or its end.
   * @returns its ABORT, when it took the hand-over back because our LIVE came too late; else null.
   */
  async follow(
    { dialogue, incumbent, generation }: Offer,
    warn: (text: string) => void,
  ): Promise<HandoverError | null> {
    const entry = { pid: incumbent, generation, connections: 0, left: 0 };
    this.#draining.set(incumbent, entry);
    try {
      for (;;) {
        const { message } = await dialogue.expect(['STATS', 'BYE'], STATS_SILENCE_MS);
        if (message.type === 'BYE') return null;
        Object.assign(entry, { connections: message.connections, left: message.left });
      }
    } catch (error) {
      if (error instanceof PeerAbort) return error;
      if ((error as HandoverError).code !== PEER_GONE) {
        warn(`generation ${generation} (pid ${incumbent}) is not heard of any more: ${reasonOf(error)}`);
      }
      return null;
    } finally {
      this.#draining.delete(incumbent);
      dialogue.close();
    }
  }
}
