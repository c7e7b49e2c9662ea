import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RECONNECT_MS } from '#src/base/limits.js';
import { native } from '#src/base/os/native.js';
import { findSuccessor } from '#src/handover/find-successor.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('the wait for a successor ends in time, whatever the garbage collector takes meanwhile', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'motya-summon-'));
  const collecting = setInterval(collectGarbage, 10);
  t.after(() => {
    clearInterval(collecting);
    rmSync(directory, { recursive: true });
  });
  const summoned = findSuccessor({
    upgradeSocket: join(directory, 'u.sock'),
    mode: 'wait',
    waitMs: 300,
    announced: () => null,
    launch: () => assert.fail('none is to be started'),
    cancelled: new AbortController().signal,
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, 30_000, 'late');
  });
  await assert.rejects(Promise.race([summoned, late]), { code: 'ERR_MOTYA_NO_SUCCESSOR' });
  clearTimeout(timer);
});

test('one that is started and gives way to another one, which does not listen yet: that one is waited for', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'motya-summon-'));
  const path = join(directory, 'u.sock');
  const listeners: number[] = [];
  t.after(() => {
    for (const fd of listeners) native.fd.close(fd);
    rmSync(directory, { recursive: true });
  });
  const gaveWay = { ok: false, code: 'ERR_MOTYA_SUCCESSOR_EXISTS', text: 'another one waits' } as const;
  const { fd, launched } = await findSuccessor({
    upgradeSocket: path,
    mode: 'now',
    waitMs: 30_000,
    announced: () => null,
    launch: () => {
      const outcome = Promise.resolve(gaveWay);
      // After some looks in vain.
      const listen = () => listeners.push(native.listener.create({ family: 'unix', type: 'seqpacket', path }));
      setTimeout(listen, 4 * RECONNECT_MS);
      return { pid: process.pid, outcome, hangUp: () => {} };
    },
    cancelled: new AbortController().signal,
  });
  assert.notEqual(fd, null);
  assert.equal(launched, null);
  native.fd.close(fd);
});
