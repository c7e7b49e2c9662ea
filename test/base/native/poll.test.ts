import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, openFds, outputOf, runModule, throwsSystemError } from './support.js';

const READABLE = 1;
const WRITABLE = 2;

/** Next events of a poll that is watched for `events`. */
function nextEvents(fd: number, events: number): Promise<number> {
  return new Promise((resolve) => {
    const poll = native.poll.create(fd, (seen) => {
      poll.close();
      resolve(seen);
    });
    poll.watch(events);
  });
}

test('tells readable, writable and hung up; close leaves the fd open', async () => {
  const before = openFds();
  const [a, b] = native.channel.pair();
  assert.equal(await nextEvents(a, READABLE | WRITABLE), WRITABLE);
  native.channel.send(b, Buffer.from('x'), []);
  assert.equal(await nextEvents(a, READABLE), READABLE);
  assert.equal(await nextEvents(a, READABLE | WRITABLE), READABLE | WRITABLE);
  native.channel.receive(a, 10);
  native.fd.close(b);
  assert.ok((await nextEvents(a, READABLE)) & READABLE);
  assert.equal(native.channel.receive(a, 10)?.data.length, 0);
  native.fd.close(a);
  assert.equal(openFds(), before);
});

test('a peer that died with messages unread (EPOLLERR) is readable, and goes on being watched', async () => {
  const [a, b] = native.channel.pair();
  native.channel.send(a, Buffer.from('never read'), []);
  native.channel.send(b, Buffer.from('last words'), []);
  native.fd.close(b);
  const words: string[] = [];
  await new Promise<void>((resolve) => {
    const poll = native.poll.create(a, (events) => {
      assert.ok(events & READABLE);
      const text = native.channel.receive(a, 100)?.data.toString() ?? 'nothing';
      words.push(text);
      if (text !== '') return;
      poll.close();
      resolve();
    });
    poll.watch(READABLE);
  });
  assert.deepEqual(words, ['last words', '']);
  native.fd.close(a);
});

test('watch replaces and stops; calls after close do nothing', async () => {
  const [a, b] = native.channel.pair();
  const seen: number[] = [];
  const poll = native.poll.create(a, (events) => {
    seen.push(events);
    poll.watch(READABLE);
  });
  poll.watch(WRITABLE);
  await nextEvents(b, WRITABLE);
  while (seen.length === 0) await new Promise(setImmediate);
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.deepEqual(seen, [WRITABLE], 'once, for READABLE has replaced it');
  poll.watch(0);
  native.channel.send(b, Buffer.from('x'), []);
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.deepEqual(seen, [WRITABLE]);
  poll.close();
  poll.close();
  poll.watch(READABLE);
  poll.ref();
  poll.unref();
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  assert.deepEqual(seen, [WRITABLE]);
  native.fd.close(a);
  native.fd.close(b);
});

test('errors', () => {
  const [a, b] = native.channel.pair();
  throwsSystemError(() => native.poll.create(1_000_000, () => {}), 'EBADF', 'uv_poll_init');
  assert.throws(() => native.poll.create(-1, () => {}), TypeError);
  assert.throws(() => native.poll.create(a, undefined as unknown as () => void), TypeError);
  const poll = native.poll.create(a, () => {});
  assert.throws(() => poll.watch(4), TypeError);
  assert.throws(() => poll.watch(undefined as unknown as number), TypeError);
  poll.close();
  native.fd.close(a);
  native.fd.close(b);
});

test('next ticks and promises run after each callback; what it throws is an uncaught exception', async (t) => {
  const source = `${IMPORT_NATIVE}
    const [a, b] = native.channel.pair();
    const order = [];
    process.on('uncaughtException', (error) => {
      order.push(error.message);
      poll.close();
      console.log(order.join(' '));
    });
    const poll = native.poll.create(a, () => {
      process.nextTick(() => order.push('tick'));
      Promise.resolve().then(() => order.push('promise'));
      order.push('callback');
      if (order.length > 3) throw new Error('thrown');
    });
    poll.watch(2);`;
  const child = runModule(t, source, { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.match(await outputOf(child), /^callback tick promise callback thrown/);
});

test('an unreferenced poll lets the process end; a referenced one does not', async (t) => {
  const source = `${IMPORT_NATIVE}
    const [a, b] = native.channel.pair();
    const poll = native.poll.create(a, () => { poll.unref(); console.log('called'); });
    poll.unref();
    poll.ref();
    poll.watch(1);
    setImmediate(() => native.channel.send(b, Buffer.from('x'), []));`;
  const child = runModule(t, source, { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.match(await outputOf(child), /^called\n/);
});

const WORKER_STATES = {
  idle: `native.poll.create(fd, () => {}).watch(1); parentPort.postMessage('ready');`,
  'calling back all the time': `let calls = 0;
    native.poll.create(fd, () => { if (++calls === 10) parentPort.postMessage('ready'); }).watch(2);`,
  closing: `native.poll.create(fd, () => {}).watch(1);
    const poll = native.poll.create(other, () => {});
    poll.watch(2); poll.close(); parentPort.postMessage('ready');
    for (;;) {}`,
};

for (const [state, body] of Object.entries(WORKER_STATES)) {
  test(`worker threads can be terminated while a poll is ${state}`, async () => {
    const before = openFds();
    for (let round = 0; round < 20; round++) {
      const [fd, other] = native.channel.pair();
      const source = `import('node:worker_threads').then(async ({ parentPort, workerData: { fd, other } }) => {
        ${IMPORT_NATIVE} ${body} });`;
      const worker = new Worker(source, { eval: true, workerData: { fd, other } });
      assert.deepEqual(await once(worker, 'message'), ['ready']);
      await worker.terminate();
      native.fd.close(fd);
      native.fd.close(other);
    }
    assert.ok(openFds() <= before + 2, 'the loops of the threads are gone');
  });
}
