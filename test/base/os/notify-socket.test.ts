import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { NotifySocket } from '#src/base/os/notify-socket.js';
import { openFds } from '../native/support.js';

const failing = {
  'fd.pipe': (t: TestContext, fail: () => never) => t.mock.method(native.fd, 'pipe', fail),
  'poll.create': (t: TestContext, fail: () => never) => t.mock.method(native.poll, 'create', fail),
  send: (t: TestContext, fail: () => never, socket: NotifySocket) => t.mock.method(socket, 'send', fail),
};
for (const [call, mock] of Object.entries(failing)) {
  test(`a barrier that cannot be had (${call}) is warned of and not waited for, and leaves no fd`, async (t) => {
    const name = `motya-test-${process.pid}-${call}`;
    const manager = native.listener.create({ family: 'unix', type: 'dgram', path: `\0${name}` });
    const told: string[] = [];
    const socket = new NotifySocket({ NOTIFY_SOCKET: `@${name}` }, (text) => told.push(text));
    const fail = (): never => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE', errno: -24, syscall: call });
    };
    mock(t, fail, socket);
    const before = openFds();
    await socket.barrier();
    assert.equal(openFds(), before);
    assert.deepEqual(told, ['it is not known whether the service manager has read all messages: EMFILE']);
    native.fd.close(manager);
  });
}
