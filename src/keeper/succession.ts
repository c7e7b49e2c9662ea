/** What the end of an instance means for the keeper. */
export type Verdict =
  /** Another one is the main process, or it never was the main process. */
  | 'nothing'
  /** It crashed, and no other instance has taken its place. */
  | 'restart'
  /** It was stopped. */
  | 'end';

/**
 * Which of the instances is the main process. A successor that names itself (MAINPID=, before it accepts) stays pending until the
 * incumbent names it too, or ends. If the hand-over fails in between, the incumbent remains the main process.
 */
export class Succession {
  #main: number | null = null;
  #pending: number | null = null;
  readonly #ready = new Set<number>();
  /** Every instance that lives, those that drain included. */
  readonly #living = new Set<number>();
  #isStopping = false;

  get main(): number | null {
    return this.#main;
  }

  /** The main process has said that it stops, without a successor. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  get living(): readonly number[] {
    return [...this.#living];
  }

  /** Whether it has said READY=1: its signal handlers are in place. */
  isReady(pid: number): boolean {
    return this.#ready.has(pid);
  }

  /** An instance was started because there was none. */
  started(pid: number): void {
    this.#main = pid;
    this.#living.add(pid);
  }

  ready(pid: number): void {
    if (this.#living.has(pid)) this.#ready.add(pid);
  }

  /** `by` says that `pid` is the main process. */
  names(by: number, pid: number): void {
    if (by !== pid && by !== this.#main) return;
    this.#living.add(pid);
    if (by !== this.#main && this.#main !== null) {
      this.#pending = pid;
      return;
    }
    // An incumbent that names itself has taken the hand-over back.
    this.#main = pid;
    this.#pending = null;
  }

  stops(by: number): void {
    if (by === this.#main) this.#isStopping = true;
  }

  /** `clean`: exit status 0. */
  ended(pid: number, clean: boolean): Verdict {
    this.#living.delete(pid);
    this.#ready.delete(pid);
    if (pid === this.#pending) this.#pending = null;
    if (pid !== this.#main) return 'nothing';
    this.#main = this.#pending;
    this.#pending = null;
    if (this.#main !== null) return 'nothing';
    return clean || this.#isStopping ? 'end' : 'restart';
  }
}
