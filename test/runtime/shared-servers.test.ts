import assert from 'node:assert/strict';
import { test } from 'node:test';
import { supervised } from './supervisor.js';

test(
  'child.send() of a server gives it away while it accepts, and fails while it does not',
  supervised(async (supervisor) => {
    for (const held of [false, true]) {
      const worker = supervisor.spawn('shares-server.cjs', { role: { held } });
      await worker.line('listening');
      const again = async () => {
        const seen = worker.lines.length;
        worker.child.kill('SIGUSR2');
        return (await worker.line('given', seen)).error;
      };
      assert.equal((await worker.line('given')).error, held ? 'EBADF' : null);
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      assert.equal(await again(), null);
      await worker.line('got');
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      assert.equal(await again(), 'EBADF');
      await worker.kill();
    }
  }),
);

test(
  'a child is given the server after inherited(), in every generation',
  supervised(async (supervisor) => {
    for (const held of [false, true]) {
      const worker = supervisor.spawn('shares-server.cjs', { role: { held }, env: { WAIT: '1' } });
      await worker.line('listening');
      if (held) await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      assert.equal((await worker.line('given')).error, null);
      await worker.line('got');
      await worker.kill();
    }
  }),
);

test(
  'listen() on a server that does not accept says so, and leaves that one alone',
  supervised(async (supervisor) => {
    const worker = supervisor.spawn('shares-server.cjs', { role: { held: true } });
    await worker.line('listening');
    worker.child.kill('SIGHUP');
    assert.deepEqual((await worker.line('shared')).errors, [
      'ERR_MOTYA_SERVER_PAUSED',
      'ERR_MOTYA_SERVER_PAUSED',
      'ERR_MOTYA_SERVER_PAUSED',
    ]);
    await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
    assert.equal(
      worker.messages.some(({ type }) => type === 'RELEASE'),
      false,
    );
  }),
);
