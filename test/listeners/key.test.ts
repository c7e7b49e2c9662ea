import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ListenerSpec, native } from '#src/base/os/native.js';
import { inetKey, listenerKey, unixKey } from '#src/listeners/key.js';

function keyOfBound(spec: ListenerSpec): string {
  const fd = native.listener.create(spec);
  try {
    return listenerKey(native.listener.describe(fd)).replace(/:\d+( |$)/, ':PORT$1');
  } finally {
    native.fd.close(fd);
  }
}

test('the key says what the socket is', () => {
  const tcp = { type: 'stream', port: 0 } as const;
  assert.equal(keyOfBound({ ...tcp, family: 'inet', address: '127.0.0.1' }), 'tcp://127.0.0.1:PORT');
  assert.equal(keyOfBound({ ...tcp, family: 'inet6', address: '0:0::1' }), 'tcp://[::1]:PORT');
  assert.equal(keyOfBound({ ...tcp, family: 'inet6', address: '::' }), 'tcp://[::]:PORT');
  assert.equal(keyOfBound({ ...tcp, family: 'inet6', address: '::', v6only: true }), 'tcp://[::]:PORT v6only');
  assert.equal(keyOfBound({ family: 'inet', type: 'dgram', address: '0.0.0.0', port: 0 }), 'udp://0.0.0.0:PORT');
  const name = `motya-key-${process.pid}`;
  assert.equal(keyOfBound({ family: 'unix', type: 'stream', path: `\0${name}` }), `unix:@${name}`);
  assert.equal(unixKey('/run/a.sock'), 'unix:/run/a.sock');
});

test('one address has one key, however it is written', () => {
  const key = (address: string) => inetKey('tcp', 'inet6', address, 80, false);
  for (const same of ['::1', '0:0::1', '0:0:0:0:0:0:0:1', '0000::0001', '::0:1']) {
    assert.equal(key(same), 'tcp://[::1]:80', same);
  }
  assert.equal(key('2001:DB8::A'), key('2001:db8:0::a'));
  assert.equal(key('FE80::1%LO'), key('fe80::1%lo'));
  assert.notEqual(key('::1'), key('::'));
  fc.assert(
    fc.property(fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 }), fc.nat(0xffff), (groups, port) => {
      const long = groups.map((group) => group.toString(16).padStart(4, '0').toUpperCase()).join(':');
      const short = groups.map((group) => group.toString(16)).join(':');
      assert.equal(inetKey('tcp', 'inet6', long, port, false), inetKey('tcp', 'inet6', short, port, false));
    }),
  );
});

test('v6only tells two wildcards apart, and means nothing elsewhere', () => {
  assert.equal(inetKey('tcp', 'inet6', '::1', 80, true), inetKey('tcp', 'inet6', '::1', 80, false));
  assert.notEqual(inetKey('tcp', 'inet6', '::', 80, true), inetKey('tcp', 'inet6', '::', 80, false));
  assert.equal(inetKey('tcp', 'inet', '0.0.0.0', 80, true), inetKey('tcp', 'inet', '0.0.0.0', 80, false));
});
