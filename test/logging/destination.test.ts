import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { Destination, OUTPUT_QUEUE_BYTES } from '#src/logging/destination.js';
import { openFds, scratch } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

const NEVER_MS = 60_000;
const notice = (lost: number): string => `lost ${lost}\n`;
const numbered = (from: number, to: number): Buffer =>
  Buffer.from(Array.from({ length: to - from }, (_, index) => `line ${from + index} of these\n`).join(''));

/** A pipe whose reader reads only when it is asked to. */
function pipe(t: TestContext): { writer: number; reader: number; read(): string } {
  const path = join(scratch(t), 'fifo');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, 'w');
  const read = (): string => {
    const buffer = Buffer.alloc(1 << 20);
    try {
      return buffer.toString('utf8', 0, readSync(reader, buffer));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return '';
    }
  };
  return { writer, reader, read };
}

test('lines reach a file in order, own ones among them, and a new file at its turn', async (t) => {
  const directory = scratch(t);
  const before = openFds();
  const destination = new Destination(openSync(join(directory, 'one'), 'a'), notice);
  destination.writeNow(Buffer.from('first\n'));
  assert.equal(readFileSync(join(directory, 'one'), 'utf8'), 'first\n', 'own lines are there at once');
  destination.write(numbered(0, 10_000));
  destination.writeNow(Buffer.from('own\n'));
  // A thread is writing to the old one now.
  destination.redirect(openSync(join(directory, 'two'), 'a'));
  destination.write(numbered(10_000, 20_000));
  assert.equal(await destination.flush(NEVER_MS), true);
  const files = ['one', 'two'].map((name) => readFileSync(join(directory, name), 'utf8'));
  assert.equal(files.join(''), `first\n${numbered(0, 10_000)}own\n${numbered(10_000, 20_000)}`);
  assert.ok(files.every((file) => file.endsWith('\n') && file.length > 6));
  closeSync(destination.fd);
  assert.equal(openFds(), before);
});

test('a reader that does not read holds up the writer, within limits, and never the loop', async (t) => {
  const { writer, reader, read } = pipe(t);
  const destination = new Destination(writer, notice);
  let sent = 0;
  const send = (): boolean => {
    sent += 1000;
    return destination.write(numbered(sent - 1000, sent));
  };
  while (send());
  // As much again as a pipe takes by itself.
  for (const end = sent + 5000; sent < end; ) send();
  let room = false;
  destination.whenRoom(() => {
    room = true;
  });
  assert.equal(await destination.flush(50), false, 'a loop that turns, and a flush that ends');
  assert.equal(room, false);
  let text = '';
  await until(
    () => {
      text += read();
      return text.length === numbered(0, sent).length;
    },
    { what: 'all lines' },
  );
  assert.equal(text, String(numbered(0, sent)));
  assert.equal(await destination.flush(NEVER_MS), true);
  assert.equal(room, true);
  closeSync(writer);
  closeSync(reader);
});

test('own lines that find no room are counted, and nothing else is lost', async (t) => {
  const { writer, reader, read } = pipe(t);
  const destination = new Destination(writer, notice);
  const line = Buffer.from(`${'x'.repeat(999)}\n`);
  const count = (4 * OUTPUT_QUEUE_BYTES) / line.length;
  for (let sent = 0; sent < count; sent++) destination.writeNow(line);
  let text = '';
  await until(
    () => {
      text += read();
      return (
        text.endsWith('the end\n') ||
        (text.length > 2 * OUTPUT_QUEUE_BYTES && void destination.writeNow(Buffer.from('the end\n')))
      );
    },
    { what: 'the rest' },
  );
  await destination.flush(NEVER_MS);
  const lost = [...text.matchAll(/^lost (\d+)$/gm)].map(([, number]) => Number(number));
  assert.equal(text.match(/^x+$/gm)?.length, Math.ceil(count) - lost.reduce((sum, number) => sum + number, 0));
  assert.ok(lost.length > 0);
  closeSync(writer);
  closeSync(reader);
});

test('no line is mixed with those of another writer to the same pipe', async (t) => {
  const { writer, reader, read } = pipe(t);
  const ours = new Destination(writer, notice);
  const theirs = new Destination(native.fd.dup(writer), notice);
  for (let turn = 0; turn < 50; turn++) {
    ours.write(Buffer.from(`${'a'.repeat(80)}\n`.repeat(100)));
    theirs.write(Buffer.from(`${'b'.repeat(90)}\n`.repeat(100)));
  }
  let text = '';
  await until(
    () => {
      text += read();
      return text.length === 50 * 100 * (81 + 91);
    },
    { what: 'all lines', instead: () => text.length },
  );
  assert.equal(text.match(/^(a{80}|b{90})$/gm)?.length, 10_000);
  await Promise.all([ours.flush(NEVER_MS), theirs.flush(NEVER_MS)]);
  for (const fd of [writer, theirs.fd, reader]) closeSync(fd);
});

test('what the kernel refuses is counted, and said once there is room', async (t) => {
  const path = join(scratch(t), 'file');
  const destination = new Destination(openSync('/dev/full', 'a'), notice);
  assert.equal(destination.write(numbered(0, 70)), true);
  await destination.flush(NEVER_MS);
  destination.writeNow(Buffer.from('own\n'));
  destination.redirect(openSync(path, 'a'));
  assert.equal(fstatSync(destination.fd).size, 0);
  destination.write(numbered(0, 2));
  destination.write(numbered(2, 3));
  await destination.flush(NEVER_MS);
  assert.equal(readFileSync(path, 'utf8'), `lost 71\n${numbered(0, 3)}`);
  closeSync(destination.fd);
});

test('a reader that has gone costs lines and stops nothing', async (t) => {
  const { writer, reader } = pipe(t);
  const destination = new Destination(writer, notice);
  closeSync(reader);
  for (let turn = 0; turn < 100; turn++) {
    assert.equal(destination.write(numbered(0, 1000)), true);
    await destination.flush(NEVER_MS);
  }
  closeSync(writer);
});
