import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { holds } from '../../keeper/support.js';
import {
  type Child,
  childrenOf,
  commandLineOf,
  freePort,
  lacks,
  parentOf,
  ROOT,
  readPidfile,
  until,
  type Workspace,
  workspace,
} from '../harness/index.js';
import { isRefused, program, who } from '../scene.js';
import * as chain from '../traffic.js';

/** A supervisor that people run services with, and how it is told what. */
interface Kind {
  readonly name: string;
  /** Directory under examples/. */
  readonly example: string;
  /** Starts the supervisor of the service in `directory`. */
  readonly supervisor: 'runsv' | 's6-supervise';
  upgrade(directory: string): readonly string[];
  stop(directory: string): readonly string[];
  /** Ends the supervisor too; the service is down already. */
  end(directory: string): readonly string[];
  /** Waits until the service is ready, where the supervisor knows. */
  ready?(directory: string): readonly string[];
}

const KINDS: readonly Kind[] = [
  {
    name: 'runit',
    example: 'runit',
    supervisor: 'runsv',
    upgrade: (directory) => ['sv', 'quit', directory],
    stop: (directory) => ['sv', '-w', '60', 'down', directory],
    end: (directory) => ['sv', '-w', '60', 'exit', directory],
  },
  {
    name: 's6',
    example: 's6',
    supervisor: 's6-supervise',
    upgrade: (directory) => ['s6-svc', '-q', directory],
    stop: (directory) => ['s6-svc', '-wD', '-T', '60000', '-d', directory],
    end: (directory) => ['s6-svc', '-xd', directory],
    ready: (directory) => ['s6-svwait', '-U', '-t', '60000', directory],
  },
];

/** /srv/app of the examples, in the workspace. */
function deploy(space: Workspace, port: number): string {
  const app = space.path('app');
  mkdirSync(join(app, 'node_modules/.bin'), { recursive: true });
  symlinkSync(`${ROOT}dist/motya.cjs`, join(app, 'node_modules/.bin/motya'));
  writeFileSync(join(app, 'server.cjs'), program('one'));
  const service = `services:\n  web: { script: server.cjs, env: { PORT: ${port} } }\n`;
  writeFileSync(join(app, 'motya.yaml'), `name: app\ndrainTimeout: 10m\n${service}`);
  return app;
}

/** The example, with the paths of the workspace, and as the user that runs the tests. */
function service(space: Workspace, { example }: Kind, app: string): string {
  const directory = space.path('service');
  cpSync(join(ROOT, 'examples', example), directory, { recursive: true });
  for (const file of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = join(file.parentPath, file.name);
    const text = readFileSync(path, 'utf8').replaceAll('/srv/app', app).replaceAll(' --user app', '');
    writeFileSync(path, text);
  }
  return directory;
}

const run = (space: Workspace, [command = '', ...args]: readonly string[]): void => {
  execFileSync(command, args, { env: space.env, stdio: ['ignore', 'ignore', 'inherit'], timeout: 90_000 });
};

for (const kind of KINDS) {
  const skip = lacks(kind.supervisor);
  test(
    `${kind.name}: start, five upgrades under load, a crash, a stop; it sees one process all the time`,
    { skip },
    (t) => lifeUnder(t, kind),
  );
}

async function lifeUnder(t: TestContext, kind: Kind): Promise<void> {
  const space = workspace(t);
  const port = await freePort();
  const directory = service(space, kind, deploy(space, port));
  const supervisor = space.start(kind.supervisor, [directory]);
  // Before the workspace is closed: a supervisor would start again what is stopped there.
  try {
    await live(space, kind, directory, supervisor, port);
  } finally {
    if (supervisor.exit === undefined) run(space, kind.end(directory));
    await supervisor.waitForExit({ deadline: 60_000 });
  }
  assert.ok(await isRefused(port));
  await space.nothingLeft();
}

async function live(space: Workspace, kind: Kind, directory: string, supervisor: Child, port: number): Promise<void> {
  const pidfile = join(space.runtimeDir, 'motya/app.pid');
  const mainPid = () => readPidfile(pidfile);
  const nextMain = async (was: number | undefined) => {
    await until(() => mainPid() !== was, { what: 'another main process', instead: () => supervisor.describe() });
    return mainPid() as number;
  };
  const keeperOf = () => parentOf(mainPid() ?? 0);

  const first = await nextMain(undefined);
  if (kind.ready !== undefined) run(space, kind.ready(directory));
  const keeper = parentOf(first) as number;
  assert.equal(parentOf(keeper), supervisor.pid);
  await holds(keeper, 1);
  const load = await chain.traffic({ port, keepAlive: 2, fresh: 2, slow: 1, slowMs: 50 });

  for (let main = first, upgrades = 0; upgrades < 5; upgrades++) {
    run(space, kind.upgrade(directory));
    main = await nextMain(main);
    assert.equal(keeperOf(), keeper);
    const alone = () => childrenOf(keeper).filter((pid) => commandLineOf(pid).length > 0).length === 1;
    await until(alone, { what: 'the predecessor to end', instead: () => childrenOf(keeper) });
  }
  assert.equal((await who(port)).generation, '6');

  const crashed = mainPid() as number;
  process.kill(crashed, 'SIGKILL');
  await nextMain(crashed);
  assert.equal(keeperOf(), keeper);
  await until(async () => (await who(port)).generation === '1', { what: 'the instance that was started again' });
  chain.assertFlawless(await load.stop());

  run(space, kind.stop(directory));
  assert.ok(await isRefused(port));
  assert.equal(supervisor.exit, undefined);
  assert.equal(mainPid(), undefined);
}
