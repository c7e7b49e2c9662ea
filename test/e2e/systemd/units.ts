import assert from 'node:assert/strict';
import { until } from '../harness/until.js';
import type { LoadReport } from '../load/tally.js';
import type { System } from './harness.js';
import { MOVE_MS, TROUBLE } from './recipes.js';
import { LOOK_MS, type Shop, UNIT } from './shop.js';
import { onSystem } from './suite.js';

// Counts of stored listeners have the admin listener's in them.
const RECOMMENDED = ['motya.service'];
/** Debian's D-Bus does not serve a user that systemd has made up, so that an instance cannot ask about its unit. */
const STATIC_USER = ['DynamicUser=no', 'User=daemon'];

/** ms in which the status line tells what has begun: sooner than it is renewed in any case (STATUS_MS). */
const SOON_MS = 6_000;

/** What a unit's settings mean to Motya: the fd store, the watchdog, who is heard, and a type that hears nobody. */
export async function units(system: System): Promise<void> {
  await onSystem(`units on ${system}`, system, (test) => {
    test('a listener that a new version does not use leaves the fd store', droppedListener);
    test('a listener that only a rolled-back version did not use stays in the fd store', droppedAndRolledBack);
    test('stored listeners keep their names over upgrades, and are found by them', storedNames, { since: 254 });
    test('a restart keeps whoever waits; a stop serves them and refuses the rest: nobody is reset', restartAndStop);
    test('a drain longer than TimeoutStopSec= is not cut; the status line says what drains', longDrain);
    test('FileDescriptorStoreMax=1 and three listeners: a warning', (shop) => smallStore(shop, 1));
    test('FileDescriptorStoreMax=0: a warning', (shop) => smallStore(shop, 0));
    test('NotifyAccess=main: upgrades work, with a warning', notifyAccessMain);
    test('WatchdogSec=: pinged over upgrades, while the workers answer', watchdog);
    test('Type=simple: the keeper stays, its instances are replaced', simple);
  });
}

async function droppedListener(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED);
  shop.release('two', { ports: [9090] });
  await shop.start();
  await shop.is({ NFileDescriptorStore: '3' });
  shop.release('one');
  await reload(shop);
  await shop.is({ NFileDescriptorStore: '2' });
  assert.equal(await shop.sandbox.get(9090), 'ECONNREFUSED');
  shop.release('three', { ports: [9090, 9091] });
  await reload(shop);
  await shop.is({ NFileDescriptorStore: '4' });
}

async function droppedAndRolledBack(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED, STATIC_USER);
  shop.release('1', { ports: [9090] });
  const { pid } = await shop.start();
  await shop.is({ NFileDescriptorStore: '3' });
  shop.release('2');
  const reloading = shop.reload();
  await shop.said(/"event":"probation"/);
  assert.match(await shop.sandbox.get(9090), /"version":"1"/);
  assert.equal((await reloading).code, 1);
  await shop.said(/"code":"ERR_MOTYA_REMOVED_IN_USE"/);
  await shop.is({ MainPID: pid, NFileDescriptorStore: '3' }, MOVE_MS);
  // A client that connects after a crash waits for the next process.
  shop.release('3', { ports: [9090] });
  await shop.sandbox.manage('kill', '-s', 'KILL', '--kill-whom=main', UNIT);
  const answers: string[] = [];
  // Workers of the dead process may still answer for a moment, or be killed with a request in them.
  const answersAnew = async (): Promise<boolean> => {
    answers.push(await shop.sandbox.get(9090));
    return answers.at(-1)?.includes('"version":"3"') === true;
  };
  await until(answersAnew, { what: 'the next process', instead: () => answers });
  assert.ok(!answers.includes('ECONNREFUSED'), answers.join());
  await shop.moved(pid, 30_000);
  assert.doesNotMatch(await shop.journal(), /stores \d of \d listeners/);
}

async function storedNames(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED);
  shop.release('1', { ports: [9090] });
  const { pid } = await shop.start();
  const stored = async (): Promise<string[]> => {
    const { stdout } = await shop.sandbox.run('systemd-analyze', 'fdstore', UNIT);
    return stdout
      .split('\n')
      .flatMap((line) => /^(motya-\S+)/.exec(line)?.[1] ?? [])
      .sort();
  };
  await shop.is({ NFileDescriptorStore: '3' });
  const names = await stored();
  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^motya-(tcp|unix)/);
  await reload(shop);
  await shop.is({ NFileDescriptorStore: '3' });
  assert.deepEqual(await stored(), names);
  await shop.sandbox.manage('kill', '-s', 'KILL', '--kill-whom=main', UNIT);
  await shop.moved(pid, 30_000);
  assert.deepEqual(await stored(), names);
}

async function restartAndStop(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED, STATIC_USER);
  const { pid } = await shop.start();
  const load = shop.sandbox.load({ port: 80, fresh: 8, thinkMs: 0 });
  let report: LoadReport;
  const more = async (): Promise<void> => {
    const { answers } = await load.report();
    await until(async () => (await load.report()).answers > answers + 200, { what: 'answers', every: LOOK_MS });
  };
  try {
    await more();
    await shop.sandbox.manage('restart', UNIT);
    await shop.moved(pid, 30_000);
    await more();
    const restarted = await load.mark();
    assert.equal(restarted.failures, 0, JSON.stringify(restarted.details));
    await shop.sandbox.manage('stop', UNIT);
  } finally {
    report = await load.stop();
  }
  assert.deepEqual(Object.keys(report.failuresByKind), ['refused'], JSON.stringify(report.details));
}

async function longDrain(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED, ['TimeoutStopSec=4', 'Environment=MOTYA_DRAIN_TIMEOUT=10m']);
  await shop.start();
  const first = await shop.hold(80);
  shop.release('2');
  await reload(shop);
  await shop.says(/^generation 2: serving, 0 open connections; generation 1 drains 1, \d+ s left$/, SOON_MS);
  const second = await shop.hold(80);
  const stopping = shop.sandbox.systemctl('stop', UNIT);
  await shop.is({ ActiveState: 'deactivating' });
  const began = performance.now();
  await until(() => performance.now() > began + 8_000, { what: 'twice the time to stop' });
  await shop.says(/^stops; \d connections are open$/, SOON_MS);
  for (const one of [first, second]) one.finish();
  assert.match(await first.body, /"version":"1"/);
  assert.match(await second.body, /"version":"2"/);
  assert.equal((await stopping).code, 0);
  await shop.is({ ActiveState: 'inactive', Result: 'success' });
  assert.doesNotMatch(await shop.journal(), TROUBLE);
}

async function smallStore(shop: Shop, max: number): Promise<void> {
  await shop.install(RECOMMENDED, [`FileDescriptorStoreMax=${max}`, ...STATIC_USER]);
  shop.release('1', { ports: [9090] });
  const { pid } = await shop.start();
  const [line] = await shop.said(/.*stores \d of 3 listeners.*/);
  assert.match(
    line,
    new RegExp(
      `"level":"warn".*stores ${max} of 3 listeners .FileDescriptorStoreMax=${max}.*set FileDescriptorStoreMax=64`,
    ),
  );
  await reload(shop);
  await shop.moved(pid, MOVE_MS);
}

async function notifyAccessMain(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED, ['NotifyAccess=main', ...STATIC_USER]);
  await shop.start();
  await shop.said(/"level":"warn".*has NotifyAccess=main.*set NotifyAccess=all/);
  for (const version of ['2', '3']) {
    shop.release(version);
    await reload(shop);
  }
  await shop.is({ NRestarts: '0', ActiveState: 'active' });
  await shop.sandbox.manage('stop', UNIT);
  await shop.is({ ActiveState: 'inactive', Result: 'success' });
}

async function watchdog(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED, ['WatchdogSec=6', 'LimitCORE=0']);
  // The successor is not the process that systemd has told of the watchdog.
  const spin = "setInterval(() => { if (require('node:fs').existsSync('/srv/shop/spin')) for (;;); }, 20);";
  await shop.start();
  shop.release('2', { before: spin });
  await reload(shop);
  const { pid } = await shop.main();
  const pings = async (): Promise<number> => {
    const { WatchdogTimestampMonotonic } = await shop.sandbox.show(UNIT, 'WatchdogTimestampMonotonic');
    return Number(WatchdogTimestampMonotonic);
  };
  const first = await pings();
  // More than its time has gone by with pings in it.
  await until(async () => (await pings()) > first + 7_000_000, { what: 'pings', every: LOOK_MS });
  await shop.is({ MainPID: pid, NRestarts: '0' });
  shop.release('3');
  shop.sandbox.write('/srv/shop/spin', '');
  await shop.said(/Watchdog timeout/);
  shop.sandbox.remove('/srv/shop/spin');
  await shop.moved(pid, 30_000);
  await shop.is({ NRestarts: '1', ActiveState: 'active' });
}

async function simple(shop: Shop): Promise<void> {
  const { sandbox } = shop;
  await shop.install(['simple.service']);
  const { pid } = await shop.start();
  // Type=simple is `active` before anything listens.
  await until(async () => /version/.test(await sandbox.get(8080)), { what: 'the first answer', every: LOOK_MS });
  const load = sandbox.load({ port: 8080, keepAlive: 3, fresh: 3, thinkMs: 20 });
  let report: LoadReport;
  const answers = (version: string): Promise<unknown> => {
    const look = async () => (await load.report()).servers.some((server) => server.version === version);
    return until(look, { what: `an answer of version ${version}`, every: LOOK_MS });
  };
  try {
    for (const version of ['2', '3', '4', '5', '6']) {
      shop.release(version);
      const { code, stderr } = await shop.reload();
      assert.equal(code, 0, stderr);
      await answers(version);
      await shop.is({ MainPID: pid, ActiveState: 'active', NRestarts: '0' }, MOVE_MS);
    }
    const { failures, details } = await load.mark();
    assert.equal(failures, 0, JSON.stringify(details));
    assert.doesNotMatch(await shop.journal(), TROUBLE);
    // On probation it would be the one before it that serves again.
    await shop.said(/generation 6 has passed its probation/);
    // The keeper holds the listeners: an instance that is killed costs what it was serving, and nobody is refused.
    shop.release('after the crash');
    assert.notEqual(shop.pidfile, pid);
    await sandbox.run('kill', '-KILL', shop.pidfile ?? '');
    await answers('after the crash');
  } finally {
    report = await load.stop();
  }
  assert.equal(report.failuresByKind.refused ?? 0, 0, JSON.stringify(report.details));
  await shop.is({ MainPID: pid, ActiveState: 'active', NRestarts: '0' });
  await sandbox.manage('stop', UNIT);
  await shop.is({ ActiveState: 'inactive', Result: 'success' });
}

async function reload(shop: Shop): Promise<void> {
  const { pid } = await shop.main();
  const { code, stderr } = await shop.reload();
  assert.equal(code, 0, stderr);
  await shop.moved(pid, MOVE_MS);
}
