import type { Channel } from '../base/channel.js';
import { STOPPED_MS } from '../base/deadlines.js';
import { processEnd } from '../base/os/processes.js';
import { within } from '../base/timeout.js';
import { connectControl, requestStatus } from '../control/client.js';
import type { ControlShapes } from '../control/control-messages.js';
import { drainersOf } from '../control/drainers.js';
import type { DrainStatus } from '../status/status-document.js';

interface Other {
  readonly channel: Channel<ControlShapes>;
  readonly generation: number | null;
  readonly ended: Promise<void>;
}

/**
 * Opens the connection to an instance; resolves when that has ended. It hangs up when nothing of it is left but its last lines of
 * output, and ends then. The process is watched from now on, so that its pid cannot be another's.
 */
export async function endOf(channel: Channel<ControlShapes>): Promise<void> {
  const watch = new AbortController();
  // 0: a process of another pid namespace.
  const ended = channel.peer.pid > 0 ? processEnd(channel.peer.pid, watch.signal) : Promise.resolve();
  await new Promise<void>((resolve) => {
    channel.on('close', () => resolve());
    channel.open();
  });
  await within(STOPPED_MS, ended);
  watch.abort();
}

/** The draining generations of an instance that is stopped. No process may stay that no command can find. */
export class OtherGenerations {
  readonly #path: string;
  readonly #others = new Map<number, Other>();

  /** @param path of the instance's control socket */
  constructor(path: string) {
    this.#path = path;
  }

  get size(): number {
    return this.#others.size;
  }

  /** Finds those that drain now. */
  async look(): Promise<void> {
    for (const { pid, path } of drainersOf(this.#path)) {
      if (this.#others.has(pid)) continue;
      try {
        const channel = connectControl(path);
        const ended = endOf(channel);
        const status = await requestStatus(path).catch(() => null);
        this.#others.set(pid, { channel, generation: status?.generation ?? null, ended });
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  /** Tells them to end, but for those with these pids: they have been told. */
  end({ now, told }: { now: boolean; told: readonly number[] }): void {
    for (const [pid, { channel }] of this.#others)
      if (!told.includes(pid)) channel.send({ type: 'STOP', now, once: false });
  }

  /** Resolves when all have ended, with a line about each. `known`: what the main process has told of them. */
  async ended(known: readonly DrainStatus[]): Promise<string[]> {
    await Promise.all([...this.#others.values()].map(({ ended }) => ended));
    return [...this.#others].map(([pid, { generation: said }]) => {
      const generation = known.find((one) => one.pid === pid)?.generation ?? said;
      const who = generation === null ? 'another generation' : `generation ${generation}`;
      return `${who} (pid ${pid}), which was draining, has ended`;
    });
  }
}
