import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { within } from '#src/base/timeout.js';

test('what has come while this process did not run is in time', async () => {
  const [ours, theirs] = native.channel.pair();
  const readable = new Promise<'come'>((resolve) => {
    const poll = native.poll.create(ours, () => {
      poll.close();
      resolve('come');
    });
    poll.watch(1);
  });
  const come = within(20, readable);
  native.channel.send(theirs, Buffer.from('x'), []);
  // As a machine that does not run us would: the timer is due before anything is read.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  assert.equal(await come, 'come');
  for (const fd of [ours, theirs]) native.fd.close(fd);
  assert.equal(await within(1, new Promise(() => {})), null);
});
