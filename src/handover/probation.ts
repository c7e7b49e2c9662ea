import { deferred } from '../deferred.js';
import { HandoverError } from '../errors.js';
import { GREETING_MS, LONGEST_TIMER_MS, PROBATION_MARGIN_MS, REASON_LENGTH, STATS_MS } from '../limits.js';
import { Totals } from '../observe/totals.js';
import { deadline, isDone } from '../within.js';
import type { HandedOver } from './incumbent.js';
import type { Offer } from './successor.js';

/**
 * The time after LIVE in which a hand-over can be taken back, from both sides. The incumbent has stopped accepting and keeps the
 * listeners, its workers and the pidfile's lock; so all that is needed to serve again is to accept.
 */

/** What the incumbent hears of a successor on probation. */
export interface Verdict {
  /** Null: it has passed. */
  readonly reason: HandoverError | null;
  /** What it has counted since LIVE, as told last. */
  readonly counted: Totals;
  /** The conversation has ended without a word: it died, or the connection broke. */
  readonly hungUp: boolean;
}

const SILENT = 'MOTYA_SILENT';

/** The incumbent's side. Never rejects: a successor that dies, or says nothing in time, has failed. */
export async function observe({ dialogue, probationMs }: HandedOver): Promise<Verdict> {
  let counted = new Totals();
  const silent = deferred<never>();
  const inTime = deadline(probationMs + PROBATION_MARGIN_MS, () => silent.reject(silence()));
  const silence = (): HandoverError =>
    new HandoverError(SILENT, `it has not said within ${PROBATION_MARGIN_MS / 1000} s how its probation went`);
  try {
    for (;;) {
      const heard = dialogue.expect(['PROVING', 'SETTLED', 'ROLLBACK'], LONGEST_TIMER_MS);
      const { message } = await Promise.race([heard, silent.promise]);
      if (message.type === 'ROLLBACK') {
        return { reason: new HandoverError(message.code, message.text), counted, hungUp: false };
      }
      if (message.type === 'PROVING') {
        counted = Totals.from(message.counters);
        continue;
      }
      return { reason: null, counted, hungUp: false };
    }
  } catch (error) {
    const reason = HandoverError.from(error);
    return { reason, counted, hungUp: reason.code !== SILENT };
  } finally {
    inTime();
  }
}

/** The successor's side: tells that it is there, and in the end how it went. */
export class Proof {
  readonly #offer: Offer;
  /** performance.now() of its end. */
  readonly #end: number;
  readonly #over = deferred<void>();
  readonly #beat: NodeJS.Timeout;
  readonly #timer: NodeJS.Timeout;
  #isOver = false;
  #isEarly = false;
  /** Why it has failed. */
  #failure: HandoverError | null = null;

  /** `counted`: what the counters have grown by since LIVE. `fault`: what is wrong at the end, or null. */
  constructor(offer: Offer, ms: number, counted: () => Totals, fault: () => HandoverError | null = () => null) {
    this.#offer = offer;
    this.#end = performance.now() + ms;
    const { dialogue, txid } = offer;
    const beat = (): void => dialogue.send({ type: 'PROVING', txid, counters: counted() });
    this.#beat = setInterval(beat, STATS_MS);
    this.#timer = setTimeout(() => {
      if (this.#isEarly) return;
      const found = fault();
      if (found === null) void this.#settle().catch(() => {});
      else this.fail(found);
    }, ms);
  }

  get incumbent(): number {
    return this.#offer.incumbent;
  }

  /** ms */
  get left(): number {
    return Math.max(0, this.#end - performance.now());
  }

  /** Whether a rollback has been asked for. */
  get failure(): HandoverError | null {
    return this.#failure;
  }

  /** Resolves when nothing can be taken back any more, or all has been. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** True: it was not waited for how it goes. */
  get isEarly(): boolean {
    return this.#isEarly;
  }

  /**
   * Somebody wants to go on from here. Resolves when the incumbent has let go.
   * @throws {HandoverError} it is being taken back, or the incumbent does not answer: it may serve again at any moment.
   */
  async settle(): Promise<void> {
    this.#isEarly = true;
    await this.#settle();
  }

  async #settle(): Promise<void> {
    const { dialogue, txid, incumbent } = this.#offer;
    if (this.#failure !== null) throw this.#failure;
    if (!this.#isOver) dialogue.send({ type: 'SETTLED', txid });
    if (await isDone(GREETING_MS, this.over)) return;
    throw new HandoverError(
      'MOTYA_WEDGED',
      `the incumbent (pid ${incumbent}) does not answer at the end of the probation`,
    );
  }

  /** Asks the incumbent to serve again. */
  fail(reason: HandoverError): void {
    if (this.#isOver || this.#failure !== null) return;
    this.#failure = reason;
    const { dialogue, txid } = this.#offer;
    dialogue.send({ type: 'ROLLBACK', txid, code: reason.code, text: reason.message.slice(0, REASON_LENGTH) });
  }

  /** The incumbent has let go, has died, or serves again. */
  close(): void {
    this.#isOver = true;
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
    this.#over.resolve();
  }
}
