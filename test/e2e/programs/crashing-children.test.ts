import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Child, freePort, until } from '../harness/index.js';
import { get, type Scene, scene } from '../scene.js';

/** Each of these serves with processes that its main process starts, and starts again when they end. */
const HEAD = `'use strict';
const cluster = require('node:cluster');
const { fork } = require('node:child_process');
const { createServer } = require('node:http');
const { PORT, OTHER, MOTYA_GENERATION } = process.env;
const serve = (port, then) => createServer((_, response) => response.end(MOTYA_GENERATION)).listen(port, '127.0.0.1', then);
`;
/** `child`: what a worker of the cluster does. */
const clusterOf = (child: string): string => `${HEAD}
if (cluster.isPrimary) {
  cluster.fork();
  cluster.on('exit', () => cluster.fork());
} else {
  ${child}
}
`;
/** Its primary serves, too. */
const mixedCluster = (child: string): string => `${HEAD}
if (cluster.isPrimary) {
  serve(OTHER);
  cluster.fork();
  cluster.on('exit', () => setTimeout(() => cluster.fork(), 100));
} else {
  ${child}
}
`;
const withHelper = (child: string): string => `${HEAD}
if (process.argv[2] === 'helper') {
  ${child}
} else {
  const start = () => fork(__filename, ['helper']).on('exit', start);
  start();
  serve(OTHER);
}
`;
const SERVES = 'serve(PORT);';
const SERVES_FOR_A_MOMENT = 'serve(PORT, () => setTimeout(() => process.exit(7), 300));';

async function begin(stage: Scene, source: string, crashes = 3): Promise<Child> {
  stage.space.write('server.cjs', source);
  const args = ['--probation', '2s', '--health-crashes', String(crashes)];
  return stage.first(args, { OTHER: String(await freePort()) });
}

async function isRolledBack(stage: Scene, first: Child): Promise<void> {
  const { code, stdout } = await stage.upgrade('--json');
  assert.equal(code, 6, stdout);
  assert.equal((await first.waitFor('rolled-back')).code, 'ERR_MOTYA_CRASHES');
  // The new version has had clients until a moment ago, and crashes with what it has.
  await until(async () => (await get(stage.port).catch(() => null))?.body === '1', { what: 'the old version' });
}

for (const [name, programOf, crashes] of [
  ['again and again', withHelper, 3],
  ['and at its end', clusterOf, 100],
] as const) {
  test(`processes of a program that crash on probation, ${name}: rolled back`, async (t) => {
    const stage = await scene(t, '', '');
    const first = await begin(stage, programOf(SERVES), crashes);
    stage.space.write('server.cjs', programOf(SERVES_FOR_A_MOMENT));
    await isRolledBack(stage, first);
  });
}

test('workers of a cluster that end before they listen, on probation: rolled back', async (t) => {
  const stage = await scene(t, '', '');
  const first = await begin(stage, mixedCluster(SERVES));
  stage.space.write('server.cjs', mixedCluster("throw new Error('no database');"));
  await isRolledBack(stage, first);
});

test('a cluster whose workers its primary replaces passes', async (t) => {
  const stage = await scene(t, '', '');
  const replaced = `${SERVES} setTimeout(() => cluster.worker.disconnect(), 500);`;
  await begin(stage, clusterOf(SERVES));
  stage.space.write('server.cjs', clusterOf(`if (cluster.worker.id < 4) { ${replaced} } else { ${SERVES} }`));
  const { code, stdout } = await stage.upgrade('--json');
  assert.equal(code, 0, stdout);
  // Between two workers of the cluster clients are refused, as in plain Node.
  const isNew = async () => (await get(stage.port).catch(() => null))?.body === '2';
  await until(isNew, { what: 'an answer of the new version' });
});

for (const [name, end] of [
  ['kills and replaces', "cluster.on('listening', (worker) => worker.id < 5 && setTimeout(() => worker.kill(), 200));"],
  [
    'replaces when they have ended with status 0',
    "cluster.on('listening', (worker) => worker.id < 5 && setTimeout(() => worker.send('end'), 200));",
  ],
] as const) {
  test(`a cluster whose workers its primary ${name} passes`, async (t) => {
    const stage = await scene(t, '', '');
    await begin(stage, clusterOf(SERVES));
    const child = `${SERVES} process.on('message', () => process.exit(0));`;
    stage.space.write('server.cjs', clusterOf(child).replace('cluster.fork();', `cluster.fork(); ${end}`));
    const { code, stdout } = await stage.upgrade('--json');
    assert.equal(code, 0, stdout);
  });
}
