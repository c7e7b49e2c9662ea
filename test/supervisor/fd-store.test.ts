import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import type { NotifySocket } from '#src/base/os/notify-socket.js';
import { defectsOf } from '#src/base/os/unit-cgroup.js';
import { adoptedIn, aliasIn, isStoreName } from '#src/listeners/fd-name.js';
import type { Listener } from '#src/listeners/listener.js';
import { FdStore } from '#src/supervisor/fd-store.js';

/** The name under which a listener is stored, by the message that stores it. */
function nameOf(key: string, alias: string | null, adoptedFrom: number | null = null): string {
  const sent: (readonly string[])[] = [];
  const socket = { send: (lines: readonly string[]) => sent.push(lines) > 0 } as unknown as NotifySocket;
  const listener = { key, alias, adoptedFrom, fd: 0, heldAs: null } as unknown as Listener;
  new FdStore(socket).add(listener);
  const name = sent[0]?.find((line) => line.startsWith('FDNAME='))?.slice('FDNAME='.length) ?? '';
  assert.equal(listener.heldAs, name);
  return name;
}

describe('the name of a stored listener', () => {
  const keys = [
    'tcp://127.0.0.1:80',
    'tcp://[::]:443 v6only',
    'unix:/run/ä.sock',
    'unix:@a%b',
    `unix:/${'ü'.repeat(53)}`,
  ];
  for (const key of keys) {
    it(`is one that systemd takes, and ours: ${key}`, () => {
      const name = nameOf(key, null);
      assert.match(name, /^[ -9;-~]{1,255}$/);
      assert.ok(isStoreName(name));
      assert.equal(aliasIn(name), null);
    });
  }

  it('brings the alias of a port 0 back, and the process that it was adopted from', () => {
    const alias = 'web tcp://127.0.0.1:0 #1';
    const names = [nameOf('tcp://127.0.0.1:4711', alias), nameOf('tcp://127.0.0.1:80', null, 4711)];
    assert.deepEqual(names.map(aliasIn), [alias, null]);
    assert.deepEqual(names.map(adoptedIn), [undefined, 4711]);
  });

  it('is not longer than systemd allows', () => {
    assert.ok(nameOf('tcp://127.0.0.1:4711', `${'é'.repeat(64)} tcp://127.0.0.1:0 #1`).length <= 255);
  });
});

test('a unit that will hurt is named with what to write into it', () => {
  const good = { name: 'app.service', NotifyAccess: 'all', FileDescriptorStoreMax: 64, NFileDescriptorStore: 2 };
  assert.deepEqual(defectsOf(good, 2), []);
  assert.match(defectsOf({ ...good, NotifyAccess: 'main' }, 2).join(), /NotifyAccess=main.*set NotifyAccess=all/);
  const mean = { ...good, FileDescriptorStoreMax: 1, NFileDescriptorStore: 1 };
  assert.match(
    defectsOf(mean, 2).join(),
    /stores 1 of 2 listeners \(FileDescriptorStoreMax=1\).*set FileDescriptorStoreMax=64/,
  );
  const lost = { ...good, NFileDescriptorStore: 1 };
  assert.match(defectsOf(lost, 2).join(), /stores 1 of 2 listeners .*systemctl restart app\.service/);
  assert.doesNotMatch(defectsOf(lost, 2).join(), /set FileDescriptorStoreMax/);
});
