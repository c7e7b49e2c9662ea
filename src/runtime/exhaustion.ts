import { constants } from 'node:os';
import { native } from '../base/os/native.js';
import type { Gate } from './accept-gate.js';
import type { SupervisorLink } from './supervisor-link.js';

/** ms in which a worker without fds or memory takes no connections: others may, and some of its own may end. */
const EXHAUSTED_MS = 50;
/** ms between two looks whether it has come to that; and after it has, when they accept again: libuv tries without a pause. */
const EXHAUSTED_LOOK_MS = 1_000;
const EXHAUSTED_PROBE_MS = 10;

const { EMFILE, ENFILE, ENOMEM, ENOBUFS } = constants.errno;

/** Of a negated errno of accept(2): the connection is still in the backlog, for a process that has an fd for it. */
export const isExhaustion = (errno: number): boolean => [EMFILE, ENFILE, ENOMEM, ENOBUFS].includes(-errno);

/**
 * A worker that has no fd for a connection lets it wait in the queue, where other workers take it, and looks now and then
 * whether it has one. libuv by itself would accept and close every waiting connection.
 */
export class Exhaustion {
  readonly #gate: Gate;
  readonly #link: SupervisorLink;
  #timer: NodeJS.Timeout | null = null;

  constructor(gate: Gate, link: SupervisorLink) {
    this.#gate = gate;
    this.#link = link;
  }

  /** From the first listener on. */
  watch(): void {
    if (this.#timer !== null) return;
    // Null: libuv closes such connections itself, and there is nothing to look for.
    if (native.queue.keep() !== null) this.#look(EXHAUSTED_LOOK_MS);
  }

  met(code: string): void {
    this.#link.exhausted(code);
    this.#gate.rest();
    this.#after(EXHAUSTED_MS, () => {
      this.#look(EXHAUSTED_PROBE_MS);
      // May meet it again, which takes the place of the look.
      this.#gate.goOn();
    });
  }

  #look(ms: number): void {
    this.#after(ms, () => {
      if (native.queue.keep() === true) this.met('EMFILE');
      else this.#look(EXHAUSTED_LOOK_MS);
    });
  }

  #after(ms: number, then: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms).unref();
  }
}
