import { setTimeout as wait } from 'node:timers/promises';
import { type Asked, type ClientConnection, headOf, textOf } from './connection.js';

/** How a client sends its requests. */
export const HABITS = {
  /** A GET now and then; idle in between. */
  idle: async (connection: ClientConnection, id: string) => {
    await wait(200 + Math.random() * 600);
    await connection.ask({ id });
  },
  /** One GET after the other; the program takes up to 200 ms. */
  busy: async (connection: ClientConnection, id: string) => {
    await wait(Math.random() * 20);
    await connection.ask({ id, ms: Math.floor(Math.random() * 200) });
  },
  /** A POST whose body comes in pieces. */
  upload: async (connection: ClientConnection, id: string) => {
    const asked: Asked = { id, ms: Math.floor(Math.random() * 50), body: `${id}${'x'.repeat(Math.random() * 3_000)}` };
    const answer = connection.expect(asked);
    connection.socket.write(headOf(asked));
    await inPieces(connection, asked.body ?? '');
    await answer;
    await wait(Math.random() * 50);
  },
  /** A GET whose head comes in pieces. */
  pieces: async (connection: ClientConnection, id: string) => {
    const asked = { id, ms: Math.floor(Math.random() * 50) };
    const answer = connection.expect(asked);
    await inPieces(connection, textOf(asked));
    await answer;
    await wait(Math.random() * 50);
  },
  /** Up to four requests in one write. */
  pipelined: async (connection: ClientConnection, id: string) => {
    const count = 1 + Math.floor(Math.random() * 4);
    const batch = Array.from({ length: count }, (_, index) => ({
      id: `${id}.${index}`,
      ms: Math.floor(Math.random() * 100),
    }));
    const answers = batch.map((asked) => connection.expect(asked));
    connection.socket.write(batch.map(textOf).join(''));
    await Promise.all(answers);
    await wait(Math.random() * 50);
  },
} as const;

export type Habit = keyof typeof HABITS;

const PIECES = 4;

async function inPieces(connection: ClientConnection, text: string): Promise<void> {
  const size = Math.ceil(text.length / PIECES);
  for (let at = 0; at < text.length; at += size) {
    if (connection.socket.destroyed) return;
    connection.socket.write(text.slice(at, at + size));
    await wait(Math.random() * 10);
  }
}
