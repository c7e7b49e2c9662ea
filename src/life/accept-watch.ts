import { HandoverError } from '../errors.js';
import { ACCEPT_LOOK_MS, NOT_ACCEPTING_MS, NOT_TURNING_MS } from '../limits.js';
import type { Listener } from '../listeners/ledger.js';
import { native } from '../native.js';
import type { ListenerCounts } from '../workers/listener-counts.js';
import type { Life } from './life.js';

/** A listener on which clients wait. */
interface Suspect {
  /** performance.now() of when its programs were last seen to accept, or of the first look. */
  readonly since: number;
  /** What they had accepted then. */
  readonly counts: ListenerCounts;
  /** They have accepted since the look before. Clients may still wait: under load the queue is never empty. */
  readonly accepts: boolean;
}

/**
 * Looks whether the programs of a successor on probation accept. A listener is dead when clients wait in its queue and no program
 * takes one: for NOT_ACCEPTING_MS though the event loop of each program that has it turns, or for NOT_TURNING_MS.
 */
export class AcceptWatch {
  readonly #life: Life;
  readonly #broken: (reason: HandoverError) => void;
  readonly #suspects = new Map<string, Suspect>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<HandoverError | null> = Promise.resolve(null);
  #isClosed = false;

  /** `broken` is called once. */
  constructor(life: Life, broken: (reason: HandoverError) => void) {
    this.#life = life;
    this.#broken = broken;
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** At the end: looks on until each listener on which clients wait is seen to accept. @returns what is wrong, or null */
  async lastLook(): Promise<HandoverError | null> {
    clearTimeout(this.#timer);
    for (;;) {
      const fault = await this.#look();
      const areWell = [...this.#suspects.values()].every(({ accepts }) => accepts);
      if (fault !== null || areWell || this.#isClosed) return fault;
      await new Promise<void>((resolve) => {
        this.#timer = setTimeout(resolve, ACCEPT_LOOK_MS);
      });
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(async () => {
      const fault = await this.#look();
      if (this.#isClosed) return;
      if (fault === null) {
        this.#schedule();
        return;
      }
      this.close();
      this.#broken(fault);
    }, ACCEPT_LOOK_MS);
  }

  /** One at a time. Never rejects. */
  #look(): Promise<HandoverError | null> {
    this.#looking = this.#looking
      .then(() => this.#judge())
      .catch((error: unknown) => {
        this.#life.warn(
          'defect',
          `it cannot be seen whether the programs accept: ${HandoverError.from(error).message}`,
        );
        return null;
      });
    return this.#looking;
  }

  async #judge(): Promise<HandoverError | null> {
    const { instance } = this.#life;
    // On these the incumbent accepts.
    const unserved = new Set(instance.unserved());
    const waiting = instance.programListeners().filter((listener) => !unserved.has(listener) && clientsWait(listener));
    const keys = new Set(waiting.map(({ key }) => key));
    for (const key of this.#suspects.keys()) if (!keys.has(key)) this.#suspects.delete(key);
    if (waiting.length === 0) return null;
    const counts = await instance.fleet.countListeners([...keys]);
    for (const listener of waiting) {
      const { key } = listener;
      const suspect = this.#suspects.get(key);
      if (suspect === undefined) {
        this.#suspects.set(key, { since: performance.now(), counts, accepts: false });
        continue;
      }
      const accepts = counts.acceptedSince(suspect.counts, key) > 0;
      // What a worker had accepted that did not answer then is not known: its event loop turns again, and counts from here.
      if (accepts || counts.answeredFirst(suspect.counts)) {
        this.#suspects.set(key, { since: performance.now(), counts: counts.filledFrom(suspect.counts), accepts });
        continue;
      }
      this.#suspects.set(key, { ...suspect, accepts });
      const ms = performance.now() - suspect.since;
      if (ms >= (counts.answered(listener.claims) ? NOT_ACCEPTING_MS : NOT_TURNING_MS)) return dead(listener, ms);
    }
    return null;
  }
}

function dead({ key, claims }: Listener, ms: number): HandoverError {
  const who = claims.size === 0 ? 'no program of the new version listens on it' : 'its program does not accept';
  const text = `clients have waited on ${key} for ${(ms / 1000).toFixed(1)} s: ${who}`;
  return new HandoverError('MOTYA_NOT_ACCEPTING', text);
}

/** False for datagrams, whose queue tells nothing of a reader. */
function clientsWait({ socket, fd }: Listener): boolean {
  if (socket.type !== 'stream') return false;
  return socket.family === 'unix' ? native.waitReadable(fd, 0) : native.queueLength(fd).waiting > 0;
}
