import { Channel } from '../channel.js';
import { HandoverError, reasonOf } from '../errors.js';
import { LONGEST_TIMER_MS, STATS_SILENCE_MS } from '../limits.js';
import { native } from '../native.js';
import type { Chronicle } from '../observe/chronicle.js';
import type { DrainStatus } from '../observe/status.js';
import { Totals } from '../observe/totals.js';
import { closeAll, Dialogue, PASSED_ON, PEER_GONE, PeerAbort } from './dialogue.js';
import type { HandedOver } from './incumbent.js';
import { type HandoverMessage, handoverCodec } from './messages.js';

/** What a generation that was rolled back has said before it heard of that. */
const STALE = ['PROVING', 'UNUSED', 'SETTLED', 'ROLLBACK'] as const;
const HEARD = ['STATS', 'PREDECESSOR', 'DRAINING', 'REVOKED', 'BYE', ...STALE] as const;

const isStale = (message: HandoverMessage): message is Extract<HandoverMessage, { type: (typeof STALE)[number] }> =>
  (STALE as readonly string[]).includes(message.type);

/** A generation that drains, and how it is heard of. */
interface Followed {
  readonly dialogue: Dialogue;
  readonly generation: number;
  status: DrainStatus;
  /** What it has counted since its COMMIT, as far as our own counters have it; and as far as our own COMMIT had it. */
  counted: Totals;
  committed: Totals;
}

/**
 * The generations before this one that still drain, as far as they have told. One that outlives its own successor goes on
 * telling the next: its conversation is passed on with the hand-over.
 */
export class Predecessors {
  readonly #followed = new Map<number, Followed>();
  readonly #waiting: (() => void)[] = [];
  readonly #chronicle: Chronicle;
  readonly #warn: (text: string) => void;
  readonly #changed: () => void;

  /** `changed` is called when one has told for the first time what it drains, and when one has ended. */
  constructor(chronicle: Chronicle, warn: (text: string) => void, changed: () => void = () => {}) {
    this.#chronicle = chronicle;
    this.#warn = warn;
    this.#changed = changed;
  }

  /** The oldest first. */
  all(): DrainStatus[] {
    const statuses = [...this.#followed.values()].map(({ status }) => status);
    return statuses
      .map((status) => ({ ...status, left: Math.max(0, Date.parse(status.deadline) - Date.now()) }))
      .sort((a, b) => a.generation - b.generation);
  }

  /** To those that are still heard of: a pid whose connection is open is nobody else's. */
  signal(signal: NodeJS.Signals): void {
    for (const pid of this.#followed.keys()) {
      try {
        process.kill(pid, signal);
      } catch {
        // ESRCH: it has just ended. EPERM: it runs as another user.
      }
    }
  }

  /**
   * Listens to another generation that drains, or may still take the hand-over back, until its BYE or its end. `draining` is
   * called when it has let go of everything, and until then its silence is no end: it may serve again at any moment, so nobody
   * must go on as if it had gone. `counted`: what of its counters ours have already.
   * @returns why it serves again, or null. The dialogue is open still when it has said REVOKED: it is our turn to speak.
   */
  follow(
    { dialogue, pid, generation }: { dialogue: Dialogue; pid: number; generation: number },
    { draining = null, counted = new Totals() }: { draining?: (() => void) | null; counted?: Totals } = {},
  ): Promise<HandoverError | null> {
    return this.#follow(dialogue, { pid, generation }, counted, draining);
  }

  /** Resolves when none of them drains any more. */
  async gone(): Promise<void> {
    while (this.#followed.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** At COMMIT: the counters that go with it have in them what has been heard until now. */
  commit(): void {
    for (const followed of this.#followed.values()) followed.committed = followed.counted.copy();
  }

  /** After a hand-over: whom we follow is the successor's to follow. May be called again, for those that could not go yet. */
  passOn({ dialogue, txid, follows }: HandedOver): void {
    if (!follows) return;
    for (const [pid, { dialogue: conversation, generation, counted, committed }] of this.#followed) {
      const fd = conversation.release();
      if (fd === null) continue;
      this.#chronicle.subtract(counted.since(committed));
      dialogue.send({ type: 'PREDECESSOR', txid, pid, generation, counted: committed }, [fd]);
      native.close(fd);
      this.#followed.delete(pid);
    }
  }

  async #follow(
    dialogue: Dialogue,
    { pid, generation }: { pid: number; generation: number },
    counted: Totals,
    draining: (() => void) | null,
  ): Promise<HandoverError | null> {
    const deadline = new Date().toISOString();
    const status = { pid, generation, connections: 0, protocols: null, left: 0, deadline };
    const followed: Followed = { dialogue, generation, status, counted, committed: counted };
    this.#followed.set(pid, followed);
    let isRevoked = false;
    let isHeard = false;
    let silence = draining === null ? STATS_SILENCE_MS : LONGEST_TIMER_MS;
    try {
      for (;;) {
        const { message, fds } = await dialogue.expect(HEARD, silence);
        if (isStale(message)) continue;
        if (message.type === 'DRAINING') {
          silence = STATS_SILENCE_MS;
          draining?.();
          continue;
        }
        if (message.type === 'REVOKED') {
          isRevoked = true;
          return new HandoverError(message.code, message.text);
        }
        if (message.type === 'PREDECESSOR') {
          this.#takeOn(message, fds);
          continue;
        }
        this.#count(followed, message.counters);
        if (message.type === 'BYE') {
          this.#chronicle.generationEnded(generation, message.forced);
          return null;
        }
        const { connections, left, protocols = null, gap } = message;
        const until = new Date(Date.now() + left).toISOString();
        followed.status = { pid, generation, connections, protocols, left, deadline: until };
        if (!isHeard) this.#changed();
        isHeard = true;
        if (gap !== undefined) this.#chronicle.gap(generation + 1, gap / 1000);
      }
    } catch (error) {
      if (error instanceof PeerAbort) return error;
      const { code } = error as HandoverError;
      if (code !== PEER_GONE && code !== PASSED_ON) {
        this.#warn(`generation ${generation} (pid ${pid}) is not heard of any more: ${reasonOf(error)}`);
      }
      return null;
    } finally {
      this.#followed.delete(pid);
      for (const wake of this.#waiting.splice(0)) wake();
      if (!isRevoked) dialogue.close();
      this.#changed();
    }
  }

  /** `counters` is all since its COMMIT, each time: what is new in it is counted here. */
  #count(followed: Followed, counters: unknown): void {
    if (counters === undefined) return;
    const all = Totals.from(counters);
    this.#chronicle.add(all.since(followed.counted));
    followed.counted = all;
  }

  #takeOn(message: Extract<HandoverMessage, { type: 'PREDECESSOR' }>, fds: readonly number[]): void {
    const [fd] = fds;
    if (fd === undefined || fds.length !== 1) {
      closeAll(fds);
      return;
    }
    let dialogue: Dialogue;
    try {
      dialogue = new Dialogue(new Channel(fd, handoverCodec));
    } catch (error) {
      this.#warn(`generation ${message.generation} (pid ${message.pid}) cannot be followed: ${reasonOf(error)}`);
      return;
    }
    void this.#follow(dialogue, message, Totals.from(message.counted), null);
  }
}
