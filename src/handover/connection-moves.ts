import { deferred } from '../base/deferred.js';
import { HandoverError } from '../base/errors.js';
import { LONGEST_TIMER_MS } from '../base/limits.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { Move, MoveOrigin, SendMove } from '../workers/moves.js';
import type { Dialogue } from './dialogue.js';
import type { HandoverMessage } from './handover-messages.js';

/** What a generation may have said before it heard that the other one drains. */
const STALE = ['STATS', 'PROVING', 'LEFT_OUT'] as const;

/** Connections of a generation that drains, on their way to the other one: its side. {@link receiveMove} is the other's. */
export class OutgoingMoves {
  readonly #dialogue: Dialogue;
  readonly #txid: string;
  readonly #pending = new Map<number, (room: number) => void>();
  readonly #finished = deferred<null>();
  #lastId = 0;
  #isOver = false;

  constructor(dialogue: Dialogue, txid: string) {
    this.#dialogue = dialogue;
    this.#txid = txid;
  }

  readonly send: SendMove = ({ service, index }: MoveOrigin, { key, connections }: Move, fds) => {
    if (this.#isOver) return Promise.resolve(0);
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = new Promise<number>((resolve) => this.#pending.set(id, resolve));
    const move = { id, service, index, key, connections: [...connections] };
    this.#dialogue.send({ type: 'MOVE', txid: this.#txid, ...move }, fds);
    return answer;
  };

  /** Until {@link finish}, or until the conversation ends: then nothing is answered any more. */
  async hearAnswers(): Promise<void> {
    try {
      for (;;) {
        const heard = this.#dialogue.expect(['MOVED', ...STALE], LONGEST_TIMER_MS);
        const next = await Promise.race([heard, this.#finished.promise]);
        if (next === null) return;
        if (next.message.type === 'MOVED') this.#answered(next.message);
      }
    } catch (error) {
      // The words settle what is on its way, and the rest drains.
      if (!(error instanceof HandoverError)) throw error;
    } finally {
      this.#isOver = true;
      for (const id of this.#pending.keys()) this.#answered({ id, room: 0 });
    }
  }

  /** No connection is left. */
  finish(): void {
    this.#finished.resolve(null);
  }

  #answered({ id, room }: { id: number; room: number }): void {
    this.#pending.get(id)?.(room);
    this.#pending.delete(id);
  }
}

/** Brings them to a worker, and sends before it returns. @returns how many more there is room for; 0: no more */
export type AdoptMove = SendMove;

/** Of the generation that serves: takes MOVE, and answers it. `fds` are closed. */
export async function receiveMove(
  dialogue: Dialogue,
  { txid, id, service, index, key, connections }: Extract<HandoverMessage, { type: 'MOVE' }>,
  fds: readonly number[],
  adopt: AdoptMove,
): Promise<void> {
  const room = sendOn();
  dialogue.send({ type: 'MOVED', txid, id, room: await room });

  function sendOn(): Promise<number> {
    using _owned = new OwnedFds(fds);
    // It sends before it returns.
    return adopt({ service, index }, { key, connections }, fds);
  }
}
