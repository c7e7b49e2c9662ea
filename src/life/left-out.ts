import type { RemovedListener } from '../control/removed.js';
import { HandoverError } from '../errors.js';
import { fitting } from '../handover/claims.js';
import { REMOVED_TOLD } from '../limits.js';
import { ADMIN } from '../listeners/declared.js';
import type { Listener } from '../listeners/ledger.js';
import type { ListenerCounts } from '../workers/listener-counts.js';
import type { Life } from './life.js';

/**
 * The incumbent's listeners that its successor does not use. Until the probation is over the incumbent goes on accepting on them,
 * and counts what comes.
 */
export class LeftOut {
  readonly #life: Life;
  /** Counts of each from when it was left out. */
  readonly #since = new Map<string, Promise<ListenerCounts>>();

  constructor(life: Life) {
    this.#life = life;
  }

  /** Accepts on the listeners with these keys, and on no other. */
  set(keys: readonly string[]): void {
    void this.#life.instance.fleet.pause({ except: keys });
    for (const key of this.#since.keys()) if (!keys.includes(key)) this.#since.delete(key);
    const added = keys.filter((key) => !this.#since.has(key));
    if (added.length === 0) return;
    const counts = this.#life.instance.fleet.countListeners(added);
    for (const key of added) this.#since.set(key, counts);
  }

  /** What had come to those that only programs have asked for, since `before`. */
  async told(before: Promise<ListenerCounts>): Promise<RemovedListener[]> {
    const then = await before;
    const some = this.#undeclared([...this.#since.keys()]).slice(0, REMOVED_TOLD);
    return Promise.all(
      some.map(async ({ key }) => {
        const now = (await this.#since.get(key)) ?? then;
        const ms = Math.round(now.at - then.at);
        return { key, open: now.open(key), accepted: now.acceptedSince(then, key), ms };
      }),
    );
  }

  /**
   * At the end of the probation: a listener that the new version has left out, though clients still come to it. `unused`: keys of
   * those that are to end. One that the settings had named and do not any more ends as they say.
   */
  async fault(unused: readonly string[]): Promise<HandoverError | null> {
    const unserved = [...this.#since.keys()].filter((key) => !unused.includes(key));
    const keys = [...this.#undeclared(unused).map(({ key }) => key), ...unserved];
    if (keys.length === 0) return null;
    const now = await this.#life.instance.fleet.countListeners(keys);
    for (const key of keys) {
      const then = (await this.#since.get(key)) ?? now;
      const came = now.acceptedSince(then, key);
      if (came === 0) continue;
      const seconds = ((now.at - then.at) / 1000).toFixed(1);
      const what = `${key} still gets connections (${came} in ${seconds} s), and no program of the new version listens on it`;
      const mend = unused.includes(key) ? '; say --allow-removed if that is meant' : '';
      return new HandoverError('MOTYA_REMOVED_IN_USE', `${what}${mend}`);
    }
    return null;
  }

  #undeclared(keys: readonly string[]): Listener[] {
    return this.#life.instance.programListeners().filter((one) => !one.declared && keys.includes(one.key));
  }
}

/** What the programs have accepted until now, on all that a successor may leave out. */
export function countAll({ instance }: Life): Promise<ListenerCounts> {
  const keys = instance.ledger.all().flatMap(({ key, service }) => (service === ADMIN ? [] : [key]));
  return instance.fleet.countListeners(fitting(keys));
}
