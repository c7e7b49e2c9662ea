import { inBackground, reportDefect } from '../base/background.js';
import { ACCEPT_LOOK_MS, COUNT_MS, LAST_LOOK_MS, NOT_ACCEPTING_MS, NOT_TURNING_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import type { Listener } from '../listeners/listener.js';
import type { ListenerCounts } from '../workers/listener-counts.js';
import type { Life } from './life.js';

/** A listener on which clients wait. */
interface Suspect {
  /** performance.now() of when its programs were last seen to accept, or of the first look. */
  readonly since: number;
  /** What they had accepted then. */
  readonly counts: ListenerCounts;
  /** The look (performance.now()) that has last seen them accept. Clients may still wait: under load the queue is never empty. */
  readonly acceptedAt: number;
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

  /**
   * At the end: looks on until each listener on which clients wait is seen to accept, for LAST_LOOK_MS at most.
   * @returns what is wrong, or null
   */
  async lastLook(): Promise<HandoverError | null> {
    clearTimeout(this.#timer);
    const began = performance.now();
    for (;;) {
      const fault = await this.#look();
      const late = [...this.#suspects].find(([, { acceptedAt }]) => acceptedAt < began);
      if (fault !== null || late === undefined || this.#isClosed) return fault;
      if (performance.now() - began >= LAST_LOOK_MS - COUNT_MS) return this.#dead(...late);
      await new Promise<void>((resolve) => {
        this.#timer = setTimeout(resolve, ACCEPT_LOOK_MS);
      });
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(() => inBackground('looking whether the programs accept', this.#turn()), ACCEPT_LOOK_MS);
  }

  async #turn(): Promise<void> {
    const fault = await this.#look();
    if (this.#isClosed) return;
    if (fault === null) {
      this.#schedule();
      return;
    }
    this.close();
    this.#broken(fault);
  }

  /** One at a time. Never rejects. */
  #look(): Promise<HandoverError | null> {
    this.#looking = this.#looking
      .then(() => this.#judge())
      .catch((error: unknown) => {
        reportDefect('looking whether the programs accept', error);
        return null;
      });
    return this.#looking;
  }

  async #judge(): Promise<HandoverError | null> {
    const { instance } = this.#life;
    // On these the incumbent accepts.
    const leftOut = new Set(instance.usedByIncumbentOnly());
    const waiting = instance.programListeners().filter((listener) => !leftOut.has(listener) && clientsWait(listener));
    const keys = new Set(waiting.map(({ key }) => key));
    for (const key of this.#suspects.keys()) if (!keys.has(key)) this.#suspects.delete(key);
    if (waiting.length === 0) return null;
    const counts = await instance.fleet.countListeners([...keys]);
    for (const listener of waiting) {
      const { key } = listener;
      const suspect = this.#suspects.get(key);
      if (suspect === undefined) {
        this.#suspects.set(key, { since: performance.now(), counts, acceptedAt: Number.NEGATIVE_INFINITY });
        continue;
      }
      const accepts = counts.acceptedSince(suspect.counts, key) > 0;
      // What a worker had accepted that did not answer then is not known: its event loop turns again, and counts from here.
      if (accepts || counts.answeredFirst(suspect.counts)) {
        const since = performance.now();
        const acceptedAt = accepts ? since : suspect.acceptedAt;
        this.#suspects.set(key, { since, counts: counts.filledFrom(suspect.counts), acceptedAt });
        continue;
      }
      const ms = performance.now() - suspect.since;
      const most = counts.answered(listener.users) ? NOT_ACCEPTING_MS : NOT_TURNING_MS;
      if (ms >= most) return this.#dead(key, suspect);
    }
    return null;
  }

  #dead(key: string, { since }: Suspect): HandoverError {
    const isUsed = (this.#life.instance.ledger.get(key)?.users.size ?? 0) > 0;
    const who = isUsed ? 'its program does not accept' : 'no program of the new version listens on it';
    const seconds = ((performance.now() - since) / 1000).toFixed(1);
    return new HandoverError('ERR_MOTYA_CLIENTS_WAITING', `clients have waited on ${key} for ${seconds} s: ${who}`);
  }
}

/** False for datagrams, whose queue tells nothing of a reader. */
function clientsWait({ socket, fd }: Listener): boolean {
  if (socket.type !== 'stream') return false;
  return socket.family === 'unix' ? native.fd.waitReadable(fd, 0) : native.listener.queueLength(fd).waiting > 0;
}
