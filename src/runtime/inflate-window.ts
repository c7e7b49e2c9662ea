import type { InflateRaw } from 'node:zlib';

/** Of raw deflate (RFC 1951): what a copy may reach back, and the longest copy. */
const MOST_WINDOW = 32_768;
const LONGEST_COPY = 258;
/** Of fixed Huffman codes (RFC 1951 §3.2.6): that length, and distances by their first value and extra bits (§3.2.5). */
const LONGEST_COPY_CODE = { bits: 8, value: 0b11000101 };
const DISTANCE_CODE_BITS = 5;
/** An empty stored block, after its head: Z_SYNC_FLUSH. */
const EMPTY_BLOCK = Buffer.from([0, 0, 0xff, 0xff]);
/** node:zlib has it as a constant; zlib.h. */
const Z_SYNC_FLUSH = 2;

/** A private part of node:zlib: decompresses in this call, and closes the stream. */
type Sync = InflateRaw & { _processChunk?: (data: Buffer, flush: number) => Buffer };

export const canReadWindow = (inflate: InflateRaw): boolean => typeof (inflate as Sync)._processChunk === 'function';

/**
 * The last bytes that an inflater has put out, to which what comes next may refer: another one goes on with them as its `dictionary`.
 * They are read by a block of copies that reach back as far as they go. The inflater is closed.
 * @param putOut bytes that it has put out, or had as its dictionary
 * @param windowBits as it was made with
 */
export function takeWindow(inflate: InflateRaw, putOut: number, windowBits: number): Buffer {
  const size = Math.min(putOut, 2 ** windowBits, MOST_WINDOW);
  const output = (inflate as Sync)._processChunk?.(copiesFrom(size), Z_SYNC_FLUSH);
  if (size === 0) return Buffer.alloc(0);
  if (output === undefined || output.length < size) throw new Error('the window of an inflater cannot be read');
  return Buffer.from(output.subarray(0, size));
}

/** A block that puts out the last `distance` bytes once more, and perhaps some of them twice. */
function copiesFrom(distance: number): Buffer {
  const bits = new Bits();
  if (distance > 0) {
    // Not the last block, fixed codes.
    bits.add(0b0, 1).add(0b01, 2);
    const { code, extra, extraBits } = distanceCode(distance);
    for (let left = distance; left > 0; left -= LONGEST_COPY) {
      bits.addCode(LONGEST_COPY_CODE.value, LONGEST_COPY_CODE.bits);
      bits.addCode(code, DISTANCE_CODE_BITS).add(extra, extraBits);
    }
    // The end of the block.
    bits.addCode(0, 7);
  }
  return Buffer.concat([bits.add(0, 3).whole(), EMPTY_BLOCK]);
}

function distanceCode(distance: number): { code: number; extra: number; extraBits: number } {
  let base = 1;
  for (let code = 0; ; code++) {
    const extraBits = Math.max(0, Math.floor(code / 2) - 1);
    if (distance < base + 2 ** extraBits) return { code, extra: distance - base, extraBits };
    base += 2 ** extraBits;
  }
}

/** Packed as RFC 1951 §3.1.1 has it: from the lowest bit on, Huffman codes from their highest bit. */
class Bits {
  readonly #bytes: number[] = [];
  #count = 0;

  add(value: number, count: number): this {
    for (let bit = 0; bit < count; bit++) this.#push((value >> bit) & 1);
    return this;
  }

  addCode(value: number, count: number): this {
    for (let bit = count - 1; bit >= 0; bit--) this.#push((value >> bit) & 1);
    return this;
  }

  whole(): Buffer {
    return Buffer.from(this.#bytes);
  }

  #push(bit: number): void {
    const at = this.#count % 8;
    if (at === 0) this.#bytes.push(0);
    if (bit === 1) this.#bytes[this.#bytes.length - 1] = (this.#bytes.at(-1) ?? 0) | (1 << at);
    this.#count += 1;
  }
}
