import assert from 'node:assert/strict';
import { fstatSync, ftruncateSync, readFileSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { keepsFds } from './support.js';

test('sealedFile: the content, which cannot be changed', () => {
  keepsFds(() => {
    for (const data of [Buffer.alloc(0), Buffer.from('some'), Buffer.alloc(5 * 1024 * 1024, 'x')]) {
      const fd = native.memfd.create(data);
      const read = Buffer.alloc(data.length);
      assert.equal(readSync(fd, read, 0, data.length, 0), data.length);
      assert.deepEqual(read, data);
      assert.equal(fstatSync(fd).size, data.length);
      assert.throws(() => writeSync(fd, 'x', 0), { code: 'EPERM' });
      assert.throws(() => ftruncateSync(fd, data.length + 1), { code: 'EPERM' });
      assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /flags:\s+02\d*00000?2/, 'O_CLOEXEC');
      native.fd.close(fd);
    }
    assert.throws(() => native.memfd.create('text' as unknown as Uint8Array), TypeError);
  });
});
