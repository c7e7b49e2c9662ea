import assert from 'node:assert/strict';
import { until } from '../harness/until.js';
import type { MarkedLoad } from '../load/load.js';
import type { LoadReport } from '../load/tally.js';
import type { System } from './harness.js';
import { LOOK_MS, type Shop, UNIT } from './shop.js';
import { onSystem } from './suite.js';

/** A way to run Motya under systemd: its files in examples/systemd. */
export interface Recipe {
  readonly name: string;
  readonly files: readonly string[];
  readonly ports: readonly number[];
  /** `systemctl reload` returns when the successor serves. */
  readonly synchronous: boolean;
  /** `systemctl reload` fails when the upgrade does. */
  readonly failsReload: boolean;
  /** The unit has a notify socket. */
  readonly hearsStatus: boolean;
  /** Somebody holds the listeners while no process does. */
  readonly survivesCrash: boolean;
  /** Number of listeners that the unit stores, the admin listener's among them; those of .socket units are not. */
  readonly stored: number;
  /** systemd's version that it needs. */
  readonly since: number;
}

const usual = {
  ports: [8080],
  synchronous: true,
  failsReload: true,
  hearsStatus: true,
  survivesCrash: true,
  stored: 2,
  since: 252,
};

export const RECIPES: readonly Recipe[] = [
  { ...usual, name: 'recommended: motya upgrade, hardened, port 80', files: ['motya.service'], ports: [80] },
  { ...usual, name: 'kill -QUIT alone', files: ['kill-quit.service'], synchronous: false, failsReload: false },
  { ...usual, name: 'Type=notify-reload', files: ['notify-reload.service'], failsReload: false, since: 253 },
  { ...usual, name: "Pingora's two lines, Type=notify", files: ['pingora-notify.service'] },
  {
    ...usual,
    name: "Pingora's two lines, Type=forking",
    files: ['pingora-forking.service'],
    hearsStatus: false,
    survivesCrash: false,
    stored: 0,
  },
  {
    ...usual,
    name: 'two .socket units',
    files: ['socket-activated.service', 'motya-https.socket', 'motya-http.socket'],
    ports: [80, 443],
    stored: 1,
  },
];

/** ms for systemd to have the right main process after the successor has answered, or the reload has returned; each look takes its time. */
export const MOVE_MS = 10_000;
const RELOADS = 5;

/** What systemd says when it has lost sight of a process, or has to use force. */
export const TROUBLE =
  /not our child|reception only permitted|does not belong|refusing|does not exist or is a zombie|Cannot find unit for notify|SIGKILL|dumped core|timed out|Cannot store more fds|PID file .* not readable|cannot be told anything|worker .* ended/;

export async function recipes(system: System): Promise<void> {
  await onSystem(`recipes on ${system}`, system, (test) => {
    for (const recipe of RECIPES)
      test(
        recipe.name,
        async (shop) => {
          await shop.install(recipe.files);
          await prove(shop, recipe);
        },
        { since: recipe.since },
      );
  });
}

async function prove(shop: Shop, recipe: Recipe): Promise<void> {
  const { sandbox } = shop;
  // The sockets first: they must listen before the service is started.
  await sandbox.manage('start', ...recipe.files.slice(1), UNIT);
  await shop.moved('0', MOVE_MS);
  await shop.is({ NFileDescriptorStore: String(recipe.stored) }, MOVE_MS);
  const load = sandbox.load({ port: recipe.ports, keepAlive: 4, fresh: 3, slow: 1, slowMs: 300, thinkMs: 20 });
  let report: LoadReport;
  try {
    for (let version = 2; version <= RELOADS + 1; version++) await reload(shop, recipe, load, String(version));
    const before = await load.mark();
    assert.equal(before.failures, 0, JSON.stringify(before.details));
    await shop.is({ NRestarts: '0', Result: 'success', NFileDescriptorStore: String(recipe.stored) });
    assert.doesNotMatch(await shop.journal(), TROUBLE);
    // A main process that dies on probation has an incumbent to serve on, and systemd nothing to start again.
    await shop.said(new RegExp(`"generation":${RELOADS + 1},"event":"settled"`));
    await crash(shop, load);
  } finally {
    report = await load.stop();
  }
  if (recipe.survivesCrash) {
    assert.equal(report.failuresByKind.refused ?? 0, 0, JSON.stringify(report.details));
    // Only what the killed process was serving may be lost; nothing that began while nobody accepted.
    assert.deepEqual(
      Object.keys(report.failuresByPhase).filter((phase) => phase === 'connect'),
      [],
    );
  }
  await shop.is({ NRestarts: '1', NFileDescriptorStore: String(recipe.stored) });
  assert.doesNotMatch(await shop.journal(), /"level":"warn".*"event":"manager"/);
  await stop(shop, recipe);
}

async function reload(shop: Shop, recipe: Recipe, load: MarkedLoad, version: string): Promise<void> {
  const { pid } = await shop.main();
  shop.release(version);
  await shop.sandbox.manage('reload', UNIT);
  if (recipe.synchronous) await shop.moved(pid, MOVE_MS);
  await answers(load, version);
  await shop.moved(pid, MOVE_MS);
}

/** kill -9 of the main process: systemd starts it again. */
async function crash(shop: Shop, load: MarkedLoad): Promise<void> {
  const { pid } = await shop.main();
  shop.release('after the crash');
  await shop.sandbox.manage('kill', '-s', 'KILL', '--kill-whom=main', UNIT);
  await answers(load, 'after the crash');
  await shop.moved(pid, MOVE_MS);
}

async function stop(shop: Shop, recipe: Recipe): Promise<void> {
  const { sandbox } = shop;
  const mark = await sandbox.mark();
  await sandbox.manage('stop', ...recipe.files.slice(1), UNIT);
  const { ActiveState, Result, MainPID } = await sandbox.show(UNIT, 'ActiveState', 'Result', 'MainPID');
  assert.deepEqual({ ActiveState, Result, MainPID }, { ActiveState: 'inactive', Result: 'success', MainPID: '0' });
  const { stdout } = await sandbox.run('pgrep', '-fa', '[s]hop/server.js');
  assert.equal(stdout, '', 'a process outlives the stop');
  for (const port of recipe.ports) assert.equal(await sandbox.get(port), 'ECONNREFUSED');
  assert.doesNotMatch(await sandbox.journal(mark), TROUBLE);
}

function answers(load: MarkedLoad, version: string): Promise<unknown> {
  let report: LoadReport | undefined;
  const look = async (): Promise<boolean> => {
    report = await load.report();
    return report.servers.some((server) => server.version === version);
  };
  return until(look, { what: `an answer of version ${version}`, every: LOOK_MS, instead: () => report?.details });
}
