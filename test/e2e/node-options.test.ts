import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EXIT } from '#src/cli/exit-status.js';
import { CLI, freePort, until } from './harness/index.js';
import { get, program, type Scene, scene, servesAs } from './scene.js';

/**
 * Writes down each process that has loaded it, with its command; has a port of its own, as a metrics exporter has. Without a host:
 * with one, Node listens a tick later.
 */
const METRICS = `'use strict';
require('node:fs').appendFileSync(process.env.LOADED, process.argv.slice(1).join(' ') + '\\n');
require('node:http').createServer((_, response) => response.end(process.env.MOTYA_GENERATION))
  .on('error', () => {}).listen(Number(process.env.METRICS)).unref();
`;
/** Says what it finds in its environment, and what a child and a thread of it find. */
const TELLS = `
const { execFileSync } = require('node:child_process');
const { Worker } = require('node:worker_threads');
const { NODE_OPTIONS, MOTYA_NODE_OPTIONS } = process.env;
const child = execFileSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS'], { encoding: 'utf8' }).trim();
new Worker('require("worker_threads").parentPort.postMessage(process.env.NODE_OPTIONS)', { eval: true })
  .on('message', (thread) => {
    require('node:fs').writeFileSync(process.env.FOUND, JSON.stringify({ NODE_OPTIONS, MOTYA_NODE_OPTIONS, child, thread }));
  });
`;

async function stageWith(
  t: Parameters<typeof scene>[0],
  before = '',
): Promise<Scene & { metrics: number; preload: string }> {
  const stage = await scene(t, '', program('one', before));
  const metrics = await freePort();
  // A blank and a quote, which NODE_OPTIONS wants in quotes and behind a backslash.
  const preload = stage.space.write('my "metrics".cjs', METRICS);
  Object.assign(stage.space.env, {
    METRICS: String(metrics),
    LOADED: stage.space.path('loaded'),
    FOUND: stage.space.path('found'),
  });
  return Object.assign(stage, { metrics, preload });
}

const generations = async ({ port, metrics }: { port: number; metrics: number }): Promise<string[]> => [
  JSON.parse((await get(port)).body).generation,
  (await get(metrics)).body,
];

test('NODE_OPTIONS is for the programs: supervisors run without it, and what it listens on is handed over', async (t) => {
  const stage = await stageWith(t, TELLS);
  const options = `--require "${stage.preload.replaceAll('"', '\\"')}" --no-warnings`;
  const first = await stage.first([], { NODE_OPTIONS: options });
  await until(() => existsSync(stage.space.path('found')), { what: 'what the program finds' });
  const found = Object.entries(JSON.parse(readFileSync(stage.space.path('found'), 'utf8')) as Record<string, string>);
  // What Motya puts in front makes children that listen a part of the worker.
  const typed = found.map(([where, text]) => [where, text.replace(/^--require "[^"]+\/branch-preload\.cjs" /, '')]);
  assert.deepEqual(Object.fromEntries(typed), { NODE_OPTIONS: options, child: options, thread: options });
  assert.deepEqual(await generations(stage), ['1', '1']);
  for (const generation of [2, 3]) {
    assert.equal((await stage.upgrade()).code, 0);
    await servesAs(first, generation);
    assert.deepEqual(await generations(stage), [String(generation), String(generation)]);
  }
  const loaded = readFileSync(stage.space.path('loaded'), 'utf8').trim().split('\n');
  // The shell's node has run it before it could know whose it is.
  assert.match(loaded.shift() ?? '', /motya\.cjs start/);
  assert.deepEqual(
    loaded.filter((line) => line.includes('motya.cjs')),
    [],
  );
});

test('the command that starts anew is the same process, with its fds and its exit status', async (t) => {
  const stage = await stageWith(t);
  const env = { NODE_OPTIONS: `--require ${stage.space.write('nothing.cjs', '')}` };
  const first = await stage.first([], env);
  assert.equal((await stage.status()).pid, first.pid);
  assert.equal(readFileSync(`/proc/${first.pid}/environ`, 'utf8').includes('\0NODE_OPTIONS='), false);
  first.kill('SIGTERM');
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  assert.equal((await stage.space.run(['status', '--name', 'app'], { env })).code, EXIT.notRunning);
  // An fd that only the command line names.
  const settings = stage.space.write('other.yaml', `services: { web: { script: ${stage.script} } }\n`);
  const words = ['-c', 'exec 9<"$0"; exec "$@" --config /dev/fd/9', settings, process.execPath, CLI, 'check'];
  const check = stage.space.start('/bin/sh', words, { env });
  assert.deepEqual(await check.waitForExit(), { code: 0, signal: null }, check.describe());
});

test('--require of nodeArgs has its listeners handed over', async (t) => {
  const stage = await stageWith(t);
  const nodeArgs = JSON.stringify(['--require', stage.preload]);
  const config = stage.space.write(
    'motya.yaml',
    `services: { web: { script: server.cjs, nodeArgs: ${nodeArgs}, workers: 2 } }\n`,
  );
  const options = { env: { PORT: String(stage.port) } };
  const first = stage.space.motya(['start', '--config', config, '--name', 'app'], options);
  await first.waitFor('serving');
  for (const generation of [2, 3]) {
    assert.equal((await stage.upgrade()).code, 0);
    await servesAs(first, generation);
    assert.deepEqual(await generations(stage), [String(generation), String(generation)]);
  }
});
