import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { allKinds } from '#src/base/drain-kinds.js';
import { freePort } from '../e2e/harness/index.js';
import { get } from '../e2e/scene.js';
import { supervised } from './supervisor.js';

test(
  'background work that fails in a worker is a warning with its stack; the program serves on',
  supervised(async (supervisor) => {
    const busy = await freePort();
    const holder = createServer().listen(busy, '127.0.0.1');
    const env = { NODE_OPTIONS: `--inspect=127.0.0.1:${busy}` };
    const worker = supervisor.spawn('failing-work.cjs', { env });
    try {
      const { port } = await worker.address();
      const warned = (during: string) =>
        worker.until(during, () => new RegExp(`MotyaDefect: .*${during}: injected\\n.*\\n? +at `).test(worker.stderr));
      await warned('opening the inspector');
      await worker.ask({ type: 'PAUSE' }, 'PAUSED');
      await worker.ask({ type: 'GIVE' }, 'GIVEN');
      await warned('handing state on');
      await worker.ask({ type: 'ACCEPT' }, 'ACCEPTING');
      assert.equal((await get(port)).body, 'served');
      await worker.ask({ type: 'DRAIN', times: allKinds(60_000) }, 'DRAINED');
      await warned('waiting for onDrain\\(\\)');
      assert.equal(worker.child.exitCode, null);
    } finally {
      holder.close();
    }
  }),
);
