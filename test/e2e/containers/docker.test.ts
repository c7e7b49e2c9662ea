import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { it } from 'node:test';
import { ROOT } from '../harness/index.js';
import { get, servesAs } from '../scene.js';
import { containers, noContainer } from './container.js';

/** Instructions of the last stage, in order. */
function instructions(): [string, string][] {
  const lines = readFileSync(`${ROOT}examples/docker/Dockerfile`, 'utf8').split('\n');
  const all = lines
    .filter((line) => /^[A-Z]+ /.test(line))
    .map((line): [string, string] => {
      const at = line.indexOf(' ');
      return [line.slice(0, at), line.slice(at + 1)];
    });
  return all.slice(all.findLastIndex(([name]) => name === 'FROM'));
}

const lastOf = (name: string): string => instructions().findLast(([one]) => one === name)?.[1] ?? '';
/** Only the exec form is a JSON array; with the other one a shell would be PID 1. */
const commandOf = (text: string): string[] => JSON.parse(text.replace(/^.*?CMD /, '')) as string[];

it('the Dockerfile runs no shell and no root, and stops by SIGTERM', () => {
  const names = instructions().map(([name]) => name);
  assert.ok(names.indexOf('USER') < names.indexOf('CMD'));
  assert.equal(lastOf('USER'), 'node');
  assert.equal(lastOf('STOPSIGNAL'), 'SIGTERM');
  assert.deepEqual(commandOf(lastOf('CMD')), ['node_modules/.bin/motya', 'start']);
});

it('its CMD runs as PID 1: serves, is healthy, is upgraded, is stopped', { skip: noContainer }, async (test) => {
  const { stage, contain } = await containers(test, () => '');
  const { space, port } = stage;
  const cwd = space.path('app');
  cpSync(`${ROOT}examples/docker`, cwd, { recursive: true });
  mkdirSync(`${cwd}/node_modules/.bin`, { recursive: true });
  symlinkSync(`${ROOT}dist/motya.cjs`, `${cwd}/node_modules/.bin/motya`);
  const container = await contain(commandOf(lastOf('CMD')), { cwd });
  await container.unshare.waitFor('serving');
  assert.equal((await get(port)).body.split(',')[0], 'generation 1');
  // `docker exec` has the files and the network of the container, which these share with us.
  const [health = '', ...args] = commandOf(lastOf('HEALTHCHECK'));
  const healthy = space.start(`${cwd}/${health}`, args, { cwd });
  assert.equal((await healthy.waitForExit()).code, 0, healthy.stderr);
  const upgrade = space.start(`${cwd}/${health}`, ['upgrade'], { cwd });
  assert.equal((await upgrade.waitForExit()).code, 0, upgrade.stderr);
  await servesAs(container.unshare, 2);
  assert.equal((await get(port)).body.split(',')[0], 'generation 2');
  container.signal(lastOf('STOPSIGNAL') as NodeJS.Signals);
  assert.deepEqual(await container.unshare.waitForExit(), { code: 0, signal: null });
  await space.nothingLeft();
});
