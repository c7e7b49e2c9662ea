import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { LONGEST_TIMER_MS } from '#src/base/limits.js';
import { parseDuration, parseListener } from '#src/config/values.js';

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

test('a duration is its number times its unit', () => {
  fc.assert(
    fc.property(fc.nat(500), fc.constantFrom('ms', 's', 'm', 'h'), (number, unit) => {
      assert.equal(parseDuration(`${number}${unit}`), number * units[unit]);
    }),
  );
});

test('a number, or a text of digits alone, is seconds', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 100_000, noNaN: true }).filter((n) => !String(n).includes('e')),
      (seconds) => {
        assert.equal(parseDuration(seconds), Math.round(seconds * 1000));
        assert.equal(parseDuration(String(seconds)), Math.round(seconds * 1000));
      },
    ),
  );
});

test('any text either is a duration that a timer can wait for, or is refused with a RangeError', () => {
  const almost = fc.stringMatching(/^[-+ ]?[0-9.,e]{0,12}(ms|s|m|h|d|S)? ?$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), almost), (text) => {
      try {
        const ms = parseDuration(text);
        assert.ok(Number.isInteger(ms) && ms >= 0 && ms <= LONGEST_TIMER_MS);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

for (const text of ['', '-1s', '1 s', '1d', '1.s', '.5s', '1e3', 's', '5S', ' 5s', '5s\n', '٣s']) {
  test(`${JSON.stringify(text)} is no duration`, () =>
    assert.throws(() => parseDuration(text), /must be a number of seconds/));
}
test('a duration beyond what a timer can wait is refused', () => {
  assert.equal(parseDuration('596h'), 596 * 3_600_000);
  assert.throws(() => parseDuration('597h'), /at most 24 days/);
});

test('an IPv4 listener says what it is', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.nat(65_535), fc.constantFrom('tcp', 'udp'), (address, port, protocol) => {
      assert.deepEqual(parseListener(`${protocol}://${address}:${port}`), {
        family: 'inet',
        type: protocol === 'tcp' ? 'stream' : 'dgram',
        address,
        port,
      });
    }),
  );
});

test('an IPv6 listener takes IPv4 too, unless told not to', () => {
  fc.assert(
    fc.property(
      fc.ipV6().filter(isIPv6),
      fc.nat(65_535),
      fc.option(fc.boolean(), { nil: undefined }),
      (address, port, ipv6Only) => {
        assert.deepEqual(parseListener(`tcp://[${address}]:${port}`, { ipv6Only, backlog: 7 }), {
          family: 'inet6',
          type: 'stream',
          address,
          port,
          v6only: ipv6Only ?? false,
          backlog: 7,
        });
      },
    ),
  );
});

test('unix listeners are paths or abstract names', () => {
  assert.deepEqual(parseListener('unix:/run/app.sock', { mode: '0660' }), {
    family: 'unix',
    type: 'stream',
    path: '/run/app.sock',
    mode: 0o660,
  });
  assert.deepEqual(parseListener('unix:@app'), { family: 'unix', type: 'stream', path: '\0app' });
  assert.deepEqual(parseListener('unix:app.sock'), { family: 'unix', type: 'stream', path: 'app.sock' });
});

test('any text either is a listener or is refused with a RangeError', () => {
  const almost = fc.stringMatching(/^(tcp|udp|unix|http):(\/\/)?\[?[0-9a-f:.@/]{0,20}\]?:?[0-9]{0,6}$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), almost), (text) => {
      try {
        const spec = parseListener(text);
        if (spec.family === 'systemd') assert.ok(spec.name.length > 0);
        else assert.ok(spec.family === 'unix' ? spec.path.length > 0 : spec.port >= 0 && spec.port <= 65_535);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

const refused: [text: string, details: Parameters<typeof parseListener>[1], reason: RegExp][] = [
  ['tcp://localhost:80', {}, /numeric address/],
  ['tcp://::1:80', {}, /must be a text such as/],
  ['tcp://[127.0.0.1]:80', {}, /numeric address/],
  ['tcp://1.2.3.4:65536', {}, /port from 0 to 65535/],
  ['tcp://1.2.3.4', {}, /must be a text such as/],
  ['http://1.2.3.4:80', {}, /must be a text such as/],
  ['unix:', {}, /must be a text such as/],
  ['unix:@', {}, /must be a text such as/],
  ['unix:///run/x', {}, /must be a text such as/],
  ['tcp://1.2.3.4:80', { mode: '600' }, /cannot have a mode/],
  ['unix:@x', { mode: '600' }, /cannot have a mode/],
  ['unix:/x', { ipv6Only: true }, /cannot have ipv6Only/],
  ['tcp://1.2.3.4:80', { ipv6Only: true }, /cannot have ipv6Only/],
  ['udp://1.2.3.4:80', { backlog: 5 }, /cannot have a backlog/],
];
for (const [text, details, reason] of refused) {
  test(`${text} with ${JSON.stringify(details)} is refused`, () =>
    assert.throws(() => parseListener(text, details), reason));
}
