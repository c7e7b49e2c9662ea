import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Channel } from '#src/base/channel.js';
import { bool, Codec, int, type MessageOf, text } from '#src/base/codec.js';
import { isSystemError, ProtocolError } from '#src/base/errors.js';
import { CHANNEL_QUEUE, MESSAGE_BYTES } from '#src/base/limits.js';
import { native } from '#src/base/os/native.js';
import { ReceivedFds } from '#src/base/received-fds.js';
import { until } from '../e2e/harness/until.js';
import { IMPORT_NATIVE, openFds, runModule, scratch } from './native/support.js';

const shapes = { ITEM: { n: int }, TEXT: { text }, ANSWER: { ok: bool } } as const;
const codec = new Codec(shapes);
type Message = MessageOf<typeof shapes>;

class End {
  readonly channel: Channel<typeof shapes>;
  readonly messages: Message[] = [];
  /** Inodes of the files whose fds came, message by message. */
  readonly inodes: number[][] = [];
  closes: (Error | null)[] = [];

  constructor(fd: number) {
    this.channel = new Channel(fd, codec);
    this.channel.on('message', (message, fds) => {
      this.messages.push(message);
      const taken = Array.from({ length: fds.length }, (_, index) => fds.take(index));
      this.inodes.push(taken.map((of) => fstatSync(of).ino));
      for (const of of taken) closeSync(of);
    });
    this.channel.on('close', (error) => this.closes.push(error));
  }

  get numbers(): number[] {
    return this.messages.map((message) => (message.type === 'ITEM' ? message.n : Number.NaN));
  }

  async closed(): Promise<Error | null> {
    await until(() => this.closes.length > 0, { what: 'the end of the channel' });
    assert.equal(this.closes.length, 1);
    return this.closes[0] as Error | null;
  }
}

const item = (n: number): Message => ({ type: 'ITEM', n });
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Two channels, or a channel and a bare socket; when the test ends, no fd is left. */
async function withPair(body: (ours: End, raw: number) => Promise<void>): Promise<void> {
  const before = openFds();
  const [a, b] = native.channel.pair();
  const ours = new End(a);
  await body(ours, b);
  ours.channel.close();
  try {
    native.fd.close(b);
  } catch (error) {
    assert.ok(isSystemError(error) && error.code === 'EBADF', 'the body may have closed it');
  }
  await until(() => openFds() === before, { what: 'fds as before', instead: () => openFds() - before });
}

function files(t: TestContext, count: number): { fds: number[]; inodes: number[] } {
  const directory = scratch(t);
  const fds = upTo(count).map((n) => {
    writeFileSync(join(directory, String(n)), '');
    return openSync(join(directory, String(n)), 'r');
  });
  return { fds, inodes: fds.map((fd) => fstatSync(fd).ino) };
}

const raw = (fd: number, data: string, fds: number[] = []): boolean => native.channel.send(fd, Buffer.from(data), fds);

test('messages and their fds come in order, in both directions', async (t) => {
  const { fds, inodes } = files(t, 3);
  await withPair(async (ours, b) => {
    const theirs = new End(b);
    ours.channel.open();
    theirs.channel.open();
    for (const n of upTo(500)) {
      ours.channel.send(item(n), n % 50 === 0 ? [fds[(n / 50) % 3] as number] : []);
      theirs.channel.send(item(n), n === 7 ? fds : []);
    }
    await until(() => ours.messages.length + theirs.messages.length === 1000, { what: 'all messages' });
    assert.deepEqual(ours.numbers, upTo(500));
    assert.deepEqual(theirs.numbers, upTo(500));
    const expected = upTo(500).map((n) => (n % 50 === 0 ? [inodes[(n / 50) % 3]] : []));
    assert.deepEqual(theirs.inodes, expected);
    assert.deepEqual(ours.inodes[7], inodes);
    theirs.channel.close();
    assert.equal(await ours.closed(), null);
  });
  for (const fd of fds) closeSync(fd);
});

test('a peer that reads late gets everything, with fds that the sender has closed long since', async (t) => {
  const { fds, inodes } = files(t, 2);
  await withPair(async (ours, b) => {
    for (const n of upTo(1000)) {
      const copies = fds.map((fd) => native.fd.dup(fd));
      ours.channel.send(item(n), copies);
      for (const copy of copies) native.fd.close(copy);
    }
    const theirs = new End(b);
    theirs.channel.open();
    await until(() => theirs.messages.length === 1000, {
      what: '1,000 messages',
      instead: () => theirs.messages.length,
    });
    assert.deepEqual(theirs.numbers, upTo(1000));
    assert.ok(theirs.inodes.every((of) => of[0] === inodes[0] && of[1] === inodes[1]));
    theirs.channel.close();
    await theirs.closed();
  });
  for (const fd of fds) closeSync(fd);
});

test('a peer that leaves too much unread is hung up on; queued fds are closed', async () => {
  await withPair(async (ours) => {
    const file = openSync('/dev/null', 'r');
    let sent = 0;
    while (!ours.channel.closed) {
      ours.channel.send(item(sent), sent < 100 ? [file] : []);
      sent += 1;
      assert.ok(sent < CHANNEL_QUEUE * 2, 'no limit');
    }
    closeSync(file);
    assert.ok(sent > CHANNEL_QUEUE);
    assert.equal(ours.closes.length, 0, 'not told inside the call');
    const error = await ours.closed();
    assert.ok(error instanceof ProtocolError);
    assert.match(error.message, /4096 messages unread/);
  });
});

test('close: once, for both, and nothing after it counts', async () => {
  await withPair(async (ours, b) => {
    const theirs = new End(b);
    theirs.channel.open();
    ours.channel.open();
    theirs.channel.close();
    theirs.channel.close();
    theirs.channel.send(item(1));
    theirs.channel.end();
    theirs.channel.ref();
    theirs.channel.unref();
    assert.equal(theirs.channel.closed, true);
    assert.equal(await theirs.closed(), null);
    assert.equal(await ours.closed(), null);
    assert.deepEqual(ours.messages, []);
    assert.equal(
      ours.channel.receiveSync(() => true, 1000),
      null,
    );
  });
});

test('end: what is queued still goes out, what is sent later does not', async () => {
  await withPair(async (ours, b) => {
    const file = openSync('/dev/null', 'r');
    for (const n of upTo(1000)) ours.channel.send(item(n), [file]);
    closeSync(file);
    ours.channel.end();
    ours.channel.send(item(5000));
    assert.equal(ours.channel.closed, false, 'the peer has not read yet');
    const theirs = new End(b);
    theirs.channel.open();
    assert.equal(await theirs.closed(), null);
    assert.deepEqual(theirs.numbers, upTo(1000));
    assert.equal(await ours.closed(), null);
  });
});

test('a message may have as many bytes as the limit, and not one more', async () => {
  const padded = (bytes: number): string => '{"type":"ITEM","n":1}'.padEnd(bytes);
  await withPair(async (ours, b) => {
    ours.channel.open();
    raw(b, padded(MESSAGE_BYTES));
    await until(() => ours.messages.length === 1, { what: 'the message' });
    const file = openSync('/dev/null', 'r');
    raw(b, padded(MESSAGE_BYTES + 1), [file, file]);
    closeSync(file);
    const error = await ours.closed();
    assert.ok(isSystemError(error) && error.code === 'EMSGSIZE', String(error));
    assert.equal(ours.messages.length, 1);
  });
});

test('garbage ends the channel, and its fds with it', async () => {
  for (const data of ['{', 'null', '{"type":"NONE"}', '{"type":"ITEM"}', '\xff\xfe', '[1]']) {
    await withPair(async (ours, b) => {
      ours.channel.open();
      const file = openSync('/dev/null', 'r');
      raw(b, '{"type":"ITEM","n":1}');
      raw(b, data, [file, file, file]);
      raw(b, '{"type":"ITEM","n":2}', [file]);
      closeSync(file);
      assert.ok((await ours.closed()) instanceof ProtocolError, data);
      assert.deepEqual(ours.numbers, [1]);
    });
  }
});

test('fds that no handler takes are closed; a handler’s ProtocolError ends the channel', async () => {
  await withPair(async (ours, b) => {
    const kept: number[] = [];
    ours.channel.removeAllListeners('message').on('message', (message, fds) => {
      kept.push(fds.take(1));
      assert.throws(() => fds.take(1), ProtocolError);
      assert.throws(() => fds.take(3), ProtocolError);
      if (message.type === 'ITEM' && message.n === 2) fds.take(9);
    });
    ours.channel.open();
    const before = openFds();
    const file = openSync('/dev/null', 'r');
    raw(b, '{"type":"ITEM","n":1}', [file, file, file]);
    await until(() => kept.length === 1, { what: 'the message' });
    assert.equal(openFds(), before + 2, 'the file here and the one that was taken');
    raw(b, '{"type":"ITEM","n":2}', [file, file]);
    closeSync(file);
    const error = await ours.closed();
    assert.ok(error instanceof ProtocolError);
    assert.equal(error.message, 'the message carries no fd 9');
    for (const fd of kept) native.fd.close(fd);
  });
});

test('ReceivedFds: what is taken is not closed, and nothing is closed twice', () => {
  const before = openFds();
  const [a, b] = native.channel.pair();
  const bag = new ReceivedFds([a, b]);
  assert.equal(bag.length, 2);
  assert.equal(bag.take(0), a);
  bag.closeRest();
  bag.closeRest();
  assert.throws(() => bag.take(1), ProtocolError);
  native.fd.close(a);
  assert.equal(openFds(), before);
});

test('what a peer said last is heard before its end, also when we have written to it meanwhile', async () => {
  await withPair(async (ours, b) => {
    for (const n of upTo(3)) raw(b, JSON.stringify(item(n)));
    native.fd.close(b);
    ours.channel.send(item(1));
    ours.channel.send(item(2));
    assert.equal(ours.channel.closed, false);
    ours.channel.open();
    assert.equal(await ours.closed(), null);
    assert.deepEqual(ours.numbers, [0, 1, 2]);
  });
});

test('a peer that is killed with our messages unread has simply gone', async (t) => {
  const before = openFds();
  const [a, b] = native.channel.pair();
  const child = runModule(
    t,
    `${IMPORT_NATIVE}
    native.channel.send(3, Buffer.from('{"type":"ITEM","n":5}'), []);
    native.fd.waitReadable(3, 60_000);
    native.fd.waitReadable(4, 2_000_000_000);`,
    { stdio: ['ignore', 'inherit', 'inherit', b, 'pipe'] },
  );
  native.fd.close(b);
  const ended = once(child, 'close');
  const ours = new End(a);
  ours.channel.open();
  await until(() => ours.messages.length === 1, { what: 'the child' });
  assert.equal(ours.channel.peer.uid, process.getuid?.());
  for (const n of upTo(100)) ours.channel.send(item(n));
  child.kill('SIGKILL');
  assert.equal(await ours.closed(), null);
  await ended;
  await until(() => openFds() === before, { what: 'fds as before' });
});

test('receiveSync: the wanted one at once, the others afterwards and in order', async () => {
  await withPair(async (ours, b) => {
    ours.channel.open();
    const file = openSync('/dev/null', 'r');
    raw(b, JSON.stringify(item(0)), [file]);
    raw(b, JSON.stringify(item(1)));
    raw(b, '{"type":"ANSWER","ok":true}', [file]);
    raw(b, JSON.stringify(item(2)), [file]);
    closeSync(file);
    const received = ours.channel.receiveSync((message) => message.type === 'ANSWER', 60_000);
    assert.deepEqual(received?.message, { type: 'ANSWER', ok: true });
    received?.fds.closeRest();
    assert.deepEqual(ours.messages, [], 'nothing is emitted inside the call');
    // The next call passes over one more while the first two still wait to be emitted.
    assert.equal(
      ours.channel.receiveSync((message) => message.type === 'ANSWER', 1),
      null,
    );
    raw(b, JSON.stringify(item(3)));
    await until(() => ours.messages.length === 4, { what: 'the others' });
    assert.deepEqual(ours.numbers, [0, 1, 2, 3]);
    assert.deepEqual(
      ours.inodes.map((of) => of.length),
      [1, 0, 1, 0],
    );
  });
});

test('receiveSync: null after its time, and when the peer has gone; skipped fds do not stay', async () => {
  await withPair(async (ours, b) => {
    const started = performance.now();
    assert.equal(
      ours.channel.receiveSync(() => true, 30),
      null,
    );
    assert.ok(performance.now() - started >= 29);
    const file = openSync('/dev/null', 'r');
    raw(b, JSON.stringify(item(0)), [file, file]);
    closeSync(file);
    native.fd.close(b);
    assert.equal(
      ours.channel.receiveSync((message) => message.type === 'ANSWER', 60_000),
      null,
    );
    assert.equal(await ours.closed(), null);
  });
});

test('receiveSync: garbage is an end too', async () => {
  await withPair(async (ours, b) => {
    raw(b, 'garbage');
    assert.equal(
      ours.channel.receiveSync(() => true, 60_000),
      null,
    );
    assert.ok((await ours.closed()) instanceof ProtocolError);
  });
});

test('a queue that the kernel refuses in the end is closed once: no fd of another owner goes with it', (t) => {
  // ETOOMANYREFS (unix(7)): more fds in flight than RLIMIT_NOFILE, for a process without CAP_SYS_RESOURCE.
  const script = `
    ${IMPORT_NATIVE}
    const { Channel } = await import(${JSON.stringify(import.meta.resolve('#src/base/channel.js'))});
    const { Codec, int } = await import(${JSON.stringify(import.meta.resolve('#src/base/codec.js'))});
    if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
    const [a, b] = native.channel.pair();
    const channel = new Channel(a, new Codec({ ITEM: { n: int } }));
    while (native.channel.send(a, Buffer.from('{"type":"ITEM","n":0}'), []));
    channel.send({ type: 'ITEM', n: 1 }, [0, 1]);
    const [c, d] = native.channel.pair();
    let last;
    try { while (native.channel.send(c, Buffer.from('x'), Array(40).fill(0))); } catch (error) { last = error.code; }
    channel.on('close', (error) => { console.log(last, error?.code); });
    while (native.channel.receive(b, 1000) !== null);
  `;
  const directory = scratch(t);
  const output = execFileSync(
    '/bin/sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    {
      encoding: 'utf8',
      cwd: directory,
      timeout: 60_000,
    },
  );
  assert.equal(output, 'ETOOMANYREFS ETOOMANYREFS\n');
});
