import { inBackground } from '../base/background.js';
import { deadline, isDone } from '../base/deadline.js';
import { deferred } from '../base/deferred.js';
import { HandoverError } from '../base/errors.js';
import { GREETING_MS, LONGEST_TIMER_MS, PROBATION_MARGIN_MS, REASON_LENGTH, STATS_MS } from '../base/limits.js';
import { Totals } from '../status/totals.js';
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
  /** Keys of the listeners that it has passed without. Undefined: it has not said so. */
  readonly unused?: readonly string[] | undefined;
  /** It wants those to end whether or not they still get connections. */
  readonly unconditional?: boolean;
}

/**
 * The incumbent's side. Never rejects: a successor that dies, or says nothing in time, has failed. `left` is told the keys of the
 * listeners that the successor does not use, whenever they change.
 */
export async function observe(
  { dialogue, probationMs }: HandedOver,
  left: (keys: readonly string[]) => void,
): Promise<Verdict> {
  let counted = new Totals();
  const silent = deferred<never>();
  const inTime = deadline(probationMs + PROBATION_MARGIN_MS, () => silent.reject(silence()));
  const silence = (): HandoverError =>
    new HandoverError(
      'ERR_MOTYA_SUCCESSOR_SILENT',
      `it has not said within ${PROBATION_MARGIN_MS / 1000} s how its probation went`,
    );
  try {
    for (;;) {
      const heard = dialogue.expect(['PROVING', 'UNUSED', 'SETTLED', 'ROLLBACK'], LONGEST_TIMER_MS);
      const { message } = await Promise.race([heard, silent.promise]);
      if (message.type === 'ROLLBACK') {
        return { reason: new HandoverError(message.code, message.text), counted, hungUp: false };
      }
      if (message.type === 'PROVING') {
        counted = Totals.from(message.counters);
        continue;
      }
      if (message.type === 'UNUSED') {
        left(message.keys);
        continue;
      }
      const { unused, unconditional = false } = message;
      return { reason: null, counted, hungUp: false, unused, unconditional };
    }
  } catch (error) {
    const reason = HandoverError.from(error);
    return { reason, counted, hungUp: reason.code !== 'ERR_MOTYA_SUCCESSOR_SILENT' };
  } finally {
    inTime();
  }
}

/** What a successor's probation needs of its instance. */
export interface Trial {
  /** ms */
  readonly ms: number;
  /** What the counters have grown by since LIVE. */
  counted(): Totals;
  /** What is wrong at the end, or null. May look for a while. Never rejects. */
  fault(): Promise<HandoverError | null>;
  /** Closes the adopted listeners that no program uses, at the end. @returns their keys */
  letGo(): string[];
  /** Those end whether or not they still get connections. */
  readonly allowRemoved: boolean;
}

/** The successor's side: tells that it is there, and in the end how it went. */
export class Proof {
  readonly #offer: Offer;
  readonly #trial: Trial;
  /** performance.now() of its end. */
  readonly #end: number;
  readonly #over = deferred<void>();
  readonly #beat: NodeJS.Timeout;
  readonly #timer: NodeJS.Timeout;
  #isOver = false;
  #isEarly = false;
  #isSettling = false;
  /** Why it has failed. */
  #failure: HandoverError | null = null;

  constructor(offer: Offer, trial: Trial) {
    this.#offer = offer;
    this.#trial = trial;
    this.#end = performance.now() + trial.ms;
    const { dialogue, txid } = offer;
    const beat = (): void => dialogue.send({ type: 'PROVING', txid, counters: trial.counted() });
    this.#beat = setInterval(beat, STATS_MS);
    this.#timer = setTimeout(() => inBackground('the end of the probation', this.#decide()), trial.ms);
  }

  /** Never rejects. */
  async #decide(): Promise<void> {
    if (this.#isEarly) return;
    // A defect of ours must not leave the incumbent without a word.
    const found = await this.#trial.fault().catch(HandoverError.from);
    if (this.#isEarly || this.#isOver) return;
    // An incumbent that does not answer is told of by whoever wants the next generation.
    if (found === null) await this.#settle().catch(() => {});
    else this.fail(found);
  }

  /** Keys of the adopted listeners that no program uses now. */
  unused(keys: string[]): void {
    const { dialogue, txid } = this.#offer;
    if (!this.#isSettling && !this.#isOver) dialogue.send({ type: 'UNUSED', txid, keys });
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
    if (!this.#isOver && !this.#isSettling) {
      this.#isSettling = true;
      const unconditional = this.#isEarly || this.#trial.allowRemoved;
      dialogue.send({ type: 'SETTLED', txid, unused: this.#trial.letGo(), unconditional });
    }
    if (await isDone(GREETING_MS, this.over)) return;
    throw new HandoverError(
      'ERR_MOTYA_WEDGED',
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
