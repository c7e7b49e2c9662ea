import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { inetKey, listenerKey } from '#src/listeners/key.js';
import { overlaps } from '#src/listeners/overlap.js';

interface TcpAddress {
  readonly address: string;
  readonly port: number;
  readonly v6only: boolean;
}

const all: readonly TcpAddress[] = ['::', '::1', '0.0.0.0', '127.0.0.1'].flatMap((address) =>
  [false, true].map((v6only) => ({ address, v6only, port: 0 })),
);

const listen = ({ address, port, v6only }: TcpAddress): number => {
  const family = address.includes(':') ? 'inet6' : 'inet';
  return native.listener.create({ type: 'stream', family, address: address, port, v6only });
};

const canListen = (wanted: TcpAddress): boolean => {
  try {
    native.fd.close(listen(wanted));
    return true;
  } catch {
    return false;
  }
};

test('addresses overlap when the kernel says so', () => {
  for (const held of all) {
    const fd = listen(held);
    try {
      const { port } = native.listener.describe(fd);
      const key = listenerKey(native.listener.describe(fd));
      for (const { address, v6only } of all) {
        const wanted = { address, v6only, port: port as number };
        const other = inetKey('tcp', address.includes(':') ? 'inet6' : 'inet', address, wanted.port, v6only);
        assert.equal(other === key || overlaps(other, key), !canListen(wanted), `${other} beside ${key}`);
      }
    } finally {
      native.fd.close(fd);
    }
  }
});
