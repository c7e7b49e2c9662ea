import { drainSocketOf } from '../base/os/paths.js';
import { connectControl } from '../control/client.js';
import type { Predecessors } from '../handover/predecessors.js';

/**
 * Tells the generations that still drain to end with this one: after a stop no command would look for them. One that is passed on
 * to this instance meanwhile (PREDECESSOR) is told, too.
 */
export class EndOfOthers {
  readonly #controlSocket: string;
  readonly #predecessors: Predecessors;
  /** Pids of those that were told, and whether they were told to end now. */
  readonly #told = new Map<number, boolean>();
  #hasBegun = false;
  #isNow = false;

  constructor(controlSocket: string, predecessors: Predecessors) {
    this.#controlSocket = controlSocket;
    this.#predecessors = predecessors;
  }

  /** `now`: what they have open is closed; else their drain is shortened, as SIGTERM does. */
  begin({ now }: { now: boolean }): void {
    this.#hasBegun = true;
    this.#isNow ||= now;
    this.look();
  }

  look(): void {
    if (!this.#hasBegun) return;
    for (const pid of this.#predecessors.pids()) {
      const before = this.#told.get(pid);
      if (before === true || before === this.#isNow) continue;
      this.#told.set(pid, this.#isNow);
      // One of an older version, or that has let go of its listeners just now, has no socket of its own.
      if (!tell(drainSocketOf(this.#controlSocket, pid), this.#isNow)) this.#predecessors.signal('SIGTERM', pid);
    }
  }
}

function tell(path: string, now: boolean): boolean {
  try {
    const channel = connectControl(path);
    channel.open();
    // Another generation may have told it already.
    channel.send({ type: 'STOP', now, once: true });
    channel.end();
    return true;
  } catch {
    return false;
  }
}
