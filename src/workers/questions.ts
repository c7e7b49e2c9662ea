import type { Channel } from '../base/channel.js';
import type { ReceivedFds } from '../base/received-fds.js';
import { ANSWERS, type WorkerMessage, type WorkerShapes } from '../runtime/worker-messages.js';

type QuestionType = keyof typeof ANSWERS;
type Named<T extends WorkerMessage['type']> = Extract<WorkerMessage, { type: T }>;
type AnswerTo<Q extends QuestionType> = Named<(typeof ANSWERS)[Q]>;
type AnyAnswer = AnswerTo<QuestionType>;

interface Pending {
  readonly type: AnyAnswer['type'];
  readonly answered: (answer: AnyAnswer, fds: ReceivedFds) => void;
  readonly gone: () => void;
}

const ANSWER_TYPES: ReadonlySet<string> = new Set(Object.values(ANSWERS));
const isAnswer = (message: WorkerMessage): message is AnyAnswer => ANSWER_TYPES.has(message.type);

/** Questions to one process, each with the answer that has its id: they may be asked and answered in any order. */
export class Questions {
  readonly #channel: Channel<WorkerShapes>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #isClosed = false;

  constructor(channel: Channel<WorkerShapes>) {
    this.#channel = channel;
  }

  /**
   * Resolves with what `read` makes of the answer, at the moment when it comes: fds that it does not take are closed. Null: the
   * process has ended. Rejects with what `read` throws.
   */
  ask<Q extends QuestionType, T>(
    question: Omit<Named<Q>, 'id'> & { type: Q },
    read: (answer: AnswerTo<Q>, fds: ReceivedFds) => T,
    fds: readonly number[] = [],
  ): Promise<T | null> {
    if (this.#isClosed) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      const id = this.#lastId;
      const answered = (answer: AnyAnswer, received: ReceivedFds): void => {
        try {
          resolve(read(answer as AnswerTo<Q>, received));
        } catch (error) {
          reject(error);
        }
      };
      this.#pending.set(id, { type: ANSWERS[question.type], answered, gone: () => resolve(null) });
      this.#channel.send({ ...question, id } as Named<Q>, fds);
    });
  }

  /** @returns whether it is an answer; one that answers nothing changes nothing */
  receive(message: WorkerMessage, fds: ReceivedFds): boolean {
    if (!isAnswer(message)) return false;
    const pending = this.#pending.get(message.id);
    if (pending?.type !== message.type) return true;
    this.#pending.delete(message.id);
    pending.answered(message, fds);
    return true;
  }

  /** The process has ended: nothing more is answered. */
  close(): void {
    this.#isClosed = true;
    for (const { gone } of this.#pending.values()) gone();
    this.#pending.clear();
  }
}
