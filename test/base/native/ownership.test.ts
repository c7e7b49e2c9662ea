import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ftruncateSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { keepsFds } from './support.js';

test('ownership: a word changes from what is expected, and from nothing else', () => {
  keepsFds(() => {
    const fd = native.ownership.create();
    assert.equal(native.ownership.exchange(fd, 0, 1, 2), false);
    assert.equal(native.ownership.exchange(fd, 0, 0, 1), true);
    assert.equal(native.ownership.exchange(fd, 0, 0, 1), false);
    assert.equal(native.ownership.exchange(fd, 1, 0, 7), true, 'another word');
    const copy = native.fd.dup(fd);
    assert.equal(native.ownership.exchange(copy, 0, 1, 2), true, 'the same word');
    assert.equal(native.ownership.exchange(fd, 0, 1, 0), false);
    native.fd.close(copy);
    native.fd.close(fd);
  });
});

test('ownership: a file that could be cut short while it is mapped is refused', () => {
  keepsFds(() => {
    const fd = native.ownership.create();
    assert.throws(() => ftruncateSync(fd, 0), { code: 'EPERM' });
    const small = native.memfd.create(Buffer.alloc(4));
    assert.throws(() => native.ownership.exchange(small, 0, 0, 1), { code: 'EINVAL' });
    const [pipe, end] = native.fd.pipe();
    assert.throws(() => native.ownership.exchange(pipe, 0, 0, 1), { code: 'EINVAL' });
    assert.throws(() => native.ownership.exchange(fd, 1024, 0, 1), TypeError);
    assert.throws(() => native.ownership.exchange(fd, -1, 0, 1), TypeError);
    for (const one of [fd, small, pipe, end]) native.fd.close(one);
  });
});

test('ownership: of two processes that want the same words, each word goes to one', async () => {
  const WORDS = 1024;
  const fd = native.ownership.create();
  // Each takes what it can, as soon as the other one runs: word 0 and 1 say so.
  const program = `
    const { native } = await import('#src/base/os/native.js');
    const [own, other] = process.argv.slice(-2).map(Number);
    native.ownership.exchange(3, own, 0, 1);
    while (native.ownership.exchange(3, other, 0, 0));
    let taken = 0;
    for (let word = 2; word < ${WORDS}; word++) if (native.ownership.exchange(3, word, 0, own + 1)) taken++;
    console.log(taken);`;
  const run = async (...words: number[]): Promise<number> => {
    const args = ['--input-type=module', '-e', program, ...words.map(String)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', fd] });
    let output = '';
    child.stdout?.on('data', (data: Buffer) => {
      output += data.toString();
    });
    await once(child, 'close');
    return Number(output);
  };
  const [one = 0, another = 0] = await Promise.all([run(0, 1), run(1, 0)]);
  assert.equal(one + another, WORDS - 2);
  native.fd.close(fd);
});
