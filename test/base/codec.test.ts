import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Codec, int, type MessageOf, optional, type Shapes, text } from '#src/base/codec.js';
import type { FailureCode } from '#src/base/error-catalog.js';
import { ProtocolError } from '#src/base/errors.js';
import { MESSAGE_BYTES } from '#src/base/limits.js';
import { type ControlMessage, controlCodec } from '#src/control/control-messages.js';
import { type HandoverMessage, handoverCodec } from '#src/handover/handover-messages.js';
import { type WorkerMessage, workerCodec } from '#src/runtime/worker-messages.js';

/** One arbitrary for each type of message: the compiler says which one a new type still lacks. */
type Arbitraries<M extends { type: string }> = {
  readonly [K in M['type']]: fc.Arbitrary<Omit<Extract<M, { type: K }>, 'type'>>;
};

const nat = fc.maxSafeNat();
const flag = fc.boolean();
// `binary`: any code point; lone surrogates come with the messages of a later test.
const word = fc.string({ unit: 'binary', maxLength: 60 });
const maybe = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(of, { nil: null });
const none = fc.constant({});

const family = fc.constantFrom('inet' as const, 'inet6' as const);
const stayed = fc.record({
  ...{ touched: nat, kept: nat, tls: nat, http2: nat },
  ...{ upgraded: nat, refused: nat, other: nat },
});
const kinds = fc.record({ http: nat, streams: nat, webSockets: nat, tcp: nat });
const wait = fc.record({ connections: nat, left: nat });
const waits = fc.record({ http: wait, streams: wait, webSockets: wait, tcp: wait });
const moved = fc.array(fc.record({ isFresh: flag }), { maxLength: 32 });
const counts = fc.record({ http1: nat, idle: nat, http2: nat, upgraded: nat, other: nat });
const request = fc.oneof(
  fc.record({
    kind: fc.constant('tcp' as const),
    address: maybe(word),
    port: nat,
    v6only: flag,
    backlog: nat,
    ordinal: nat,
  }),
  fc.record({ kind: fc.constant('unix' as const), path: word, backlog: nat }),
  fc.record({
    kind: fc.constant('udp' as const),
    family,
    address: word,
    port: nat,
    v6only: flag,
    reuseAddr: flag,
    ordinal: nat,
  }),
);

const numbered = fc.record({ id: nat });

const worker: Arbitraries<WorkerMessage> = {
  LISTEN: fc.record({ id: nat, request }),
  RELEASE: fc.record({ key: word }),
  OWNS: fc.record({ id: nat, path: word }),
  ANSWERS: fc.record({ id: nat, port: nat }),
  READY: none,
  EXHAUSTED: fc.record({ code: word }),
  GIVES: fc.record({ gives: flag }),
  GIVEN: fc.oneof(numbered, fc.record({ id: nat, error: word })),
  AWAITS: none,
  PAUSED: numbered,
  ACCEPTING: numbered,
  COUNTS: fc.record({ id: nat, connections: counts, kinds }),
  DRAINED: fc.record({ id: nat, forced: counts, ended: nat, moved: nat, stayed }),
  MOVE: fc.record({ id: nat, key: word, connections: moved }),
  MOVED: fc.record({ id: nat, room: nat }),
  LISTENER: fc.record({
    id: nat,
    key: word,
    family: fc.constantFrom('inet', 'inet6', 'unix'),
    address: maybe(word),
    port: maybe(nat),
    path: maybe(word),
  }),
  PENDING: fc.record({ id: nat }),
  REFUSED: fc.record({ id: nat, code: word, errno: fc.maxSafeInteger().map((n) => n + 0), syscall: word }),
  OWNED: fc.record({ id: nat, owned: flag }),
  GIVE: numbered,
  INHERIT: none,
  PAUSE: fc.oneof(numbered, fc.record({ id: nat, lease: nat, except: fc.array(word) })),
  ACCEPT: numbered,
  DRAIN: fc.record({ id: nat, times: kinds }),
  SHORTEN: fc.record({ timeout: nat }),
  FORCE: none,
  COUNT: numbered,
  COUNT_LISTENERS: fc.record({ id: nat, keys: fc.array(word) }),
  LISTENER_COUNTS: fc.record({ id: nat, listeners: fc.array(fc.record({ key: word, open: nat, accepted: nat })) }),
  INSPECTOR: fc.record({ open: flag }),
  CHILD_END: fc.record({ pid: nat, reason: word }),
  CHILD_DONE: fc.record({ pid: nat }),
  OUTPUT: none,
};

const txid = fc.uuid();
/** A code of a newer peer may be any text. */
const code = word as unknown as fc.Arbitrary<FailureCode>;
const entry = fc.record({
  key: word,
  alias: maybe(word),
  backlog: nat,
  path: maybe(fc.record({ dev: nat, ino: nat })),
});
const handover: Arbitraries<HandoverMessage> = {
  HELLO: fc.record({ txid, min: nat, max: nat, pid: nat, version: word, ready: nat, probation: nat }),
  ADOPTED: fc.record({ txid, listeners: nat }),
  READY: fc.record({ txid, kept: nat, added: nat, removed: nat, leftOut: fc.array(word) }),
  LIVE: fc.oneof(fc.record({ txid }), fc.record({ txid, removed: fc.array(word) })),
  LEFT_OUT: fc.record({ txid, keys: fc.array(word) }),
  PROVING: fc.record({ txid, counters: fc.dictionary(word, nat) }),
  SETTLED: fc.record({ txid, removed: fc.array(word), unconditional: flag }),
  ROLLBACK: fc.record({ txid, code, text: word }),
  OFFER: fc.record({ txid, protocol: nat, pid: nat, generation: nat, listeners: nat }),
  FDS: fc.record({ txid, entries: fc.array(entry, { maxLength: 20 }) }),
  LOCK: fc.record({ txid }),
  STATE: fc.record({ txid, service: word, index: nat }),
  COMMIT: fc.record({ txid }),
  STATS: fc.record({ txid, connections: nat, left: nat, waits }),
  PREDECESSOR: fc.record({ txid, pid: nat, generation: nat, counted: fc.dictionary(word, nat) }),
  DRAINING: fc.record({ txid }),
  REVOKED: fc.record({ txid, code, text: word }),
  BYE: fc.record({ txid, forced: nat, moved: nat }),
  MOVE: fc.record({ txid, id: nat, service: word, index: nat, key: word, connections: moved }),
  MOVED: fc.record({ txid, id: nat, room: nat }),
  ABORT: fc.record({ txid, code, text: word }),
};

const control: Arbitraries<ControlMessage> = {
  WATCH: fc.record({
    pid: nat,
    started: maybe(
      fc.record({
        age: nat,
        program: fc.record({ scripts: fc.array(word), cwds: fc.array(word), source: maybe(word), fingerprint: word }),
      }),
    ),
  }),
  STATUS: none,
  UPGRADE: fc.record({ dryRun: flag, settled: flag, allowRemoved: flag }),
  ROLLBACK: none,
  SIGNAL: fc.record({ signal: word }),
  LIVE: fc.record({
    pid: nat,
    generation: nat,
    gapMicros: nat,
    probation: nat,
    removed: fc.array(fc.record({ key: word, open: nat, accepted: nat, ms: nat })),
  }),
  STOP: fc.record({ now: flag, once: flag }),
  INSTANCE: fc.record({ pid: nat, generation: nat }),
  PATHS: fc.record({ paths: fc.array(word), keys: fc.array(word), services: fc.array(word), last: flag }),
  GONE: fc.record({ code, text: word }),
  REPORT: fc.record({ piece: word, last: flag }),
  PROGRESS: fc.record({ phase: word, ms: nat }),
  RESULT: fc.record(
    { ok: flag, code, text: word, pid: nat, generation: nat, gapMicros: nat },
    { requiredKeys: ['ok', 'code', 'text'] },
  ),
};

/** A fast-check record has no prototype in some of its values; what JSON gives has Object's. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Decodes; anything thrown that is no ProtocolError fails the test. */
function decodes<S extends Shapes>(codec: Codec<S>, data: Uint8Array): MessageOf<S> | null {
  try {
    return codec.decode(data);
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `not a ProtocolError: ${String(error)}`);
    assert.equal(error.code, 'ERR_MOTYA_PROTOCOL');
    assert.ok(error.message.length < 2000, 'a reason of one line');
    return null;
  }
}

function check<S extends Shapes>(name: string, codec: Codec<S>, table: Record<string, fc.Arbitrary<object>>): void {
  const messages = Object.entries(table).map(([type, fields]) => fields.map((of) => plain({ type, ...of })));
  const anyMessage = fc.oneof(...messages) as fc.Arbitrary<{ type: string }>;
  const bytesOf = (message: object): Buffer => codec.encode(message as MessageOf<S>);

  describe(name, () => {
    for (const [index, type] of Object.keys(table).entries()) {
      test(`${type}: what was encoded is decoded`, () => {
        fc.assert(
          fc.property(messages[index] as fc.Arbitrary<object>, (message) => {
            assert.deepEqual(codec.decode(bytesOf(message)), message);
          }),
        );
      });
    }

    test('a part of a message is none', () => {
      fc.assert(
        fc.property(anyMessage, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (message, part) => {
          const data = bytesOf(message);
          assert.equal(decodes(codec, data.subarray(0, Math.floor(data.length * part))), null);
        }),
      );
    });

    test('a message with a field that is missing or anything else: refused, or as it was written', () => {
      fc.assert(
        fc.property(anyMessage, fc.nat(), fc.option(fc.jsonValue()), (message, which, value) => {
          const names = Object.keys(message);
          const changed: Record<string, unknown> = { ...message, [names[which % names.length] as string]: value };
          if (value === null) delete changed[names[which % names.length] as string];
          const data = Buffer.from(JSON.stringify(changed));
          const decoded = decodes(codec, data);
          if (decoded !== null) assert.deepEqual(decoded, JSON.parse(data.toString()));
        }),
        { numRuns: 300 },
      );
    });

    test('arbitrary bytes and arbitrary JSON raise nothing but a ProtocolError', () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (data) => void decodes(codec, data)));
      const type = fc.oneof(fc.constantFrom(...Object.keys(table)), fc.jsonValue());
      const object = fc
        .tuple(type, fc.dictionary(fc.string(), fc.jsonValue()))
        .map(([t, rest]) => ({ ...rest, type: t }));
      fc.assert(
        fc.property(
          fc.oneof(
            fc.json(),
            object.map((value) => JSON.stringify(value)),
          ),
          (json) => {
            decodes(codec, Buffer.from(json));
          },
        ),
        { numRuns: 300 },
      );
    });

    test('names that every object has are no types and no fields', () => {
      for (const type of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '']) {
        assert.equal(decodes(codec, Buffer.from(JSON.stringify({ type }))), null, type);
      }
      fc.assert(
        fc.property(anyMessage, (message) => {
          const { type, ...fields } = message;
          const hidden = `{"type":${JSON.stringify(type)},"__proto__":${JSON.stringify(fields)}}`;
          const decoded = decodes(codec, Buffer.from(hidden));
          assert.equal(
            decoded === null,
            Object.keys(codecFieldsNeeded(codec, type)).length > 0,
            'inherited counts not',
          );
          const more = `{"constructor":{"prototype":{"polluted":1}},"__proto__":{"polluted":1},${JSON.stringify(message).slice(1)}`;
          assert.equal(decodes(codec, Buffer.from(more))?.type, type);
          assert.equal(({} as { polluted?: number }).polluted, undefined);
        }),
      );
    });
  });

  /** The fields without which a message of this type is refused. */
  function codecFieldsNeeded(of: Codec<S>, type: string): object {
    return decodes(of, Buffer.from(JSON.stringify({ type }))) === null ? { some: true } : {};
  }
}

check('handover', handoverCodec, handover);
check('workers', workerCodec, worker);
check('control', controlCodec, control);

const small = new Codec({ NUMBER: { n: int }, TEXT: { text } });
const decodeText = (json: string) => decodes(small, Buffer.from(json));

test('a message that is too large is not sent', () => {
  const head = Buffer.byteLength('{"type":"TEXT","text":""}');
  const fits = small.encode({ type: 'TEXT', text: 'x'.repeat(MESSAGE_BYTES - head) });
  assert.equal(fits.length, MESSAGE_BYTES);
  assert.throws(() => small.encode({ type: 'TEXT', text: 'x'.repeat(MESSAGE_BYTES - head + 1) }), ProtocolError);
  // Bytes count, not characters.
  assert.throws(() => small.encode({ type: 'TEXT', text: '€'.repeat(MESSAGE_BYTES / 3) }), ProtocolError);
});

test('nesting as deep as a message allows does no harm', () => {
  const depth = MESSAGE_BYTES / 2 - 20;
  const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
  assert.equal(decodeText(nested), null);
  assert.equal(decodeText(`{"type":${nested}}`), null);
  assert.equal(decodeText(`{"type":"TEXT","text":${nested}}`), null);
  assert.equal(decodeText(`{"type":"NUMBER","n":1,"x":${nested}}`)?.type, 'NUMBER');
  assert.equal(decodeText('['.repeat(MESSAGE_BYTES)), null);
  assert.equal(decodeText('{"type":'.repeat(MESSAGE_BYTES / 8)), null);
  const parts = '{"a":'.repeat(8000);
  assert.equal(
    decodes(handoverCodec, Buffer.from(`{"type":"FDS","txid":"","entries":[${parts}1${'}'.repeat(8000)}]}`)),
    null,
  );
});

test('numbers: whole, from 0 to 2^53-1', () => {
  for (const n of ['0', '1', String(Number.MAX_SAFE_INTEGER), '1e3', '1.0']) {
    assert.equal(decodeText(`{"type":"NUMBER","n":${n}}`)?.type, 'NUMBER', n);
  }
  for (const n of ['-1', '1.5', '9007199254740992', '1e400', '"1"', 'null', 'true', '[]', '{}']) {
    assert.equal(decodeText(`{"type":"NUMBER","n":${n}}`), null, n);
  }
});

test('texts: at most 4,096 units; bytes that are no UTF-8 are no message', () => {
  assert.notEqual(decodeText(JSON.stringify({ type: 'TEXT', text: 'x'.repeat(4096) })), null);
  assert.equal(decodeText(JSON.stringify({ type: 'TEXT', text: 'x'.repeat(4097) })), null);
  const message = { type: 'TEXT', text: '\ud800 alone' } as const;
  assert.deepEqual(small.decode(small.encode(message)), message);
  for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80]]) {
    const data = Buffer.concat([Buffer.from('{"type":"TEXT","text":"'), Buffer.from(bytes), Buffer.from('"}')]);
    assert.equal(decodes(small, data), null);
  }
});

test('the reason names the message and the field; an unknown type is cut short', () => {
  const reason = (json: string): string => {
    try {
      small.decode(Buffer.from(json));
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.equal(reason('{"type":"NUMBER"}'), 'NUMBER: n must be a whole number ≥ 0');
  assert.equal(reason(`{"type":"${'y'.repeat(60_000)}"}`), `unknown message type "${'y'.repeat(40)}"`);
  assert.equal(reason('nonsense'), 'a message of 8 bytes is not JSON');
  assert.equal(reason('[]'), 'a message has no type');
});

test('what every object inherits is not what a peer has sent', () => {
  const named = new Codec({ NAMED: { valueOf: optional(int) } });
  assert.deepEqual(named.decode(Buffer.from('{"type":"NAMED"}')), { type: 'NAMED' });
});

test('a later version may add fields', () => {
  assert.deepEqual(small.decode(Buffer.from('{"type":"NUMBER","n":1,"later":[1]}')), {
    type: 'NUMBER',
    n: 1,
    later: [1],
  });
});
