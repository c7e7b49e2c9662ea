import { type EventLoopDelay, worse } from '../base/loop-delay.js';
import type { Obstacle } from '../listeners/refusals.js';
import { both, NO_ANSWERS } from '../runtime/counts.js';
import type { AnswerCounts } from '../runtime/worker-messages.js';
import type { Branch } from './branches.js';

/** What is still to be told of processes of a worker that have ended. */
export class EndedBranches {
  #answers: AnswerCounts = NO_ANSWERS;
  #delay: EventLoopDelay | null = null;
  #refusal: Obstacle | null = null;
  readonly #held = new Set<string>();

  add(branch: Branch): void {
    this.#answers = both(this.#answers, branch.lastAnswers);
    for (const key of branch.granted) this.#held.add(key);
    this.#refusal = branch.lastRefusal ?? this.#refusal;
    const delay = branch.takeDelay();
    if (delay !== null) this.#delay = worse(this.#delay, delay);
  }

  get answers(): AnswerCounts {
    return this.#answers;
  }

  /** What the last of them that was refused a listener was told. */
  get lastRefusal(): Obstacle | null {
    return this.#refusal;
  }

  /** Keys of listeners that they had and no program has closed since. */
  get held(): ReadonlySet<string> {
    return this.#held;
  }

  release(key: string): void {
    this.#held.delete(key);
  }

  takeDelay(): EventLoopDelay | null {
    const delay = this.#delay;
    this.#delay = null;
    return delay;
  }
}
