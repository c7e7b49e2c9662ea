import assert from 'node:assert/strict';
import { until } from '../harness/until.js';
import type { LoadReport } from '../load/tally.js';
import type { System } from './harness.js';
import { MOVE_MS, RECIPES, type Recipe, TROUBLE } from './recipes.js';
import { LOOK_MS, type Shop, UNIT } from './shop.js';
import { onSystem } from './suite.js';

const RECOMMENDED = RECIPES[0] as Recipe;
/** A program that boots and never listens. */
const STALLS = { before: 'setInterval(() => {}, 1000); return;' };
const THROWS = { before: "throw new Error('no such database');" };
/** ms for a successor to be there after a `systemctl reload` that does not wait for it, on a busy machine. */
const SUCCESSOR_MS = 30_000;

/** What systemd and Motya do to the pair when something goes wrong around a hand-over. */
export async function failures(system: System): Promise<void> {
  await onSystem(`failures on ${system}`, system, (test) => {
    for (const recipe of RECIPES) {
      test(`bad script: ${recipe.name}`, (shop) => badScript(shop, recipe), { since: recipe.since });
      test(`reloads while the old ones drain: ${recipe.name}`, (shop) => reloadsInDrain(shop, recipe), {
        since: recipe.since,
      });
    }
    test('port in use', portInUse);
    test('the successor is killed before LIVE', killedBeforeLive);
    test('the new main process is killed while the old one drains', killedAfterLive);
    test('the new main process is unhealthy on probation', unhealthy);
    test('the new main process is killed on probation', killedOnProbation);
    test('a main process that answers nothing: ExecReload=motya upgrade --force', forced);
    test('stop while a successor boots', stopInReload);
    test('stop while the old one drains', stopInDrain);
  });
}

async function install(shop: Shop, recipe: Recipe): Promise<string> {
  await shop.install(recipe.files);
  await shop.sandbox.manage('start', ...recipe.files.slice(1), UNIT);
  return (await shop.main()).pid;
}

/** Runs `body` while clients ask. */
async function underLoad(shop: Shop, { ports }: Recipe, body: () => Promise<void>): Promise<LoadReport> {
  const load = shop.sandbox.load({ port: ports, keepAlive: 2, fresh: 2, thinkMs: 20 });
  let report: LoadReport;
  try {
    await body();
  } finally {
    report = await load.stop();
  }
  return report;
}

/** After an upgrade that failed: nothing has changed, and the next one works. */
async function assertServesOn(shop: Shop, recipe: Recipe, pid: string): Promise<void> {
  await shop.is({ MainPID: pid, ActiveState: 'active', SubState: 'running', NRestarts: '0' }, MOVE_MS);
  shop.release('good');
  const { code, stderr } = await shop.reload();
  assert.equal(code, 0, stderr);
  await shop.moved(pid, recipe.synchronous ? MOVE_MS : SUCCESSOR_MS);
  assert.match(await shop.sandbox.get(recipe.ports[0] ?? 0), /"version":"good"/);
}

async function badScript(shop: Shop, recipe: Recipe): Promise<void> {
  const pid = await install(shop, recipe);
  shop.release('bad', THROWS);
  const report = await underLoad(shop, recipe, async () => {
    // For STATUS_MS; then the line is renewed.
    const status = recipe.hearsStatus ? shop.says(/^serves on; the upgrade failed: /, SUCCESSOR_MS) : null;
    status?.catch(() => {});
    const { code } = await shop.reload();
    assert.equal(code, recipe.failsReload ? 1 : 0);
    await shop.said(/no such database/);
    if (recipe.failsReload) assert.match(await shop.journal(), /Reload failed for motya\.service/);
    await shop.said(/"event":"rejected"/);
    await status;
    await assertServesOn(shop, recipe, pid);
  });
  assert.equal(report.failures, 0, JSON.stringify(report.details));
}

async function reloadsInDrain(shop: Shop, recipe: Recipe): Promise<void> {
  const [port = 0] = recipe.ports;
  let pid = await install(shop, recipe);
  const held: Awaited<ReturnType<Shop['hold']>>[] = [];
  const report = await underLoad(shop, recipe, async () => {
    for (const version of ['2', '3']) {
      held.push(await shop.hold(port));
      shop.release(version);
      const { code, stderr } = await shop.reload();
      assert.equal(code, 0, stderr);
      pid = (await shop.moved(pid, recipe.synchronous ? MOVE_MS : SUCCESSOR_MS)).pid;
    }
    for (const one of held) one.finish();
    const versions = await Promise.all(held.map(async (one) => JSON.parse(await one.body).version));
    assert.deepEqual(versions, ['1', '2']);
  });
  assert.equal(report.failures, 0, JSON.stringify(report.details));
  // The old ones have ended, and systemd is content with that.
  await shop.said(/"ended".*"handed-over"[\s\S]*"ended".*"handed-over"/);
  await shop.is({ MainPID: pid, ActiveState: 'active', NRestarts: '0' });
  assert.doesNotMatch(await shop.journal(), TROUBLE);
}

async function portInUse(shop: Shop): Promise<void> {
  const { sandbox } = shop;
  const pid = await install(shop, RECOMMENDED);
  const squatter = "require('node:net').createServer((socket) => socket.destroy()).listen(9090)";
  await sandbox.run('systemd-run', '--quiet', '--unit', 'squatter', 'node', '-e', squatter);
  try {
    await until(async () => (await sandbox.get(9090)) !== 'ECONNREFUSED', { what: 'the squatter', every: LOOK_MS });
    shop.release('bad', { ports: [9090] });
    const { code } = await shop.reload();
    assert.equal(code, 1);
    await shop.said(/motya\[\d+\]: motya: the upgrade was rejected: .*EADDRINUSE tcp:.*:9090.*serves on/);
    await shop.is({ MainPID: pid, ActiveState: 'active' }, MOVE_MS);
  } finally {
    await sandbox.manage('stop', 'squatter.service');
  }
  await assertServesOn(shop, RECOMMENDED, pid);
}

async function killedBeforeLive(shop: Shop): Promise<void> {
  const pid = await install(shop, RECOMMENDED);
  shop.release('stalls', STALLS);
  const report = await underLoad(shop, RECOMMENDED, async () => {
    const reloading = shop.reload();
    const [, successor = ''] = await shop.said(/"event":"successor","successor":(\d+)/);
    // It boots: the steps themselves are debug lines.
    await shop.said(/"event":"silent"/);
    await shop.sandbox.run('kill', '-KILL', successor);
    assert.equal((await reloading).code, 1);
    await shop.said(/motya\[\d+\]: motya: the upgrade was rejected: /);
    await assertServesOn(shop, RECOMMENDED, pid);
  });
  assert.equal(report.failures, 0, JSON.stringify(report.details));
}

async function killedAfterLive(shop: Shop): Promise<void> {
  const pid = await install(shop, RECOMMENDED);
  const held = await shop.hold(80);
  let next = '';
  const report = await underLoad(shop, RECOMMENDED, async () => {
    assert.equal((await shop.reload()).code, 0);
    next = (await shop.moved(pid, MOVE_MS)).pid;
    await shop.sandbox.manage('kill', '-s', 'KILL', '--kill-whom=main', UNIT);
    await shop.moved(next, SUCCESSOR_MS);
  });
  // Clients wait in the queue of the stored listener, as after any crash; KillMode=mixed ends the one that drains.
  assert.equal(report.failuresByKind.refused ?? 0, 0, JSON.stringify(report.details));
  await shop.is({ NRestarts: '1', ActiveState: 'active' });
  assert.match(await held.body, /ECONNRESET$/);
}

/** As long as no test waits: it is ended by something else. */
const PROBATION = 'Environment=MOTYA_PROBATION=10m MOTYA_HEALTH_PATH=/';

async function unhealthy(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED.files, [PROBATION, 'WatchdogSec=6']);
  await shop.sandbox.manage('start', UNIT);
  const { pid } = await shop.main();
  const fails =
    "Object.defineProperty(require('node:http').ServerResponse.prototype, 'statusCode', { get: () => 503, set() {} });";
  shop.release('bad', { before: fails });
  const { code } = await shop.reload();
  assert.equal(code, 1);
  await shop.said(/motya\[\d+\]: motya: rolled back: \/: status 503; pid \d+ serves again/);
  await shop.is({ MainPID: pid, ActiveState: 'active', SubState: 'running', NRestarts: '0' }, MOVE_MS);
  assert.match(await shop.sandbox.get(80), /"version":"1"/);
  await shop.said(/"ended".*"rolled-back"/);
  assert.doesNotMatch(await shop.journal(), TROUBLE);
  // The watchdog is pinged by the one that serves again, each 2 s.
  const pings = new Set<string>();
  const pinged = async (): Promise<boolean> => {
    const { WatchdogTimestampMonotonic: last = '' } = await shop.sandbox.show(UNIT, 'WatchdogTimestampMonotonic');
    return pings.add(last).size > 2;
  };
  await until(pinged, { what: 'pings of the watchdog', every: LOOK_MS });
  // The main process is what systemd takes for it.
  await shop.sandbox.manage('stop', UNIT);
  await assertStopped(shop);
}

async function killedOnProbation(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED.files, [PROBATION]);
  await shop.sandbox.manage('start', UNIT);
  const { pid } = await shop.main();
  const report = await underLoad(shop, RECOMMENDED, async () => {
    const reloading = shop.reload();
    await shop.said(/"event":"probation"/);
    await until(async () => (await shop.main()).pid !== pid, { what: 'the new main process', every: LOOK_MS });
    await shop.sandbox.manage('kill', '-s', 'KILL', '--kill-whom=main', UNIT);
    await reloading;
    // Whichever systemd hears of first: of the end, then it stops the old one too and starts the unit anew, with the stored
    // listeners; or that the old one is the main process again, then nothing has happened.
    const settled = async (): Promise<boolean> => {
      const { NRestarts, MainPID, ActiveState } = await shop.sandbox.show(UNIT, 'NRestarts', 'MainPID', 'ActiveState');
      return ActiveState === 'active' && (NRestarts === '1' || MainPID === pid);
    };
    await until(settled, { what: 'a main process', every: LOOK_MS });
  });
  assert.equal(report.failuresByKind.refused ?? 0, 0, JSON.stringify(report.details));
}

async function forced(shop: Shop): Promise<void> {
  await shop.install(RECOMMENDED.files, [
    'ExecReload=',
    'ExecReload=motya upgrade --force',
    'SystemCallFilter=pidfd_getfd',
  ]);
  await shop.sandbox.manage('start', UNIT);
  const { pid } = await shop.main();
  const report = await underLoad(shop, RECOMMENDED, async () => {
    await shop.sandbox.run('kill', '-STOP', pid);
    shop.release('2');
    const { code, stderr } = await shop.reload();
    assert.equal(code, 0, stderr);
    const next = await shop.moved(pid, MOVE_MS);
    await shop.said(/"event":"force"[\s\S]*is killed/);
    // What does not need force has none.
    await assertServesOn(shop, RECOMMENDED, next.pid);
  });
  assert.equal(report.failures, 0, JSON.stringify(report.details));
  await shop.is({ NRestarts: '0', ActiveState: 'active' });
}

async function stopInReload(shop: Shop): Promise<void> {
  const { sandbox } = shop;
  await install(shop, RECOMMENDED);
  shop.release('stalls', STALLS);
  const reloading = shop.reload();
  // It boots: the steps themselves are debug lines.
  await shop.said(/"event":"silent"/);
  await sandbox.manage('stop', UNIT);
  assert.equal((await reloading).code, 1);
  await assertStopped(shop);
}

async function stopInDrain(shop: Shop): Promise<void> {
  const { sandbox } = shop;
  const pid = await install(shop, RECOMMENDED);
  const held = await shop.hold(80);
  assert.equal((await shop.reload()).code, 0);
  await shop.moved(pid, MOVE_MS);
  const stopping = sandbox.systemctl('stop', UNIT);
  await shop.is({ ActiveState: 'deactivating' });
  // The new one has nothing left to do, and waits for the old one: with its end, mixed would kill the old one.
  await shop.said(/"event":"drained"/);
  held.finish();
  assert.match(await held.body, /"version":"1"/);
  assert.equal((await stopping).code, 0);
  await assertStopped(shop);
}

async function assertStopped(shop: Shop): Promise<void> {
  await shop.is({ ActiveState: 'inactive', Result: 'success', MainPID: '0' });
  assert.equal((await shop.sandbox.run('pgrep', '-fa', '[s]hop/server.js')).stdout, '');
  assert.doesNotMatch(await shop.journal(), TROUBLE);
}
