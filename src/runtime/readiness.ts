import { Socket } from 'node:dgram';
import { type EventEmitter, errorMonitor } from 'node:events';
import type { Server } from 'node:net';
import { udpState } from './node-internals.js';
import type { WorkerRole } from './worker-messages.js';

/** Says once when the program is ready: after its first listeners, or when it says so itself. */
export class Readiness {
  readonly #mode: WorkerRole['ready'];
  readonly #announce: () => void;
  #outstanding = 0;
  /** Whether one that has listened does so still, of each. */
  readonly #listening: (() => boolean)[] = [];
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
      expected(listening, () => isOpen(listener));
    };
    const succeed = () => settle(true);
    const fail = () => settle(false);
    // Monitored, not listened to: an 'error' that the program does not handle must still end it.
    listener.on('listening', succeed).on(errorMonitor, fail).on('close', fail);
  }

  /** A process that will listen for this one: what is returned is told once whether it does. */
  expect(): (listening: boolean, isOpen?: () => boolean) => void {
    if (this.#told || this.#mode !== 'listen') return () => {};
    this.#outstanding++;
    let isSettled = false;
    return (listening, isOpen = () => true) => {
      if (isSettled) return;
      isSettled = true;
      this.#outstanding--;
      if (listening) this.#listening.push(isOpen);
      // A program opens its next listener in the callback of the one before, or in a promise that it settles.
      setImmediate(() => this.#check());
    };
  }

  /** The program says it is ready. */
  signal(): void {
    if (this.#mode === 'signal') this.#tell();
  }

  #check(): void {
    // One that was closed again was only to see whether its port is free.
    if (this.#outstanding === 0 && this.#listening.some((isOpen) => isOpen())) this.#tell();
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    this.#announce();
  }
}

function isOpen(listener: EventEmitter): boolean {
  if (!(listener instanceof Socket)) return (listener as Server).listening;
  // Null once it is closed.
  return udpState(listener)?.handle != null;
}
