import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { StoredFds } from '#src/keeper/stored-fds.js';

const openFds = (): number => readdirSync('/proc/self/fd').length;
const listener = (): number =>
  native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port: 0, backlog: 1 });

test('keeps each socket once, whatever it is called, and gives it up by name', () => {
  const before = openFds();
  const stored = new StoredFds();
  const [web, api] = [listener(), listener()];
  assert.equal(stored.add('motya-web', [native.fd.dup(web)]), 0);
  assert.equal(stored.add('motya-web', [native.fd.dup(web), native.fd.dup(api)]), 0);
  assert.equal(stored.add('another', [native.fd.dup(web)]), 0);
  assert.deepEqual(
    stored.all().map(({ name }) => name),
    ['motya-web', 'motya-web'],
  );
  const inodes = stored.all().map(({ fd }) => native.listener.describe(fd).inode);
  assert.deepEqual(inodes, [native.listener.describe(web).inode, native.listener.describe(api).inode]);
  stored.remove('another');
  assert.equal(stored.all().length, 2);
  stored.remove('motya-web');
  assert.equal(stored.all().length, 0);
  stored.add('x', [native.fd.dup(web)]);
  stored.close();
  for (const fd of [web, api]) native.fd.close(fd);
  assert.equal(openFds(), before);
});

test('a name that LISTEN_FDNAMES could not carry becomes "stored", as systemd does it', () => {
  const stored = new StoredFds();
  for (const name of ['a:b', '', undefined, 'ü', 'a\tb', 'x'.repeat(256)]) {
    const fd = listener();
    stored.add(name, [fd]);
    assert.equal(stored.all()[0]?.name, 'stored', JSON.stringify(name));
    stored.close();
  }
  stored.add('motya-tcp%3a//127.0.0.1%3a80 #1', [listener()]);
  assert.equal(stored.all()[0]?.name, 'motya-tcp%3a//127.0.0.1%3a80 #1');
  stored.close();
});
