import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListenRequest } from '#src/listeners/listen-request.js';
import { placeholderFor } from '#src/listeners/placeholder.js';

const tcp = (port: number, more: object = {}): ListenRequest => ({
  kind: 'tcp',
  address: null,
  port,
  v6only: false,
  backlog: 7,
  ordinal: 0,
  ...more,
});
const udp: ListenRequest = {
  kind: 'udp',
  family: 'inet6',
  address: '::',
  port: 53,
  v6only: false,
  reuseAddr: true,
  ordinal: 0,
};

test('stand-ins are on the loopback address, on free ports, or in the directory; each request has one of its own', () => {
  const requests: ListenRequest[] = [
    tcp(80),
    tcp(81),
    tcp(80, { address: '10.0.0.1' }),
    tcp(0),
    tcp(0, { ordinal: 1 }),
    { kind: 'systemd', name: 'http', backlog: 7 },
  ];
  const ordinals = requests.map((request) => {
    const { ordinal, ...rest } = placeholderFor(request, '/stage') as Extract<ListenRequest, { kind: 'tcp' }>;
    assert.deepEqual(rest, { kind: 'tcp', address: '127.0.0.1', port: 0, v6only: false, backlog: 7 });
    return ordinal;
  });
  assert.equal(new Set(ordinals).size, requests.length);
  assert.deepEqual(placeholderFor(tcp(80), '/stage'), placeholderFor(tcp(80), '/stage'));
  const { ordinal: _, ...datagrams } = placeholderFor(udp, '/stage') as Extract<ListenRequest, { kind: 'udp' }>;
  assert.deepEqual(datagrams, {
    kind: 'udp',
    family: 'inet6',
    address: '::1',
    port: 0,
    v6only: false,
    reuseAddr: true,
  });
  for (const path of ['/run/app.sock', '\0app']) {
    const request = placeholderFor({ kind: 'unix', path, backlog: 7 }, '/stage');
    assert.match(request.kind === 'unix' ? request.path : '', /^\/stage\/\d+\.sock$/);
  }
});
