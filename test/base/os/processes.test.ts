import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { HeldProcess, processEnd } from '#src/base/os/processes.js';
import { until } from '../../e2e/harness/until.js';

const failing = {
  'pidfd.open': (t: TestContext, fail: () => never) => t.mock.method(native.pidfd, 'open', fail),
  'poll.create': (t: TestContext, fail: () => never) => t.mock.method(native.poll, 'create', fail),
};
for (const [call, mock] of Object.entries(failing)) {
  test(`a process that cannot be watched (${call}) has not ended before it has`, async (t) => {
    const child = spawn('sleep', ['1000']);
    await once(child, 'spawn');
    const failed = mock(t, () => {
      throw Object.assign(new Error('EMFILE'), { code: 'EMFILE', errno: -24, syscall: call });
    });
    let hasEnded = false;
    const end = processEnd(child.pid as number).then(() => {
      hasEnded = true;
    });
    assert.equal(failed.mock.callCount(), 1);
    const looks = t.mock.method(process, 'kill');
    await until(() => looks.mock.callCount() > 3, { what: 'some looks' });
    assert.equal(hasEnded, false);
    child.kill('SIGKILL');
    await end;
  });
}

test('a process that is held is signalled and waited for, and no other one is taken for it', async () => {
  const child = spawn('sleep', ['1000']);
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  const held = new HeldProcess(child.pid as number);
  const gone = new HeldProcess(child.pid as number);
  try {
    assert.equal(await held.endsWithin(1), false);
    assert.equal(held.signal(constants.signals.SIGKILL), true);
    await held.ended();
    await held.ended();
    assert.equal(await held.endsWithin(1_000), true);
    await exited;
    assert.equal(held.signal(constants.signals.SIGKILL), false);
    gone.close();
    gone.close();
    assert.equal(gone.signal(constants.signals.SIGKILL), false);
  } finally {
    held.close();
    child.kill('SIGKILL');
  }
});
