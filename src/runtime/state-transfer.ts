import { fstatSync, readSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { type Deferred, deferred } from '../base/deferred.js';
import { reasonOf } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { SupervisorLink } from './supervisor-link.js';

/**
 * Bytes of what one worker hands on, serialized: written and read while no instance accepts, some 10 ms; what is larger belongs into a
 * store.
 */
const STATE_BYTES = 16 * 1024 * 1024;

type Give = () => unknown;
type Undo = () => unknown;

/** What a program hands to the next generation of itself, and what it has got from the one before. */
export class ProgramState {
  readonly #link: SupervisorLink;
  #giver: { readonly give: Give; readonly undo: Undo | undefined } | null = null;
  #hasGiven = false;
  /** Serialized, as they came. */
  readonly #inherited: Buffer[] = [];
  readonly #whole: Deferred<unknown[]> = deferred();
  #isWhole = false;
  #isAwaited = false;

  /** `expects`: something may come, until {@link accepts}. */
  constructor(link: SupervisorLink, expects: boolean) {
    this.#link = link;
    if (!expects) this.accepts();
  }

  /** @returns takes it back. @throws {Error} there is one already: the values could not be told apart. */
  onHandover(give: Give, undo?: Undo): () => void {
    if (typeof give !== 'function')
      throw new TypeError('onHandover() takes a function that returns the value to hand on');
    if (this.#giver !== null) throw new Error('onHandover() has been called already; a worker hands on one value');
    this.#giver = { give, undo };
    this.#link.send({ type: 'GIVES', gives: true });
    return () => {
      if (this.#giver?.give !== give) return;
      this.#giver = null;
      this.#link.send({ type: 'GIVES', gives: false });
    };
  }

  /** Resolves before the first connection is accepted. Rejects when what came cannot be read by this version of Node. */
  inherited(): Promise<unknown[]> {
    if (!this.#isWhole && !this.#isAwaited) {
      this.#isAwaited = true;
      // Else a program that has nothing else to do yet would be over (exit status 13, an unsettled top-level await).
      this.#link.hold();
      this.#link.send({ type: 'AWAITS' });
    }
    return this.#whole.promise;
  }

  /** The supervisor hands over, and this worker accepts nothing any more. `id`: of its question. */
  async give(id: number): Promise<void> {
    this.#hasGiven = true;
    using owned = new OwnedFds();
    let fd: number;
    try {
      const data = serialize(await this.#giver?.give());
      if (data.length > STATE_BYTES)
        throw new RangeError(`${data.length} bytes are more than the ${STATE_BYTES} allowed`);
      fd = owned.own(native.memfd.create(data));
    } catch (error) {
      this.#link.send({ type: 'GIVEN', id, error: reasonOf(error).slice(0, 1000) });
      return;
    }
    this.#link.send({ type: 'GIVEN', id }, [fd]);
  }

  /** It will accept again: the hand-over has not happened, or was taken back. */
  undo(): void {
    if (!this.#hasGiven) return;
    this.#hasGiven = false;
    // Clients wait: nothing of the program may come before them, nor keep them from being served.
    (async () => this.#giver?.undo?.())().catch((error: unknown) => {
      process.emitWarning(`the undo of onHandover() failed: ${reasonOf(error)}`, 'MotyaWarning');
    });
  }

  /** A value of the generation before; there may be more. */
  inherit(fd: number): void {
    const data = Buffer.alloc(fstatSync(fd).size);
    // From its beginning: the file's position is where its writer has left it.
    readSync(fd, data, 0, data.length, 0);
    this.#inherited.push(data);
  }

  /** The worker is about to accept: nothing more will come. */
  accepts(): void {
    if (this.#isWhole) return;
    this.#isWhole = true;
    if (this.#isAwaited) this.#link.letGo();
    try {
      this.#whole.resolve(this.#inherited.splice(0).map((data) => deserialize(data)));
    } catch (error) {
      this.#whole.reject(error);
    }
  }
}
