import { type EventEmitter, errorMonitor } from 'node:events';
import type { WorkerRole } from '../messages.js';

/** Says once when the program is ready: after its first listeners, or when it says so itself. */
export class Readiness {
  readonly #mode: WorkerRole['ready'];
  readonly #announce: () => void;
  #outstanding = 0;
  #listening = false;
  #told = false;

  constructor(mode: WorkerRole['ready'], announce: () => void) {
    this.#mode = mode;
    this.#announce = announce;
  }

  /** The program has called `listen()` or `bind()` on it, and the outcome is not known yet. */
  watch(listener: EventEmitter): void {
    if (this.#told || this.#mode !== 'listen') return;
    const expected = this.expect();
    const settle = (listening: boolean) => {
      listener.off('listening', succeed).off(errorMonitor, fail).off('close', fail);
      expected(listening);
    };
    const succeed = () => settle(true);
    const fail = () => settle(false);
    // Monitored, not listened to: an 'error' that the program does not handle must still end it.
    listener.on('listening', succeed).on(errorMonitor, fail).on('close', fail);
  }

  /** A process that will listen for this one: what is returned is told once whether it does. */
  expect(): (listening: boolean) => void {
    if (this.#told || this.#mode !== 'listen') return () => {};
    this.#outstanding++;
    let isSettled = false;
    return (listening) => {
      if (isSettled) return;
      isSettled = true;
      this.#outstanding--;
      if (listening) this.#listening = true;
      // A program opens its next listener in the callback of the one before, or in a promise that it settles.
      setImmediate(() => this.#check());
    };
  }

  /** The program says it is ready. */
  signal(): void {
    if (this.#mode === 'signal') this.#tell();
  }

  #check(): void {
    if (this.#listening && this.#outstanding === 0) this.#tell();
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    this.#announce();
  }
}
