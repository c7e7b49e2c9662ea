import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import type { Listener } from '#src/listeners/listener.js';
import { retire } from '#src/listeners/retire.js';

test('a TCP listener that goes on hearing newcomers, whatever is tried, is told of by name and given up', async () => {
  const [end, other] = native.fd.pipe();
  const socket = { family: 'inet', type: 'stream', port: 1 };
  const listener = { fd: end, key: 'tcp://127.0.0.1:1', socket, users: new Set([1]) } as unknown as Listener;
  const told: string[] = [];
  const cut = new Promise<void>(() => {});
  await retire([listener], { accepted: async () => 0, cut, warn: (text) => told.push(text) });
  assert.equal(told.length, 1);
  assert.match(
    told[0] as string,
    /^tcp:\/\/127\.0\.0\.1:1 ends, and clients that connect to it now may be reset: setsockopt ENOTSOCK/,
  );
  native.fd.close(end);
  native.fd.close(other);
});
