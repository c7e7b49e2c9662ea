import assert from 'node:assert/strict';
import { until } from '../e2e/harness/until.js';
import type { MarkedLoad } from '../e2e/load/load.js';
import { type Shop, UNIT } from './shop.js';
import { onSystem } from './suite.js';

const PORT = 8080;

/** A unit as people write it who have never heard of notifications. */
const simple = (text: string): string =>
  text
    .replace(/^Type=notify$/m, 'Type=simple')
    .replace(/^(NotifyAccess|FileDescriptorStoreMax|WatchdogSec)=.*\n/gm, '');

await onSystem('a unit with Type=simple', 'host', (test) => {
  test('the keeper comes by itself: MainPID stays over five reloads under load and a kill -9', async (shop) => {
    await shop.install(['kill-quit.service'], simple);
    await shop.sandbox.manage('start', UNIT);
    const first = await until(() => shop.pidfile, { what: 'the instance' });
    const { pid: keeper } = await shop.main();
    assert.notEqual(keeper, first);
    const load = shop.sandbox.load({ port: PORT, keepAlive: 4, fresh: 3, slow: 1, slowMs: 300 });
    try {
      await answer(load, '1');
      for (let version = 2; version <= 6; version++) {
        shop.release(String(version));
        await shop.sandbox.manage('reload', UNIT);
        await answer(load, String(version));
        await stays(shop, keeper);
      }
      shop.release('after the crash');
      await shop.sandbox.run('kill', '-KILL', shop.pidfile as string);
      await answer(load, 'after the crash');
      await stays(shop, keeper);
    } finally {
      const { failures, details } = await load.stop();
      assert.equal(failures, 0, JSON.stringify(details));
    }
    await shop.sandbox.manage('stop', UNIT);
    const { ActiveState, Result } = await shop.sandbox.show(UNIT, 'ActiveState', 'Result');
    assert.deepEqual([ActiveState, Result], ['inactive', 'success']);
    assert.equal(await shop.sandbox.get(PORT), 'ECONNREFUSED');
    assert.doesNotMatch(await shop.journal(), /SIGKILL.*systemd|timed out|Killing process/);
  });
});

async function stays(shop: Shop, keeper: string): Promise<void> {
  assert.deepEqual(await shop.main(), { pid: keeper, active: 'active' });
  await shop.is({ NRestarts: '0' });
}

async function answer(load: MarkedLoad, version: string): Promise<void> {
  const look = async () => (await load.report()).servers.some((server) => server.version === version);
  await until(look, { what: `an answer of version ${version}` });
}
