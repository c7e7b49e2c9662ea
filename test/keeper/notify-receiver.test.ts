import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { type Notification, NotifyReceiver } from '#src/keeper/notify-receiver.js';
import { IMPORT_NATIVE, track } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

const openFds = (): number => readdirSync('/proc/self/fd').length;

/** A child that sends `messages` (state, and whether with stdin as an fd), and stays until it is killed. */
const sender = (address: string, messages: [string, boolean][]): string[] => [
  '--input-type=module',
  '-e',
  `${IMPORT_NATIVE}
  const path = ${JSON.stringify(address.replace('@', '\0'))};
  for (const [state, fd] of ${JSON.stringify(messages)}) native.notify.send(path, state, fd ? [0] : []);`,
];

test('takes what children send, with their fds, in order; a zombie’s last words too', async (t) => {
  const heard: Notification[] = [];
  const receiver = new NotifyReceiver(
    (one) => heard.push(one),
    (text) => assert.fail(text),
  );
  t.after(() => receiver.close());
  const child = track(
    t,
    spawn(
      process.execPath,
      sender(receiver.address, [
        ['READY=1\nSTATUS=a=b\n\nnonsense\n=x', false],
        ['FDSTORE=1\nFDNAME=web', true],
      ]),
    ),
  );
  await until(() => heard.length === 2, { what: 'two messages' });
  const [first, second] = heard;
  assert.equal(first?.sender, child.pid);
  assert.deepEqual(
    [...(first?.fields ?? [])],
    [
      ['READY', '1'],
      ['STATUS', 'a=b'],
    ],
  );
  assert.equal(second?.fields.get('FDNAME'), 'web');
  assert.equal(second?.fds.length, 1);
  for (const fd of second?.fds ?? []) native.fd.close(fd);
});

test('strangers, and ourselves, are not heard; their fds are closed, and the next message is read', (t) => {
  const heard: string[] = [];
  const lost: string[] = [];
  const receiver = new NotifyReceiver(
    ({ fields }) => heard.push(...fields.keys()),
    (text) => lost.push(text),
  );
  t.after(() => receiver.close());
  const before = openFds();
  const path = receiver.address.replace('@', '\0');
  native.notify.send(path, 'MAINPID=1', [0, 0]);
  native.notify.send(path, `STATUS=${'x'.repeat(4096)}`, [0]);
  // It has ended and been reaped by the time of reading.
  assert.equal(spawnSync(process.execPath, sender(receiver.address, [['READY=1', true]])).status, 0);
  receiver.drain();
  assert.deepEqual(heard, []);
  assert.equal(lost.length, 1);
  assert.match(lost[0] ?? '', /EMSGSIZE/);
  assert.equal(openFds(), before);
});
