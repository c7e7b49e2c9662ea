import { AsyncResource } from 'node:async_hooks';
import type * as net from 'node:net';

/** UTF-16 units of a kind: 32 of them travel in one message. */
const KIND_LENGTH = 100;

/** What the program has said of a connection that it hands to the next generation. */
export interface HandOver {
  readonly kind: string;
  /** Whether it may leave. `soon`: if nothing more is read meanwhile. Without it: whenever nothing waits to be written. */
  readiness?(): 'now' | 'soon' | 'later';
  /** The value that travels along. What it changes is changed back by {@link returned}. */
  save(): unknown;
  /** The next generation has it. */
  moved?(): void;
  /** The next generation has not taken it. */
  returned?(): void;
}

/** Makes a connection of the generation before one of this program's. */
export type Adopt = (socket: net.Socket, value: unknown) => void;

/** What this program takes over from the generation before, by kind. */
export class Adopters {
  readonly #byKind = new Map<string, Adopt>();

  /** @returns takes it back. @throws {Error} there is one of this kind already */
  add(kind: string, callback: Adopt): () => void {
    checkKind(kind);
    if (typeof callback !== 'function') throw new TypeError('onAdopt() takes a function that gets the socket');
    if (this.#byKind.has(kind)) throw new Error(`onAdopt() has been called already for ${JSON.stringify(kind)}`);
    const adopt = AsyncResource.bind(callback);
    this.#byKind.set(kind, adopt);
    return () => {
      if (this.#byKind.get(kind) === adopt) this.#byKind.delete(kind);
    };
  }

  find(kind: string): Adopt | undefined {
    return this.#byKind.get(kind);
  }
}

/** @throws {TypeError} */
export function checkKind(kind: unknown): void {
  if (typeof kind !== 'string' || kind === '' || kind.length > KIND_LENGTH)
    throw new TypeError(`the kind of a connection is a text of 1 to ${KIND_LENGTH} characters`);
}
