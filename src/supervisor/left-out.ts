import { inBackground } from '../base/background.js';
import { LEFT_OUT_ANSWER_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import type { RemovedListener } from '../control/removed-listeners.js';
import { fitting } from '../handover/listener-diff.js';
import { ADMIN } from '../listeners/declared.js';
import { isOfStart, type Listener } from '../listeners/listener.js';
import type { ListenerCounts } from '../workers/listener-counts.js';
import { describeOutside } from '../workers/outside.js';
import { listenerOfPath } from './health-target.js';
import type { Life } from './life.js';

/** Listeners of which an upgrade tells that they are removed: what fits on a screen. */
const REMOVED_TOLD = 20;

/**
 * The incumbent's listeners that its successor does not use. Until the probation is over the incumbent goes on accepting on them,
 * and counts what comes.
 */
export class LeftOut {
  readonly #life: Life;
  readonly #before: Promise<ListenerCounts>;
  /** Counts of each from when it was left out; of the first ones from the beginning of the upgrade. */
  readonly #since = new Map<string, Promise<ListenerCounts>>();

  /** `before`: of all listeners at the beginning of the upgrade; a probation may be shorter than the time between two clients. */
  constructor(life: Life, before: Promise<ListenerCounts>, keys: readonly string[]) {
    this.#life = life;
    this.#before = before;
    const since = this.#filled(before, keys);
    for (const key of keys) this.#since.set(key, since);
    this.set(keys);
  }

  /** Accepts on the listeners with these keys, and on no other, for good: a lease (worker PAUSE) ends here. */
  set(keys: readonly string[]): void {
    inBackground('pausing the programs', this.#life.instance.fleet.pause({ except: keys }));
    for (const key of this.#since.keys()) if (!keys.includes(key)) this.#since.delete(key);
    const added = keys.filter((key) => !this.#since.has(key));
    if (added.length === 0) return;
    const counts = this.#countNow(added);
    for (const key of added) this.#since.set(key, counts);
  }

  /** What has come since the beginning of the upgrade to those that only programs have asked for. */
  async told(): Promise<RemovedListener[]> {
    const keys = this.#undeclared([...this.#since.keys()]).map(({ key }) => key);
    if (keys.length === 0) return [];
    const [then, now] = [await this.#before, await this.#life.instance.fleet.countListeners(keys)];
    const ms = Math.round(now.at - then.at);
    return keys
      .slice(0, REMOVED_TOLD)
      .map((key) => ({ key, open: now.open(key), accepted: now.acceptedSince(then, key), ms }));
  }

  /**
   * At the end of the probation: a listener that the new version has left out, though clients still come to it; or an address of a
   * process that listens by itself and ends with the old version; or one without which the service is not what it was: the new
   * settings name it, or the old version was asked for its health there. `removed`: keys of the listeners that are to end. One that
   * the settings had named and do not any more ends as they say.
   */
  async fault(removed: readonly string[]): Promise<HandoverError | null> {
    const [outside] = this.#life.instance.fleet.endingOutside();
    if (outside !== undefined) {
      const what = `${describeOutside(outside)} listens on ${outside.where} by itself and ends with the old version`;
      const how = 'run it apart from the program, or say --allow-removed if it is to end';
      return inUse(`${what}, and nothing of the new version listens there (it cannot while the old one does): ${how}`);
    }
    const isUsed = (key: string): boolean => this.#life.instance.ledger.get(key)?.isUsed === true;
    const staying = [...this.#since.keys()].find((key) => !removed.includes(key) && isUsed(key));
    if (staying !== undefined) {
      // It would accept for ever, and no program would answer.
      const how = 'open it in the program, or remove it from the settings';
      return inUse(`${staying} is in the settings, and no program of the new version listens on it: ${how}`);
    }
    const keys = this.#undeclared(removed).map(({ key }) => key);
    if (keys.length === 0) return null;
    const { health } = this.#life.settings;
    const asked = health.path?.startsWith('/')
      ? listenerOfPath(this.#life.settings, this.#life.instance.programListeners())
      : null;
    if (asked !== null && keys.includes(asked.key)) {
      return inUse(`the old version answers ${health.path} on ${asked.key}, and ${UNUSED}${ALLOW}`);
    }
    const now = await this.#countNow(keys);
    for (const key of keys) {
      const then = (await this.#since.get(key)) ?? now;
      const came = now.acceptedSince(then, key);
      const isKnown = [now, then].every((counts) => counts.answered(this.#users(key)));
      if (came === 0 && isKnown) continue;
      const seconds = ((now.at - then.at) / 1000).toFixed(1);
      const since = now.answered(this.#users(key)) ? 'did not answer for 2 s when it was left out' : 'does not answer';
      const gets =
        came > 0
          ? `${key} still gets connections (${came} in ${seconds} s)`
          : `${key} may still get connections: its program in the old version ${since}`;
      return inUse(`${gets}, and ${UNUSED}${ALLOW}`);
    }
    return null;
  }

  /** These counts; of a process that was busy then, what it has counted when it answers: that came before. */
  async #filled(counts: Promise<ListenerCounts>, keys: readonly string[]): Promise<ListenerCounts> {
    const first = await counts;
    if (keys.every((key) => first.answered(this.#users(key)))) return first;
    return first.filledFrom(await this.#countNow(keys));
  }

  /** Asks again until all have answered that have these listeners, for LEFT_OUT_ANSWER_MS at most. */
  async #countNow(keys: readonly string[]): Promise<ListenerCounts> {
    const { fleet } = this.#life.instance;
    const end = performance.now() + LEFT_OUT_ANSWER_MS;
    for (;;) {
      const counts = await fleet.countListeners(keys);
      const isWhole = keys.every((key) => counts.answered(this.#users(key)));
      if (isWhole || performance.now() >= end) return counts;
    }
  }

  /** Pids of the processes that have this listener. */
  #users(key: string): ReadonlySet<number> {
    return this.#life.instance.ledger.get(key)?.users ?? new Set();
  }

  #undeclared(keys: readonly string[]): Listener[] {
    return this.#life.instance
      .programListeners()
      .filter((one) => !one.declared && isOfStart(one) && keys.includes(one.key));
  }
}

const UNUSED = 'no program of the new version listens on it';
const ALLOW = '; say --allow-removed if that is meant';
const inUse = (text: string): HandoverError => new HandoverError('ERR_MOTYA_REMOVED_IN_USE', text);

/** What the programs have accepted until now, on all that a successor may leave out. */
export function countAll({ instance }: Life): Promise<ListenerCounts> {
  const keys = instance.ledger.all().flatMap(({ key, service }) => (service === ADMIN ? [] : [key]));
  return instance.fleet.countListeners(fitting(keys));
}
