import { inBackground } from '../base/background.js';
import type { Channel } from '../base/channel.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { WorkerMessage, WorkerShapes } from '../runtime/worker-messages.js';
import type { Move, MoveOrigin, Moving } from './moves.js';
import type { Questions } from './questions.js';

/** Connections that change their process, between one worker and the other generation: nothing is kept of them here. */
export class MoveRelay {
  readonly #channel: Channel<WorkerShapes>;
  readonly #questions: Questions;
  /** Where those of this worker may go; null: nowhere. */
  moving: Moving | null = null;

  constructor(channel: Channel<WorkerShapes>, questions: Questions) {
    this.#channel = channel;
    this.#questions = questions;
  }

  /** From the worker. */
  relay(move: Extract<WorkerMessage, { type: 'MOVE' }>, fds: ReceivedFds, origin: MoveOrigin): void {
    const files = fds.takeAll();
    using _owned = new OwnedFds(files);
    const { id, key, connections } = move;
    const room = this.moving?.send(origin, { key, connections }, files) ?? Promise.resolve(0);
    const answered = room.then((left) => this.#channel.send({ type: 'MOVED', id, room: left }));
    inBackground('moving connections', answered);
  }

  /** To the worker. @returns how many more it has room for; 0 when it has ended */
  async deliver({ key, connections }: Move, fds: readonly number[]): Promise<number> {
    const question = { key, connections: [...connections] };
    return (await this.#questions.ask({ type: 'MOVE', ...question }, ({ room }) => room, fds)) ?? 0;
  }
}
