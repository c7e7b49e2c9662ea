import { stripVTControlCharacters } from 'node:util';

/** Bytes and lines of a program's stderr that are kept for the reason of its end: an exception with its stack. */
export const LAST_LINES_BYTES = 8 * 1024;
export const LAST_LINES_COUNT = 20;
/** UTF-16 units of the one line of them that goes into a reason. */
export const LAST_LINES_REASON_LENGTH = 300;

/** Keeps the end of what a program says on stderr: when it dies, its reason is there. */
export class LastLines {
  #tail: Buffer = Buffer.alloc(0);
  #cut = false;

  push(chunk: Buffer): void {
    const all = Buffer.concat([this.#tail, chunk.subarray(-LAST_LINES_BYTES)]);
    this.#cut ||= all.length > LAST_LINES_BYTES || chunk.length > LAST_LINES_BYTES;
    // A copy: the rest of the memory behind it is free again.
    this.#tail = Buffer.from(all.subarray(-LAST_LINES_BYTES));
  }

  /** The last lines, without colours; none of them in part. */
  lines(): string[] {
    return this.#all().slice(-LAST_LINES_COUNT);
  }

  /** See {@link reasonIn}: what Node prints of an error may be longer than {@link lines}. */
  reason(): string | null {
    return reasonIn(this.#all());
  }

  #all(): string[] {
    const lines = stripVTControlCharacters(this.#tail.toString()).split(/\r?\n/);
    if (this.#cut) lines.shift();
    while (lines.at(-1) === '') lines.pop();
    return lines;
  }
}

/** `SyntaxError: …`, `Error [ERR_X]: …`, `Uncaught TypeError: …`, `FATAL ERROR: …`, at the beginning of a line. */
const ERROR = /^(?:Uncaught |\[)?(?:[\w$.]*(?:Error|Exception|Rejection)\b(?: \[\w+\])?(?::|$)|FATAL ERROR: )/;
const PLACE = /^((?:file:\/\/)?\/.*:\d+)$/;
const FRAME = /^\s+at (?:.*\()?((?:file:\/\/)?\/.*:\d+:\d+)\)?(?: \{)?$/;
/** What Node prints around an error, the fields of an error object among it. */
const NOISE =
  /^\s*(?:(?<=\s)[\w$]+: .*|at .*|\^+|[{}]|Node\.js v.*|\(Use `node --trace.*|Uncaught:|-+ .*|\d+: 0x[0-9a-f]+ .*)?$/;

/**
 * The line that says why a program has ended, with its place: `SyntaxError: Unexpected token '}' (/srv/server.js:3)`; without an
 * exception the last line that says anything. Null when there is none.
 */
export function reasonIn(lines: readonly string[]): string | null {
  const at = lines.findLastIndex((line) => ERROR.test(line));
  if (at < 0) {
    const last = lines.findLast((line) => !NOISE.test(line));
    return last === undefined ? null : shortened(last.trim());
  }
  const error = (lines[at] as string).replace(/^Uncaught | \{$/g, '');
  const place = placeOf(lines, at);
  return `${shortened(error)}${place === null || error.includes(place) ? '' : ` (${place})`}`;
}

/** Node prints the place of a syntax error above it; that of another error is in the first frame that is no part of Node. */
function placeOf(lines: readonly string[], error: number): string | null {
  const frame = lines.slice(error + 1).find((line) => FRAME.test(line));
  const place = lines.slice(0, error).findLast((line) => PLACE.test(line));
  const isSyntax = (lines[error] as string).startsWith('SyntaxError');
  const found = isSyntax ? (place ?? null) : (frame?.replace(FRAME, '$1') ?? place ?? null);
  return found === null ? null : found.replace('file://', '');
}

function shortened(text: string): string {
  return text.length > LAST_LINES_REASON_LENGTH ? `${text.slice(0, LAST_LINES_REASON_LENGTH - 1)}…` : text;
}
