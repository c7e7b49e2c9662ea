import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { summon } from '#src/handover/summon.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('the wait for a successor ends in time, whatever the garbage collector takes meanwhile', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'motya-summon-'));
  const collecting = setInterval(collectGarbage, 10);
  t.after(() => {
    clearInterval(collecting);
    rmSync(folder, { recursive: true });
  });
  const summoned = summon({
    upgradeSocket: join(folder, 'u.sock'),
    mode: 'wait',
    waitMs: 300,
    announced: () => null,
    launch: () => assert.fail('nobody is to be started'),
    cancelled: new AbortController().signal,
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, 30_000, 'late');
  });
  await assert.rejects(Promise.race([summoned, late]), { code: 'MOTYA_NO_SUCCESSOR' });
  clearTimeout(timer);
});
