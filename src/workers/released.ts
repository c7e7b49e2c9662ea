import type { Ledger } from '../listeners/ledger.js';
import type { ListenGate } from './listen-gate.js';

/** Listeners whose server a program has closed for good. */
export class ReleasedListeners {
  readonly #ledger: Ledger;
  readonly #gate: ListenGate;
  readonly #keys = new Set<string>();

  constructor({ ledger, gate }: { readonly ledger: Ledger; readonly gate: ListenGate }) {
    this.#ledger = ledger;
    this.#gate = gate;
  }

  add(key: string, pid: number): void {
    this.#ledger.release(pid, key);
    this.#keys.add(key);
  }

  /**
   * Those go that no worker uses any more: a listener on which no process accepts would leave clients hanging. Only once no worker of
   * the service is about to ask for one again.
   */
  remove(): void {
    // What has been given up is another generation's, files and all.
    if (this.#gate.isShut || !this.#gate.isOpen) return;
    for (const key of this.#keys) {
      const listener = this.#ledger.get(key);
      // The incumbent has it as well: closed here its address would not be free, and the program may listen on it again.
      if (listener?.inherited === true && this.#ledger.isShared) continue;
      this.#keys.delete(key);
      if (listener !== undefined && this.#ledger.isFree(listener)) this.#ledger.remove(listener, { unlink: true });
    }
  }
}
