import { inBackground } from '../base/background.js';
import { Channel } from '../base/channel.js';
import { STATS_SILENCE_MS } from '../base/deadlines.js';
import { failureFields, HandoverError, reasonOf, type Warn } from '../base/errors.js';
import { LONGEST_TIMER_MS } from '../base/limits.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { waitsNow } from '../status/drain-waits.js';
import type { History } from '../status/history.js';
import type { DrainStatus } from '../status/status-document.js';
import { Totals } from '../status/totals.js';
import { type AdoptMove, receiveMove } from './connection-moves.js';
import { closeAll, Dialogue, PeerAbort } from './dialogue.js';
import { leftUntil, type PredecessorReport, reportOf, statusOf } from './drain-report.js';
import { type HandoverMessage, handoverCodec } from './handover-messages.js';
import type { HandedOver } from './incumbent.js';

/** What a generation that was rolled back has said before it heard of that. */
const STALE = ['PROVING', 'LEFT_OUT', 'SETTLED', 'ROLLBACK'] as const;
const HEARD = ['STATS', 'PREDECESSOR', 'DRAINING', 'REVOKED', 'BYE', 'MOVE', ...STALE] as const;

const isStale = (message: HandoverMessage): message is Extract<HandoverMessage, { type: (typeof STALE)[number] }> =>
  (STALE as readonly string[]).includes(message.type);

/** A generation that drains, and how it is heard of. */
interface Followed {
  readonly dialogue: Dialogue;
  readonly generation: number;
  status: DrainStatus;
  /** When it begins to drain (Date.now()), while its successor is on probation; null: it drains. */
  drainsAt: number | null;
  /** Those before it, as it has told of them. */
  others: readonly DrainStatus[];
  /** What it has counted since its COMMIT, as far as our own counters have it; and as far as our own COMMIT had it. */
  counted: Totals;
  committed: Totals;
  /** Connections of it that are on their way to our workers: MOVEs that are not answered yet. */
  moves: number;
}

/**
 * The generations before this one that still drain, as far as they have told. One that outlives its own successor goes on
 * telling the next: its conversation is passed on with the hand-over.
 */
export class Predecessors {
  readonly #followed = new Map<number, Followed>();
  readonly #waiting: (() => void)[] = [];
  readonly #history: History;
  readonly #warn: Warn;
  readonly #adopt: AdoptMove;
  readonly #changed: () => void;

  /**
   * `adopt` gives connections of such a generation to a worker of ours. `changed` is called when one is followed, when it has told for
   * the first time what it has open, when it begins to drain, and when it has ended.
   */
  constructor(
    history: History,
    { warn, adopt, changed = () => {} }: { warn: Warn; adopt: AdoptMove; changed?: () => void },
  ) {
    this.#history = history;
    this.#warn = warn;
    this.#adopt = adopt;
    this.#changed = changed;
  }

  /** The oldest first. */
  all(): DrainStatus[] {
    const told = [...this.#followed.values()].flatMap(({ others }) => others);
    const own = [...this.#followed.values()].map(({ status, drainsAt }) => {
      const probation = drainsAt === null ? 0 : drainsAt - Date.now();
      return probation > 0 ? { ...status, probation } : status;
    });
    // One that was passed on to us speaks for itself.
    const all = new Map([...told, ...own].map((status) => [status.pid, status]));
    return [...all.values()]
      .map((status) => ({
        ...status,
        left: leftUntil(status.deadline),
        waits: status.waits === null ? null : waitsNow(status.waits),
      }))
      .sort((a, b) => a.generation - b.generation);
  }

  /** Of those that are heard of. */
  pids(): number[] {
    return [...this.#followed.keys()];
  }

  /** To those that are still heard of, or to one of them: while its connection is open, a pid belongs to no other process. */
  signal(signal: NodeJS.Signals, only?: number): void {
    for (const pid of this.#followed.keys()) {
      if (only !== undefined && pid !== only) continue;
      try {
        process.kill(pid, signal);
      } catch {
        // ESRCH: it has just ended. EPERM: it runs as another user.
      }
    }
  }

  /**
   * Listens to another generation that drains, or may still take the hand-over back, until its BYE or its end. `draining` is
   * called when it has let go of everything. Until then silence is not an end: it may serve again at any moment. `counted`: what of its counters ours have already.
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

  /** After a hand-over: the successor follows from here on the generations that we have followed. May be called again, for those that could not go yet. */
  passOn({ dialogue, txid }: HandedOver): void {
    for (const [pid, { dialogue: conversation, counted, committed, status, moves }] of this.#followed) {
      if (moves > 0) continue;
      const fd = conversation.release();
      if (fd === null) continue;
      using _owned = new OwnedFds([fd]);
      this.#history.subtract(counted.since(committed));
      dialogue.send({ type: 'PREDECESSOR', txid, counted: committed, ...reportOf(status) }, [fd]);
      this.#followed.delete(pid);
    }
  }

  async #follow(
    dialogue: Dialogue,
    named: PredecessorReport,
    counted: Totals,
    draining: (() => void) | null,
  ): Promise<HandoverError | null> {
    const { pid, generation } = named;
    const status = statusOf(named);
    const followed: Followed = {
      dialogue,
      generation,
      status,
      drainsAt: null,
      others: [],
      counted,
      committed: counted,
      moves: 0,
    };
    this.#followed.set(pid, followed);
    this.#changed();
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
          return new HandoverError(message.code, message.text, { details: message.details });
        }
        if (message.type === 'MOVE') {
          followed.moves += 1;
          const received = receiveMove(dialogue, message, fds, this.#adopt).finally(() => {
            followed.moves -= 1;
          });
          inBackground('taking connections', received);
          continue;
        }
        if (message.type === 'PREDECESSOR') {
          this.#takeOn(message, fds);
          continue;
        }
        this.#count(followed, message.counters);
        if (message.type === 'BYE') {
          this.#history.generationEnded(generation, message);
          return null;
        }
        const { gap, probation, others = [] } = message;
        followed.status = statusOf({ ...message, pid, generation });
        const hasSettled = followed.drainsAt !== null && probation === undefined;
        followed.drainsAt = probation === undefined ? null : Date.now() + probation;
        followed.others = others.map(statusOf);
        if (!isHeard || hasSettled) this.#changed();
        isHeard = true;
        if (gap !== undefined) this.#history.gap(generation + 1, gap / 1000);
      }
    } catch (error) {
      if (error instanceof PeerAbort) return error;
      const { code } = error as HandoverError;
      if (code !== 'ERR_MOTYA_PEER_GONE' && code !== 'ERR_MOTYA_PASSED_ON') {
        this.#warn(`generation ${generation} (pid ${pid}) is not heard of any more: ${reasonOf(error)}`, {
          ...failureFields(error),
          predecessor: pid,
        });
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
    this.#history.add(all.since(followed.counted));
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
      this.#warn(`generation ${message.generation} (pid ${message.pid}) cannot be followed: ${reasonOf(error)}`, {
        ...failureFields(error),
        predecessor: message.pid,
      });
      return;
    }
    const followed = this.#follow(dialogue, message, Totals.from(message.counted), null);
    inBackground('following a generation that drains', followed);
  }
}
