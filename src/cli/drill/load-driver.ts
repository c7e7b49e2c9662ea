import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { DRILL_CLIENTS, DRILL_PAUSE_MS, DRILL_THINK_MS } from './drill-limits.js';
import { ask, askSlowly, visit } from './http-request.js';
import { Failure, RequestCounts } from './request-counts.js';
import type { Place } from './target-address.js';

/** Clients that ask again and again until they are stopped. */
export class Load {
  readonly counts = new RequestCounts();
  /** How many. */
  readonly clients: number;
  readonly #running: readonly Promise<void>[];
  readonly #agents: Agent[] = [];
  #stopped = false;

  /** @param paths what is asked for, in turn. */
  constructor(places: readonly Place[], paths: readonly string[]) {
    this.#running = places.flatMap((place) => this.#clientsOf(place, paths));
    this.clients = this.#running.length;
  }

  /** Lets each client finish the request that it has begun. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    for (const agent of this.#agents) agent.destroy();
  }

  #clientsOf(place: Place, paths: readonly string[]): Promise<void>[] {
    const { keepAlive, fresh, slow } = DRILL_CLIENTS;
    const several = (count: number, request: (path: string) => () => Promise<void>, pauseMs = 0): Promise<void>[] =>
      Array.from({ length: count }, (_, index) => {
        const asks = paths.map(request);
        return this.#repeat(asks, index, pauseMs);
      });
    if (place.speaks === 'tcp') return several(fresh, () => () => visit(place, DRILL_PAUSE_MS), DRILL_PAUSE_MS);
    return [
      ...Array.from({ length: keepAlive }, (_, index) => {
        const agent = this.#agent(place);
        const asks = paths.map((path) => () => ask(place, path, agent));
        return this.#repeat(asks, index, 0);
      }),
      ...several(fresh, (path) => () => ask(place, path, false)),
      ...several(slow, (path) => () => askSlowly(place, path, DRILL_PAUSE_MS), DRILL_PAUSE_MS),
    ];
  }

  /** For one client: it has one connection at a time. */
  #agent({ speaks }: Place): Agent {
    const agent = new (speaks === 'https' ? SecureAgent : Agent)({ keepAlive: true, maxSockets: 1 });
    this.#agents.push(agent);
    return agent;
  }

  /** `pauseMs`: what of each request is the client's own doing. */
  async #repeat(asks: readonly (() => Promise<void>)[], first: number, pauseMs: number): Promise<void> {
    for (let turn = first; !this.#stopped; turn++) {
      const begun = performance.now();
      try {
        await asks[turn % asks.length]?.();
        this.counts.answer(Math.max(0, performance.now() - begun - pauseMs));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.counts.fail(error);
      }
      await delay(DRILL_THINK_MS);
    }
  }
}
