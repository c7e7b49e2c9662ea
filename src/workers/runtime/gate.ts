/** Something that can accept connections (or receive datagrams), or hold still without losing its socket. */
export interface GatedListener {
  /** Each connection takes an fd. */
  readonly takesFds: boolean;
  accept(): void;
  park(): void;
  /** After {@link park}: the socket is not ours any more. */
  giveUp(): void;
}

/** Whether the worker's listeners accept. Closed for good once the listeners have been given up. */
export class Gate {
  readonly #listeners = new Set<GatedListener>();
  #open: boolean;
  #givenUp = false;
  /** The process is ending: what it closes now is no decision of the program. */
  ending = false;

  constructor(open: boolean) {
    this.#open = open;
  }

  get open(): boolean {
    return this.#open;
  }

  get givenUp(): boolean {
    return this.#givenUp;
  }

  add(listener: GatedListener): void {
    this.#listeners.add(listener);
    if (this.#givenUp) listener.giveUp();
    else if (this.#open) listener.accept();
  }

  delete(listener: GatedListener): void {
    this.#listeners.delete(listener);
  }

  accept(): void {
    if (this.#open || this.#givenUp) return;
    this.#open = true;
    for (const listener of this.#listeners) listener.accept();
  }

  pause(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const listener of this.#listeners) listener.park();
  }

  /** Stops those that take fds for as long as there are none; {@link goOn} ends it, and what was decided meanwhile holds. */
  rest(): void {
    for (const listener of this.#listeners) if (listener.takesFds) listener.park();
  }

  goOn(): void {
    if (!this.#open) return;
    for (const listener of this.#listeners) if (listener.takesFds) listener.accept();
  }

  giveUp(): void {
    if (this.#givenUp) return;
    this.pause();
    this.#givenUp = true;
    for (const listener of this.#listeners) listener.giveUp();
  }
}
