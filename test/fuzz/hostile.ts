import { closeSync, openSync } from 'node:fs';
import fc from 'fast-check';
import { native } from '#src/base/os/native.js';
import { controlCodec } from '#src/control/control-messages.js';
import { handoverCodec } from '#src/handover/handover-messages.js';

/** A message as a hostile peer may send it, and how many fds it puts on it. */
export interface Hostile {
  readonly data: Buffer;
  readonly fds: number;
}

const TYPES = [
  'WATCH',
  'STATUS',
  'UPGRADE',
  'ROLLBACK',
  'PATHS',
  'RESULT',
  'OFFER',
  'FDS',
  'LOCK',
  'COMMIT',
  'STATE',
  'ABORT',
  'BYE',
];
const FIELDS = [
  'txid',
  'pid',
  'generation',
  'listeners',
  'entries',
  'protocol',
  'service',
  'index',
  'dryRun',
  'code',
  'text',
];

/** Values of every kind, sizes that overflow, names that reach for prototypes. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(-1, 2 ** 53, 1e308, '\u0000', '../../etc', '\ud800', [[[[[]]]]], { length: -1 }),
  fc.string({ maxLength: 20_000 }),
);
const shaped = fc
  .record({
    type: fc.oneof(fc.constantFrom(...TYPES), fc.constantFrom('__proto__', 'constructor', 'toString')),
    fields: fc.dictionary(fc.oneof(fc.constantFrom(...FIELDS, '__proto__', 'constructor'), fc.string()), value, {
      maxKeys: 6,
    }),
  })
  .map(({ type, fields }) => Buffer.from(JSON.stringify({ ...fields, type })));
const right = fc.constantFrom(
  controlCodec.encode({ type: 'STATUS' }),
  controlCodec.encode({ type: 'WATCH', pid: 1, started: null }),
  controlCodec.encode({ type: 'LISTENERS' as never } as never),
  handoverCodec.encode({ type: 'OFFER', txid: 'x', protocol: 1, pid: 1, generation: 1, listeners: 2 }),
  handoverCodec.encode({ type: 'FDS', txid: 'x', entries: [] }),
  handoverCodec.encode({ type: 'LOCK', txid: 'x' }),
);
const raw = fc.uint8Array({ minLength: 1, maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
const long = fc.constantFrom(65_536, 65_537, 100_000).map((length) => Buffer.alloc(length, '{'));

export const hostile: fc.Arbitrary<Hostile> = fc.record({
  data: fc.oneof({ weight: 4, arbitrary: shaped }, { weight: 3, arbitrary: right }, raw, long),
  fds: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 130 })),
});

/** Connects to a socket, says all that, and hangs up in its middle. Whatever the other side does is no error. */
export function attack(path: string, messages: readonly Hostile[]): void {
  const file = openSync('/dev/null', 'r');
  try {
    const fd = native.channel.connect(path);
    try {
      for (const { data, fds } of messages) native.channel.send(fd, data, Array(fds).fill(file));
    } catch {
      // It has hung up on us, or its queue is full.
    } finally {
      native.fd.close(fd);
    }
  } catch {
    // It accepts nobody just now.
  } finally {
    closeSync(file);
  }
}
