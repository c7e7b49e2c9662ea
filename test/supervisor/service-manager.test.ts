import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { Ledger } from '#src/listeners/ledger.js';
import { ServiceManager, STATUS_MS } from '#src/supervisor/service-manager.js';

test('a manager that does not read costs its patience once, not for each listener, and has them when it reads', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const path = `\0motya-test-${process.pid}-silent`;
  const reader = native.listener.create({ family: 'unix', type: 'dgram', path });
  const ledger = new Ledger();
  const ports = [0, 0, 0, 0];
  for (const port of ports) ledger.declare('web', { family: 'inet', type: 'stream', address: '127.0.0.1', port });
  const reported = { status: async () => '', isWell: async () => true };
  const warnings: string[] = [];
  const manager = new ServiceManager({ NOTIFY_SOCKET: path.replace('\0', '@') }, reported, (text) =>
    warnings.push(text),
  );
  t.after(() => {
    ledger.removeAll({ unlink: false });
    native.fd.close(reader);
  });
  const fill = (): never => {
    for (;;) native.notify.send(path, 'STATUS=', []);
  };
  assert.throws(fill, { code: 'EAGAIN' });

  const told = t.mock.method(native.notify, 'send');
  manager.follow(ledger);
  assert.equal(told.mock.callCount(), 1);
  assert.equal(warnings.length, 1);
  while (native.channel.receive(reader, 4096) !== null);
  t.mock.timers.tick(STATUS_MS);
  assert.equal(told.mock.callCount(), 1 + ports.length);
  assert.ok(ledger.all().every(({ heldAs }) => heldAs !== null));
});
