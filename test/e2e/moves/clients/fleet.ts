import { setTimeout as wait } from 'node:timers/promises';
import { ClientConnection } from './connection.js';
import { HABITS, type Habit } from './habits.js';
import { type Report, Tally } from './tally.js';

export interface FleetOptions extends Partial<Readonly<Record<Habit, number>>> {
  readonly port: number;
  /** A client whose connection has ended begins another one; default false: it is gone. */
  readonly reconnect?: boolean;
}

/** ms from one attempt to connect to the next. */
const AGAIN_MS = 20;
/** ms for the last answers. */
const LAST_MS = 5_000;

/** Keep-alive clients at work. None ever repeats a request. */
export class Fleet {
  readonly #tally = new Tally();
  readonly #options: FleetOptions;
  readonly #connections = new Map<string, ClientConnection>();
  readonly #running: Promise<void>[] = [];
  #stopped = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    for (const habit of Object.keys(HABITS) as Habit[]) {
      for (let index = 0; index < (options[habit] ?? 0); index++) {
        this.#running.push(this.#run(habit, `${habit}-${index}`));
      }
    }
  }

  /** Those that have not ended. */
  get connections(): ClientConnection[] {
    return [...this.#connections.values()].filter(({ ended }) => !ended);
  }

  /** Connections by the generation that has answered last; `undefined`: none has. */
  generations(): Map<number | undefined, number> {
    const counts = new Map<number | undefined, number>();
    for (const { generation } of this.connections) counts.set(generation, (counts.get(generation) ?? 0) + 1);
    return counts;
  }

  /** Whether each client has a connection whose last answer came from `generation`. */
  areAllAt(generation: number): boolean {
    const { connections } = this;
    return connections.length === this.#running.length && connections.every((one) => one.generation === generation);
  }

  /** ms that the request that has waited longest has waited for more than its program takes. */
  get late(): number {
    return Math.max(0, ...this.connections.map(({ late }) => late));
  }

  /** Addresses of connections that the program has seen. */
  get upstreams(): ReadonlySet<string> {
    return this.#tally.upstreams;
  }

  report(): Report {
    return this.#tally.report();
  }

  /** Lets every client have its answer, and leaves. What comes later than {@link LAST_MS} is missing. */
  async stop(): Promise<Report> {
    this.#stopped = true;
    const timer = setTimeout(() => {
      for (const connection of this.#connections.values()) connection.leave();
    }, LAST_MS);
    await Promise.all(this.#running);
    clearTimeout(timer);
    for (const connection of this.#connections.values()) connection.leave();
    return this.report();
  }

  async #run(habit: Habit, name: string): Promise<void> {
    let count = 0;
    do {
      const connection = await this.#connect(name);
      if (connection === undefined) continue;
      while (!this.#stopped && !connection.ended && !connection.socket.destroyed) {
        await HABITS[habit](connection, `${name}.${++count}`);
        // A client does not use a connection that is about to be closed.
        if (connection.isTold) break;
      }
      if (!this.#stopped && this.#options.reconnect) {
        connection.leave();
        this.#tally.count('reconnects', name);
      }
    } while (!this.#stopped && this.#options.reconnect);
  }

  async #connect(name: string): Promise<ClientConnection | undefined> {
    try {
      const to = { port: this.#options.port, host: '127.0.0.1' };
      const connection = await ClientConnection.connect(to, name, this.#tally);
      this.#connections.set(name, connection);
      return connection;
    } catch (error) {
      this.#tally.count('refused', `${name}: ${(error as NodeJS.ErrnoException).code}`);
      await wait(AGAIN_MS);
      return undefined;
    }
  }
}
