import { setTimeout as delay } from 'node:timers/promises';
import type { Channel } from '../../base/channel.js';
import { FIRST_DRAIN_MS, STATS_MS } from '../../base/deadlines.js';
import { requestStatus } from '../../control/client.js';
import type { ControlMessage, ControlShapes } from '../../control/control-messages.js';
import type { DrainStatus, Status } from '../../status/status-document.js';

/** What an instance says of its own drain; `unknown`: not in time. */
export type Drain = DrainStatus | 'ended' | 'unknown';

/**
 * The old instance after a hand-over. The conversation in which the upgrade was asked for stays with it, to its end, while its
 * path leads to the successor.
 */
export class OldInstance {
  readonly #channel: Channel<ControlShapes>;
  readonly #ended: Promise<'ended'>;
  readonly #pieces: string[] = [];
  readonly #waiting: ((drain: Drain) => void)[] = [];

  constructor(channel: Channel<ControlShapes>) {
    this.#channel = channel;
    this.#ended = new Promise((resolve) => channel.on('close', () => resolve('ended')));
    channel.on('message', (message: ControlMessage) => this.#receive(message));
  }

  /** How its drain goes now. */
  async drain(): Promise<Drain> {
    const late = new AbortController();
    const { signal } = late;
    try {
      const tooLate = delay(FIRST_DRAIN_MS, 'unknown' as const, { signal }).catch(() => 'unknown' as const);
      return await Promise.race([this.#ended, this.#ask(), tooLate]);
    } finally {
      late.abort();
    }
  }

  /** Until it has ended; `tell` about once a second, with what it has told. */
  async drained(tell: (drain: DrainStatus) => void): Promise<void> {
    for (;;) {
      const drain = await this.drain();
      if (drain === 'ended') return;
      if (drain !== 'unknown') tell(drain);
      const next = new AbortController();
      await Promise.race([this.#ended, delay(STATS_MS, undefined, { signal: next.signal }).catch(() => {})]);
      next.abort();
    }
  }

  /** A question that is asked while an answer is on its way gets that answer. */
  #ask(): Promise<Drain> {
    this.#channel.send({ type: 'STATUS' });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #receive(message: ControlMessage): void {
    if (message.type !== 'REPORT') return;
    this.#pieces.push(message.piece);
    if (message.last) this.#answer(ownDrain(JSON.parse(this.#pieces.splice(0).join('')) as Status));
  }

  #answer(drain: Drain): void {
    for (const resolve of this.#waiting.splice(0)) resolve(drain);
  }
}

/** What has become of a generation's connections. */
export interface DrainEnd {
  readonly forced: number;
  readonly moved: number;
}

/** What has become of the connections of a generation, as its successor has heard; null: it has not. */
export async function drainEndOf(path: string, pid: number): Promise<DrainEnd | null> {
  for (const deadline = performance.now() + STATS_MS; performance.now() < deadline; ) {
    const { generations } = await requestStatus(path);
    const { forced = null, moved = null } = generations.find((one) => one.pid === pid) ?? {};
    if (forced !== null) return { forced, moved: moved ?? 0 };
    await delay(STATS_MS / 10);
  }
  return null;
}

/** One that has not begun to drain knows only what its workers say. */
function ownDrain({ pid, generation, draining, services }: Status): DrainStatus {
  const connections = services.flatMap(({ workers }) => workers).reduce((sum, worker) => sum + worker.connections, 0);
  const own = draining.find((one) => one.pid === pid);
  if (own !== undefined) return { ...own, left: own.left === null ? null : Math.round(own.left) };
  return { pid, generation, connections, protocols: null, waits: null, left: null, deadline: null, probation: null };
}
