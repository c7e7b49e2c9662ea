import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { native } from '../base/os/native.js';
import { parentOf } from '../base/os/processes.js';

/** ms that orphans have between SIGTERM and SIGKILL when a keeper ends: what a worker has by default (killGrace). */
const ORPHANS_MS = 5_000;

const { SIGKILL, SIGTERM } = constants.signals;

/**
 * What became our child because its parent has died: workers of an instance that was killed, and what programs have left behind.
 * While instances serve they are let be; in the end they are asked to end, then killed.
 */
export class Orphans {
  #done: (() => void) | null = null;
  #signal: number = SIGTERM;
  readonly #told = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  /** Ends all children; `done` once none is left. */
  clear(done: () => void): void {
    if (this.#done !== null) return;
    this.#done = done;
    this.#timer = setTimeout(() => this.hurry(), ORPHANS_MS);
    this.reaped(native.children.reap().left);
  }

  /** Children have been reaped; `left`: some still live. Those of the dead may be ours only now. */
  reaped(left: boolean): void {
    if (this.#done === null) return;
    if (left) {
      this.#tell();
      return;
    }
    clearTimeout(this.#timer);
    const done = this.#done;
    this.#done = null;
    done();
  }

  /** They have had their time. */
  hurry(): void {
    if (this.#done === null) return;
    this.#signal = SIGKILL;
    this.#told.clear();
    this.#tell();
  }

  #tell(): void {
    for (const pid of children()) {
      if (this.#told.has(pid)) continue;
      this.#told.add(pid);
      native.children.signal(pid, this.#signal);
    }
  }
}

function children(): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => parentOf(pid) === process.pid);
}
