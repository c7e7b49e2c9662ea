import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LINE_BYTES, Lines } from '#src/logging/lines.js';

interface Taken {
  readonly text: Buffer;
  readonly partial: boolean;
}

function cut(chunks: readonly Buffer[]): Taken[] {
  const taken: Taken[] = [];
  const lines = new Lines((text, partial) => taken.push({ text: Buffer.from(text), partial }));
  for (const chunk of chunks) {
    // As the reader does it: one memory for all chunks.
    const memory = Buffer.from(chunk);
    lines.push(memory);
    memory.fill(0);
  }
  lines.end();
  return taken;
}

test('however the bytes come, whole lines go on, and each byte once', () => {
  const bytes = fc.array(fc.constantFrom(10, 10, 65, 0xc3, 0xa4, 0, 255), { maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.array(fc.nat({ max: 40 }), { maxLength: 20 }), (all, sizes) => {
      let at = 0;
      const chunks = [...sizes, all.length].map((size) => {
        at += size;
        return Buffer.from(all.slice(at - size, at));
      });
      const taken = cut(chunks);
      const expected = all.length > 0 && all.at(-1) !== 10 ? [...all, 10] : all;
      assert.deepEqual([...Buffer.concat(taken.map(({ text }) => text))], expected);
      for (const { text, partial } of taken) assert.deepEqual([text.at(-1), partial], [10, false]);
    }),
  );
});

test('a line without end goes on in pieces that hold whole characters; what is kept of it has a limit', () => {
  const all = Buffer.from('aä€😀'.repeat(3 * LINE_BYTES));
  const chunks: Buffer[] = [];
  for (let at = 0; at < all.length; at += 777) chunks.push(all.subarray(at, at + 777));
  const taken = cut([...chunks, Buffer.from('end\nnext\n')]);
  const pieces = taken.filter(({ partial }) => partial);
  assert.ok(pieces.length >= 25 && pieces.every(({ text }) => text.length <= LINE_BYTES + 778), String(pieces.length));
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const texts = taken.map(({ text }) => decoder.decode(text));
  assert.equal(texts.map((text) => text.slice(0, -1)).join(''), `${all}end\nnext`);
});

test('bytes that are no UTF-8 are not waited for', () => {
  const taken = cut([Buffer.alloc(LINE_BYTES, 0x80), Buffer.alloc(LINE_BYTES, 0xff)]);
  assert.equal(
    taken.reduce((sum, { text }) => sum + text.length - 1, 0),
    2 * LINE_BYTES,
  );
});
