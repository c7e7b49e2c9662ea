import type { WriteStream } from 'node:tty';
import { cut } from './table.js';

/** Control sequences of ECMA-48 and xterm; every terminal of the last thirty years knows them. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const UP_AND_CLEAR = '\x1b[1A\x1b[2K';

/** Some that make a terminal give it no size (0×0); then what most have. */
function sizeOf({ rows, columns }: { rows?: number; columns?: number }): { rows: number; columns: number } {
  return { rows: rows || 24, columns: columns || 80 };
}

/** The terminal's second screen, redrawn in place. What was on the first one is there again after {@link leave}. */
export class Screen {
  readonly #out: WriteStream;
  #lines: readonly string[] = [];
  #isOpen = false;
  readonly #redraw = (): void => this.#draw();

  constructor(out: WriteStream) {
    this.#out = out;
    out.on('resize', this.#redraw);
  }

  enter(): void {
    this.#isOpen = true;
    this.#out.write(ENTER);
    this.#draw();
  }

  show(lines: readonly string[]): void {
    this.#lines = lines;
    this.#draw();
  }

  leave(): void {
    if (this.#isOpen) this.#out.write(LEAVE);
    this.#isOpen = false;
  }

  close(): void {
    this.#out.off('resize', this.#redraw);
    this.leave();
  }

  #draw(): void {
    if (!this.#isOpen) return;
    const { rows, columns } = sizeOf(this.#out);
    const shown = this.#lines.slice(0, rows).map((line) => cut(line, columns) + CLEAR_LINE);
    // One write, and nothing cleared that is drawn again: it does not flicker.
    this.#out.write(HOME + shown.join('\r\n') + CLEAR_BELOW);
  }
}

/** A line at the end of the output that changes in place, on a terminal; elsewhere it is not written at all. */
export class LiveLine {
  readonly #out: NodeJS.WriteStream;
  #shown: string | null = null;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  /** Shows `line` below everything that was printed. */
  update(line: string): void {
    if (!this.#out.isTTY || line === this.#shown) return;
    this.#out.write(`${this.#shown === null ? '' : UP_AND_CLEAR}${cut(line, sizeOf(this.#out).columns)}\n`);
    this.#shown = line;
  }

  /** Takes it away: what is printed next stands in its place. */
  clear(): void {
    if (this.#shown !== null) this.#out.write(UP_AND_CLEAR);
    this.#shown = null;
  }
}
