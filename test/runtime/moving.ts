import { allKinds } from '#src/base/drain-kinds.js';
import type { Message, TestWorker } from './supervisor.js';

/** Connections that the other worker has room for. */
export const ROOM = 1000;
export const drain = { type: 'DRAIN', times: allKinds(60_000), move: 32 } as const;
export type Move = TestWorker['moves'][number];

/** Begins the drain, and says that there is room. @returns the MOVE */
export async function movedFrom(from: TestWorker): Promise<Move> {
  from.send(drain);
  const { id } = (await from.message('MOVE')) as Message<'MOVE'>;
  from.send({ type: 'MOVED', id, room: ROOM });
  return from.until('a MOVE', () => from.moves.find(({ move }) => move.connections.length > 0));
}

/** As the supervisors on the way do. @returns the room that is left */
export async function deliver(to: TestWorker, { move, fds }: Move): Promise<number> {
  const seen = to.messages.length;
  to.send({ type: 'MOVE', key: move.key, connections: move.connections }, fds);
  return ((await to.message('MOVED', seen)) as Message<'MOVED'>).room;
}
