import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { statOf } from '#src/base/os/processes.js';
import { OutsideLook } from '#src/workers/outside.js';

test('finds what a worker listens on by itself, once it does, among sockets of all states', async (t) => {
  const listen = async (host: string): Promise<net.Server> => {
    const server = net.createServer();
    t.after(() => server.close());
    server.listen(0, host);
    await once(server, 'listening');
    return server;
  };
  const portOf = (server: net.Server): string => `port ${(server.address() as net.AddressInfo).port}`;
  const before = await listen('127.0.0.1');
  // A connection, whose rows come after those of listeners.
  const client = net.connect((before.address() as net.AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(before, 'connection')) as [net.Socket];
  t.after(() => {
    client.destroy();
    accepted.destroy();
  });
  const look = new OutsideLook();
  const worker = { session: statOf(process.pid)?.session ?? 0, mark: 'none has this', inspectorPort: undefined };
  const found = (known: string[] = []) => look.at([worker], new Set(known)).filter(({ pid }) => pid === process.pid);
  assert.deepEqual(found(), []);
  const servers = [await listen('127.0.0.1'), await listen('::1')];
  const outside = found();
  assert.deepEqual(outside.map(({ where }) => where).sort(), servers.map(portOf).sort());
  assert.deepEqual(new Set(outside.map((one) => one.worker)), new Set([worker.session]));
  const [first] = outside;
  assert.equal(found([first?.inode ?? '']).length, 1);
  // Another service's.
  assert.deepEqual(look.at([], new Set()), []);
  assert.deepEqual(found(), []);
});
