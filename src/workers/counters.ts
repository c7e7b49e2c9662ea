import { allKinds, type PerKind } from '../base/drain-kinds.js';
import { type EventLoopDelay, fromMicros, worse } from '../base/loop-delay.js';
import { NO_ANSWERS, NO_CONNECTIONS } from '../runtime/counts.js';
import type { AnswerCounts, ConnectionCounts, ListenerCount } from '../runtime/worker-messages.js';
import type { Questions } from './questions.js';

/** Listeners that one question counts: their answer, with unix paths of 107 bytes, has half of MESSAGE_BYTES. */
const LISTENERS_COUNTED = 128;

/** What to count beside the connections. `delay`: see {@link Counters.takeDelay}. */
export interface Counted {
  readonly delay?: boolean;
  readonly answers?: boolean;
}

/**
 * What one process counts. One that is busy for long must not find a queue of questions: a question that is not answered yet serves
 * all that ask for as much meanwhile.
 */
export class Counters {
  readonly #questions: Questions;
  readonly #counting = new Map<Counted, Promise<ConnectionCounts>>();
  readonly #countingListeners = new Map<string, Promise<readonly ListenerCount[]>>();
  #delay: EventLoopDelay | null = null;
  /** As it counted them last. */
  connections = NO_CONNECTIONS;
  kinds: PerKind<number> = allKinds(0);
  /** Since they were asked for first. */
  answers: AnswerCounts = NO_ANSWERS;

  constructor(questions: Questions) {
    this.#questions = questions;
  }

  /** Open connections; none when the process has ended. */
  count(what: Counted): Promise<ConnectionCounts> {
    const { delay = false, answers = false } = what;
    const same = [...this.#counting].find(([asked]) => (asked.delay || !delay) && (asked.answers || !answers));
    if (same !== undefined) return same[1];
    const counting = this.#count(what).finally(() => this.#counting.delete(what));
    this.#counting.set(what, counting);
    return counting;
  }

  /** Of the listeners with these keys that it has; nothing when it has ended. */
  countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    const asked = keys.join('\n');
    const same = this.#countingListeners.get(asked);
    if (same !== undefined) return same;
    const counting = this.#countListeners(keys).finally(() => this.#countingListeners.delete(asked));
    this.#countingListeners.set(asked, counting);
    return counting;
  }

  /** The delay of its event loop, as far as it has been measured and not been taken. */
  takeDelay(): EventLoopDelay | null {
    const delay = this.#delay;
    this.#delay = null;
    return delay;
  }

  async #count(what: Counted): Promise<ConnectionCounts> {
    // Stored when the answer comes: the process that asked may have given up waiting, and a long delay must not get lost with that.
    const counts = await this.#questions.ask({ type: 'COUNT', ...what }, ({ connections, answers, delay, kinds }) => {
      this.connections = connections;
      this.kinds = kinds ?? this.kinds;
      this.answers = answers ?? this.answers;
      if (delay !== undefined) this.#delay = worse(this.#delay, fromMicros(delay));
      return connections;
    });
    return counts ?? NO_CONNECTIONS;
  }

  async #countListeners(keys: readonly string[]): Promise<readonly ListenerCount[]> {
    const counted: ListenerCount[] = [];
    for (let start = 0; start < keys.length; start += LISTENERS_COUNTED) {
      const some = keys.slice(start, start + LISTENERS_COUNTED);
      const part = await this.#questions.ask({ type: 'COUNT_LISTENERS', keys: some }, ({ listeners }) => listeners);
      if (part !== null) counted.push(...part);
    }
    return counted;
  }
}
