import assert from 'node:assert/strict';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { duplicates, OwnedFds } from '#src/base/os/owned-fds.js';
import { keepsFds } from '../native/support.js';

test('what is owned is closed at the end of the scope, also when it throws; what is released stays open', () => {
  let kept = -1;
  keepsFds(() => {
    assert.throws(() => {
      using owned = new OwnedFds(native.fd.pipe());
      owned.own(native.fd.dup(0));
      owned.close(owned.own(native.fd.dup(0)));
      kept = owned.release(owned.own(native.fd.dup(0)));
      throw new Error('late');
    }, /^Error: late$/);
    native.fd.close(kept);
  });
});

test('all are released at once', () => {
  const ends = native.fd.pipe();
  {
    using owned = new OwnedFds(ends);
    owned.releaseAll();
  }
  keepsFds(() => {});
  for (const fd of ends) native.fd.close(fd);
});

test('duplicates: all of them, or none', () => {
  const ends = native.fd.pipe();
  keepsFds(() => {
    const copies = duplicates(ends);
    assert.equal(copies.length, 2);
    for (const fd of copies) native.fd.close(fd);
    assert.throws(() => duplicates([...ends, 1_000_000]), { code: 'EBADF' });
  });
  for (const fd of ends) native.fd.close(fd);
});
