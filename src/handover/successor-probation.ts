import { inBackground } from '../base/background.js';
import { GREETING_MS, STATS_MS } from '../base/deadlines.js';
import { deferred } from '../base/deferred.js';
import { detailFields, HandoverError } from '../base/errors.js';
import { REASON_LENGTH } from '../base/limits.js';
import { isDone } from '../base/timeout.js';
import type { Totals } from '../status/totals.js';
import type { Offer } from './successor.js';

/** What a successor's probation needs of its instance. */
export interface Trial {
  /** What the counters have grown by since LIVE. */
  counted(): Totals;
  /** What is wrong at the end, or null. May look for a while. Never rejects. */
  fault(): Promise<HandoverError | null>;
  /** Closes the adopted listeners that no program uses, at the end. @returns their keys */
  letGo(): string[];
  /** Those end whether or not they still get connections. */
  readonly allowRemoved: boolean;
}

/**
 * The successor's side of the probation, from LIVE until the incumbent has let go or serves again: tells that it is there, and in the end how it
 * went. Without a trial the incumbent lets go by itself. ./incumbent-verdict.ts is the other side.
 */
export class Probation {
  readonly #offer: Offer;
  /** performance.now() of its end. */
  readonly #end: number;
  /** ms; 0: there is no trial. */
  readonly #ms: number;
  readonly #over = deferred<void>();
  #trial: Trial | null = null;
  #beat: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #isEarly = false;
  #isSettling = false;
  /** Why it has failed. */
  #failure: HandoverError | null = null;

  /** @param ms how long it lasts; 0: no trial */
  constructor(offer: Offer, ms: number) {
    this.#offer = offer;
    this.#ms = ms;
    this.#end = performance.now() + ms;
  }

  /** Begins the trial. */
  begin(trial: Trial): void {
    this.#trial = trial;
    const { dialogue, txid } = this.#offer;
    const beat = (): void => dialogue.send({ type: 'PROVING', txid, counters: trial.counted() });
    this.#beat = setInterval(beat, STATS_MS);
    this.#timer = setTimeout(() => inBackground('the end of the probation', this.#decide(trial)), this.left);
  }

  async #decide(trial: Trial): Promise<void> {
    if (this.#isEarly) return;
    // A defect of ours must not leave the incumbent without a word.
    const found = await trial.fault().catch(HandoverError.from);
    if (this.#isEarly || this.#isOver) return;
    if (found !== null) {
      this.fail(found);
      return;
    }
    try {
      await this.#settle();
    } catch (error) {
      // An incumbent that does not answer is told of by the next upgrade.
      if (error instanceof HandoverError) return;
      // Without SETTLED the incumbent would serve again after a silence, and no log would say why.
      this.fail(HandoverError.from(error));
      throw error;
    }
  }

  /** Keys of the adopted listeners that are left out now. */
  leftOut(keys: string[]): void {
    const { dialogue, txid } = this.#offer;
    if (!this.#isSettling && !this.#isOver) dialogue.send({ type: 'LEFT_OUT', txid, keys });
  }

  /** The successor is judged. */
  get isTrial(): boolean {
    return this.#ms > 0;
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

  get isOver(): boolean {
    return this.#isOver;
  }

  /** True: it was not waited for how it goes. */
  get isEarly(): boolean {
    return this.#isEarly;
  }

  /**
   * The instance is to go on from here: to a stop, or to the next upgrade. Resolves when the incumbent has let go.
   * @throws {HandoverError} it is being taken back, or the incumbent does not answer: it may serve again at any moment.
   */
  async settle(): Promise<void> {
    this.#isEarly = this.isTrial;
    await this.#settle();
  }

  async #settle(): Promise<void> {
    const { dialogue, txid, incumbent } = this.#offer;
    if (this.#failure !== null) throw this.#failure;
    if (this.#trial !== null && !this.#isOver && !this.#isSettling) {
      this.#isSettling = true;
      const unconditional = this.#isEarly || this.#trial.allowRemoved;
      dialogue.send({ type: 'SETTLED', txid, removed: this.#trial.letGo(), unconditional });
    }
    if (await isDone(GREETING_MS, this.over)) return;
    const text = `the incumbent (pid ${incumbent}) does not answer at the end of the probation: it may serve again`;
    throw new HandoverError('ERR_MOTYA_WEDGED', text, { details: { pid: incumbent } });
  }

  /** Asks the incumbent to serve again. */
  fail(reason: HandoverError): void {
    if (this.#isOver || this.#failure !== null) return;
    this.#failure = reason;
    const { dialogue, txid } = this.#offer;
    const { code, message } = reason;
    dialogue.send({ type: 'ROLLBACK', txid, code, text: message.slice(0, REASON_LENGTH), ...detailFields(reason) });
  }

  /** The incumbent has let go, has died, or serves again. */
  close(): void {
    this.#isOver = true;
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
    this.#over.resolve();
  }
}
