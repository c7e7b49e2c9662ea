/** Bytes of a program's line; a longer one is passed on in pieces. journald cuts at 48 KiB, Docker at 16. */
export const LINE_BYTES = 64 * 1024;

const NEWLINE = 10;

/** Takes lines: every byte up to and with the last newline. `partial`: a piece of one long line, whose newline we have made. */
export type TakeLines = (lines: Buffer, partial: boolean) => void;

/** Cuts a stream of bytes after its newlines. Of a line that has not ended it keeps {@link LINE_BYTES}; then it passes a piece on. */
export class Lines {
  readonly #take: TakeLines;
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes of `#rest` that are in use. */
  #length = 0;

  constructor(take: TakeLines) {
    this.#take = take;
  }

  /** `chunk` may be overwritten afterwards. */
  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      const lines = chunk.subarray(0, end);
      this.#take(this.#length === 0 ? lines : Buffer.concat([this.#rest.subarray(0, this.#length), lines]), false);
      this.#length = 0;
    }
    if (end < chunk.length) this.#keep(chunk.subarray(end));
  }

  /** No more comes: a line without a newline gets one. */
  end(): void {
    if (this.#length === 0) return;
    this.#take(withNewline(this.#rest.subarray(0, this.#length)), false);
    this.#length = 0;
    this.#rest = Buffer.alloc(0);
  }

  #keep(bytes: Buffer): void {
    const length = this.#length + bytes.length;
    if (length >= LINE_BYTES) {
      const piece = Buffer.concat([this.#rest.subarray(0, this.#length), bytes]);
      const end = endOfCharacters(piece);
      this.#take(withNewline(piece.subarray(0, end)), true);
      this.#rest = Buffer.from(piece.subarray(end));
      this.#length = this.#rest.length;
      return;
    }
    if (length > this.#rest.length) {
      // Twice as much each time: a program may write byte by byte.
      const wider = Buffer.allocUnsafe(Math.min(LINE_BYTES, 2 * length));
      this.#rest.copy(wider, 0, 0, this.#length);
      this.#rest = wider;
    }
    bytes.copy(this.#rest, this.#length);
    this.#length = length;
  }
}

/** Where the last character ends that is there as a whole, in UTF-8: the bytes of one that is not stay for the next piece. */
function endOfCharacters(bytes: Buffer): number {
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) break;
    // 10xxxxxx goes on; 110xxxxx begins a character of two bytes, 1110xxxx of three, 11110xxx of four.
    if (byte < 0xc0) continue;
    const size = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return back < size ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

function withNewline(bytes: Buffer): Buffer {
  const line = Buffer.allocUnsafe(bytes.length + 1);
  bytes.copy(line);
  line[bytes.length] = NEWLINE;
  return line;
}
