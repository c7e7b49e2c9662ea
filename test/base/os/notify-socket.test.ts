import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { NotifySocket } from '#src/base/os/notify-socket.js';

const failing = {
  'fd.pipe': (t: TestContext, fail: () => never) => t.mock.method(native.fd, 'pipe', fail),
  'poll.create': (t: TestContext, fail: () => never) => t.mock.method(native.poll, 'create', fail),
};
for (const [call, mock] of Object.entries(failing)) {
  test(`a barrier that cannot be had (${call}) is warned of and waited for by nobody`, async (t) => {
    const name = `motya-test-${process.pid}-${call}`;
    const manager = native.listener.create({ family: 'unix', type: 'dgram', path: `\0${name}` });
    const told: string[] = [];
    const socket = new NotifySocket({ NOTIFY_SOCKET: `@${name}` }, (text) => told.push(text));
    mock(t, () => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE', errno: -24, syscall: call });
    });
    await socket.barrier();
    assert.deepEqual(told, ['it is not known whether the service manager has read all messages: EMFILE']);
    native.fd.close(manager);
  });
}
